"""Train a Motion FSQ-VAE.

    python -m training.tasks.tokenizer --data data/bandai --codebook 1024 --width 128 --out runs/tokenizer-1024

Random windows of the training split, half of them mirrored, are reconstructed (eq. 4, training.tasks.reconstruction).
AdamW, MultiStepLR with its milestone at 0.6, warm-up 0.003 (appendix Tab. 2). ``--quantiser vq`` trains the baseline.
``--dry-run`` prints what the training would cost. The same command again continues a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor, nn

from scamo import checkpoint
from scamo.configs import LEVELS, TokenizerConfig
from scamo.motion import FPS
from scamo.tokenizer import MotionTokenizer
from training.configuration import Optimisation, Run
from training.data.dataset import Dataset
from training.estimate import estimate
from training.run import run_task
from training.tasks.reconstruction import Reconstruction
from training.tasks.vq import VQReconstruction, VQTokenizer

PAPER = Optimisation(steps=6000, lr=8e-4, schedule="multistep", warmup=0.003, precision="auto")
"""Appendix Tab. 2's tokenizer column; steps and rate, which the paper does not state, are ours."""


@dataclass(frozen=True)
class TokenizerTraining:
    """Train a Motion FSQ-VAE; the same command again continues a run."""

    data: Path
    """A dataset folder."""
    run: Run
    codebook: int = 1024
    """Nominal codebook size, one of 16, 64, 256 ... 65536 (appendix Tab. 6)."""
    quantiser: Literal["fsq", "vq"] = "fsq"
    """fsq, or vq: the baseline, a learned codebook of exactly that size."""
    width: int = 512
    """Channels of the convolutions and of the latent (the paper's: 512)."""
    batch: int = 32
    """Windows a step."""
    window: int = 64
    """Frames of a window; shorter clips are not learned from."""
    lengths: tuple[int, ...] = ()
    """Draw every step's window length from these instead, with as many frames in all. A network that has learned from
    one length reconstructs whole clips worse than windows, because it relies on where a window ends."""
    emphasis: bool = False
    """Weigh the channels that become joints more (see channel_emphasis); the paper weighs all alike."""
    latent_penalty: Annotated[float, tyro.conf.arg(aliases=["--restraint"])] = 0.0
    """Weight of a penalty on latents beyond the last level, which keeps codes from collapsing at high rates; the paper
    has none."""
    drift_penalty: Annotated[float, tyro.conf.arg(aliases=["--path"])] = 0.0
    """Weight of the root's drift over a window, in metres and radians: small errors of one sign add up in clips. The
    paper has none."""
    bone_penalty: Annotated[float, tyro.conf.arg(aliases=["--bones"])] = 0.0
    """Weight of the bones' wrong lengths, as a mean share of them. The paper has none."""
    place_penalty: Annotated[float, tyro.conf.arg(aliases=["--places"])] = 0.0
    """Weight of the joints' distance from their places, in metres. The paper has none."""
    speed_penalty: float = 0.0
    """Weight of the joints' wrong speeds, in metres a second: without it blows and waves come out too slow and small.
    The paper has none."""
    evenly: bool = False
    """Draw a clip first and then a window of it. Otherwise every window of the dataset is as likely as any other, and
    clips that are hardly longer than a window are hardly ever learned from."""
    start: Path | None = None
    """A tokenizer's folder whose encoder and decoder to begin with, of any codebook; None: random weights."""
    optimisation: Optimisation = PAPER


def config_of(training: TokenizerTraining, features: int, fps: float) -> TokenizerConfig:
    """The network's shape for ``features`` numbers a frame at ``fps``. ValueError for an unknown codebook."""
    if training.quantiser == "fsq" and training.codebook not in LEVELS:
        raise ValueError(f"No codebook {training.codebook}; choose one of {', '.join(map(str, LEVELS))}.")
    levels = LEVELS[training.codebook] if training.quantiser == "fsq" else (training.codebook,)
    return TokenizerConfig(levels, width=training.width, code_width=training.width, features=features, fps=fps)


