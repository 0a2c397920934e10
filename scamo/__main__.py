"""`python -m scamo ...` is the command `scamo ...`."""

import sys

from scamo.cli import main

if __name__ == "__main__":
    sys.exit(main())
