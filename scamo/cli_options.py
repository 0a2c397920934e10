"""The options of the command `scamo`: a dataclass for each command, whose docstrings are the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scamo.device import default_device
from scamo.io.write_options import WriteOptions
from scamo.options import GenerationOptions

Several = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]  # --size 1M 4M, or --size 1M --size 4M
Who = Literal["neutral", "man", "woman", "child", "old man", "old woman"]  # scamo.body.person.PEOPLE
Options = Annotated[GenerationOptions, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class Computing:
    """Where and in which type models compute."""

    device: str = field(default_factory=default_device)
    """auto, cpu, cuda, cuda:1, mps; auto is where each model is fastest. SCAMO_DEVICE says it for all commands."""
    dtype: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    """The transformer's type; int8 is for the CPU."""
    text_dtype: Literal["float32", "bfloat16"] | None = None
    """The text encoder's type; bfloat16 halves the memory of a Flan-T5."""
    text_cache: Path | None = None
    """Keep embeddings in this folder, so that a prompt is encoded once."""


@dataclass(frozen=True)
class Reading:
    """What a motion file does not say of itself; found by itself where it is not given."""

    joints: Path | None = None
    """A JSON file for an unknown rig: {"left_hip": "LThigh", ...}."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The axis that points up; --up=-y where Y points down."""
    fps: float | None = None
    unit: Literal["m", "cm", "mm", "inch"] | None = None


@dataclass(frozen=True)
class Figure:
    """What the figures of a video are."""

    body: Literal["stick", "person", "smpl"] = "stick"
    """A stick figure, a dressed person, or your SMPL body."""
    person: Who | Literal["auto"] = "auto"
    """Who it is, for --body person; auto goes by the words of the prompt or caption."""
    body_model: Path | None = None
    """Your licensed SMPL file or folder, for --body smpl; without it what SCAMO_BODY_MODEL names."""


@dataclass(frozen=True)
class SourceReading:
    """What a source file does not say of itself, beside options of the file that is written."""

    joints: Path | None = None
    """A JSON file for an unknown rig: {"left_hip": "LThigh", ...}."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The source's axis that points up; --up=-y where Y points down."""
    source_fps: float | None = None
    """The source's frame rate."""
    source_unit: Literal["m", "cm", "mm", "inch"] | None = None
    """What one unit of the source is."""

    def as_reading(self) -> Reading:
        """The same under the names of the commands that only read."""
        return Reading(self.joints, self.up, self.source_fps, self.source_unit)


@dataclass(frozen=True)
class Writing(WriteOptions):
    """The options of `scamo.io.write_options`, one of them with a second name, and whom a file shows."""

    in_place: Annotated[bool, tyro.conf.arg(aliases=["--no-root-motion"])] = False
    """Keep the pelvis above one spot, for game engines."""
    person: Who | None = None
    """Who glb and fbx show; without it the neutral person."""


@dataclass(frozen=True)
class App:
    """Open the page in a browser."""

    models: Several = ()
    """Folders with models of your own."""
    device: str = field(default_factory=default_device)
    """auto, cpu, cuda, cuda:1, mps; auto is where each model is fastest. SCAMO_DEVICE says it for all commands."""
    dtype: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    """The transformers' type; int8 is for the CPU."""
    body_model: Path | None = None
    """Your licensed SMPL file or folder: the page then offers its body in videos. Without it what SCAMO_BODY_MODEL
    names."""


@dataclass(frozen=True)
class Generate:
    """Make a motion of a prompt: features.npy, joints.npy, motion.mp4."""

    prompt: tyro.conf.Positional[str]
    """What happens, e.g. "a person walks forward"."""
    codebook: int | None = None
    """256, 1024, 4096 ...: see scamo models."""
    size: str | None = None
    """0.3M, 1M, 4M ...: see scamo models."""
    model: str | None = None
    """A model of your own: a folder, or owner/name on the hub."""
    options: Options = field(default_factory=GenerationOptions)
    computing: Computing = field(default_factory=Computing)
    figure: Figure = field(default_factory=Figure)
    out: Path = Path("out")
    """Folder for the results."""


@dataclass(frozen=True)
class Compare:
    """Make a motion of one prompt with several models: each model's files, and one video of all."""

    prompt: tyro.conf.Positional[str]
    """What happens, e.g. "a person walks forward"."""
    codebook: tyro.conf.UseAppendAction[tuple[tuple[int, ...], ...]] = ()
    """One or more codebooks."""
    size: Several = ()
    """One or more sizes; every codebook is used at every size."""
    model: Several = ()
    """Models of your own: folders, or owner/name on the hub."""
    options: Options = field(default_factory=GenerationOptions)
    computing: Computing = field(default_factory=Computing)
    figure: Figure = field(default_factory=Figure)
    out: Path = Path("out")
    """Folder for the results."""


@dataclass(frozen=True)
class Tokenize:
    """Turn motions into tokens, and tokens into features; a file or a folder."""

    input: tyro.conf.Positional[Path]
    """Features or tokens (.npy), joints, .npz, .bvh, .glb, or a folder."""
    out: Path
    """A .npy file, or a folder."""
    codebook: int | None = None
    """Which bundled tokenizer."""
    model: str | None = None
    """A tokenizer of your own: its folder."""
    device: str = field(default_factory=default_device)
    """auto, cpu, cuda, cuda:1, mps"""
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class Export:
    """Write motions in other formats; a file or a folder of any size."""

    input: tyro.conf.Positional[Path]
    """Features or joints (.npy), .npz, .bvh, .glb, or a folder."""
    to: Several
    """Formats: bvh, glb, fbx, npz ..."""
    out: Path
    """A folder."""
    writing: Writing = field(default_factory=Writing)
    reading: SourceReading = field(default_factory=SourceReading)


@dataclass(frozen=True)
class Render:
    """Draw motions as videos; a file or a folder of any size."""

    input: tyro.conf.Positional[Path]
    """Features or joints (.npy), .npz, .bvh, .glb, or a folder."""
    out: Path
    """A .mp4, .webm, .gif, .webp or .png, or a folder."""
    figure: Figure = field(default_factory=Figure)
    caption: str | None = None
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class Convert:
    """Bring the authors' .pth files into a folder that scamo loads."""

    tokenizer: Path
    """E.g. 65536_FSQ.pth."""
    out: Path
    """The new folder."""
    transformer: Path | None = None
    """E.g. ScaMo_net_3B.pth; without it only the tokenizer is written."""
    mean: Path | None = None
    """mean.npy of the training data."""
    std: Path | None = None
    """std.npy of the training data."""
    levels: tuple[int, ...] | None = None
    """The codebook's levels, where they cannot be read off."""
    heads: int | None = None
    """Attention heads, where the size has no name."""
    dilation_growth: int = 3
    """Factor between the dilations of the tokenizer's residual blocks, which shapes do not show."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Storage type of the transformer."""
    text_encoder: str | None = None
    """What it was trained with, where its width does not tell."""


@dataclass(frozen=True)
class Models:
    """List what can be loaded, with size, memory and licence; loads nothing."""

    folder: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of your own models."""
    json: bool = False
    """Print the cards as JSON."""
