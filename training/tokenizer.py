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

from scamo import checkpoint
from scamo.metrics import codebook_use, mpjpe
from scamo.motion import Statistics, joint_count, joints_from_features, mirror_features
from scamo.skeleton import PARENTS
from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig
from training.dataset import Dataset
from training.estimate import estimate
from training.loop import Optimisation, Saving, is_finished, is_main_process, settings_of, train
from training.publish import training_facts
from training.vq import VQTokenizer

ROOM = 1.5
"""How far a latent may go before ``restraint`` draws it back: every level is reached by then, and beyond it tanh is so
flat that hardly any gradient brings it back. That is how codes collapse at high rates."""


def channel_emphasis(features: int) -> Tensor:
    """Weights [features], mean 1, that favour what becomes joints: the root's four channels and the positions.

    Only those are read back (see ``joints_from_features``), and the four of the root, whose errors add up along the
    path, are 1.5 % of an even loss.
    """
    joints = joint_count(features)
    weights = torch.full((features,), 0.2)
    weights[:4] = 6.0
    weights[4 : 4 + 3 * (joints - 1)] = 3.0
    return weights / weights.mean()


def root_path(features_btd: Tensor) -> tuple[Tensor, Tensor]:
    """Turn back to the first heading [B, T] in radians, and place on the floor [B, T, 2] in metres (x, z).

    Both as ``joints_from_features`` adds them up.
    features: unnormalised [B, T, 3 or more]; differentiable.
    """
    turned_bt = nn.functional.pad(2 * features_btd[:, :-1, 0].cumsum(1), (1, 0))
    x_bt, z_bt = (nn.functional.pad(features_btd[:, :-1, i], (1, 0)) for i in (1, 2))
    cos_bt, sin_bt = turned_bt.cos(), turned_bt.sin()
    steps = torch.stack([x_bt * cos_bt - z_bt * sin_bt, x_bt * sin_bt + z_bt * cos_bt], dim=-1)
    return turned_bt, steps.cumsum(1)


