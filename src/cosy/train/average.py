"""The mean of several trainings or model directories, which often does better than each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cosy.checkpoint import keys
from cosy.checkpoint.convert import write_weights
from cosy.checkpoint.derive import Writer, derive, type_of
from cosy.checkpoint.layout import PARTS, Layout, Part, read_config
from cosy.checkpoint.load import load_state
from cosy.errors import MismatchError, ParameterError
from cosy.train.runs import PARTS as TRAINED
from cosy.train.runs import Run


def mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """In float32.  Raises MismatchError where keys or shapes differ."""
    first, *rest = states
    for other in rest:
        wrong = [k for k in {*first, *other} if k not in first or k not in other or first[k].shape != other[k].shape]
        if wrong:
            raise MismatchError(f"what is averaged must be alike; {len(wrong)} tensors differ: {sorted(wrong)[0]}")
    return {key: torch.stack([state[key].float() for state in states]).mean(0) for key in first}


def average(sources: Sequence[Path], target: Path) -> Path:
    """Write the new directory `target` with the mean weights; the rest is that of the first source.

    Runs of one kind average what they train, directories all three networks.  Raises ParameterError for fewer than
    two sources or both kinds of them, MismatchError where they do not fit each other, CheckpointError if `target`
    exists.
    """
    runs = [(source / "run.json").is_file() for source in sources]
    if len(sources) < 2 or len(set(runs)) > 1:
        raise ParameterError(f"at least two runs or two directories are needed, got {', '.join(map(str, sources))}")
    if runs[0]:
        return _average_runs([Run.read(source) for source in sources], target)
    layouts = [Layout(source) for source in sources]
    if len({repr(read_config(layout.root)) for layout in layouts}) > 1:
        raise MismatchError("the directories describe different networks: only like ones can be averaged")
    written = {f"{part}.safetensors": _writer(part, layouts) for part in PARTS}
    return derive(sources[0], target, written)


def _writer(part: Part, layouts: Sequence[Layout]) -> Writer:
    def write(path: Path) -> None:
        files = [layout.weights(part) for layout in layouts]
        write_weights(part, mean([keys.canonical(part, load_state(file)) for file in files]), path, type_of(files[0]))

    return write


def _average_runs(runs: Sequence[Run], target: Path) -> Path:
    first = runs[0]
    if len({run.kind for run in runs}) > 1 or len({run.base for run in runs}) > 1:
        raise MismatchError("the runs train different things: only runs of one kind from one directory can be averaged")
    state, part = mean([run.weights() for run in runs]), TRAINED[first.kind]
    dtype = type_of(Layout(first.base).weights(part))
    return derive(first.base, target, {f"{part}.safetensors": lambda path: write_weights(part, state, path, dtype)})
