"""`cosy bench`: how fast this machine speaks, and whether it stays whole under load."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosy.cli.bench_server import server
from cosy.errors import ParameterError

if TYPE_CHECKING:
    from cosy.bench.report import Report
    from cosy.bench.subject import Subject

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed and steadiness on this machine.")
bench_app.command()(server)

Model = Annotated[Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")]
RandomWeights = Annotated[
    bool, typer.Option("--random-weights", help="Official size with random weights: needs no checkpoint.")
]
VoiceName = Annotated[str | None, typer.Option("--voice", help="Voice; by default the first preset.")]
PromptSeconds = Annotated[
    float | None, typer.Option(min=0.04, max=30, help="Prompt of the random voice; 5 by default.", show_default=False)
]
NewVoice = Annotated[
    bool,
    typer.Option("--new-voice/--cached", help="A voice the engine has never seen, or one whose state it has computed."),
]
Seconds = Annotated[float, typer.Option(min=0.1, help="Speech of a request, about.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[str, typer.Option(help="float32, float16 or bfloat16; the vocoder stays in float32.")]
Recipe = Annotated[
    str | None,
    typer.Option(help="Arithmetic, such as packed or lm=int8,flow=bfloat16; by default the fastest of this CPU."),
]
Memory = Annotated[
    str | None, typer.Option(help="What the flow keeps of its past: full, half or bounded; by default what fits.")
]
MemoryGib = Annotated[float | None, typer.Option(min=0.01, help="For that past, of all streams.", show_default=False)]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of torch; by default one for each core.")]
Seed = Annotated[int, typer.Option(min=0, help="Request i has the seed SEED + i.")]
Runs = Annotated[int, typer.Option(min=1, help="Requests, of each stream.")]
Reference = Annotated[
    bool, typer.Option("--reference", help="Compute the official way, too, run by run, and print the ratios.")
]


@bench_app.command()
def latency(
    model: Model = None,
    random_weights: RandomWeights = False,
    voice: VoiceName = None,
    prompt_seconds: PromptSeconds = None,
    new_voice: NewVoice = False,
    seconds: Seconds = 10.0,
    runs: Runs = 20,
    reference: Reference = False,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    recipe: Recipe = None,
    memory: Memory = None,
    memory_gib: MemoryGib = None,
    threads: Threads = None,
    seed: Seed = 0,
) -> None:
    """Time to the first audio, real-time factor and slack of one stream after another."""
    subject = _subject(
        model, random_weights, voice, prompt_seconds, new_voice, seconds, device, dtype, recipe, memory, memory_gib,
        threads, seed,
    )  # fmt: skip
    from cosy.bench.speed import latency as measure

    _finish(asyncio.run(measure(subject, runs, reference)))


@bench_app.command()
def throughput(
    model: Model = None,
    random_weights: RandomWeights = False,
    voice: VoiceName = None,
    prompt_seconds: PromptSeconds = None,
    new_voice: NewVoice = False,
    seconds: Seconds = 10.0,
    streams: Annotated[str, typer.Option(help="How many at once; several numbers with commas.")] = "1,2,4",
    runs: Runs = 5,
    arrivals: Annotated[
        float | None,
        typer.Option(help="Requests a second, at random, some refused; by default each stream asks again at once."),
    ] = None,
    reference: Reference = False,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    recipe: Recipe = None,
    memory: Memory = None,
    memory_gib: MemoryGib = None,
    threads: Threads = None,
    seed: Seed = 0,
) -> None:
    """Many streams at once: first audio, underruns, and seconds of audio made in a second."""
    counts = _numbers(streams)
    subject = _subject(
        model, random_weights, voice, prompt_seconds, new_voice, seconds, device, dtype, recipe, memory, memory_gib,
        threads, seed,
    )  # fmt: skip
    from cosy.bench.speed import throughput as measure

    _finish(asyncio.run(measure(subject, counts, runs, arrivals, reference)))


@bench_app.command()
def stages(
    model: Model = None,
    random_weights: RandomWeights = False,
    only: Annotated[str, typer.Option(help="Stages to measure, with commas.")] = "lm,flow,vocoder",
    rows: Annotated[str, typer.Option(help="Streams in a step of the language model, with commas.")] = "1,4,8",
    visible_tokens: Annotated[int, typer.Option(min=1, help="What the flow looks back on, 25 a second.")] = 250,
    repeats: Annotated[int, typer.Option(min=1, help="Turns, of which the fastest counts.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch; one is timed by the processor's clock.")] = 1,
) -> None:
    """Each network alone, in each kind of arithmetic that this CPU has: time, and how far the result is off."""
    counts = _numbers(rows, "rows")
    from cosy.bench.stage_report import measured_stages

    _finish(measured_stages(model, random_weights, only.split(","), counts, visible_tokens, repeats, threads))


@bench_app.command()
def soak(
    model: Model = None,
    random_weights: RandomWeights = False,
    voice: VoiceName = None,
    prompt_seconds: PromptSeconds = None,
    seconds: Seconds = 6.0,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long requests arrive.")] = 15.0,
    streams: Annotated[int, typer.Option(min=1, help="At once, at most.")] = 4,
    arrivals: Annotated[
        float | None, typer.Option(help="Requests a second; by default 1.1 of what one stream after another takes.")
    ] = None,
    snr: Annotated[float, typer.Option(help="dB of a stream against its solo run, at least.")] = 30.0,
    growth: Annotated[float, typer.Option(min=0, help="Of memory after the warm-up, a share, at most.")] = 0.02,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    recipe: Recipe = None,
    memory: Memory = None,
    memory_gib: MemoryGib = None,
    threads: Threads = None,
    seed: Seed = 0,
) -> None:
    """Random arrivals, listeners that leave and stages that fail; exit status 1 if anything was lost or grew.

    Each stream is compared with the same request heard alone before.
    """
    subject = _subject(
        model, random_weights, voice, prompt_seconds, False, seconds, device, dtype, recipe, memory, memory_gib,
        threads, seed,
    )  # fmt: skip
    from cosy.bench.soak import Terms
    from cosy.bench.soak import soak as endure

    terms = Terms(minutes, streams, arrivals, least_snr_db=snr, most_growth=growth)
    _finish(asyncio.run(endure(subject, terms)))


def _subject(
    model: Path | None,
    random_weights: bool,
    voice: str | None,
    prompt_s: float | None,
    new_voice: bool,
    seconds: float,
    device: str,
    dtype: str,
    recipe: str | None,
    memory: str | None,
    memory_gib: float | None,
    threads: int | None,
    seed: int,
) -> Subject:
    """The model and what it says.  Raises CosyError if they cannot be had."""
    from cosy.bench.subject import Choice, open_subject
    from cosy.engine.build import MEMORY_BYTES

    room = MEMORY_BYTES / 2**30 if memory_gib is None else memory_gib
    choice = Choice(
        model, random_weights, voice, prompt_s, new_voice, seconds, device, dtype, recipe, memory, room, threads, seed
    )
    return open_subject(choice)


def _numbers(text: str, name: str = "streams") -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ParameterError(f"{name} must be numbers above 0 with commas between, such as 1,2,4; got {text!r}")
    return numbers


def _finish(report: Report) -> None:
    """Print, and leave with status 1 if the benchmark failed."""
    report.print()
    if report.failures:
        raise typer.Exit(1)
