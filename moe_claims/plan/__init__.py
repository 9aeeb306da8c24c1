"""What a run would read, compute, keep and need, and which claims apply; files that bind a run to its plan."""
