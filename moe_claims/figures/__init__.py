"""Figures: from measurements of any model to counterparts of the paper's figures.

Drawing functions are pure: they read no model and compute no tests. ``catalogue`` lists all kinds of figures; most
other modules draw one family of them.
"""
