"""Every error a user can cause or meet, without heavy imports.

    CosyError
    +-- InputError (ValueError)         the request is wrong
    |   +-- TextError                   text, instruction, language, lexicon
    |   +-- AudioError                  reference audio that cannot be used
    |   +-- VoiceError                  duplicate or damaged voice, or one that cannot do what is asked
    |   |   +-- UnknownVoiceError       there is no voice of that id or name
    |   +-- ParameterError              speed, seed, format, rate ... out of range
    +-- CheckpointError                 a model directory that cannot be used
    |   +-- MissingFileError            a file of the layout is absent
    |   +-- MismatchError               a key, shape or hyper-parameter does not fit
    +-- MissingDependencyError          an optional package is not installed
    +-- EngineError                     synthesis itself failed
        +-- OverloadedError             no capacity now; `retry_after_s` says when
        +-- AbortedError                the request was cancelled

Every message says what was wrong, the value, and what to do.
"""

from __future__ import annotations


class CosyError(Exception):
    """Base class of all errors raised on purpose."""


class InputError(CosyError, ValueError):
    """The request cannot be served as it is; sending it again unchanged will fail again."""


class TextError(InputError):
    """Text, instruction or lexicon cannot be spoken."""


class AudioError(InputError):
    """Reference audio cannot be decoded or does not qualify as a prompt."""


class VoiceError(InputError):
    """A voice is unknown, exists already, or its file is damaged."""


class UnknownVoiceError(VoiceError):
    """No voice has this id or name."""


class ParameterError(InputError):
    """A numeric or named parameter is out of range."""


class CheckpointError(CosyError):
    """A model directory cannot be used."""


class MissingFileError(CheckpointError):
    """A file that the directory layout requires is absent."""


class MismatchError(CheckpointError):
    """A file holds other keys, shapes or hyper-parameters than the model needs."""


class MissingDependencyError(CosyError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class EngineError(CosyError):
    """Synthesis failed for a reason that is not the caller's input."""


class OverloadedError(EngineError):
    """There is no capacity at present."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AbortedError(EngineError):
    """The request was cancelled before it was finished."""
