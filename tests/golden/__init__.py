"""The project's own golden tensors; make.py beside this file made them without the code they test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch


def read(network: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights float32 by their official names, and the other arrays, of one network of golden.npz."""
    weights, values = {}, {}
    with np.load(Path(__file__).with_name("golden.npz")) as archive:
        for key in archive.files:
            place, _, name = key.partition("/")
            if place == network and name.startswith("weights/"):
                weights[name.removeprefix("weights/")] = torch.from_numpy(archive[key].astype(np.float32))
            elif place == network:
                values[name] = archive[key]
    return weights, values