def begin_with(model: MotionTokenizer, other: MotionTokenizer) -> None:
    """Copy the encoder and decoder of another tokenizer, and its quantiser where the levels are the same.

    ValueError where it has another width.
    """
    taken = {name: value for name, value in other.state_dict().items() if name.startswith("vqvae.")}
    if model.levels != other.levels:
        taken = {name: value for name, value in taken.items() if ".quantizer." not in name}
    if any(model.state_dict()[name].shape != value.shape for name, value in taken.items()):
        raise ValueError(f"The tokenizer to start with has another width; choose --width {other.config.width}.")
    model.load_state_dict(taken, strict=False)


class TokenizerTask:
    """A tokenizer's training with its dataset open (see training.run.Task)."""

    def __init__(self, config: TokenizerTraining) -> None:
        """ValueError where the dataset cannot be read or settings contradict each other."""
        self.config = config
        self.data = Dataset(config.data)
        self.about = self.data.about
        self.shape = config_of(config, self.data.features.shape[1], float(self.about.get("fps", FPS)))
        penalties = (config.latent_penalty, config.drift_penalty, config.bone_penalty, config.place_penalty,
                     config.speed_penalty)  # fmt: skip
        if config.quantiser == "vq" and any(penalties):
            raise ValueError(
                "The baseline has no --latent-penalty, --drift-penalty, --bone-penalty, --place-penalty and "
                "--speed-penalty; leave them out with --quantiser vq."
            )

    def inputs(self) -> dict[str, Any]:
        """The dataset, and the tokenizer to begin with."""
        start = self.config.start
        return {"data": self.data.digest, "start": checkpoint.fingerprint(start) if start else None}

    def cost(self) -> str:
        """What the training will cost. The baseline costs as much, apart from the look-up of codes."""
        config = self.config

        def loss(model: nn.Module, device: torch.device) -> Tensor:
            x_btd = torch.randn(config.batch, config.window, self.shape.features, device=device)
            return nn.functional.smooth_l1_loss(model(x_btd)[0], x_btd)

        return str(estimate(lambda: MotionTokenizer(self.shape), loss, config.optimisation))

    def objective(self) -> Reconstruction:
        """The network, new or with the weights of another, and the loss of its quantiser."""
        config, statistics = self.config, self.data.statistics
        kind: type[Reconstruction] = Reconstruction
        if config.quantiser == "vq":
            kind = VQReconstruction
            model: MotionTokenizer = VQTokenizer(
                self.shape, statistics.mean, statistics.std, config.batch * config.window // self.shape.frames_per_token
            )
        else:
            model = MotionTokenizer(self.shape, statistics.mean, statistics.std)
        if config.start:
            begin_with(model, MotionTokenizer.from_pretrained(config.start))
        objective = kind(
            model, self.data, config.window, config.batch, config.run.seed, statistics, config.emphasis, config.lengths,
            config.latent_penalty, config.drift_penalty, config.bone_penalty, config.place_penalty,
            config.speed_penalty, config.evenly,
        )  # fmt: skip
        clips = self.data.split("train")
        shorter = sum(clip.frames < min(objective.lengths) for clip in clips)
        print(json.dumps({"training_clips": len(clips), "shorter_than_a_window": shorter}), flush=True)
        return objective

    def amounts(self) -> dict[str, Any]:
        """Frames of the training, and what the tokenizer that it begins with has cost."""
        config = self.config
        frames = {"frames": config.optimisation.steps * config.batch * config.window}
        if not config.start:
            return frames
        cost = checkpoint.read_card(config.start).get("training", {})
        return frames | {
            "start": {name: cost[name] for name in ("codebook", "steps", "frames", "seconds") if name in cost}
        }

    def save(self, model: MotionTokenizer, folder: Path, card: dict[str, Any]) -> None:
        """Write the tokenizer's folder."""
        model.save_pretrained(folder, card=card)


def main(config: TokenizerTraining) -> None:
    """Train, measure on the test split, and write the model folder."""
    run_task(TokenizerTask(config))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, TokenizerTraining)
