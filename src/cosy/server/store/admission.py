"""Whether an upload may become a voice: names made safe, recordings measured, headerless PCM recognised."""

from __future__ import annotations

import io
import re
import unicodedata
import wave
from dataclasses import dataclass

from cosy.audio.io import load_audio
from cosy.errors import AudioError, ParameterError
from cosy.server.store.records import MIB, VoiceLimits, VoiceUpload
from cosy.server.store.voice_check import check_voice

MAX_NAME, MAX_ID, MAX_FILENAME = 128, 255, 255  # characters
MAX_TRANSCRIPT = 5_000  # characters, several times what can be said in the longest recording
PCM_RATE_HZ = 16_000  # of headerless PCM, unless something else is said
MIN_PCM_RATE_HZ, MAX_PCM_RATE_HZ = 8_000, 192_000
PCM_TYPES = ("audio/pcm", "audio/x-pcm", "audio/raw")
HEADERS = re.compile(
    rb"RIFF....WAVE|fLaC|OggS|ID3|\x1aE\xdf\xa3|....ftyp", re.DOTALL
)  # of files that describe themselves

PLACEHOLDERS = (
    "在一无所知中梦里的一天结束了一个新的轮回便会开始",
    "In the midst of ignorance, a day in the dream comes to an end, and a new cycle begins.",
)
"""Sample sentences that a published cloning page sends as transcript, whatever was recorded."""


@dataclass(frozen=True)
class Recording:
    """An upload's sound, found fit to be a voice."""

    audio: bytes  # as it came
    readable: bytes  # with a header
    pcm_rate_hz: int | None  # None: it came with a header
    transcript: str  # empty: not known
    warnings: tuple[str, ...]


def admit(
    audio: bytes,
    transcript: str,
    limits: VoiceLimits,
    *,
    filename: str = "",
    content_type: str = "",
    sample_rate_hz: int | None = None,
) -> Recording:
    """Measure a recording.

    Raises AudioError if it is too big, cannot be decoded, is too short or nothing but silence, or is longer than
    a transcript can be trusted for; ParameterError for a sample rate that PCM cannot have, or an endless transcript.
    """
    if len(audio) > limits.max_bytes:
        raise AudioError(
            f"the recording has {len(audio) / MIB:.1f} MiB, at most {limits.max_bytes / MIB:g} MiB are taken; "
            "cut it to some seconds of speech, or send it as FLAC or MP3"
        )
    text = real_transcript(clean_text(transcript))
    if len(text) > MAX_TRANSCRIPT:
        raise ParameterError(
            f"the transcript has {len(text)} characters, at most {MAX_TRANSCRIPT} are taken; "
            "it must be word for word what the recording says"
        )
    pcm_rate_hz = pcm_rate(audio, filename, content_type, sample_rate_hz)
    readable = with_header(audio, pcm_rate_hz)
    samples, rate_hz = load_audio(readable, max_s=limits.max_s + 1.0)
    seconds = len(samples) / rate_hz
    if seconds < limits.min_s:
        raise AudioError(
            f"the recording is {seconds:.2f} s long, at least {limits.min_s:g} s are needed; record a whole sentence"
        )
    if seconds > limits.max_s and text:
        raise AudioError(
            f"the recording is longer than {limits.max_s:g} s and has a transcript, which could not be cut with it; "
            "cut both to the same words, or leave the transcript out"
        )
    return Recording(audio, readable, pcm_rate_hz, text, check_voice(samples, rate_hz))


def admit_upload(upload: VoiceUpload, limits: VoiceLimits) -> Recording:
    """`admit` with what the upload says of its recording."""
    return admit(
        upload.audio,
        upload.transcript,
        limits,
        filename=upload.filename,
        content_type=upload.content_type,
        sample_rate_hz=upload.sample_rate_hz,
    )


def decode_hint(audio: bytes, filename: str = "", content_type: str = "", sample_rate_hz: int | None = None) -> bytes:
    """`audio` with a WAV header if it is headerless PCM by name or type, else as it is.

    Raises ParameterError for a rate out of range.
    """
    return with_header(audio, pcm_rate(audio, filename, content_type, sample_rate_hz))


def pcm_rate(audio: bytes, filename: str, content_type: str, sample_rate_hz: int | None) -> int | None:
    """Rate in Hz of s16le mono PCM without a header; None for every other content, which describes itself."""
    kind, _, parameters = content_type.lower().partition(";")
    if HEADERS.match(audio[:16]) or not (filename.lower().endswith(".pcm") or kind.strip() in PCM_TYPES):
        return None
    stated = re.search(r"\brate=(\d{1,9})", parameters)
    rate_hz = sample_rate_hz or (int(stated[1]) if stated else PCM_RATE_HZ)
    if not MIN_PCM_RATE_HZ <= rate_hz <= MAX_PCM_RATE_HZ:
        raise ParameterError(
            f"sample_rate of PCM must be between {MIN_PCM_RATE_HZ} and {MAX_PCM_RATE_HZ}, got {rate_hz}; "
            "or send the recording as WAV"
        )
    return rate_hz


def with_header(audio: bytes, pcm_rate_hz: int | None) -> bytes:
    """A WAV file of s16le mono PCM; `audio` itself if the rate is None."""
    if pcm_rate_hz is None:
        return audio
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(pcm_rate_hz)
        writer.writeframes(audio[: len(audio) // 2 * 2])
    return file.getvalue()


def real_transcript(transcript: str) -> str:
    """`transcript`, or nothing if it is a cloning page's sample sentence rather than what was recorded."""
    return "" if _letters(transcript) in {_letters(sentence) for sentence in PLACEHOLDERS} else transcript


def clean_text(text: str) -> str:
    """`text` as every database can keep it: control characters are spaces, lone surrogates are dropped."""
    encodable = text.encode("utf-8", "ignore").decode("utf-8")
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in encodable).strip()


def clean_name(name: str, what: str = "voice") -> str:
    """`name` without surrounding space.  Raises ParameterError if it is empty or too long."""
    cleaned = clean_text(name)
    if not 1 <= len(cleaned) <= MAX_NAME:
        raise ParameterError(f"the name of a {what} must have 1 to {MAX_NAME} characters, got {len(cleaned)}")
    return cleaned


def clean_filename(filename: str) -> str:
    """The last part of a path of any system, to be shown and never to be opened."""
    return re.split(r"[/\\]", clean_text(filename))[-1][-MAX_FILENAME:]


def check_id(voice_id: str) -> str:
    """`voice_id` itself.  Raises ParameterError unless it has 1 to 255 characters, none of them space or control."""
    if not 1 <= len(voice_id) <= MAX_ID or not voice_id.isprintable() or any(char.isspace() for char in voice_id):
        raise ParameterError(
            f"{voice_id[:MAX_ID]!r} cannot be the id of a voice: use 1 to {MAX_ID} characters without spaces"
        )
    return voice_id


def _letters(text: str) -> str:
    """Without spaces, punctuation and case."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())
