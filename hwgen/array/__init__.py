"""The two systolic arrays: cells, feeders, wiring."""
