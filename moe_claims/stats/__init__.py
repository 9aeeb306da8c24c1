"""Statistics on plain arrays: numpy and scipy only, one statistic per file, a seeded generator each."""
