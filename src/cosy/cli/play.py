"""The sound card.  Playing runs beside synthesis: while one chunk sounds, the next is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from cosy.errors import MissingDependencyError, ParameterError

if TYPE_CHECKING:
    from cosy.cli.output import Push
    from cosy.types import Samples

    Playing = AbstractContextManager[Push]


class Device(Protocol):
    """A mono sound output that is playing."""

    def write(self, samples: Samples) -> object:
        """Play samples (n,) as float32; returns when there is room for more."""
        ...

    def stop(self) -> None:
        """Return when everything has sounded."""
        ...

    def abort(self) -> None:
        """Fall silent at once; a `write` in another thread returns or raises."""
        ...

    def close(self) -> None: ...


def open_sound_card(rate_hz: int) -> Device:
    """The default output at a sample rate.

    Raises MissingDependencyError without the package `sounddevice` or its library, ParameterError without a device.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, PortAudio is not
        raise MissingDependencyError(
            f"playing needs sounddevice and PortAudio ({error}): pip install 'cosy[play]', "
            "and on Linux also apt install libportaudio2"
        ) from error
    try:
        device = sounddevice.OutputStream(samplerate=rate_hz, channels=1, dtype="float32")
        device.start()
    except sounddevice.PortAudioError as error:
        raise ParameterError(f"the sound card does not play: {error}; use --out instead of --play") from error
    return cast(Device, device)


@contextmanager
def playing(
    rate_hz: int, gain_db: float = 0.0, open_device: Callable[[int], Device] = open_sound_card
) -> Iterator[Push]:
    """Takes mono samples at `rate_hz` until the block ends, then waits until all have sounded.

    An error, also Ctrl-C while waiting, silences the device at once.
    """
    device = open_device(rate_hz)
    gain = np.float32(10 ** (gain_db / 20))
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cosy-play")
    sounding: list[Future[object]] = []

    def push(samples: Samples) -> None:
        for written in [future for future in sounding if future.done()]:
            sounding.remove(written)
            written.result()  # an error of the device ends the speech, too
        sounding.append(thread.submit(device.write, np.clip(samples * gain, -1.0, 1.0)))

    try:
        yield push
        for written in sounding:
            written.result()
        device.stop()
    except BaseException:
        thread.shutdown(wait=False, cancel_futures=True)
        device.abort()
        raise
    finally:
        thread.shutdown()
        device.close()
