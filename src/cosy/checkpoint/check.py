"""What a model directory holds, what is wrong with it and how to mend it, and what works without the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cosy.checkpoint import keys
from cosy.checkpoint.layout import (
    BACKBONE_DIRECTORY,
    MODEL_YAML,
    OFFICIAL_MODEL,
    PARTS,
    QWEN2_CONFIG,
    REMEDY,
    SPEAKER_ENCODER,
    SPEAKERS,
    SPEECH_TOKENIZER,
    UNUSED_WEIGHTS,
    Layout,
    Part,
    read_description,
)
from cosy.checkpoint.load import LoadedModel, build, check_state, load_state, shapes_of
from cosy.checkpoint.pull import KNOWN_SHA256, sha256_of
from cosy.config import ModelConfig
from cosy.errors import CosyError, MissingFileError


@dataclass(frozen=True)
class FileReport:
    """One file of the layout."""

    name: str
    size_bytes: int
    sha256: str | None = None  # only if asked for
    official: bool | None = None  # whether the checksum is the official file's; None: not compared
    keys: int | None = None  # of a weight file: tensors,
    parameters: int | None = None  # distinct numbers,
    dtype: str | None = None  # and their types
    shapes: dict[str, tuple[int, ...]] | None = None  # of every tensor, only if asked for


@dataclass(frozen=True)
class Problem:
    """Something that must be mended."""

    file: str
    message: str
    remedy: str


@dataclass
class Report:
    """All findings about one directory."""

    directory: str
    files: list[FileReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    not_used: list[str] = field(default_factory=list)  # entries of the YAML that only training reads
    works: dict[str, bool] = field(default_factory=dict)  # capability -> whether the directory has what it takes

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


def check_directory(directory: str | Path, *, hash_files: bool = False, list_keys: bool = False) -> Report:
    """Examine every file; nothing is raised, every finding is in the report.

    `hash_files` also computes checksums, which reads each file completely; `list_keys` also lists every tensor.
    """
    report = Report(str(directory))
    try:
        layout = Layout(Path(directory))
    except CosyError as error:
        report.problems.append(Problem(str(directory), str(error), f"cosy model pull {OFFICIAL_MODEL}"))
        return report
    _Check(layout, report, hash_files, list_keys).run()
    return report


class _Check:
    """Goes through the layout; each step reports and says whether its files can be used."""

    def __init__(self, layout: Layout, report: Report, hash_files: bool, list_keys: bool) -> None:
        self.layout = layout
        self.report = report
        self.hash_files = hash_files
        self.list_keys = list_keys

    def run(self) -> None:
        config = self._configuration()
        llm, flow, hift = (self._weights(part, config) for part in PARTS)
        model = LoadedModel(self.layout.root, config or ModelConfig(), torch.device("cpu"), torch.float32)
        vocabulary = self._vocabulary(model) and config is not None
        tokenizer = self._onnx(SPEECH_TOKENIZER, lambda: model.speech_tokenizer(torch.zeros(1, 128, 100)))
        encoder = self._onnx(SPEAKER_ENCODER, lambda: model.speaker_encoder(torch.zeros(100, 80)))
        presets = self._speakers(model)
        if (self.layout.root / UNUSED_WEIGHTS).is_file():
            self.report.notes.append(f"{UNUSED_WEIGHTS} is never read and may be deleted")
        speaks = llm and flow and hift and vocabulary
        self.report.works = {
            "speak with a saved voice": speaks,
            "speak with a preset voice": speaks and presets,
            "clone a voice from audio": speaks and tokenizer and encoder,
        }

    def _configuration(self) -> ModelConfig | None:
        self._list(MODEL_YAML)
        self._list(QWEN2_CONFIG)
        try:
            description = read_description(self.layout.root)
        except MissingFileError:  # listed as missing above
            return None
        except CosyError as error:
            self._problem(MODEL_YAML, error)
            return None
        self.report.not_used = description.not_used
        return description.config

    def _weights(self, part: Part, config: ModelConfig | None) -> bool:
        present = [path for path in self.layout.spellings(part) if path.is_file()]
        if not present:
            return self._list(f"{part}.pt")
        if len(present) > 1:
            self.report.notes.append(f"{present[0].name} is used, {present[1].name} beside it is not")
        path = present[0]
        try:
            state = load_state(path)
        except CosyError as error:
            self._list(path.name)
            return self._problem(path.name, error)
        shapes = {key: tuple(value.shape) for key, value in state.items()} if self.list_keys else None
        self._list(path.name, **_statistics(state), shapes=shapes)
        if config is None:  # nothing to compare with
            return False
        expected = shapes_of(build(part, config))
        return self._try(path.name, lambda: check_state(path, keys.canonical(part, state), expected))

    def _vocabulary(self, model: LoadedModel) -> bool:
        present = [self._list(name) for name in self.layout.vocabulary_files]
        return all(present) and self._try(BACKBONE_DIRECTORY, lambda: model.text_tokenizer)

    def _onnx(self, name: str, probe: Callable[[], object]) -> bool:
        """Run the file on a second of silence."""
        return self._list(name) and self._try(name, probe)

    def _speakers(self, model: LoadedModel) -> bool:
        path = self.layout.find(SPEAKERS)
        if path is None:
            self.report.notes.append(f"no {SPEAKERS}.pt: the directory brings no preset voices")
            return False
        self._list(path.name)
        return self._try(path.name, lambda: self.report.speakers.extend(model.spk2info)) and bool(self.report.speakers)

    def _list(self, name: str, **details: Any) -> bool:
        """Report a file of the layout; a missing one is a problem."""
        path = self.layout.root / name
        if not path.is_file():
            self.report.problems.append(Problem(name, "missing", REMEDY))
            return False
        checksum = sha256_of(path) if self.hash_files else None
        known = KNOWN_SHA256.get(name)
        official = checksum == known if checksum and known else None
        self.report.files.append(FileReport(name, path.stat().st_size, checksum, official, **details))
        return True

    def _try(self, name: str, action: Callable[[], object]) -> bool:
        try:
            action()
        except CosyError as error:
            return self._problem(name, error)
        return True

    def _problem(self, name: str, error: Exception) -> bool:
        message = str(error).removesuffix(f"; {REMEDY}").removesuffix(f": {REMEDY}")
        self.report.problems.append(Problem(name, message, REMEDY))
        return False


def _statistics(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Counts of a weight file; tensors that share storage count once."""
    distinct = {value.data_ptr(): value.numel() for value in state.values()}
    types = sorted({str(value.dtype).removeprefix("torch.") for value in state.values()})
    return {"keys": len(state), "parameters": sum(distinct.values()), "dtype": ", ".join(types)}
