"""What a run would read, compute, keep and need, and which claims apply; and files that bind a run to what was planned."""