def joint_places(features_btd: Tensor) -> Tensor:
    """Unnormalised features [B, T, 263] -> joints [B, T, 22, 3] in metres, seen from the root and its heading."""
    count = joint_count(features_btd.shape[-1])
    root_bt13 = nn.functional.pad(features_btd[..., 3:4, None], (1, 1))
    others_btj3 = features_btd[..., 4 : 4 + 3 * (count - 1)].unflatten(-1, (count - 1, 3))
    return torch.cat([root_bt13, others_btj3], dim=-2)


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
        restraint: float = 0.0,
        path: float = 0.0,
        bones: float = 0.0,
        places: float = 0.0,
    ) -> None:
        self.model, self.data, self.window, self.size, self.seed = model, data, window, batch_size, seed
        self.statistics = statistics
        self._moments = statistics.mean.astype(np.float32), statistics.std.astype(np.float32)
        self.emphasis_d = channel_emphasis(data.features.shape[1]) if emphasis else None
        self.lengths = lengths or (window,)
        self.restraint, self.path, self.bones, self.places = restraint, path, bones, places
        self._latents: list[Tensor] = []
        if restraint:
            model.vqvae.quantizer.project_in.register_forward_hook(lambda _, __, z_bnc: self._latents.append(z_bnc))
        begin, frames = np.array([(clip.start, clip.frames) for clip in data.split("train")]).reshape(-1, 2).T
        self._places: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # a window's first frames lie in so many ranges
        for length in self.lengths:
            fits = frames >= length
            if not fits.any():
                raise ValueError(f"No training clip has {length} frames; lower --window or --lengths.")
            if length % model.frames_per_token:
                raise ValueError(f"{length} frames are no whole tokens; give multiples of {model.frames_per_token}.")
            self._places[length] = begin[fits], np.cumsum(frames[fits] - length + 1)

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Windows float32 [B / parts, window, 263], normalised; all of a step have one length."""
        draw = np.random.default_rng([self.seed, step])
        window = int(draw.choice(self.lengths))
        size = max(1, self.size * self.window // window)
        begin, upto = self._places[window]
        place = draw.integers(upto[-1], size=size)
        clip = np.searchsorted(upto, place, side="right")
        start = begin[clip] + place - np.concatenate([[0], upto[:-1]])[clip]
        flip = (draw.random(size) < 0.5) & self.data.mirrors
        own = list(range(part, size, parts))
        rows = own or [0]  # a process without a row of its own computes one that does not count
        x = np.stack([self.data.features[start[i] : start[i] + window] for i in rows])
        if flip[rows].any():
            x[flip[rows]] = mirror_features(x[flip[rows]])
        x_btd = torch.from_numpy(self.statistics.normalise(x).astype(np.float32, copy=False))
        return {"x_btd": x_btd, "share": len(own) / size, "units": len(own) * window}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 between windows and their reconstruction; plain L1 is logged beside it."""
        recon_btd, indices_bn = model(batch["x_btd"])
        loss, extra = self.reconstruction_loss(recon_btd.float(), batch["x_btd"])
        if self.restraint:
            beyond_bnc = torch.relu(self._latents.pop().abs() - ROOM)
            self._latents.clear()
            loss = loss + self.restraint * beyond_bnc.square().mean()
        if self.path:
            drift = self._drift(recon_btd.float(), batch["x_btd"])
            loss, extra = loss + self.path * drift, extra | {"drift": float(drift.detach())}
        if self.bones or self.places:
            stretch, apart = self._body(recon_btd.float(), batch["x_btd"])
            loss = loss + self.bones * stretch + self.places * apart
            extra = extra | {"stretch": float(stretch.detach()), "apart": float(apart.detach())}
        return loss, extra | {"codes_in_batch": len(indices_bn.unique())}  # a collapse shows here first

    def _drift(self, recon_btd: Tensor, x_btd: Tensor) -> Tensor:
        """How far the root's way and heading run apart over a window: mean metres and radians."""
        mean_d, std_d = (torch.as_tensor(part[:3], device=x_btd.device) for part in self._moments)
        (turned, path), (wanted_turned, wanted_path) = (
            root_path(normalised_btd[..., :3] * std_d + mean_d) for normalised_btd in (recon_btd, x_btd)
        )
        return (turned - wanted_turned).abs().mean() + (path - wanted_path).abs().mean()

    def _body(self, recon_btd: Tensor, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        """How far bones are from their length (mean share), and joints from their places (mean metres)."""
        mean_d, std_d = (torch.as_tensor(part, device=x_btd.device) for part in self._moments)
        made, wanted = (joint_places(normalised_btd * std_d + mean_d) for normalised_btd in (recon_btd, x_btd))
        parents = list(PARENTS[1 : made.shape[-2]])
        lengths, right = (
            (p[..., 1:, :] - p[..., parents, :]).square().sum(-1).add(1e-8).sqrt() for p in (made, wanted)
        )
        stretch = (lengths / right.clamp_min(0.02) - 1).abs().mean()
        return stretch, (made - wanted).square().sum(-1).add(1e-8).sqrt().mean()

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
        "mpjpe_mm": float(1000 * data.unit * np.concatenate(errors[True]).mean()),
        "global_mpjpe_mm": float(1000 * data.unit * np.concatenate(errors[False]).mean()),
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
    restraint: float = 0.0
    """Weight of a penalty on latents beyond the last level, which keeps codes from collapsing at high rates; the paper
    has none."""
    path: float = 0.0
    """Weight of the drift of the root over a window, in metres and radians: small errors of one sign add up in clips.
    The paper has none."""
    bones: float = 0.0
    """Weight of the bones' wrong lengths, as a mean share of them. The paper has none."""
    places: float = 0.0
    """Weight of the joints' distance from their places, in metres. The paper has none."""
    start: Path | None = None
    """A tokenizer's folder whose encoder and decoder to begin with, of whichever codebook; None begins with chance."""
    lr: float = 8e-4
    schedule: Literal["multistep", "cosine"] = "multistep"
    """multistep: appendix Tab. 2's; cosine falls to a hundredth and gets further in few steps."""
    warmup: float = 0.003
    """Share of the steps in which the rate rises (appendix Tab. 2: 0.003)."""
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
    """Appendix Tab. 2's tokenizer column, unless the schedule is another."""
    return Optimisation(
        steps=args.steps, lr=args.lr, schedule=args.schedule, warmup=args.warmup, milestone=0.6,
        fall=0.1 if args.schedule == "multistep" else 0.01, precision=args.precision,
    )  # fmt: skip


def config_of(args: Args, features: int) -> TokenizerConfig:
    """The network's shape; ValueError for a codebook that is none."""
    if args.quantiser == "fsq" and args.codebook not in LEVELS:
        raise ValueError(f"No codebook {args.codebook}; choose one of {', '.join(map(str, LEVELS))}.")
    levels = LEVELS[args.codebook] if args.quantiser == "fsq" else (args.codebook,)
    return TokenizerConfig(levels, width=args.width, code_width=args.width, features=features)


def begin_with(model: MotionTokenizer, other: MotionTokenizer) -> None:
    """Copy the encoder and decoder of another tokenizer, and its quantiser where the levels are the same."""
    taken = {name: value for name, value in other.state_dict().items() if name.startswith("vqvae.")}
    if model.levels != other.levels:
        taken = {name: value for name, value in taken.items() if ".quantizer." not in name}
    if any(model.state_dict()[name].shape != value.shape for name, value in taken.items()):
        raise ValueError(f"The tokenizer to start with has another width; choose --width {other.config.width}.")
    model.load_state_dict(taken, strict=False)


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
    if vq and (args.restraint or args.path or args.bones or args.places):
        raise ValueError("The baseline knows no --restraint, --path, --bones and --places; leave them out.")
    before = {}
    if args.start:
        begin_with(model, MotionTokenizer.from_pretrained(args.start))
        cost = checkpoint.read_card(args.start).get("training", {})
        before = {"start": {name: cost[name] for name in ("codebook", "steps", "frames", "seconds") if name in cost}}
    settings = settings_of(args, optimisation(args), data=data.digest,
                           start=checkpoint.fingerprint(args.start) if args.start else None)  # fmt: skip
    if is_finished(args.out, settings):
        print({"model": str(args.out / "model"), "kept": True})
        return
    objective = task(
        model, data, args.window, args.batch, args.seed, statistics, args.emphasis, args.lengths, args.restraint,
        args.path, args.bones, args.places,
    )  # fmt: skip
    clips = data.split("train")
    never = sum(clip.frames < min(objective.lengths) for clip in clips)
    print({"training_clips": len(clips), "shorter_than_a_window": never}, flush=True)
    saving = Saving(20, args.save_every, args.validate_every, args.tensorboard)
    result = train(objective, optimisation(args), args.out, args.seed, saving, settings)
    if not is_main_process():
        return
    model = objective.model.cpu().eval()
    metrics = measure(model, data, "test")
    card = {
        "metrics": metrics,
        "data": data.about.get("source"),
        "licence": data.about.get("licence"),
        "attribution": data.about.get("attribution"),
        "training": training_facts(args, result["seconds"], frames=args.steps * args.batch * args.window) | before,
    }
    model.save_pretrained(args.out / "model", card=card)
    print({"model": str(args.out / "model"), **metrics})


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
