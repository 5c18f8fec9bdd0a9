from __future__ import annotations

import builtins
import sys
import threading
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cosy.cli.play import open_sound_card, playing
from cosy.errors import MissingDependencyError, ParameterError
from cosy.types import Samples


class Loudspeaker:
    """Remembers what happened to it; a write waits until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[str] = []
        self.heard: list[Samples] = []
        self.may_write = threading.Event()
        self.error = error

    def write(self, samples: Samples) -> None:
        assert self.may_write.wait(timeout=30)
        if self.error:
            raise self.error
        self.heard.append(samples)

    def stop(self) -> None:
        self.events.append("stop")

    def abort(self) -> None:
        self.events.append("abort")
        self.may_write.set()

    def close(self) -> None:
        self.events.append("close")


def test_chunks_sound_in_order_while_the_next_are_made() -> None:
    device = Loudspeaker()
    with playing(24_000, gain_db=20.0, open_device=lambda rate_hz: device) as push:
        push(np.full(4, 0.05, dtype=np.float32))
        push(np.full(4, 0.5, dtype=np.float32))  # does not wait for the first
        device.may_write.set()
    np.testing.assert_allclose(np.concatenate(device.heard), [0.5] * 4 + [1.0] * 4, rtol=1e-6)  # clipped, not wrapped
    assert device.events == ["stop", "close"]


def test_an_interruption_silences_the_device_at_once() -> None:
    device = Loudspeaker()

    def interrupted() -> None:
        with playing(24_000, open_device=lambda rate_hz: device) as push:
            push(np.zeros(4, dtype=np.float32))
            push(np.zeros(4, dtype=np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert device.events == ["abort", "close"]
    assert len(device.heard) <= 1


def test_an_error_of_the_device_is_not_lost() -> None:
    device = Loudspeaker(OSError("unplugged"))
    device.may_write.set()
    with pytest.raises(OSError, match="unplugged"), playing(24_000, open_device=lambda rate_hz: device) as push:
        push(np.zeros(4, dtype=np.float32))
    assert device.events == ["abort", "close"]


@pytest.mark.parametrize("error", [ImportError("no module"), OSError("PortAudio library not found")])
def test_a_missing_package_or_library_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise error
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"cosy\[play\].*libportaudio2"):
        open_sound_card(24_000)


def test_a_machine_without_a_sound_card_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("sounddevice")
    package.PortAudioError = type("PortAudioError", (Exception,), {})  # type: ignore[attr-defined]

    def no_device(**settings: Any) -> None:
        raise package.PortAudioError("Error querying device -1")

    package.OutputStream = no_device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    with pytest.raises(ParameterError, match="device -1; use --out instead of --play"):
        open_sound_card(24_000)
