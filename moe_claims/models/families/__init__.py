"""Describes, for each model family, which tensor of a checkpoint has which role."""
