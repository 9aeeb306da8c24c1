"""Claims of published papers, one package per paper."""
