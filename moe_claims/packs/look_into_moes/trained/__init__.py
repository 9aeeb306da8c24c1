"""Claims on trainings made for the question, with seeds as the unit."""
