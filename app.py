"""Opens the page: `python app.py [--models DIR ...]` is `scamo app`. Hugging Face Spaces runs this file too."""

import sys

from scamo.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))

from scamo.ui import build  # slow, and the command says what is wrong where it cannot be imported

demo = build()  # for servers and tools that import this file
