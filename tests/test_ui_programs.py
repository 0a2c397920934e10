"""What programs get over real HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def client(served, tmp_path):
    from gradio_client import Client

    return Client(served, download_files=str(tmp_path), verbose=False)


def test_programs_generate(client):
    cells = client.predict(api_name="/models")
    assert {"codebook": 256, "size": "0.3M"}.items() <= cells[0].items()
    video, features, joints, recipe = client.predict(
        "a person walks forward", 256, "0.3M", 1.0, 3, 1.0, api_name="/generate"
    )
    assert np.load(features).shape == (20, 263)
    assert np.load(joints).shape == (20, 22, 3)
    assert Path(video["video"] if isinstance(video, dict) else video).stat().st_size > 1000
    assert recipe["seed"] == 3
    with pytest.raises(Exception, match="10,000"):
        client.predict("x" * 10_000, 256, "0.3M", 1.0, 3, 1.0, api_name="/generate")
