"""Measurements → figures: the counterparts of the paper's, for any model. Pure functions, no statistic, no model.

``kinds`` is the table of all; every other module draws one family of them.
"""
