"""Turn a finished run into a model folder that the app loads by its path or, once it is on the hub, by its id.

    python -m training.publish --run runs/1024-4M --out published/scamo-1024-4M
    python -m training.publish --run runs/1024-4M --out published/scamo-1024-4M --repo someone/scamo-1024-4M

The folder holds the transformer in half precision, its tokenizer, their cards and a README with metrics and licence.
``--bundle`` writes the layout of the bundled models instead: OUT/1024-4M beside OUT/tokenizer-1024, which several
sizes share. The app shows a published folder with ``SCAMO_MODELS=published scamo``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal


def training_facts(args: Any, seconds: float, **amounts: int) -> dict[str, Any]:
    """What a card says of how a network was made: settings, seed, commit, cost in seconds and on how many threads."""
    from training.loop import process_group

    no_matter = ("tokens", "tensorboard", "dry_run")
    # Paths say where things were on the machine that trained, which is nobody's business.
    count = process_group().num_processes
    settings = {k: v for k, v in asdict(args).items() if not isinstance(v, Path) and k not in no_matter}
    return settings | amounts | {
        "seconds": round(seconds),
        "device": _device(),
        **({"processes": count} if count > 1 else {}),
        "commit": commit(),
        "date": date.today().isoformat(),
    }  # fmt: skip


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def commit() -> str:
    """The checkout's commit, or "unknown" outside one."""
    found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False,
                           cwd=Path(__file__).parent)  # fmt: skip
    return found.stdout.strip() or "unknown"


@dataclass(frozen=True)
class Args:
    """Publish a trained transformer with its tokenizer."""

    run: Path
    """A run's folder (or its model folder)."""
    out: Path
    """The folder to write; with --bundle the one that holds all bundled models."""
    bundle: bool = False
    """Write the layout of the bundled models, where sizes share a tokenizer."""
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    """What matrices are stored in."""
    repo: str | None = None
    """Upload to this hub repository (owner/name); needs the hub's own login."""
    private: bool = False


def publish(run: Path, out: Path, dtype: str = "float16") -> Path:
    """Write a self-contained model folder: transformer, tokenizer/, README.md.

    CheckpointError where the run holds no whole model, or ``out`` holds something else.
    """
    from scamo import checkpoint

    model, codec = _folders(run)
    with checkpoint.replacing(out, expected=("tokenizer", "README.md")) as staging:
        codec_card = _copy(codec, staging.with_name("tokenizer"), "float16" if dtype == "float16" else "float32", {})
        whole = _copy(model, staging, dtype, {"tokenizer": "tokenizer", "tokenizer_sha256": codec_card["sha256"]})
        staging.with_name("tokenizer").rename(staging / "tokenizer")
        (staging / "README.md").write_text(readme(whole, codec_card), encoding="utf-8")
    return Path(out)


def bundle(run: Path, out: Path, dtype: str = "float16") -> Path:
    """Write OUT/CODEBOOK-SIZE and OUT/tokenizer-CODEBOOK, which other sizes may share. Returns the former.

    CheckpointError where a model there was trained with another tokenizer of that codebook.
    """
    from scamo import checkpoint

    model, codec = _folders(run)
    name = checkpoint.read_card(model)["name"]
    codebook = name.split("-")[0]
    shared = Path(out) / f"tokenizer-{codebook}"
    others = [path for path in Path(out).glob(f"{codebook}-*") if path.name != name]
    if others and shared.exists() and not _same_weights(codec, shared):
        raise checkpoint.CheckpointError(
            f"{others[0]} was trained with another tokenizer than {name}; remove it, or give another --out"
        )
    codec_card = _copy(codec, shared, dtype, {})
    card = {"tokenizer": f"../{shared.name}", "tokenizer_sha256": codec_card["sha256"]}
    _copy(model, Path(out) / name, dtype, card)
    return Path(out) / name


def _folders(run: Path) -> tuple[Path, Path]:
    from scamo import checkpoint

    model = run / "model" if (run / "model" / checkpoint.CARD).exists() else run
    card = checkpoint.read_checked(model, "transformer")
    return model, model / card["tokenizer"]


def _same_weights(trained: Path, stored: Path) -> bool:
    from scamo import checkpoint

    ours, theirs = checkpoint.read_tensors(trained), checkpoint.read_tensors(stored)
    return ours.keys() == theirs.keys() and all((ours[name].to(t.dtype) == t).all() for name, t in theirs.items())


def _copy(source: Path, target: Path, dtype: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write a checkpoint again, stored in ``dtype``; returns its new card."""
    import torch

    from scamo import checkpoint

    card = checkpoint.read_card(source) | dict(changes)
    if card["kind"] == "transformer":
        card["dtype"] = dtype
    checkpoint.write(target, checkpoint.read_tensors(source), card, getattr(torch, dtype))
    return checkpoint.read_card(target)


def readme(card: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> str:
    """The hub's model card: what it is, how it was measured, its licence, and how to use it."""
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
    """Put a published folder on the hub; returns owner/name@commit, by which ``scamo.load`` finds exactly this one."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    return f"{repo}@{api.upload_folder(repo_id=repo, folder_path=folder).oid}"


def main(args: Args) -> None:
    """Write the folder and, if asked, upload it."""
    if args.bundle and args.repo:
        raise ValueError("A bundle is no repository of its own; leave --bundle or --repo.")
    folder = (bundle if args.bundle else publish)(args.run, args.out, args.dtype)
    print({"model": str(folder), **({"hub": upload(folder, args.repo, args.private)} if args.repo else {})})


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
