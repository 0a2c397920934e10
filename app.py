"""Opens the page: `python app.py [--models DIR ...]`. Hugging Face Spaces runs this file too."""

import argparse

from scamo.ui import build, launch


def _folders() -> list[str]:
    parser = argparse.ArgumentParser(description="Open ScaMo's page in a browser.")
    parser.add_argument("--models", action="append", default=[], metavar="DIR", help="models of your own; repeatable")
    return parser.parse_args().models


demo = build(_folders() if __name__ == "__main__" else [])

if __name__ == "__main__":
    launch(demo)
