"""Claims of "A Closer Look into Mixture-of-Experts in Large Language Models" (arXiv 2406.18219)."""
