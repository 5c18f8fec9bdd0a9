"""`cosy say`: text in, audio out, into a file, down a pipe or from the loudspeaker."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from cosy.errors import ParameterError, TextError

if TYPE_CHECKING:
    from cosy.cli.output import Output
    from cosy.cli.tools import Tools
    from cosy.types import AudioChunk

DEFAULT_FILE = "out.wav"
STANDARD_INPUT = "-"
PIECE_BYTES = 4096  # most that is read at once from text that arrives


class ModeName(str, Enum):
    """The values of `cosy.types.Mode`, whose module imports numpy and would slow down every `--help`."""

    zero_shot = "zero_shot"
    cross_lingual = "cross_lingual"
    instruct = "instruct"
    sft = "sft"


class FinalChunk(str, Enum):
    streaming = "streaming"
    official = "official"


class Dtype(str, Enum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def _file(help: str) -> Any:
    return typer.Option(help=help, exists=True, dir_okay=False, metavar="FILE")


def say(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What to say; - reads standard input.", show_default=False)] = None,
    file: Annotated[Path | None, _file("Read the text from a UTF-8 file.")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help=f"File to write; - is standard output.  [default: {DEFAULT_FILE}]"),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="wav, pcm, flac, mp3, opus or aac; by default what the file's extension says.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Hand on audio as it is made.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Speak while text still arrives on standard input; it is not normalised.")
    ] = False,
    play: Annotated[bool, typer.Option("--play", help="Play it while it is made; needs cosy[play].")] = False,
    voice: Annotated[str | None, typer.Option(help="Name of a voice; by default the model's first preset.")] = None,
    prompt: Annotated[Path | None, _file("Speak in the voice of this recording of 3 to 30 s.")] = None,
    prompt_text: Annotated[
        str, typer.Option(help="What is said in the recording; without it only its voice is taken (cross-lingual).")
    ] = "",
    instruct: Annotated[str, typer.Option(help="How to speak, in words.")] = "",
    mode: Annotated[ModeName | None, typer.Option(help="By default what voice and instruction suggest.")] = None,
    language: Annotated[str, typer.Option(help="en, zh, ja ...; by default detected.")] = "",
    speed: Annotated[float, typer.Option(help="Tempo, 0.25 to 4 (0.5 to 2 sounds natural); the pitch stays.")] = 1.0,
    gain: Annotated[float, typer.Option(help="Louder or softer, in dB, -40 to 20.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same audio.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sampling: probability mass of the candidates; by default the model's.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Sampling: most candidates; by default the model's.")] = None,
    normalise: Annotated[
        bool, typer.Option("--normalise/--no-normalise", help="Write out numbers and signs before speaking.")
    ] = True,
    lexicon: Annotated[Path | None, _file("How to say certain words: lines of 'from = to'.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="In Hz; by default the model's.")] = None,
    bit_rate: Annotated[int | None, typer.Option(help="In bit/s, of mp3, opus and aac.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")
    ] = None,
    voices: Annotated[Path | None, typer.Option(help="Folder of registered voices; by default COSY_VOICES.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    dtype: Annotated[Dtype | None, typer.Option(help="Precision of the networks.")] = None,
    recipe: Annotated[
        str, typer.Option(help="Arithmetic on a CPU, such as int8 or lm=int8,flow=bfloat16; float32 is exact.")
    ] = "auto",
    lora: Annotated[Path | None, _file("Adapter whose weights are added to the model's.")] = None,
    final_chunk: Annotated[
        FinalChunk, typer.Option(help="How the last chunk is computed: as all others, or as the official code does.")
    ] = FinalChunk.streaming,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the speech.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Speak a text.

    Prints the name of the file it wrote.  A file appears when it is whole: an interrupted or failed run leaves none.
    """
    from cosy.cli.output import STANDARD_OUTPUT, Output
    from cosy.types import Sampling, SpeechRequest

    tools: Tools = ctx.obj
    sampling: dict[str, Any] = {
        key: value for key, value in {"top_p": top_p, "top_k": top_k}.items() if value is not None
    }
    SpeechRequest("", speed=speed, gain_db=gain, seed=seed, sampling=Sampling(**sampling))  # refuses before any work
    _refuse_contradictions(
        {
            "--voice and --prompt exclude each other; 'cosy voice add' keeps a recording as a voice": voice and prompt,
            "--prompt-text is what --prompt says; name the recording, too": prompt_text and not prompt,
            "--live speaks text as it is; leave out --live or --lexicon": live and lexicon,
            "--live reads standard input; give - as TEXT": live and text != STANDARD_INPUT,
            "--json and --out - both want standard output; name a file": as_json and out == STANDARD_OUTPUT,
            "give either TEXT, or --file, or - for standard input": (text is None) == (file is None),
        }
    )
    no_file = play and out is None
    output = None if no_file else Output(out or DEFAULT_FILE, format, sample_rate, bit_rate, gain, stream)
    words = _arriving(sys.stdin.buffer) if live else _whole(text, file)

    precision = None if dtype is None else dtype.value
    cosy = tools.load(
        model,
        device=device,
        dtype=precision,
        recipe=recipe,
        voices=voices,
        final_chunk=final_chunk.value,
        lexicon=lexicon,
        lora=lora,
    )
    chunks = cosy.stream(
        words,
        voice,
        prompt=prompt,
        prompt_text=prompt_text,
        instruction=instruct,
        mode=None if mode is None else mode.value,
        language=language,
        speed=speed,
        seed=seed,
        sampling=replace(cosy.model.config.llm.sampling, **sampling),
        normalise=normalise,
        whole_segments=not (stream or play or live),
    )
    speech = Measured(cosy.rate_hz)
    with ExitStack() as stack:
        pushes = [stack.enter_context(output.writing(cosy.rate_hz))] if output else []
        if play:
            pushes.append(stack.enter_context(tools.playing(cosy.rate_hz, gain)))
        show = stack.enter_context(_progress(words, quiet))
        for chunk in speech.measure(chunks):
            for push in pushes:
                push(chunk.samples)
            show(speech)
    _report(speech, output, as_json, quiet)


