"""Trains the embedded models from their recipes and writes the files that ship with the package."""
