"""Reading weight files safely: mapped, without running anything they contain, and with errors that name the remedy."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cosy.checkpoint import keys
from cosy.checkpoint.layout import REMEDY
from cosy.errors import CheckpointError, MissingFileError


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pt or .safetensors file, mapped, on the CPU, under the file's own keys.

    The file must not be changed in place while they live (see `replacing`).  Scalars of a trainer are
    dropped.  Raises MissingFileError, or CheckpointError for a damaged file and for one that holds
    anything but tensors.
    """
    if path.suffix == ".safetensors":
        with as_checkpoint_error(path):
            return load_file(path, device="cpu")
    state = {key: value for key, value in read_pt(path).items() if key not in keys.TRAINER_SCALARS}
    foreign = [f"{key} ({type(value).__name__})" for key, value in state.items() if not isinstance(value, Tensor)]
    if foreign:
        raise CheckpointError(f"{path} must hold tensors only, found {few(foreign)}; {REMEDY}")
    return state


def read_pt(path: Path, *, mmap: bool = True) -> dict[str, Any]:
    """The dictionary in a .pt file, on the CPU, read with `weights_only`: its pickle cannot run code."""
    with as_checkpoint_error(path):
        mmap = mmap and zipfile.is_zipfile(path)  # files older than torch 1.6 cannot be mapped
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} must hold a dictionary, found {type(data).__name__}; {REMEDY}")
    return data


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the path given, which then takes the place of `path` at once.

    A weight file must never be written in place: a process that has it mapped would crash.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def as_checkpoint_error(path: Path) -> Iterator[None]:
    """Reading `path` fails with an error that says what is wrong with the file and what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing: {REMEDY}") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise CheckpointError(f"{path} {_diagnosis(path, error)}; {REMEDY}") from error


def _diagnosis(path: Path, error: Exception) -> str:
    if not path.is_file():
        return f"cannot be read ({error})"
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer: the file it stands for was not downloaded"
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return f"is truncated at {path.stat().st_size} bytes"
    if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in str(error):
        return "holds objects other than tensors; reading them could run code, so it was refused"
    return f"is damaged ({' '.join(str(error).split())[:200]})"


def few(items: list[str], limit: int = 3) -> str:
    """A list for a message: the first entries and how many more there are."""
    rest = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + rest
