"""Claims on how models come to be, tested on trainings made for the question."""
