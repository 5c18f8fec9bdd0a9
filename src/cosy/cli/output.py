"""Where speech goes: a file that appears only when it is whole, or a pipe.

Gain, sample rate and encoding are applied here, chunk by chunk.  Knows nothing of models or requests.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.audio.encode import FORMATS, ResamplingEncoder, encoder, find_format, wav_header
from cosy.errors import ParameterError
from cosy.types import Samples

Push = Callable[[Samples], None]  # takes the next samples (n,)

STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class Output:
    """A place and how the audio there is to be.  Raises ParameterError if it cannot be had."""

    place: str  # a path, or "-" for standard output
    format: str | None = None  # None: what the extension says; WAV on standard output
    rate_hz: int | None = None  # None: the rate of the samples
    bit_rate_bps: int | None = None
    gain_db: float = 0.0
    stream: bool = False  # whether a pipe gets every chunk at once

    def __post_init__(self) -> None:
        _check_place(self)
        object.__setattr__(self, "format", self.format or _format_of(self.place))
        rate_hz = SAMPLE_RATE_HZ if self.rate_hz is None else self.rate_hz
        encoder(self.known_format, rate_hz, self.bit_rate_bps)  # refuses what it cannot encode

    @property
    def known_format(self) -> str:
        assert self.format is not None, "set on creation"
        return self.format

    @property
    def to_standard_output(self) -> bool:
        return self.place == STANDARD_OUTPUT

    @contextmanager
    def writing(self, from_hz: int) -> Iterator[Push]:
        """Takes mono samples at `from_hz` until the block ends; after an error no regular file is left behind.

        Raises ParameterError where the system refuses to write; BrokenPipeError passes.
        """
        with _open(self) as file:
            to_hz = self.rate_hz or from_hz
            coder = encoder(self.known_format, to_hz, self.bit_rate_bps)
            if to_hz != from_hz:
                coder = ResamplingEncoder(coder, from_hz, to_hz)
            gain = np.float32(10 ** (self.gain_db / 20))

            def write(data: bytes) -> None:
                file.write(data)
                file.flush()

            yield lambda samples: write(coder.push(samples * gain))
            write(coder.finish())
            if find_format(self.known_format) is FORMATS["wav"] and file.seekable():
                _state_length(file, to_hz)


def _format_of(place: str) -> str:
    if place == STANDARD_OUTPUT:
        return "wav"
    suffix = Path(place).suffix.lower()
    known = [suffix for kind in FORMATS.values() for suffix in kind.suffixes]
    if suffix not in known:
        raise ParameterError(
            f"cannot tell the audio format of {place} from its extension; use one of {', '.join(known)}, or --format"
        )
    return suffix[1:]


def _check_place(output: Output) -> None:
    if output.to_standard_output:
        return
    path = Path(output.place)
    if path.is_dir():
        raise ParameterError(f"cannot write {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ParameterError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent if _is_ordinary(path) else path, os.W_OK):
        raise ParameterError(f"cannot write {path}: no permission; choose another place")


def _state_length(file: BinaryIO, rate_hz: int) -> None:
    """Put the true length into the head of a finished WAV."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    file.write(wav_header(rate_hz, size - len(wav_header(rate_hz, 0))))


def _is_ordinary(path: Path) -> bool:
    """Whether a new file may take the place of what is there: not of a pipe or device."""
    return path.is_file() or not path.exists()


@contextmanager
def _open(output: Output) -> Iterator[BinaryIO]:
    path = Path(output.place)
    try:
        if output.to_standard_output:
            with _piped(sys.stdout.buffer, output.stream) as file:
                yield file
        elif _is_ordinary(path):
            with _replacing(path) as file:
                yield file
        else:
            with path.open("wb") as device, _piped(device, output.stream) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ParameterError(f"cannot write {output.place}: {error.strerror}; choose another place") from error


@contextmanager
def _piped(pipe: BinaryIO, stream: bool) -> Iterator[BinaryIO]:
    """The pipe itself, or a memory that goes there when the block ends well."""
    if stream:
        yield cast(BinaryIO, _ForwardOnly(pipe))
        return
    whole = io.BytesIO()
    yield whole
    pipe.write(whole.getvalue())
    pipe.flush()


@dataclass(frozen=True)
class _ForwardOnly:
    """Standard output may be a file that holds other things already: one never goes back in it."""

    file: BinaryIO

    def write(self, data: bytes) -> int:
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def seekable(self) -> bool:
        return False


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place when the block ends well."""
    path = path.resolve()  # a link stays a link
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
