"""Generates models in memory: planted, null and randomly initialised ones."""
