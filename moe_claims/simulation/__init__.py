"""Synthetic models judged many times over: how often each claim is found where it is true, and where it is not."""
