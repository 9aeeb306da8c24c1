"""Judging claims: their records, tests, corrections for multiple testing, and verdicts."""