def _refuse_contradictions(found: dict[str, object]) -> None:
    """Raises ParameterError with the first message that applies."""
    for message, applies in found.items():
        if applies:
            raise ParameterError(message)


def _whole(text: str | None, file: Path | None) -> str:
    """The text from wherever it comes.  Raises TextError if it is not UTF-8, or empty."""
    if file is not None:
        text = _decode(file.read_bytes(), str(file))
    elif text == STANDARD_INPUT:
        text = _decode(sys.stdin.buffer.read(), "standard input")
    assert text is not None, "one of the two is given"
    if not text.strip():
        raise TextError("there is nothing to say: the text is empty")
    return text


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{name} is not UTF-8 text (byte {error.start}); convert it first") from error


def _arriving(source: BinaryIO) -> Iterator[str]:
    """Text as soon as it is there; a character cut in two waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        while data := source.read1(PIECE_BYTES):  # type: ignore[attr-defined]
            yield decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise TextError("standard input is not UTF-8 text; convert it first") from error


@dataclass
class Part:
    """A segment of the text and where it is in the audio."""

    text: str
    start_s: float
    end_s: float
    finish_reason: str = ""
    text_tokens: int | None = None
    speech_tokens: int | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass
class Measured:
    """What passed by: the segments, and how long the making took.  Waiting for a slow reader does not count."""

    rate_hz: int
    parts: dict[int, Part] = field(default_factory=dict)  # by the segment's index
    samples: int = 0
    computing_s: float = 0.0
    first_audio_s: float | None = None
    seed: int | None = None
    timings_s: dict[str, float] = field(default_factory=dict)  # stage -> seconds of computing

    def measure(self, chunks: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
        """Hand on the chunks, taking notes."""
        started = perf_counter()
        for chunk in chunks:
            self.computing_s += perf_counter() - started
            self._note(chunk)
            yield chunk
            started = perf_counter()
        self.computing_s += perf_counter() - started

    def _note(self, chunk: AudioChunk) -> None:
        if self.first_audio_s is None and len(chunk.samples):
            self.first_audio_s = self.computing_s
        start = chunk.offset_samples / self.rate_hz
        part = self.parts.setdefault(chunk.segment, Part(chunk.text, start, start))
        part.end_s = (chunk.offset_samples + len(chunk.samples)) / self.rate_hz
        if chunk.finish_reason:
            part.finish_reason = chunk.finish_reason.value
            part.text_tokens, part.speech_tokens = (chunk.details.get(key) for key in ("text_tokens", "speech_tokens"))
            part.warnings = list(chunk.details.get("warnings", ()))
        for stage, seconds in chunk.timings_s.items():
            self.timings_s[stage] = self.timings_s.get(stage, 0.0) + seconds
        self.samples += len(chunk.samples)
        self.seed = chunk.details.get("seed", self.seed)

    @property
    def audio_s(self) -> float:
        return self.samples / self.rate_hz

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of computing for a second of audio; None without audio."""
        return self.computing_s / self.audio_s if self.samples else None

    @property
    def finished_characters(self) -> int:
        return sum(len(part.text) for part in self.parts.values() if part.finish_reason)

    def summary(self) -> str:
        """For people."""
        if not self.samples:
            return "no audio came"
        return (
            f"{self.audio_s:.2f} s of speech in {self.computing_s:.2f} s "
            f"(real-time factor {self.real_time_factor:.2f}), "
            f"first audio after {1000 * (self.first_audio_s or 0):.0f} ms, seed {self.seed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": round(self.audio_s, 6),
            "model_rate_hz": self.rate_hz,
            "seed": self.seed,
            "first_audio_ms": None if self.first_audio_s is None else round(1000 * self.first_audio_s, 3),
            "real_time_factor": self.real_time_factor,
            "timings_s": self.timings_s,
            "finish_reasons": [part.finish_reason for part in self.parts.values()],
            "segments": [asdict(part) for part in self.parts.values()],
        }


@contextmanager
def _progress(words: str | Iterator[str], quiet: bool) -> Iterator[Callable[[Measured], None]]:
    """A bar on standard error, where that is a terminal; it is full when every character has been spoken."""
    if quiet or not sys.stderr.isatty():
        yield lambda speech: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(words) if isinstance(words, str) else None)

        def show(speech: Measured) -> None:
            told = f"{speech.audio_s:.1f} s, real-time factor {speech.real_time_factor or 0:.2f}"
            bar.update(task, completed=speech.finished_characters, description=told)

        yield show


def _report(speech: Measured, output: Output | None, as_json: bool, quiet: bool) -> None:
    file = None if output is None or output.to_standard_output else output.place
    if not quiet:
        for part in speech.parts.values():
            for warning in part.warnings:
                typer.echo(f"warning: {warning}: {part.text!r}", err=True)
        typer.echo(speech.summary(), err=True)
    if as_json:
        rate_hz = (output and output.rate_hz) or speech.rate_hz
        typer.echo(json.dumps({"file": file, "rate_hz": rate_hz, **speech.as_dict()}, ensure_ascii=False))
    elif file is not None:
        typer.echo(file)
