"""Measurements: arrays per layer, what was measured of what in which unit. Nothing is judged here."""
