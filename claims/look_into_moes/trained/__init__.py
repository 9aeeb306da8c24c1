"""Claims on training, tested on models trained for this purpose."""
