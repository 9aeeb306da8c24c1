"""Models: a name → a checkpoint read by role → a forward pass, one layer in memory at a time."""
