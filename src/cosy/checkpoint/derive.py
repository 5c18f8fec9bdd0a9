"""A model directory made from another one: some files are new, all others are copied as they are."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from cosy.checkpoint.layout import (
    MODEL_YAML,
    PARTS,
    QWEN2_CONFIG,
    SPEAKER_ENCODER,
    SPEAKERS,
    SPEECH_TOKENIZER,
    Layout,
)
from cosy.checkpoint.load import load_state
from cosy.errors import CheckpointError

PROVENANCE = "provenance.json"  # how a directory came about, for its card

Writer = Callable[[Path], object]


def derive(source: str | Path, target: str | Path, written: Mapping[str, Writer]) -> Path:
    """The new directory `target`: `written` makes the files of these names, the rest is copied from `source`.

    It appears complete or not at all.  Raises CheckpointError if `target` exists, MissingFileError where `source`
    lacks what every directory has.
    """
    layout, target = Layout(Path(source)), Path(target)
    if target.exists():
        raise CheckpointError(f"{target} exists already: name a new directory, nothing is overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        partial = Path(temporary) / target.name
        for path in files_of(layout):
            name = path.relative_to(layout.root)
            if name.stem not in {Path(new).stem for new in written}:  # weights may change their suffix
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, partial / name)
        for new, write in written.items():
            write(partial / new)
        partial.rename(target)
    return target


def files_of(layout: Layout) -> list[Path]:
    """Every file of the directory that belongs to it; without front ends or presets it can speak all the same."""
    needed = [layout.file(name) for name in (MODEL_YAML, QWEN2_CONFIG, *layout.vocabulary_files)]
    weights = [layout.weights(part) for part in PARTS]
    extras = [layout.root / name for name in (SPEECH_TOKENIZER, SPEAKER_ENCODER, PROVENANCE)]
    extras += [
        layout.find(SPEAKERS) or layout.root / SPEAKERS,
        *layout.root.glob("LICENSE*"),
        *layout.root.glob("*.md"),
    ]
    return [*needed, *weights, *filter(Path.is_file, extras)]


def type_of(path: Path) -> torch.dtype:
    """The type of a weight file's numbers: that of its first tensor."""
    return next(iter(load_state(path).values())).dtype
