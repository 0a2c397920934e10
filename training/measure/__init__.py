"""What trained networks are worth."""
