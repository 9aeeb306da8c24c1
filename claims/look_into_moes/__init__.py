"""Claims of arXiv 2406.18219 as tests, one module per family of claims."""
