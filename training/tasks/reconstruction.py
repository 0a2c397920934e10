"""What a tokenizer learns, and how its reconstructions are measured.

The only loss of the paper is the reconstruction's, on normalised features (eq. 4). It is the smooth L1: with plain L1
the codes collapse to a few of a thousand in the first hundred steps, because its gradient has the same size however
wrong a value is. Emphasis and the penalties are this project's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scamo.metrics import codebook_use, mpjpe
from scamo.motion import Statistics, joint_count, joints_from_features, mirror_features
from scamo.skeleton import PARENTS
from scamo.tokenizer import MotionTokenizer
from training.data.dataset import Dataset

REACH = 1.5
"""How far a latent may go before ``latent_penalty`` draws it back. Every level is reached by then. Beyond it tanh is so
flat that hardly any gradient brings a latent back, and codes collapse at high rates."""


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

    Both are summed as ``joints_from_features`` does.
    features: unnormalised [B, T, 3 or more]; differentiable.
    """
    turned_bt = nn.functional.pad(2 * features_btd[:, :-1, 0].cumsum(1), (1, 0))
    x_bt, z_bt = (nn.functional.pad(features_btd[:, :-1, i], (1, 0)) for i in (1, 2))
    cos_bt, sin_bt = turned_bt.cos(), turned_bt.sin()
    steps = torch.stack([x_bt * cos_bt - z_bt * sin_bt, x_bt * sin_bt + z_bt * cos_bt], dim=-1)
    return turned_bt, steps.cumsum(1)


def joint_places(features_btd: Tensor) -> Tensor:
    """Joints [B, T, 22, 3] in metres, seen from the root's place on the floor and its heading.

    features: unnormalised [B, T, 263]; differentiable.
    """
    count = joint_count(features_btd.shape[-1])
    root_bt13 = nn.functional.pad(features_btd[..., 3:4, None], (1, 1))
    others_btj3 = features_btd[..., 4 : 4 + 3 * (count - 1)].unflatten(-1, (count - 1, 3))
    return torch.cat([root_bt13, others_btj3], dim=-2)


