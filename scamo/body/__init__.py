"""Bodies that a motion can move."""
