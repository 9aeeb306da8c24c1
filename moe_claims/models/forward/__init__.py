"""A model run layer by layer, and what is seen of its experts on the way."""
