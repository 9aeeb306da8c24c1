"""Comparison of results documents."""
