"""A model directory described for people: what its files say, nothing that somebody would have to remember."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cosy.checkpoint.check import FileReport, Report, check_directory
from cosy.checkpoint.derive import PROVENANCE
from cosy.checkpoint.layout import BACKBONE_DIRECTORY, PARTS, SPEAKER_ENCODER, SPEECH_TOKENIZER, read_config
from cosy.config import ModelConfig
from cosy.errors import CheckpointError

NAMES = {
    "llm": "text-speech language model",
    "flow": "flow matching, tokens to mel",
    "hift": "HiFT vocoder, mel to waveform",
    SPEECH_TOKENIZER: "speech tokenizer",
    SPEAKER_ENCODER: "speaker encoder",
}


def card(directory: str | Path, figures: Any = None) -> str:
    """Markdown; `figures` is what a measuring command wrote as JSON.

    Raises CheckpointError for a directory that does not speak, and the errors of reading its configuration.
    """
    directory = Path(directory)
    config = read_config(directory)
    report = check_directory(directory)
    if not report.works.get("speak with a saved voice"):
        problems = "; ".join(f"{p.file}: {p.message}" for p in report.problems)
        raise CheckpointError(f"{directory} does not speak ({problems}): mend it before it is described")
    parts = [
        f"# {directory.resolve().name}\n\nText to speech in the layout of CosyVoice2-0.5B, {config.sample_rate} Hz.",
        "\n".join(["## Networks", "", *_table(("file", "network", "parameters", "type", "size"), _files(report))]),
        "\n".join(["## Sizes", "", *_table(("what", "value"), _sizes(config, directory))]),
        "\n".join(["## Voices", "", ", ".join(f"`{name}`" for name in report.speakers) or "None; clone one."]),
        "\n".join(["## What works", "", *(f"- {what}: {'yes' if ok else 'no'}" for what, ok in report.works.items())]),
    ]
    history = _history(directory)
    if history:
        parts.append("\n".join(["## How it came about", "", *history]))
    if figures is not None:
        rows = [(name, str(value)) for name, value in leaves(figures)]
        parts.append("\n".join(["## Measured", "", *_table(("figure", "value"), rows)]))
    licences = sorted(path.name for path in directory.glob("LICENSE*"))
    told = f"See {', '.join(licences)}." if licences else "The directory holds no licence; ask whoever made it."
    return "\n\n".join([*parts, f"## Licence\n\n{told}"]) + "\n"


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and short word of JSON data with its path; long texts and long lists are left out."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list):
        for number, value in enumerate(data if len(data) <= 20 else ()):
            name = value.get("name", number) if isinstance(value, Mapping) else number
            yield from leaves(value, f"{path}[{name}]")
    elif isinstance(data, float):
        yield path, f"{data:.4g}"
    elif isinstance(data, (int, str)) and len(str(data)) <= 60:
        yield path, data


def _files(report: Report) -> list[Sequence[str]]:
    return [_file(file) for file in report.files if _network(file.name)]


def _network(name: str) -> str:
    return NAMES.get(name) or (NAMES.get(name.partition(".")[0], "") if name.partition(".")[0] in PARTS else "")


def _file(file: FileReport) -> Sequence[str]:
    count = "" if file.parameters is None else f"{file.parameters:,}"
    return f"`{file.name}`", _network(file.name), count, file.dtype or "", f"{file.size_bytes / 1e6:.1f} MB"


def _sizes(config: ModelConfig, directory: Path) -> list[Sequence[str]]:
    backbone, encoder, estimator = config.llm.backbone, config.flow.encoder, config.flow.estimator
    words = len(json.loads((directory / BACKBONE_DIRECTORY / "vocab.json").read_text(encoding="utf-8")))
    heads = f"{backbone.num_attention_heads} / {backbone.num_key_value_heads} heads"
    mixed = "{} text to {} speech tokens".format(*config.llm.mix_ratio)
    return [
        ("language model", f"{backbone.hidden_size} wide, {backbone.num_hidden_layers} layers, {heads}"),
        ("text vocabulary", f"{words} entries, {backbone.vocab_size} rows"),
        (
            "speech tokens",
            f"{config.llm.speech_token_size}, {config.flow.input_frame_rate} a second; streaming: {mixed}",
        ),
        ("flow encoder", f"{encoder.output_size} wide, {encoder.num_blocks} + {encoder.up_blocks} blocks"),
        ("flow estimator", f"{estimator.channels} channels, {estimator.num_mid_blocks} middle stages"),
        ("vocoder", f"{config.hift.base_channels} channels at the base"),
        ("sampling", ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(config.llm.sampling).items())),
    ]


def _history(directory: Path) -> list[str]:
    path = directory / PROVENANCE
    if not path.is_file():
        return []
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))
        return [f"{n}. {_told(step)}" for n, step in enumerate(steps, 1)]
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a list of trainings: {error}; remove it") from error


def _told(step: Mapping[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in step.items() if value is not None)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
