"""Turn a finished run into a model folder that the app loads by its path or, from the hub, by its id.

    python -m training.publish --run runs/1024-4M --out published/scamo-1024-4M
    python -m training.publish --run runs/1024-4M --out published/scamo-1024-4M --repo someone/scamo-1024-4M

The folder holds the transformer in half precision, its tokenizer, their cards and a README with metrics and licence.
``--bundle`` writes the layout of the bundled models instead: OUT/1024-4M beside OUT/tokenizer-1024, which several
sizes share, and OUT/text-encoder, which all do. ``SCAMO_MODELS=published`` makes the app show what a folder holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from scamo import checkpoint
from training.json_files import write_text


@dataclass(frozen=True)
class Args:
    """Publish a trained transformer with its tokenizer."""

    run: Path
    """A run's folder (or its model folder)."""
    out: Path
    """The folder to write; with --bundle the one that holds all bundled models."""
    bundle: bool = False
    """Write the layout of the bundled models, where sizes share a tokenizer."""
    default: bool = False
    """With --bundle: the model that is taken where nobody says which."""
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    """What matrices are stored in."""
    repo: str | None = None
    """Upload to this hub repository (owner/name); needs the hub's own login."""
    private: bool = False


def publish(run: Path, out: Path, dtype: str = "float16") -> Path:
    """Write a self-contained model folder: transformer, tokenizer/, text-encoder/ if it has its own, README.md.

    CheckpointError where the run holds no whole model, or ``out`` holds something else.
    """
    model, codec = _folders(run)
    with checkpoint.replacing(out, expected=("tokenizer", "text-encoder", "README.md")) as staging:
        codec_card = _copy(codec, staging.with_name("tokenizer"), "float16" if dtype == "float16" else "float32", {})
        changes = {"tokenizer": "tokenizer", "tokenizer_sha256": codec_card["sha256"]}
        reader = _own_text_encoder(model)
        if reader:
            sha256 = _copy(reader, staging.with_name("text-encoder"), "float16", {})["sha256"]
            changes |= {"text_encoder": "text-encoder", "text_encoder_sha256": sha256}
        whole = _copy(model, staging, dtype, changes)
        for part in ("tokenizer", "text-encoder")[: 2 if reader else 1]:
            staging.with_name(part).rename(staging / part)
        write_text(staging / "README.md", readme(whole, codec_card))
    return Path(out)


def bundle(run: Path, out: Path, dtype: str = "float16", default: bool = False) -> Path:
    """Write OUT/CODEBOOK-SIZE, whose path is returned, and OUT/tokenizer-CODEBOOK, which other sizes may share.

    default: whether it is taken where nobody says which model. CheckpointError where a model there was trained with
    another tokenizer of that codebook, or reads its prompts with another update of MiniLM.
    """
    model, codec = _folders(run)
    name = checkpoint.read_card(model)["name"]
    codebook = name.split("-")[0]
    shared = Path(out) / f"tokenizer-{codebook}"
    others = [path for path in Path(out).glob(f"{codebook}-*") if path.name != name]
    if others and shared.exists() and not _same_weights(codec, shared):
        raise checkpoint.CheckpointError(
            f"{others[0]} was trained with another tokenizer than {name}; remove it, or give another --out"
        )
    codec_card = _copy(codec, shared, dtype, {"name": shared.name})
    card = {"name": name, "tokenizer": f"../{shared.name}", "tokenizer_sha256": codec_card["sha256"]}
    if reader := _own_text_encoder(model):
        all_share = Path(out) / "text-encoder"
        if all_share.exists() and not _same_weights(reader, all_share):
            raise checkpoint.CheckpointError(
                f"{all_share} is another text encoder than that of {name}; remove it, or give another --out"
            )
        sha256 = _copy(reader, all_share, "float16", {})["sha256"]
        card |= {"text_encoder": "../text-encoder", "text_encoder_sha256": sha256}
    _copy(model, Path(out) / name, dtype, card | ({"default": True} if default else {}))
    return Path(out) / name


def _folders(run: Path) -> tuple[Path, Path]:
    model = run / "model" if (run / "model" / checkpoint.CARD).exists() else run
    card = checkpoint.read_checked(model, "transformer")
    return model, model / card["tokenizer"]


def _own_text_encoder(model: Path) -> Path | None:
    """The folder of the update of MiniLM that a transformer reads its prompts with, if it does with one."""
    card = checkpoint.read_card(model)
    return model / card["text_encoder"] if "text_encoder_sha256" in card else None


def _same_weights(trained: Path, stored: Path) -> bool:
    ours, theirs = checkpoint.read_tensors(trained), checkpoint.read_tensors(stored)
    return ours.keys() == theirs.keys() and all((ours[name].to(t.dtype) == t).all() for name, t in theirs.items())


def _copy(source: Path, target: Path, dtype: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write a checkpoint again, stored in ``dtype``; returns its new card."""
    card = checkpoint.read_card(source) | dict(changes)
    if card["kind"] == "transformer":
        card["dtype"] = dtype
    checkpoint.write(target, checkpoint.read_tensors(source), card, getattr(torch, dtype))
    return checkpoint.read_card(target)


def readme(card: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> str:
    """The hub's model card: what the model is, how it was measured, its licence, and how to use it."""
    licence = str(card.get("licence") or "not stated")
    tag = licence.lower().replace(" ", "-") if licence.startswith("CC") else "other"
    measured = {**tokenizer.get("metrics", {}), **card.get("metrics", {})}
    rows = [f"| {name} | {value:.4g} |" for name, value in measured.items() if isinstance(value, (int, float))]
    training = [f"- {name}: {value}" for name, value in card.get("training", {}).items()]
    count = card.get("parameters", {}).get("non_vocabulary", 0)
    return "\n".join(
        [
            "---",
            f"license: {tag}",
            "library_name: scamo",
            "tags: [text-to-motion, human-motion-generation]",
            "---",
            "",
            f"# ScaMo {card['name']}",
            "",
            f"A text-prefix transformer ({count:,} parameters without vocabulary) over a motion tokenizer with levels "
            f"{tokenizer['config']['levels']}; text encoder `{card.get('text_encoder')}`.",
            "",
            "```python",
            "import scamo",
            'scamo.load("this/folder-or-hub-id").generate("a person walks forward", seed=0).motion.joints',
            "```",
            "",
            f"Data: {card.get('data')}. Licence of the weights: {licence}. {card.get('attribution') or ''}".strip(),
            "",
            "## Held-out metrics",
            "",
            "| metric | value |",
            "|---|---|",
            *rows,
            "",
            "## Training",
            "",
            *training,
            "",
        ]
    )


def upload(folder: Path, repo: str, private: bool) -> str:
    """Put a published folder on the hub; returns owner/name@commit, which names exactly this one in ``scamo.load``."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    return f"{repo}@{api.upload_folder(repo_id=repo, folder_path=folder).oid}"


def main(args: Args) -> None:
    """Write the folder and, if asked, upload it."""
    if args.bundle and args.repo:
        raise ValueError("A bundle is several folders and no repository; leave out --bundle or --repo.")
    if args.bundle:
        folder = bundle(args.run, args.out, args.dtype, args.default)
    else:
        folder = publish(args.run, args.out, args.dtype)
    hub = {"hub": upload(folder, args.repo, args.private)} if args.repo else {}
    print(json.dumps({"model": str(folder), **hub}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
