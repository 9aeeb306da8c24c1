"""Opens models by name, reads their weights by role, and runs them with one layer in memory at a time."""
