"""Measure how well tokenizers reconstruct motions: the columns of the paper's appendix Tab. 3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scamo import checkpoint, metrics, registry
from scamo.configs import codebook_label
from training.command_line import device_named
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.measure.protocol import NO_FILES, EvaluatorFiles, measured_clips
from training.measure.tables import model_name, origin, plot_tokenizers, published, tokenizers_markdown, write_table
from training.tasks.evaluator_networks import Evaluator
from training.tasks.reconstruction import measure_reconstruction

QUANTISERS = {"tokenizer": "fsq", "vq-tokenizer": "vq"}  # by a checkpoint's kind


@dataclass(frozen=True)
class TokenizerTable:
    """Reconstruct the test split with tokenizers, FSQ or VQ."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions."""
    models: tuple[Path, ...]
    """Folders of trained tokenizers."""
    out: Path
    """The folder for tokenizers.json, .md and .png."""
    files: EvaluatorFiles = NO_FILES
    split: str = "test"
    device: str = "auto"
    """Where models compute; auto: on a GPU if there is one."""


def tokenizer_row(folder: Path, data: Dataset, evaluator: Evaluator, split: str, device: str = "cpu") -> dict[str, Any]:
    """Appendix Tab. 3's columns of one tokenizer, with the published rows of its kind and codebook.

    ValueError where the folder holds no tokenizer.
    """
    kind = checkpoint.read_card(folder)["kind"]
    if kind not in QUANTISERS:
        raise ValueError(f"{folder} is a {kind}; give folders of tokenizers.")
    model, quantiser = registry.load_tokenizer(folder, device=device_named(device)), QUANTISERS[kind]
    codebook = codebook_label(model.levels)
    row: dict[str, Any] = {"model": model_name(folder), "quantiser": quantiser, "codebook": codebook,
                           "codes": model.codebook_size, "checkpoint": checkpoint.fingerprint(folder),
                           **measure_reconstruction(model, data, split)}  # fmt: skip
    truth, recon = [], []
    for clip in measured_clips(data, split, kind="real"):
        features = data[clip][: clip.frames // model.frames_per_token * model.frames_per_token]
        truth.append(features)
        recon.append(model.decode(model.encode(features)))
    row["fid"] = metrics.fid(evaluator.embed_motions(recon), evaluator.embed_motions(truth))
    row["published"] = published("tokenizers", quantiser=quantiser, codebook=codebook)
    return row


def evaluate_tokenizers(config: TokenizerTable) -> dict[str, Any]:
    """Measure every tokenizer, write the table and print it."""
    from tqdm import tqdm

    data, evaluator = Dataset(config.data), config.files.load(TextBank(config.texts))
    rows = [
        tokenizer_row(folder, data, evaluator, config.split, config.device)
        for folder in tqdm(config.models, unit="tokenizer")
    ]
    rows.sort(key=lambda row: (row["quantiser"], row["codebook"]))
    result = origin(config, data, evaluator.name) | {"rows": rows}
    markdown = tokenizers_markdown(result)
    write_table(config.out / "tokenizers", result, markdown)
    plot_tokenizers(result, config.out / "tokenizers.png")
    print(markdown)
    return result
