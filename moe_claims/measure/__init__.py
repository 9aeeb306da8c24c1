"""What is measured of a model: arrays per layer with known units. Nothing is judged here."""
