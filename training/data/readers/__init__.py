"""One thin reader per source of recordings."""
