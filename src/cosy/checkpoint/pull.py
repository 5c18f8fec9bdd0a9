"""Fetch a model directory from a hub.

The hub's own library transfers single files (it resumes them and draws the progress bar); this module decides
which files are needed, skips those already there, compares checksums and says what went wrong.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cosy.checkpoint.layout import (
    MODEL_YAML,
    OFFICIAL_MODEL,
    PARTS,
    PRONUNCIATIONS,
    QWEN2_CONFIG,
    SPEAKER_ENCODER,
    SPEAKERS,
    SPEECH_TOKENIZER,
    VOCABULARY_FILES,
    WEIGHT_SUFFIXES,
)
from cosy.errors import CheckpointError, CosyError, MissingDependencyError, ParameterError

logger = logging.getLogger(__name__)

# Checksums of official files that are published; others are compared with what the hub states.
KNOWN_SHA256 = {SPEECH_TOKENIZER: "d43342aa12163a80bf07bffb94c9de2e120a8df2f9917cd2f642e7f4219c6f71"}


@dataclass(frozen=True)
class KnownModel:
    """Where a model lives on each hub."""

    repositories: dict[str, str]  # hub -> repository
    sha256: dict[str, str] = field(default_factory=dict)  # file -> checksum


KNOWN_MODELS = {
    OFFICIAL_MODEL: KnownModel(
        {"huggingface": "FunAudioLLM/CosyVoice2-0.5B", "modelscope": "iic/CosyVoice2-0.5B"}, KNOWN_SHA256
    ),
}

# All that is ever read.  Repositories also hold the unused Qwen2 weights, compiled engines and demo assets.
NEEDED = frozenset(
    {
        MODEL_YAML,
        QWEN2_CONFIG,
        *VOCABULARY_FILES,
        PRONUNCIATIONS,
        SPEECH_TOKENIZER,
        SPEAKER_ENCODER,
        *(stem + suffix for stem in (*PARTS, SPEAKERS) for suffix in WEIGHT_SUFFIXES),
        "LICENSE",
        "README.md",
    }
)
REQUIRED = (MODEL_YAML, QWEN2_CONFIG, *VOCABULARY_FILES)


@dataclass(frozen=True)
class RemoteFile:
    """One file as the hub lists it."""

    path: str  # relative to the repository, with forward slashes
    size_bytes: int | None = None
    sha256: str | None = None


class Hub(Protocol):
    """What is asked of a hub; the two below, or a fake one in tests."""

    def files(self, repository: str, revision: str | None) -> Sequence[RemoteFile]:
        """All files of a repository."""
        ...

    def download(self, repository: str, revision: str | None, path: str, directory: Path) -> None:
        """Bring one file to `directory / path`, continuing an interrupted transfer."""
        ...


def pull(
    name: str,
    target: str | Path,
    *,
    hub: Hub,
    source: str = "huggingface",
    revision: str | None = None,
    progress: Callable[[str], None] = logger.info,
) -> Path:
    """Fetch the model `name` (a known one, or OWNER/REPOSITORY) into `target` and return it.

    Files already there with the right size and checksum are kept, so a second call completes an
    interrupted one.  Raises ParameterError for an unknown name and CheckpointError when the transfer
    fails, the disk is full or a checksum is wrong (the file is then removed).
    """
    repository, checksums = resolve(name, source)
    target = Path(target)
    files = _needed(hub, repository, revision, checksums)
    target.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in files if not _complete(target / file.path, file)]
    _check_space(target, wanted)
    for number, file in enumerate(wanted, start=1):
        progress(f"{file.path} ({number} of {len(wanted)}{_size(file.size_bytes)})")
        _fetch(hub, repository, revision, file, target)
    return target


def resolve(name: str, source: str) -> tuple[str, dict[str, str]]:
    """The repository of a model on a hub, and the checksums known beforehand."""
    _check_source(source)
    if "cosyvoice3" in name.lower():
        raise ParameterError(f"{name} is a CosyVoice 3 model, which is not supported yet; use {OFFICIAL_MODEL}")
    if name in KNOWN_MODELS:
        return KNOWN_MODELS[name].repositories[source], KNOWN_MODELS[name].sha256
    if name.count("/") != 1:
        raise ParameterError(f"unknown model {name!r}; known are {', '.join(KNOWN_MODELS)}, or give OWNER/REPOSITORY")
    official = [model for model in KNOWN_MODELS.values() if name in model.repositories.values()]
    return name, official[0].sha256 if official else {}


def connect(source: str) -> Hub:
    """The hub called `source`.  Raises MissingDependencyError if its library is not installed."""
    _check_source(source)
    return HUBS[source]()


def _check_source(source: str) -> None:
    if source not in HUBS:
        raise ParameterError(f"unknown source {source!r}; known are {', '.join(HUBS)}")


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _needed(hub: Hub, repository: str, revision: str | None, checksums: dict[str, str]) -> list[RemoteFile]:
    with _hub_errors(f"cannot list the files of {repository}"):
        listed = hub.files(repository, revision)
    found = {file.path: file for file in listed if file.path in NEEDED}
    absent = [path for path in REQUIRED if path not in found]
    if absent:
        raise CheckpointError(f"{repository} is not a CosyVoice 2 model: it has no {', '.join(absent)}")
    return [RemoteFile(path, file.size_bytes, checksums.get(path, file.sha256)) for path, file in sorted(found.items())]


def _complete(path: Path, file: RemoteFile) -> bool:
    """Whether `path` holds the file already, as far as the hub lets one tell."""
    if not path.is_file():
        return False
    if file.sha256 is not None:
        return path.stat().st_size == (file.size_bytes or path.stat().st_size) and sha256_of(path) == file.sha256
    return path.stat().st_size == file.size_bytes


def _check_space(target: Path, wanted: Sequence[RemoteFile]) -> None:
    needed, free = sum(file.size_bytes or 0 for file in wanted), shutil.disk_usage(target).free
    if needed > free:
        raise CheckpointError(
            f"not enough space in {target}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free; "
            "free some space or choose another directory"
        )


def _fetch(hub: Hub, repository: str, revision: str | None, file: RemoteFile, target: Path) -> None:
    path = target / file.path
    with _hub_errors(f"fetching {file.path} from {repository} failed"):
        hub.download(repository, revision, file.path, target)
    if not path.is_file():
        raise CheckpointError(f"{repository} did not deliver {file.path}; run the same command again")
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        path.unlink()
        raise CheckpointError(
            f"{file.path} from {repository} arrived damaged: its sha256 is {found}, expected {file.sha256}; "
            "it was removed, run the same command again"
        )


@contextlib.contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Whatever a hub's library raises becomes a CheckpointError with the way on."""
    try:
        yield
    except CosyError:
        raise
    except Exception as error:  # each library has its own family of network errors
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise CheckpointError(
                f"{what}: the disk is full; free some space and run the same command again, it will continue"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{what}: {reason[:300]}; run the same command again, it will continue") from error


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f", {size_bytes / 1e6:.1f} MB"


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(f"fetching models needs the package {package}: pip install 'cosy[pull]'")


class HuggingFace:
    """huggingface.co, through `huggingface_hub` (its settings, tokens and mirrors apply)."""

    def __init__(self) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise _missing("huggingface_hub") from error
        self._library = huggingface_hub

    def files(self, repository: str, revision: str | None) -> list[RemoteFile]:
        info = self._library.HfApi().model_info(repository, revision=revision, files_metadata=True)
        return [
            RemoteFile(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in info.siblings or []
        ]

    def download(self, repository: str, revision: str | None, path: str, directory: Path) -> None:
        self._library.hf_hub_download(repository, path, revision=revision, local_dir=directory)


class ModelScope:
    """modelscope.cn, through `modelscope`."""

    def __init__(self) -> None:
        try:
            from modelscope.hub.api import HubApi
            from modelscope.hub.file_download import model_file_download
        except ImportError as error:
            raise _missing("modelscope") from error
        self._api = HubApi()
        self._download = model_file_download

    def files(self, repository: str, revision: str | None) -> list[RemoteFile]:
        entries = self._api.get_model_files(repository, revision=revision, recursive=True)
        return [
            RemoteFile(entry["Path"], entry.get("Size"), entry.get("Sha256") or None)
            for entry in entries
            if entry.get("Type") != "tree"
        ]

    def download(self, repository: str, revision: str | None, path: str, directory: Path) -> None:
        self._download(repository, path, revision=revision, local_dir=str(directory))


HUBS: dict[str, Callable[[], Hub]] = {"huggingface": HuggingFace, "modelscope": ModelScope}
