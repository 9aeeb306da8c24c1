"""Runs: opening, measuring and judging models, and the results document."""
