#!/usr/bin/env bash
# Make the models of the Bandai-Namco clips alone, or run the whole chain on tiny made-up data:
#   bash training/reproduce.sh --source PATH --out build --codebooks 1024 --sizes 4M
#   bash training/reproduce.sh --tiny --out build/tiny
# PYTHON chooses the interpreter; every option is explained by --help.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m training.reproduce "$@"
