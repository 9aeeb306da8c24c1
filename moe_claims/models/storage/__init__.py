"""Where a checkpoint lies and how its tensors are read: a folder, a cache, the hub."""
