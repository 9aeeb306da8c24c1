"""Claims on models trained to test them, with the seed as the unit."""