class Reconstruction:
    """The tokenizer's objective: random windows in, the same windows out."""

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
        latent_penalty: float = 0.0,
        drift_penalty: float = 0.0,
        bone_penalty: float = 0.0,
        place_penalty: float = 0.0,
        speed_penalty: float = 0.0,
        evenly: bool = False,
    ) -> None:
        """See ``training.tasks.tokenizer.TokenizerTraining`` for the settings.

        ValueError where no training clip is as long as a window, or a window is no whole number of tokens.
        """
        self.model, self.data, self.window, self.size, self.seed = model, data, window, batch_size, seed
        self.statistics = statistics
        self._moments = statistics.mean.astype(np.float32), statistics.std.astype(np.float32)
        self.emphasis_d = channel_emphasis(data.features.shape[1]) if emphasis else None
        self.lengths = lengths or (window,)
        self.latent_penalty, self.drift_penalty = latent_penalty, drift_penalty
        self.bone_penalty, self.place_penalty, self.speed_penalty = bone_penalty, place_penalty, speed_penalty
        self._latents: list[Tensor] = []
        if latent_penalty:
            model.vqvae.quantizer.project_in.register_forward_hook(lambda _, __, z_bnc: self._latents.append(z_bnc))
        begin, frames = np.array([(clip.start, clip.frames) for clip in data.split("train")]).reshape(-1, 2).T
        self.evenly = evenly
        # For each length: the first frames of the clips that are long enough, and the running sum of their windows.
        self._ranges: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for length in self.lengths:
            fits = frames >= length
            if not fits.any():
                raise ValueError(f"No training clip has {length} frames; lower --window or --lengths.")
            if length % model.frames_per_token:
                raise ValueError(f"{length} frames are no whole tokens; give multiples of {model.frames_per_token}.")
            self._ranges[length] = begin[fits], np.cumsum(frames[fits] - length + 1)

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Windows float32 [B / parts, window, width], normalised, half of them mirrored. A step has one length."""
        draw = np.random.default_rng([self.seed, step])
        window = int(draw.choice(self.lengths))
        size = max(1, self.size * self.window // window)
        begin, upto = self._ranges[window]
        first = np.concatenate([[0], upto[:-1]])
        if self.evenly:
            clip = draw.integers(len(upto), size=size)
            place = draw.integers(first[clip], upto[clip])
        else:
            place = draw.integers(upto[-1], size=size)
            clip = np.searchsorted(upto, place, side="right")
        start = begin[clip] + place - first[clip]
        flip = (draw.random(size) < 0.5) & self.data.mirrors
        own = list(range(part, size, parts))
        rows = own or [0]  # a process without a row of its own computes one that does not count
        x = np.stack([self.data.features[start[i] : start[i] + window] for i in rows])
        if flip[rows].any():
            x[flip[rows]] = mirror_features(x[flip[rows]])
        x_btd = torch.from_numpy(self.statistics.normalise(x).astype(np.float32, copy=False))
        return {"x_btd": x_btd, "share": len(own) / size, "units": len(own) * window}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 between windows and their reconstruction, with the penalties; plain L1 is logged beside it."""
        recon_btd, indices_bn = model(batch["x_btd"])
        loss, extra = self.reconstruction_loss(recon_btd.float(), batch["x_btd"])
        if self.latent_penalty:
            beyond_bnc = torch.relu(self._latents.pop().abs() - REACH)
            self._latents.clear()
            loss = loss + self.latent_penalty * beyond_bnc.square().mean()
        if self.drift_penalty:
            drift = self._drift(recon_btd.float(), batch["x_btd"])
            loss, extra = loss + self.drift_penalty * drift, extra | {"drift": float(drift.detach())}
        if self.bone_penalty or self.place_penalty or self.speed_penalty:
            stretch, distance, speed = self._body_errors(recon_btd.float(), batch["x_btd"])
            loss = loss + self.bone_penalty * stretch + self.place_penalty * distance + self.speed_penalty * speed
            errors = {"stretch": stretch, "distance": distance, "speed": speed}
            extra = extra | {name: float(value.detach()) for name, value in errors.items()}
        return loss, extra | {"codes_in_batch": len(indices_bn.unique())}  # a collapse shows here first

    def _drift(self, recon_btd: Tensor, x_btd: Tensor) -> Tensor:
        """How far the root's path and heading are off over a window: the sum of mean metres and mean radians."""
        mean_d, std_d = (torch.as_tensor(part[:3], device=x_btd.device) for part in self._moments)
        (turned, path), (wanted_turned, wanted_path) = (
            root_path(normalised_btd[..., :3] * std_d + mean_d) for normalised_btd in (recon_btd, x_btd)
        )
        return (turned - wanted_turned).abs().mean() + (path - wanted_path).abs().mean()

    def _body_errors(self, recon_btd: Tensor, x_btd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How far bones are from their length (mean share of it), joints from their places (mean metres), and what
        joints move in a frame from what they should (mean metres a second)."""
        mean_d, std_d = (torch.as_tensor(part, device=x_btd.device) for part in self._moments)
        places, wanted = (joint_places(normalised_btd * std_d + mean_d) for normalised_btd in (recon_btd, x_btd))
        parents = list(PARENTS[1 : places.shape[-2]])
        # The small number keeps the root's gradient finite where two joints meet.
        lengths, wanted_lengths = (
            (p[..., 1:, :] - p[..., parents, :]).square().sum(-1).add(1e-8).sqrt() for p in (places, wanted)
        )
        stretch = (lengths / wanted_lengths.clamp_min(0.02) - 1).abs().mean()
        apart_btj3 = places - wanted
        distance, step = (d.square().sum(-1).add(1e-8).sqrt().mean() for d in (apart_btj3, apart_btj3.diff(dim=1)))
        return stretch, distance, step * self.model.config.fps

    def reconstruction_loss(self, recon_btd: Tensor, x_btd: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 (eq. 4) and, to log, the plain L1."""
        each = nn.functional.smooth_l1_loss(recon_btd, x_btd, reduction="none")
        if self.emphasis_d is not None:
            each = each * self.emphasis_d.to(each.device)
        return each.mean(), {"l1": float(nn.functional.l1_loss(recon_btd.detach(), x_btd))}

    def validate(self, model: Any) -> dict[str, float]:
        """The metrics of ``measure`` on the validation split; none where it is empty."""
        if not self.data.split("val"):
            return {}
        return self.measure(model, "val")

    def measure(self, model: Any, split: str) -> dict[str, float]:
        """See ``measure_reconstruction``."""
        return measure_reconstruction(model, self.data, split)


@torch.inference_mode()
def measure_reconstruction(model: MotionTokenizer, data: Dataset, split: str, kind: str = "real") -> dict[str, float]:
    """Appendix Tab. 3's columns on whole clips of a split: L1 (normalised), MPJPE in mm, share of codes used, entropy.

    MPJPE is pelvis-aligned; ``global_mpjpe_mm`` leaves the root's drift in. kind: the clips' label, "real" or "joined".
    ValueError where the split has no such clip.
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
