"""Measure trained networks on the test split: one table for tokenizers, one for generation.

    python -m training.measure.evaluate tokenizers --data data/bandai --texts data/bandai-minilm \
        --evaluator runs/evaluator/model --models runs/tokenizer-*/model --out results
    python -m training.measure.evaluate generation ... --models runs/1024-*/model --repeats 20 --out results

Writes results/tokenizers.json (.md, .png) with the columns of the paper's appendix Tab. 3, results/generation.* with
those of Tab. 4 and normalised loss, foot slide and jitter, each row beside the published one of that codebook (and
size). Generation follows the field's protocol: every repetition draws captions and motions anew, R-precision is taken
in pools of 32, numbers are means with 95 % intervals. ``--guo`` judges with Guo et al.'s released evaluator instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scamo import checkpoint, metrics, registry
from scamo.motion import FPS, joints_from_features
from scamo.pipeline import Generator
from scamo.tokenizer import codebook_label
from training.command_line import device_named
from training.data.dataset import ClipInfo, Dataset
from training.data.text_embeddings import TextBank
from training.publish import commit
from training.tasks.evaluator import Evaluator, Words, guo_evaluator, load_evaluator
from training.tasks.tokenizer import measure

POOL = 32  # motions that R-precision ranks
QUANTISERS = {"tokenizer": "fsq", "vq-tokenizer": "vq"}  # by a checkpoint's kind
SAMPLES = 30  # motions of one sentence that multimodality compares
SHORTEST = 16  # frames of a test clip that is judged


@dataclass(frozen=True)
class Judge:
    """Where the evaluator is: ours, or the files of Guo et al.'s."""

    evaluator: Path | None = None
    """The folder of an evaluator of training.tasks.evaluator."""
    guo: Path | None = None
    """text_mot_match/model/finest.tar of Guo et al."""
    guo_mean: Path | None = None
    guo_std: Path | None = None
    """mean.npy and std.npy that came with it."""
    glove: Path | None = None
    """The folder with our_vab_data.npy, our_vab_words.pkl and our_vab_idx.pkl."""

    def load(self, texts: TextBank) -> Evaluator:
        """The evaluator; ValueError where neither is given whole."""
        if self.evaluator is not None:
            return load_evaluator(self.evaluator, texts)
        if self.guo is None or self.guo_mean is None or self.guo_std is None or self.glove is None:
            raise ValueError("Give --evaluator FOLDER, or all of --guo, --guo-mean, --guo-std and --glove.")
        return guo_evaluator(self.guo, self.guo_mean, self.guo_std, self.glove)


@dataclass(frozen=True)
class Tokenizers:
    """Reconstruct the test split with tokenizers, FSQ or VQ."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions."""
    models: tuple[Path, ...]
    """Folders of trained tokenizers."""
    out: Path
    """The folder for tokenizers.json, .md and .png."""
    judge: Judge = Judge()
    split: str = "test"
    device: str = "auto"
    """Where models compute; auto: on a GPU if there is one."""


@dataclass(frozen=True)
class Generation:
    """Generate for the sentences of the test split."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions."""
    models: tuple[Path, ...]
    """Folders of trained transformers."""
    out: Path
    """The folder for generation.json, .md and .png."""
    judge: Judge = Judge()
    split: str = "test"
    device: str = "auto"
    """Where models compute; auto: on a GPU if there is one."""
    repeats: int = 20
    """Repetitions; the field's protocol has 20."""
    limit: int = 0
    """At most so many clips, spread over the split (0: all)."""
    multimodality: int = 0
    """Sentences of which 30 motions each are compared, once (the field: 100; 0 leaves it out)."""
    batch: int = 32
    """Motions generated at once."""


def published(section: str, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of the paper's tables ("tokenizers" or "generation") whose values are the ``wanted`` ones."""
    rows = json.loads(files("scamo").joinpath("published.json").read_text(encoding="utf-8"))[section]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def judged_clips(data: Dataset, split: str, limit: int = 0, kind: str | None = None) -> list[ClipInfo]:
    """Clips to be judged: long enough and, for generation, with a sentence."""
    clips = [clip for clip in data.split(split) if clip.frames >= SHORTEST and clip.captions]
    clips = [clip for clip in clips if kind is None or clip.labels.get("kind", "real") == kind]
    if len(clips) < 2:
        raise ValueError(
            f"The split {split!r} has {len(clips)} clips of {SHORTEST} frames with sentences; give another."
        )
    if limit and limit < len(clips):
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]
    return clips


