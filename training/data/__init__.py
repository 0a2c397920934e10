"""From recordings to the arrays that networks read."""
