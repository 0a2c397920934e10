"""One file per network that is trained: its configuration and its objective."""