# Tokenizers.


def tokenizer_row(folder: Path, data: Dataset, judge: Evaluator, split: str, device: str = "cpu") -> dict[str, Any]:
    """Appendix Tab. 3's columns of one tokenizer, with the published rows of its kind and codebook."""
    kind = checkpoint.read_card(folder)["kind"]
    if kind not in QUANTISERS:
        raise ValueError(f"{folder} is a {kind}; give folders of tokenizers.")
    model, quantiser = registry.load_tokenizer(folder, device=device_named(device)), QUANTISERS[kind]
    codebook = codebook_label(model.levels)
    row: dict[str, Any] = {"model": _name(folder), "quantiser": quantiser, "codebook": codebook,
                           "codes": model.codebook_size, "checkpoint": checkpoint.fingerprint(folder),
                           **measure(model, data, split)}  # fmt: skip
    truth, recon = [], []
    for clip in judged_clips(data, split, kind="real"):
        features = data[clip][: clip.frames // model.frames_per_token * model.frames_per_token]
        truth.append(features)
        recon.append(model.decode(model.encode(features)))
    row["fid"] = metrics.fid(judge.motions(recon), judge.motions(truth))
    row["published"] = published("tokenizers", quantiser=quantiser, codebook=codebook)
    return row


def evaluate_tokenizers(args: Tokenizers) -> dict[str, Any]:
    """Measure every tokenizer and write the table."""
    from tqdm import tqdm

    data, judge = Dataset(args.data), args.judge.load(TextBank(args.texts))
    rows = [
        tokenizer_row(folder, data, judge, args.split, args.device) for folder in tqdm(args.models, unit="tokenizer")
    ]
    rows.sort(key=lambda row: (row["quantiser"], row["codebook"]))
    result = _about(args, data, judge) | {"rows": rows}
    _write(args.out / "tokenizers", result, tokenizers_markdown(result))
    plot_tokenizers(result, args.out / "tokenizers.png")
    return result


def tokenizers_markdown(result: dict[str, Any]) -> str:
    """The table, every row with the paper's of the same quantiser and codebook on both of its datasets below it."""
    lines = [
        "| quantiser | codebook | data | L1 | FID | MPJPE (mm) | usage | entropy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for shown, name in [(row, f"**{result['data']}**"), *((r, f"{r['data']}, paper") for r in row["published"])]:
            cells = [_cell(shown.get(key), digits) for key, digits in
                     (("l1", 3), ("fid", 3), ("mpjpe_mm", 1), ("usage", 3), ("entropy", 1))]  # fmt: skip
            lines.append(f"| {row['quantiser'].upper()} | {row['codebook']} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + _footer(result)


def plot_tokenizers(result: dict[str, Any], path: Path) -> None:
    """L1, MPJPE, usage and entropy over the codebook; ours in full lines, the paper's MotionUnion rows dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), layout="constrained")
    panels = (("l1", "L1 (normalised)"), ("mpjpe_mm", "MPJPE (mm)"), ("usage", "share of codes used"),
              ("entropy", "exponential entropy"))  # fmt: skip
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for quantiser, colour in (("fsq", "tab:blue"), ("vq", "tab:red")):
            ours = [row for row in result["rows"] if row["quantiser"] == quantiser]
            paper = [r for row in ours for r in row["published"] if r["data"] == "MotionUnion"]
            for rows, style, name in ((ours, "o-", "ours"), (paper, "s--", "paper, MotionUnion")):
                if rows:
                    points = [row["codebook"] for row in rows], [row[key] for row in rows]
                    axes.plot(*points, style, color=colour, label=f"{quantiser.upper()} {name}", alpha=0.9)
        axes.set(xscale="log", xlabel="codebook", title=title, yscale="log" if key == "entropy" else "linear")
        axes.set_xscale("log", base=2)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)


# Generation.


class BankEncoder:
    """Cached embeddings behind the interface of a text encoder."""

    def __init__(self, bank: TextBank) -> None:
        self.bank = bank
        self.name, self.revision, self.width = bank.encoder, "cached", bank.width

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See scamo.text.TextEncoder."""
        return self.bank.batch(texts)

    def release(self) -> None:
        """Nothing is held."""


def generate(generator: Generator, captions: Sequence[str], seed: int, batch: int) -> list[np.ndarray]:
    """A motion for every caption, as long as the model wants it: features [T, D] each. Every row has its own seed."""
    out = []
    for start in range(0, len(captions), batch):
        part = captions[start : start + batch]
        seeds = [seed * 1_000_003 + start + i for i in range(len(part))]
        made = generator.generate_batch(part, seed=seeds)
        out += [generation.motion.features for generation in made]
    return out


def generation_metrics(
    judge: Evaluator,
    motions: list[np.ndarray],
    words: list[Words],
    truth: metrics.Gaussian,
    seed: int,
    fps: float,
    unit: float = 1.0,
) -> dict[str, float]:
    """Tab. 4's columns, foot slide and jitter of one repetition; unit: metres that a length of 1 is."""
    texts, embedded = judge.texts(words), judge.motions(motions)
    precision = metrics.r_precision(texts, embedded, seed, min(POOL, len(motions)))
    joints = [unit * joints_from_features(motion) for motion in motions]
    return {
        "fid": metrics.fid(embedded, truth),
        **{f"r_precision_{k}": float(value) for k, value in enumerate(precision, 1)},
        "matching_score": metrics.matching_score(texts, embedded),
        "diversity": metrics.diversity(embedded, seed),
        **({} if joints[0].shape[1] != 22 else
           {"foot_slide": float(np.mean([metrics.foot_slide(j, fps) for j in joints]))}),
        "jitter": float(np.mean([metrics.jitter(j, fps) for j in joints if len(j) >= 4])),
    }  # fmt: skip


def _captions(clips: list[ClipInfo], seed: int) -> list[Words]:
    draw = np.random.default_rng([seed, 7])
    out = []
    for clip in clips:
        i = int(draw.integers(len(clip.captions)))
        out.append(Words(clip.captions[i], clip.labels.get("tokens", [""] * len(clip.captions))[i]))
    return out


def multimodality_of(generator: Generator, judge: Evaluator, clips: list[ClipInfo], args: Generation) -> float:
    """Distance between SAMPLES motions of each of some sentences, spread over the clips."""
    spread = np.linspace(0, len(clips) - 1, min(args.multimodality, len(clips))).round().astype(int)
    chosen = [clips[i] for i in spread]
    embedded = []
    for number, words in enumerate(_captions(chosen, 0)):
        embedded.append(judge.motions(generate(generator, [words.caption] * SAMPLES, 10**6 + number, args.batch)))
    return metrics.multimodality(np.stack(embedded), seed=0)


def evaluate_generation(args: Generation) -> dict[str, Any]:
    """Measure every transformer, and real motions as the bound, and write the table."""
    from tqdm import tqdm

    data, texts = Dataset(args.data), TextBank(args.texts)
    judge = args.judge.load(texts)
    clips = judged_clips(data, args.split, args.limit)
    real, fps = [data[clip] for clip in clips], float(data.about.get("fps", FPS))
    truth = metrics.Gaussian.of(judge.motions(real))

    def of_real(seed: int) -> dict[str, float]:
        return generation_metrics(judge, real, _captions(clips, seed), truth, seed, fps, data.unit)

    rows: list[dict[str, Any]] = [{"model": "real motions", "metrics": _repeated(of_real, args.repeats)}]
    for folder in tqdm(args.models, unit="model"):
        card = checkpoint.read_checked(folder, "transformer")
        generator = registry.load(folder, device=device_named(args.device), text_encoder=BankEncoder(texts))

        def once(seed: int, generator: Generator = generator) -> dict[str, float]:
            words = _captions(clips, seed)
            motions = generate(generator, [word.caption for word in words], seed, args.batch)
            return generation_metrics(judge, motions, words, truth, seed, fps, data.unit)

        row: dict[str, Any] = {"model": _name(folder), "codebook": generator.card.codebook, "size": generator.card.size,
                               "checkpoint": checkpoint.fingerprint(folder)}  # fmt: skip
        row |= {"metrics": _repeated(once, args.repeats), "normalised_loss": card["metrics"].get("normalised_loss")}
        row["parameters"] = card.get("parameters")
        if args.multimodality:
            row["multimodality"] = multimodality_of(generator, judge, clips, args)
        row["published"] = published("generation", codebook=row["codebook"], size=row["size"])
        rows.append(row)
    result = _about(args, data, judge) | {
        "clips": len(clips),
        "pool": min(POOL, len(clips)),
        "repeats": args.repeats,
        "rows": rows,
    }
    _write(args.out / "generation", result, generation_markdown(result))
    plot_generation(result, args.out / "generation.png")
    return result


def _repeated(once: Any, times: int) -> dict[str, list[float]]:
    return {name: list(interval) for name, interval in metrics.repeated(once, times).items()}


COLUMNS = {
    "fid": "FID ↓", "r_precision_1": "R@1 ↑", "r_precision_2": "R@2 ↑", "r_precision_3": "R@3 ↑",
    "matching_score": "matching ↓", "diversity": "diversity", "multimodality": "multimodality",
    "normalised_loss": "normalised loss ↓", "foot_slide": "foot slide (m/s)", "jitter": "jitter (m/s³)",
}  # fmt: skip


def generation_markdown(result: dict[str, Any]) -> str:
    """The table; a published row of the same codebook and size stands below ours."""
    lines = ["| model | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in result["rows"]:
        name = f"**{row['codebook']}, {row['size']}**" if "codebook" in row else row["model"]
        shown = {key: f"{mean:.3f} ± {half:.3f}" for key, (mean, half) in row["metrics"].items()}
        shown |= {key: _cell(row.get(key), 3) for key in ("normalised_loss", "multimodality")}
        lines.append(f"| {name} | " + " | ".join(shown.get(key, "–") for key in COLUMNS) + " |")
        for paper in row.get("published", []):
            cells = " | ".join(_cell(paper.get(key), 3) for key in COLUMNS)
            lines.append(f"| {paper['codebook']}, {paper['size']}, paper on {paper['data']} | {cells} |")
    return (
        "\n".join(lines)
        + _footer(result)
        + f" {result['clips']} clips in pools of {result['pool']}, {result['repeats']} repetitions. The normalised "
        "loss is the card's, on the test split of what a model was trained on.\n"
    )


def plot_generation(result: dict[str, Any], path: Path) -> None:
    """FID, R@1 and normalised loss over the parameters without vocabulary, a line for each codebook."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    real, *rows = result["rows"]
    panels = (("fid", "FID"), ("r_precision_1", "R-precision@1"), ("normalised_loss", "normalised loss"))
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for codebook in sorted({row["codebook"] for row in rows}):
            own = [row for row in rows if row["codebook"] == codebook and row.get("parameters")]
            own.sort(key=lambda row: row["parameters"]["non_vocabulary"])
            x = [row["parameters"]["non_vocabulary"] for row in own]
            if key == "normalised_loss":
                axes.plot(x, [row[key] for row in own], "o-", label=str(codebook))
            else:
                values = np.array([row["metrics"][key] for row in own]).reshape(-1, 2)
                axes.errorbar(x, values[:, 0], values[:, 1], fmt="o-", label=str(codebook), capsize=2)
        if key == "r_precision_1":
            axes.axhline(real["metrics"][key][0], color="grey", linestyle=":", label="real")
        axes.set(xscale="log", xlabel="parameters without vocabulary", title=title)
    axes.legend(title="codebook", fontsize=7)
    figure.savefig(path, dpi=130)


# Both.


def _about(args: Any, data: Dataset, judge: Evaluator) -> dict[str, Any]:
    return {
        "data": data.about.get("source", data.folder.name),
        "evaluator": judge.name,
        "split": args.split,
        "command": f"python -m training.{Path(sys.argv[0]).stem} " + " ".join(map(_short, sys.argv[1:])),
        "settings": {key: value for key, value in asdict(args).items() if isinstance(value, (int, float, str))},
        "commit": commit(),
        "date": date.today().isoformat(),
    }


def _short(word: str) -> str:
    """A word of a command without what stands above the folders that matter on this machine."""
    return str(Path(*Path(word).parts[-2:])) if Path(word).is_absolute() else word


def _name(folder: Path) -> str:
    return folder.resolve().parent.name if folder.name == "model" else folder.resolve().name


def _footer(result: dict[str, Any]) -> str:
    return (
        f"\n\nMeasured on the {result['split']} split of {result['data']} by {result['evaluator']}; the paper's rows "
        "are of other data and evaluators and do not compare in FID, R-precision, matching and diversity."
    )


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _write(stem: Path, result: dict[str, Any], markdown: str) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1))
    stem.with_suffix(".md").write_text(markdown + "\n", encoding="utf-8")
    print(markdown)


def main(args: Tokenizers | Generation) -> None:
    """Measure and write one table."""
    torch.manual_seed(0)
    if isinstance(args, Tokenizers):
        evaluate_tokenizers(args)
    else:
        evaluate_generation(args)


if __name__ == "__main__":
    import tyro

    from training.command_line import run_command

    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    run_command(main, Tokenizers | Generation, config=flat)
