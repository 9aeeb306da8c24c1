"""The embedded models: their recipes, how they are trained, and the files that ship with the package."""
