"""The tokenizer's objective, its measurements, and its runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

from scamo.configs import LEVELS, TokenizerConfig
from scamo.motion import canonical_joints, features_from_joints, joints_from_features
from scamo.skeleton import PARENTS, quat_rotate
from scamo.tokenizer import MotionTokenizer
from tests.corpus import write_codec, write_corpus
from tests.motions import walk
from training.configuration import Run, with_settings
from training.data.dataset import Dataset
from training.tasks import tokenizer
from training.tasks.reconstruction import Reconstruction, joint_places, measure_reconstruction, root_path
from training.tasks.tokenizer import TokenizerTraining, config_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def codec(corpus: Path) -> Path:
    return write_codec(corpus)


def test_reconstruction_parts_make_the_whole_batch(corpus: Path) -> None:
    data = Dataset(corpus)
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    task = Reconstruction(model, data, 16, 5, 0, data.statistics)
    whole = task.batch(7, 0, 1)["x_btd"]
    parts = [task.batch(7, part, 2) for part in range(2)]
    assert torch.equal(whole[0::2], parts[0]["x_btd"]) and torch.equal(whole[1::2], parts[1]["x_btd"])
    assert [part["share"] for part in parts] == pytest.approx([0.6, 0.4])
    idle = task.batch(7, 6, 7)
    assert idle["share"] == 0 and idle["units"] == 0 and len(idle["x_btd"]) == 1


def test_the_path_is_that_of_the_joints() -> None:
    frames = walk(61).astype(np.float64)
    heading = np.linspace(0, 2.0, 61) / 2
    turn = np.stack([np.cos(heading), 0 * heading, np.sin(heading), 0 * heading], -1)[:, None]
    features = features_from_joints(canonical_joints(quat_rotate(turn, frames), lengths=None)).astype(np.float32)
    joints = joints_from_features(features)
    _, path_btx = root_path(torch.from_numpy(features)[None])
    np.testing.assert_allclose(path_btx[0].numpy(), joints[:, 0][:, [0, 2]], atol=1e-5)


def test_joints_seen_from_the_root_keep_their_bones() -> None:
    features = features_from_joints(canonical_joints(walk(30)))
    places = joint_places(torch.from_numpy(features)[None])[0].numpy()
    world = joints_from_features(features)
    for child, parent in enumerate(PARENTS[1:], 1):
        lengths = np.linalg.norm(places[:, child] - places[:, parent], axis=-1)
        np.testing.assert_allclose(lengths, np.linalg.norm(world[:, child] - world[:, parent], axis=-1), atol=1e-5)


def test_penalties_add_what_they_say(corpus: Path) -> None:
    data = Dataset(corpus)
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    options = {"latent_penalty": 0.5, "drift_penalty": 2.0}
    plain = Reconstruction(model, data, 16, 5, 0, data.statistics)
    task = Reconstruction(model, data, 16, 5, 0, data.statistics, **options)
    batch = task.batch(0, 0, 1)
    near, extra = task.loss(model, batch)
    assert near.item() == pytest.approx(plain.loss(model, batch)[0].item() + 2 * extra["drift"], rel=1e-5)
    model.vqvae.quantizer.project_in.bias.data += 2.5  # every latent is about one beyond its reach
    far, extra = task.loss(model, batch)
    beyond = far.item() - plain.loss(model, batch)[0].item() - 2 * extra["drift"]
    assert beyond == pytest.approx(0.5, rel=0.5)


def test_wrong_bones_and_places_cost_what_they_say(corpus: Path) -> None:
    data = Dataset(corpus)
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    plain = Reconstruction(model, data, 16, 5, 0, data.statistics)
    task = Reconstruction(model, data, 16, 5, 0, data.statistics, bone_penalty=0.3, place_penalty=2.0,
                          speed_penalty=0.5)  # fmt: skip
    batch = task.batch(0, 0, 1)
    loss, extra = task.loss(model, batch)
    assert min(extra["stretch"], extra["distance"], extra["speed"]) > 0
    added = 0.3 * extra["stretch"] + 2 * extra["distance"] + 0.5 * extra["speed"]
    assert loss.item() == pytest.approx(plain.loss(model, batch)[0].item() + added, rel=1e-5)

    # A body of 1.1 times the size: every bone is a tenth too long, and each joint as far off as it is from the root.
    mean, std = data.statistics.mean, data.statistics.std
    x = batch["x_btd"].numpy() * std + mean
    larger = x.copy()
    larger[..., 3:67] *= 1.1

    def reconstruct(x_btd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy((larger - mean) / std), torch.zeros(1, 4, dtype=torch.int64)

    _, extra = task.loss(reconstruct, batch)  # type: ignore[arg-type]
    places = joint_places(torch.from_numpy(x)).numpy()
    assert extra["stretch"] == pytest.approx(0.1, rel=1e-2)
    assert extra["distance"] == pytest.approx(0.1 * np.linalg.norm(places, axis=-1).mean(), rel=1e-2)
    speeds = 20 * np.linalg.norm(np.diff(places, axis=1), axis=-1)
    assert extra["speed"] == pytest.approx(0.1 * speeds.mean(), rel=2e-2)


def test_evenly_drawn_windows_are_of_every_clip_alike(corpus: Path) -> None:
    """A clip of one window is drawn as often as any other, and no window runs over the end of a clip."""
    data = Dataset(corpus)
    train = sorted(data.split("train"), key=lambda clip: clip.frames)
    window = train[0].frames // 4 * 4
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    counts = {}
    for evenly in (True, False):
        task = Reconstruction(model, data, window, 50, 0, data.statistics, evenly=evenly)
        first = {}
        for clip in train:
            frames = data.statistics.normalise(np.asarray(data[clip]))
            first |= {frames[start].tobytes(): clip.name for start in range(len(frames) - window + 1)}
        drawn = [first.get(x[0].tobytes()) for step in range(20) for x in task.batch(step, 0, 1)["x_btd"].numpy()]
        known = [name for name in drawn if name]  # mirrored windows are not
        counts[evenly] = {clip.name: known.count(clip.name) / len(known) for clip in train}
    longest, shortest = train[-1], train[0]
    assert counts[True][shortest.name] == pytest.approx(1 / len(train), rel=0.6)
    assert counts[False][shortest.name] < 0.5 * counts[True][shortest.name]
    assert counts[False][longest.name] > counts[True][longest.name]


def test_the_baseline_has_no_penalties(corpus: Path, tmp_path: Path) -> None:
    training = TokenizerTraining(corpus, Run(tmp_path / "run"), quantiser="vq", place_penalty=1.0)
    with pytest.raises(ValueError, match="--place-penalty"):
        tokenizer.main(training)


def test_another_codebook_goes_on_from_a_trained_network(codec: Path) -> None:
    old = MotionTokenizer.from_pretrained(codec)
    model = MotionTokenizer(TokenizerConfig(LEVELS[64], width=8, code_width=8, depth=1))
    tokenizer.begin_with(model, old)
    features = np.random.default_rng(0).normal(size=(1, 16, 263)).astype(np.float32)
    encoded = [m.vqvae.encoder(torch.from_numpy(features).transpose(1, 2)) for m in (model, old)]
    assert torch.equal(*encoded)
    with pytest.raises(ValueError, match="--width 8"):
        tokenizer.begin_with(MotionTokenizer(TokenizerConfig(LEVELS[64], width=16, code_width=16, depth=1)), old)


def test_a_tokenizer_is_measured_as_by_hand(corpus: Path) -> None:
    class Lifted:
        """Lifts the root by 5 cm, and nothing else; its tokens are 0 and 1 by turns."""

        training, frames_per_token, codebook_size = False, 4, 8

        def __init__(self, data: Dataset) -> None:
            self.mean, self.std = map(torch.from_numpy, (data.statistics.mean, data.statistics.std))

        def eval(self) -> None: ...

        def train(self, mode: bool) -> None: ...

        def encode(self, features: np.ndarray) -> np.ndarray:
            self.features = features
            return np.arange(len(features) // 4) % 2

        def decode(self, tokens: np.ndarray) -> np.ndarray:
            return self.features + 0.05 * (np.arange(263) == 3)

    data = Dataset(corpus)
    found = measure_reconstruction(Lifted(data), data, "test")  # type: ignore[arg-type]
    assert found["l1"] == pytest.approx(0.05 / data.statistics.std[3] / 263, rel=1e-4)
    assert found["global_mpjpe_mm"] == pytest.approx(50 / 22, rel=1e-3)
    assert found["mpjpe_mm"] == pytest.approx(50 * 21 / 22, rel=1e-3)  # relative to the pelvis the others sink
    assert found["usage"] == 2 / 8
    tokens = [clip.frames // 4 for clip in data.split("test")]
    ones = sum(n // 2 for n in tokens) / sum(tokens)
    assert found["entropy"] == pytest.approx(math.exp(-ones * math.log(ones) - (1 - ones) * math.log(1 - ones)))
    data.about["unit"] = 0.001
    assert measure_reconstruction(Lifted(data), data, "test")["mpjpe_mm"] == pytest.approx(0.05 * 21 / 22, rel=1e-3)  # type: ignore[arg-type]


def test_windows_are_whole_tokens(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        tokenizer.main(TokenizerTraining(corpus, Run(tmp_path / "run"), width=8, window=18))


def test_a_run_goes_on_as_it_was_begun_and_is_kept_when_done(corpus: Path, tmp_path: Path, capsys) -> None:
    training = with_settings(
        TokenizerTraining(corpus, Run(tmp_path / "run"), codebook=4096, width=8, batch=2, window=16), steps=2
    )
    tokenizer.main(training)
    card = (tmp_path / "run" / "model" / "card.json").read_bytes()
    # 4096 and 16384 have five channels each, so the weights of one would load into the other.
    for other in ({"codebook": 16384}, {"batch": 4}, {"seed": 1}):
        with pytest.raises(ValueError, match=r"begun with another (codebook|batch|seed)"):
            tokenizer.main(with_settings(training, **other))
    capsys.readouterr()
    tokenizer.main(with_settings(training, threads=1, save_every=7))
    assert '"kept": true' in capsys.readouterr().out
    assert (tmp_path / "run" / "model" / "card.json").read_bytes() == card


def test_a_tokenizer_has_the_rate_of_its_data(tmp_path: Path) -> None:
    training = TokenizerTraining(tmp_path / "data", Run(tmp_path / "out"))
    assert config_of(training, 251, 12.5).tokens_per_second == 12.5 / 4
    assert config_of(training, 263, 20.0).tokens_per_second == 5
