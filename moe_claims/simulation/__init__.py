"""Simulations: how often each claim is replicated on synthetic models where it is true and where it is false."""
