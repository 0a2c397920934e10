"""Cut the clips of ``training/data/wordings/clips.txt`` from the takes that ``training.data.readers.takes`` read.

    python -m training.data.readers.actions --takes data/takes.npz --out data/actions.npz

A cycle can be repeated, someone who walks in place gets along by the foot that stands, a clip can be played backwards,
and other takes can be blended on before and after. Prints what there is of every action.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scamo.atomic import write_npz
from scamo.motion import FPS, canonical_joints, first_facing
from training.data.archive import read_pack
from training.data.corpus import join
from training.json_files import write_text

CLIPS = Path(__file__).parents[1] / "wordings" / "clips.txt"
LICENCES = {"quaternius-ual1": "CC0-1.0", "mesh2motion-addon": "CC0-1.0", "animated-drawings": "MIT (Meta)",
            "deepmimic": "MIT", "bandai-namco": "CC BY-NC 4.0"}  # fmt: skip
BLEND = 10  # frames that takes of one performer are blended over, 0.5 s


@dataclass(frozen=True)
class Cut:
    """A line of clips.txt."""

    source: str
    take: str
    start: float
    end: float | None
    action: str
    options: dict[str, str] = field(default_factory=dict)


def read_cuts(path: Path = CLIPS) -> list[Cut]:
    """The table of clips. ValueError names the line that is no clip."""
    cuts, source = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if line.startswith("@"):
            source = line[1:].strip()
            continue
        if not line or line.startswith("#"):
            continue
        words = line.split()
        first = next((i for i in range(1, len(words)) if _is_time(words[i])), 0)
        try:
            take, (start, end, action), rest = " ".join(words[:first]), words[first : first + 3], words[first + 3 :]
            options: dict[str, str] = {}
            for word in rest:  # names of takes may hold spaces
                if "=" in word or word == "reverse":
                    key, _, value = word.partition("=")
                    options[key] = value
                else:
                    options[key] += f" {word}"
            cuts.append(Cut(source, take, float(start), None if end == "-" else float(end), action, options))
        except (ValueError, UnboundLocalError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: {line!r} is no clip; write TAKE FROM TO ACTION.") from error
    return cuts


def _is_time(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def find_take(takes: dict[str, np.ndarray], source: str, take: str) -> np.ndarray:
    """Joints [T, 22, 3] of a take of a source. ValueError where it was not read."""
    for name, joints in takes.items():
        if name.startswith(source) and name.rpartition("/")[2] == take:
            return np.asarray(joints, dtype=np.float64)
    raise ValueError(f"There is no take {take!r} of {source}; run training.data.readers.takes on all collections.")


def cycle(joints: np.ndarray, times: int) -> np.ndarray:
    """Repeat a cycle whose last frame is (nearly) its first; its path goes on where it ended."""
    if times < 2:
        return joints
    whole = joints
    for _ in range(times - 1):
        # A cycle may or may not hold its first frame again at the end.
        again = np.linalg.norm((joints[-1] - joints[-1, :1]) - (joints[0] - joints[0, :1]), axis=-1).mean() < 0.01
        following = joints[1:] if again else joints
        whole = join(whole, following, blend=4) if len(joints) > 8 else np.concatenate([whole, following])
    return whole


def travelling(joints: np.ndarray, speed: float | None = None) -> np.ndarray:
    """Let someone who walks in place get along: at ``speed`` m/s, or as fast as the standing foot slides backward."""
    facing = first_facing(joints)
    heading = facing.mean(0) / np.linalg.norm(facing.mean(0))
    if speed is None:
        feet = joints[:, [10, 11]]
        lowest = feet[:-1, :, 1].argmin(1)
        slide = (np.diff(feet, axis=0)[np.arange(len(lowest)), lowest] * heading).sum(-1)
        low = feet[:-1, :, 1].min(1) < np.percentile(feet[:, :, 1].min(1), 60) + 0.01
        speed = -FPS * float(np.median(slide[low]))
    return joints + (np.arange(len(joints)) / FPS * max(speed, 0.0))[:, None, None] * heading


def make_clip(cut: Cut, takes: dict[str, np.ndarray]) -> np.ndarray:
    """A clip's joints float64 [T, 22, 3] in their canonical place."""
    joints = find_take(takes, cut.source, cut.take)
    end = len(joints) if cut.end is None else round(cut.end * FPS) + 1
    joints = joints[round(cut.start * FPS) : end]
    if "reverse" in cut.options:
        joints = joints[::-1]
    joints = cycle(canonical_joints(joints), int(cut.options.get("loop", 1)))
    if "travel" in cut.options:
        speed = cut.options["travel"]
        joints = travelling(joints, None if speed == "auto" else float(speed))
    if "lead" in cut.options:
        lead = canonical_joints(find_take(takes, cut.source, cut.options["lead"]))
        joints = join(lead[:30], joints, blend=BLEND)
    if "tail" in cut.options:
        joints = join(joints, canonical_joints(find_take(takes, cut.source, cut.options["tail"])), blend=BLEND)
    return canonical_joints(joints, lengths=None)


