"""Train a Motion FSQ-VAE.

    python -m training.tokenizer --data data/bandai --codebook 1024 --width 128 --out runs/tokenizer-1024

Random windows of the training split, half of them mirrored; the only loss is the reconstruction's, on normalised
features (eq. 4). It is the smooth L1: with plain L1 the codes collapse to a few of a thousand in the first hundred
steps, since its gradient has the same size however wrong a value is. AdamW, MultiStepLR with its milestone at 0.6,
warm-up 0.003 (appendix Tab. 2). ``--quantiser vq`` trains the baseline. ``--dry-run`` says what it would cost. Run it
again to resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from scamo.metrics import codebook_use, mpjpe
from scamo.motion import Statistics, joint_count, joints_from_features, mirror_features
from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig
from training.dataset import Dataset
from training.estimate import estimate
from training.loop import Optimisation, Saving, is_main_process, train
from training.publish import training_facts
from training.vq import VQTokenizer


def channel_emphasis(features: int) -> Tensor:
    """Weights [features], mean 1, that favour what becomes joints: the root's four channels and the positions.

    Only those are read back (see ``joints_from_features``), and the four of the root, whose errors add up along the
    path, are 1.5 % of an even loss.
    """
    joints = joint_count(features)
    weights = torch.full((features,), 0.5)
    weights[:4] = 4.0
    weights[4 : 4 + 3 * (joints - 1)] = 2.0
    return weights / weights.mean()


class Reconstruction:
    """The tokenizer's objective: windows in, the same windows out."""

    unit = "frames"

    def __init__(
        self,
        model: MotionTokenizer,
        data: Dataset,
        window: int,
        batch_size: int,
        seed: int,
        statistics: Statistics,
        emphasis: bool = False,
        lengths: tuple[int, ...] = (),
    ) -> None:
        self.model, self.data, self.window, self.size, self.seed = model, data, window, batch_size, seed
        self.statistics = statistics
        self.emphasis_d = channel_emphasis(data.features.shape[1]) if emphasis else None
        self.lengths = lengths or (window,)
        clips = data.split("train")
        self._fitting = {length: [clip for clip in clips if clip.frames >= length] for length in self.lengths}
        for length, fitting in self._fitting.items():
            if not fitting:
                raise ValueError(f"No training clip has {length} frames; lower --window or --lengths.")

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Windows float32 [B / parts, window, 263], normalised; all of a step have one length."""
        draw = np.random.default_rng([self.seed, step])
        window = int(draw.choice(self.lengths))
        size = max(1, self.size * self.window // window)
        clips = self._fitting[window]
        places = np.array([clip.frames - window + 1 for clip in clips], dtype=np.float64)
        chosen = draw.choice(len(clips), size=size, p=places / places.sum())
        where, flip = draw.random(size), (draw.random(size) < 0.5) & self.data.mirrors
        rows = []
        own = range(part, size, parts)
        for i in own or [0]:  # a process without a row of its own computes one that does not count
            clip = clips[chosen[i]]
            start = int(where[i] * (clip.frames - window + 1))
            x = self.data[clip][start : start + window]
            rows.append(mirror_features(x) if flip[i] else x)
        x_btd = torch.from_numpy(self.statistics.normalise(np.stack(rows)).astype(np.float32))
        return {"x_btd": x_btd, "share": len(own) / size, "units": len(own) * window}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 between windows and their reconstruction; plain L1 is logged beside it."""
        recon_btd, indices_bn = model(batch["x_btd"])
        loss, extra = self.reconstruction_loss(recon_btd.float(), batch["x_btd"])
        return loss, extra | {"codes_in_batch": len(indices_bn.unique())}  # a collapse shows here first

    def reconstruction_loss(self, recon_btd: Tensor, x_btd: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss and, to log, the plain L1."""
        each = nn.functional.smooth_l1_loss(recon_btd, x_btd, reduction="none")
        if self.emphasis_d is not None:
            each = each * self.emphasis_d.to(each.device)
        return each.mean(), {"l1": float(nn.functional.l1_loss(recon_btd.detach(), x_btd))}

    def validate(self, model: Any) -> dict[str, float]:
        """The metrics of ``measure`` on the validation split; none where it is empty."""
        if not self.data.split("val"):
            return {}
        return measure(model, self.data, "val")


class VQReconstruction(Reconstruction):
    """The baseline's objective: the same, and the latents are drawn to their codes."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 and commitment loss; plain L1 is logged beside it."""
        recon_btd, commitment = model(batch["x_btd"])
        loss, extra = self.reconstruction_loss(recon_btd.float(), batch["x_btd"])
        return loss + commitment, extra


@torch.inference_mode()
def measure(model: MotionTokenizer, data: Dataset, split: str, kind: str = "real") -> dict[str, float]:
    """Appendix Tab. 3's columns on whole clips of a split: L1 (normalised), MPJPE in mm, share of codes used, entropy.

    MPJPE is pelvis-aligned; ``global_mpjpe`` leaves the root's drift in.
    """
    was_training = model.training
    model.eval()
    total, count, used = 0.0, 0, []
    errors: dict[bool, list[np.ndarray]] = {True: [], False: []}
    statistics = Statistics(model.mean.cpu().numpy(), model.std.cpu().numpy())
    for clip in data.split(split):
        if clip.labels.get("kind", "real") != kind or clip.frames < model.frames_per_token:
            continue
        features = data[clip][: clip.frames // model.frames_per_token * model.frames_per_token]
        tokens = model.encode(features)
        recon = model.decode(tokens)
        total += float(np.abs(statistics.normalise(recon) - statistics.normalise(features)).sum())
        count += features.size
        used.append(tokens)
        truth, guess = joints_from_features(features), joints_from_features(recon)
        for aligned in errors:
            errors[aligned].append(mpjpe(guess, truth, aligned=aligned, reduce=False))
    model.train(was_training)
    if not used:
        raise ValueError(f"The split {split!r} has no clips to measure on.")
    use = codebook_use(np.concatenate(used), model.codebook_size)
    return {
        "l1": total / count,
        "mpjpe_mm": float(1000 * np.concatenate(errors[True]).mean()),
        "global_mpjpe_mm": float(1000 * np.concatenate(errors[False]).mean()),
        "usage": use.usage,
        "entropy": use.entropy,
    }


@dataclass(frozen=True)
class Args:
    """Train a Motion FSQ-VAE; run again to resume."""

    data: Path
    """A dataset folder made by training.prepare."""
    out: Path
    """The run's folder; the finished tokenizer is OUT/model."""
    codebook: int = 1024
    """Nominal codebook size, one of 16, 64, 256 ... 65536 (appendix Tab. 6)."""
    quantiser: Literal["fsq", "vq"] = "fsq"
    """fsq, or vq: the baseline, a learned codebook of exactly that size."""
    width: int = 512
    """Channels of the convolutions and of the latent (the paper's: 512)."""
    steps: int = 6000
    batch: int = 32
    """Windows a step."""
    window: int = 64
    """Frames a window; shorter clips are not learned from."""
    lengths: tuple[int, ...] = ()
    """Draw every step's window from these instead, with as many frames in all. A network that has seen one length alone
    leans on where the window ends, and reconstructs whole clips worse than windows."""
    emphasis: bool = False
    """Weigh the channels that become joints more (see channel_emphasis); the paper weighs all alike."""
    lr: float = 8e-4
    precision: str = "no"
    seed: int = 0
    threads: int = 0
    """CPU threads (0: torch's choice)."""
    save_every: int = 500
    validate_every: int = 2000
    tensorboard: bool = False
    """Write curves to OUT/tensorboard too."""
    dry_run: bool = False
    """Print parameters, operations, memory and the expected duration, and train nothing."""


def optimisation(args: Args) -> Optimisation:
    """Appendix Tab. 2's tokenizer column."""
    return Optimisation(
        steps=args.steps, lr=args.lr, schedule="multistep", warmup=0.003, milestone=0.6, precision=args.precision
    )


def config_of(args: Args, features: int) -> TokenizerConfig:
    """The network's shape; ValueError for a codebook that is none."""
    if args.quantiser == "fsq" and args.codebook not in LEVELS:
        raise ValueError(f"No codebook {args.codebook}; choose one of {', '.join(map(str, LEVELS))}.")
    levels = LEVELS[args.codebook] if args.quantiser == "fsq" else (args.codebook,)
    return TokenizerConfig(levels, width=args.width, code_width=args.width, features=features)


def dry_run(args: Args, features: int) -> None:
    """Print what the training would cost. The baseline costs what its FSQ counterpart does, but for the look-up."""
    config = config_of(args, features)

    def loss(model: nn.Module, device: torch.device) -> Tensor:
        x_btd = torch.randn(args.batch, args.window, features, device=device)
        return nn.functional.smooth_l1_loss(model(x_btd)[0], x_btd)

    print(estimate(lambda: MotionTokenizer(config), loss, optimisation(args)))


def main(args: Args) -> None:
    """Train, measure on the test split, and write the model folder."""
    if args.threads:
        torch.set_num_threads(args.threads)
    data = Dataset(args.data)
    config = config_of(args, data.features.shape[1])
    if args.dry_run:
        return dry_run(args, config.features)
    torch.manual_seed(args.seed)
    statistics = data.statistics
    vq = args.quantiser == "vq"
    model = (
        VQTokenizer(config, statistics.mean, statistics.std, args.batch * args.window // 4)
        if vq
        else MotionTokenizer(config, statistics.mean, statistics.std)
    )
    task = VQReconstruction if vq else Reconstruction
    objective = task(model, data, args.window, args.batch, args.seed, statistics, args.emphasis, args.lengths)
    saving = Saving(20, args.save_every, args.validate_every, args.tensorboard)
    result = train(objective, optimisation(args), args.out, args.seed, saving)
    if not is_main_process():
        return
    model = objective.model.cpu().eval()
    metrics = measure(model, data, "test")
    card = {
        "metrics": metrics,
        "data": data.about.get("source"),
        "licence": data.about.get("licence"),
        "attribution": data.about.get("attribution"),
        "training": training_facts(args, result["seconds"], frames=args.steps * args.batch * args.window),
    }
    model.save_pretrained(args.out / "model", card=card)
    print({"model": str(args.out / "model"), **metrics})


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
