"""Rewrite a model directory: .pt <-> safetensors, float32 / float16 / bfloat16.

The target is always a new directory that appears complete or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from cosy.checkpoint import keys
from cosy.checkpoint.files import replacing
from cosy.checkpoint.layout import (
    MODEL_YAML,
    PARTS,
    QWEN2_CONFIG,
    SPEAKER_ENCODER,
    SPEAKERS,
    SPEECH_TOKENIZER,
    Layout,
    Part,
    read_config,
)
from cosy.checkpoint.load import build, check_state, load_state, shapes_of
from cosy.checkpoint.speakers import read_speakers, write_speakers
from cosy.errors import CheckpointError, ParameterError

WeightFormat = Literal["safetensors", "pt"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
NARROWED: tuple[Part, ...] = ("llm", "flow")  # the vocoder is small, and rounding it is audible as phase error


def convert(
    source: str | Path, target: str | Path, *, weights: WeightFormat = "safetensors", dtype: str = "float32"
) -> Path:
    """Write the directory `source` to the new directory `target` and return it.

    `dtype` is that of the language model and the flow; the vocoder and the speaker vectors stay float32.
    Everything is checked against the configuration first, so what is written loads.
    Raises CheckpointError if `target` exists, and the errors of loading.
    """
    layout, target = Layout(Path(source)), Path(target)
    if dtype not in DTYPES:
        raise ParameterError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if target.exists():
        raise CheckpointError(f"{target} exists already: name a new directory, nothing is overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        partial = Path(temporary) / target.name
        partial.mkdir()
        _copy_small_files(layout, partial)
        for part in PARTS:
            _convert_weights(layout, part, partial, weights, DTYPES[dtype] if part in NARROWED else torch.float32)
        _convert_speakers(layout, partial, weights)
        partial.rename(target)
    return target


def write_weights(part: Part, state: Mapping[str, Tensor], path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write one network's state, under the official keys, as .pt or by the suffix as safetensors.

    A file of that name is replaced at once, so that whoever has it mapped keeps the old one.
    """
    state = {key: value.detach().to("cpu", dtype).contiguous() for key, value in state.items()}
    with replacing(path) as partial:
        if path.suffix == ".safetensors":
            save_file(_unshared(state), partial, {"format": "pt"})
        else:
            torch.save(keys.official(part, state), partial)


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """safetensors takes no two tensors of the same storage."""
    owner = {value.untyped_storage().data_ptr(): key for key, value in state.items()}
    alone = set(owner.values())
    return {key: value if key in alone else value.clone() for key, value in state.items()}


def _convert_weights(layout: Layout, part: Part, target: Path, weights: WeightFormat, dtype: torch.dtype) -> None:
    path = layout.weights(part)
    state = keys.canonical(part, load_state(path))
    check_state(path, state, shapes_of(build(part, read_config(layout.root))))
    write_weights(part, state, target / f"{part}.{weights}", dtype)


def _convert_speakers(layout: Layout, target: Path, weights: WeightFormat) -> None:
    path = layout.find(SPEAKERS)
    if path is not None:
        write_speakers(read_speakers(path), target / f"{SPEAKERS}.{weights}")


def _copy_small_files(layout: Layout, target: Path) -> None:
    """All but the weights; an absent ONNX file stays absent, since the directory can speak without it."""
    for name in (MODEL_YAML, QWEN2_CONFIG, *layout.vocabulary_files):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(layout.file(name), target / name)
    extras = [layout.root / SPEECH_TOKENIZER, layout.root / SPEAKER_ENCODER]
    extras += [*layout.root.glob("LICENSE*"), *layout.root.glob("*.md")]
    for path in filter(Path.is_file, extras):
        shutil.copyfile(path, target / path.name)
