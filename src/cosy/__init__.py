"""CosyVoice 2 from scratch: streaming text-to-speech with voice cloning.

    from cosy import Cosy

    speech = Cosy.load().say("Hello, world.")
    speech.save("hello.wav")

Names are imported at their first use, so that `import cosy` costs nothing and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosy.api import Cosy, Segment, Speech
    from cosy.engine.async_engine import AsyncEngine
    from cosy.engine.build import build_engine
    from cosy.errors import CosyError, InputError
    from cosy.types import AudioChunk, FinishReason, Mode, Sampling, SpeechRequest
    from cosy.voices.store import VoiceStore
    from cosy.voices.voice import Voice

    __version__: str

__all__ = [
    "AsyncEngine",
    "AudioChunk",
    "Cosy",
    "CosyError",
    "FinishReason",
    "InputError",
    "Mode",
    "Sampling",
    "Segment",
    "Speech",
    "SpeechRequest",
    "Voice",
    "VoiceStore",
    "__version__",
    "build_engine",
]

_HOMES = {
    "cosy.api": ("Cosy", "Segment", "Speech"),
    "cosy.engine.async_engine": ("AsyncEngine",),
    "cosy.engine.build": ("build_engine",),
    "cosy.errors": ("CosyError", "InputError"),
    "cosy.types": ("AudioChunk", "FinishReason", "Mode", "Sampling", "SpeechRequest"),
    "cosy.voices.store": ("VoiceStore",),
    "cosy.voices.voice": ("Voice",),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cosy")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'cosy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
