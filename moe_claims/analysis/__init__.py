"""Claims: from a measurement, through one statistic, to a verdict."""