@dataclass(frozen=True)
class Args:
    """Cut clips of actions from takes."""

    takes: Path
    """The file of training.data.readers.takes."""
    out: Path = Path("data/actions.npz")
    table: Path | None = None
    """Where to write the table of coverage (Markdown)."""
    pack: Path | None = None
    """The pack of training.data.readers.bandai, whose actions the table has too."""


def coverage(cuts: list[Cut], clips: list[np.ndarray], pack: Path | None = None) -> str:
    """Action, clips, minutes, wordings, collections and licences as a Markdown table."""
    from training.data.sentences import free_phrases, plain_phrases

    found = [(cut.action, len(clip), cut.source) for cut, clip in zip(cuts, clips, strict=True)]
    if pack:
        found += [(clip.labels["content"], len(clip.joints), "bandai-namco") for clip in read_pack(pack)]
    lines = ["| action | clips | minutes | phrases | collections | licences |", "|---|---|---|---|---|---|"]
    for action in sorted({action for action, *_ in found}):
        own = [(frames, source) for name, frames, source in found if name == action]
        collections = sorted({source for _, source in own})
        licences = sorted({LICENCES.get(source, "CMU") for source in collections})
        phrases = len({*free_phrases().get(action, ()), *plain_phrases().get(action, ())})
        lines.append(f"| {action} | {len(own)} | {sum(frames for frames, _ in own) / FPS / 60:.1f} | {phrases} | "
                     f"{', '.join(collections)} | {', '.join(licences)} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def main(args: Args) -> None:
    """Write the clips: ``joints`` of all, one after the other, and a line about each in ``about``."""
    with np.load(args.takes) as file:
        takes = {name: file[name] for name in file.files}
    cuts = read_cuts()
    clips = [make_clip(cut, takes) for cut in cuts]
    about = [{"name": f"{cut.source}/{cut.take}-{number:03d}", "source": cut.source, "take": cut.take,
              "action": cut.action, "frames": len(clip), "licence": LICENCES.get(cut.source, "CMU")}
             for number, (cut, clip) in enumerate(zip(cuts, clips, strict=True))]  # fmt: skip
    write_npz(args.out, joints=np.concatenate(clips).astype(np.float32), about=json.dumps(about))
    if args.table:
        write_text(args.table, coverage(cuts, clips, args.pack))
    frames = sum(map(len, clips))
    print(json.dumps({"clips": len(clips), "minutes": round(frames / FPS / 60, 1),
                      "actions": dict(Counter(cut.action for cut in cuts))}))  # fmt: skip


def read_actions(path: Path) -> list[tuple[dict, np.ndarray]]:
    """What ``main`` wrote: a line about each clip, and its joints float64 [T, 22, 3]."""
    with np.load(path) as file:
        joints, about = file["joints"].astype(np.float64), json.loads(str(file["about"]))
    edges = np.cumsum([0, *(row["frames"] for row in about)])
    return [(row, joints[a:b]) for row, a, b in zip(about, edges[:-1], edges[1:], strict=True)]


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
