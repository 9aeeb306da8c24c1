"""Reports: verdicts in, text out. Computes no statistic and imports neither torch nor scipy."""
