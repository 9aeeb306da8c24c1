"""Models made in memory: planted, null, and freshly initialised."""
