"""Which tensor of a checkpoint plays which part, family by family."""
