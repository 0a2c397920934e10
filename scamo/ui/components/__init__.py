"""What tabs are built from."""
