"""Opens the page: `python app.py [--models DIR ...]` is `scamo app`. Hugging Face Spaces runs this file too."""

import sys

from scamo.cli import main
from scamo.ui import build

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))

demo = build()  # for servers and tools that import this file
