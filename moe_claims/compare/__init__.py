"""Two results documents held against each other."""
