"""Reports: the results document and its output formats. Computes no statistic and imports neither torch nor scipy."""
