"""`cosy data`: corpora to train on, from recordings and from speech engines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import ParameterError

if TYPE_CHECKING:
    from rich.progress import Progress

data_app = typer.Typer(no_args_is_help=True, help="Build corpora to train on.")

Model = Annotated[Path | None, typer.Option(help="Model directory; by default the bundled checkpoint.")]
Out = Annotated[Path, typer.Option(help="Folder of the corpus; one that was begun is continued.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one per core.")]


@data_app.command()
def build(
    source: Annotated[Path, typer.Argument(help="A folder of recordings and texts, or a list: .tsv, .csv, .jsonl.")],
    out: Out,
    model: Model = None,
    no_tokens: Annotated[bool, typer.Option("--no-tokens", help="No speech tokens and speaker vectors yet.")] = False,
    max_seconds: Annotated[float, typer.Option(min=1, help="The longest utterance.")] = 30.0,
    arrays: Annotated[str, typer.Option(help="What is kept of every utterance.")] = "wave,mel,whisper,f0",
    workers: Workers = None,
) -> None:
    """Build a corpus from recordings and their texts.

    Recordings are decoded, checked, trimmed and brought to one level, and features computed.  Rows that cannot be used
    are left out; dropped.jsonl says why.  Run it again to continue after an interruption.  Needs the extra cosy[train].
    """
    from cosy.train.data import recordings
    from cosy.train.data.listing import read_rows

    options = recordings.Options(max_seconds, _names(arrays, recordings.ARRAYS, "array"))
    found = None if no_tokens else _front_ends(model)
    parts = recordings.plan(out, read_rows(source), options)
    with _bar("recordings", sum(len(part.rows) for part in parts)) as (bar, task):
        done = sum(len(part.rows) for part in parts if (out / part.name).exists())
        bar.update(task, completed=done)
        with closing(recordings.write(out, parts, options, workers or _cores())) as finished:
            for part, _ in finished:
                bar.advance(task, len(part.rows))
    recordings.gather_dropped(out, parts)
    if found is not None:
        _annotate(out, found, workers)
    _conclude(out)


@data_app.command()
def synth(
    out: Out,
    hours: Annotated[float, typer.Option(help="How much, about.")] = 1.0,
    speakers: Annotated[int, typer.Option(help="Pseudo-speakers.")] = 20,
    languages: Annotated[str, typer.Option(help="Spoken by the speakers in turn.")] = "en,zh",
    seed: Annotated[int, typer.Option(help="Of voices, texts and styles: the same seed makes the same corpus.")] = 0,
    teachers: Annotated[
        str | None, typer.Option(help="Engines: espeak, slt, rms, awb, kal16; by default all that are installed.")
    ] = None,
    arrays: Annotated[str, typer.Option(help="What is kept of every utterance.")] = "wave,mel,whisper,f0,phone",
    workers: Workers = None,
) -> None:
    """Make a corpus of what free speech engines say.

    Many pseudo-speakers and styles, with phones and word times, and without a network.  espeak-ng comes with the extra
    cosy[train]; slt is of the Debian packages festival and festvox-us-slt-hts, rms, awb and kal16 are of flite.  Run it
    again to continue after an interruption.
    """
    from cosy.eval.held_out import held_out
    from cosy.train.data.espeak import LANGUAGES
    from cosy.train.data.plan import EVERY_TEACHER, Wish, planned
    from cosy.train.data.synth import ALL, synthesise

    wish = Wish(
        hours,
        speakers,
        _names(languages, tuple(LANGUAGES), "language"),
        _installed() if teachers is None else _required(_names(teachers, EVERY_TEACHER, "teacher")),
        seed,
        _names(arrays, ALL, "array"),
    )
    jobs = planned(out, wish, held_out())
    with _bar("shards", len(jobs)) as (bar, task):
        bar.update(task, completed=sum((out / job.name).exists() for job in jobs))
        with closing(synthesise(out, jobs, workers or _cores())) as finished:
            for _ in finished:
                bar.advance(task)
    _conclude(out)


@data_app.command()
def encode(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    model: Model = None,
    workers: Workers = None,
) -> None:
    """Add a model's speech tokens and speaker vectors to a corpus.

    Those that a training run wrote are replaced.  Run it again to continue after an interruption.
    """
    _annotate(folder, _front_ends(model), workers)
    _conclude(folder)


@data_app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Say what a corpus holds, and what was dropped."""
    from cosy.train.data.summary import as_text, summarise

    figures = summarise(folder)
    typer.echo(json.dumps(figures, ensure_ascii=False) if as_json else as_text(figures))


def _installed() -> tuple[str, ...]:
    from cosy.train.data.plan import ESPEAK, EVERY_TEACHER
    from cosy.train.data.teachers import is_installed

    found = tuple(teacher for teacher in EVERY_TEACHER if teacher == ESPEAK or is_installed(teacher))
    typer.echo(f"teachers: {', '.join(found)}", err=True)
    return _required(found)


def _required(teachers: tuple[str, ...]) -> tuple[str, ...]:
    """The teachers.  Raises MissingDependencyError for one that is not installed."""
    from cosy.dependencies import optional
    from cosy.train.data.plan import ESPEAK
    from cosy.train.data.teachers import require

    for teacher in teachers:
        if teacher == ESPEAK:
            optional("espeakng_loader", "train")
        else:
            require(teacher)
    return teachers


def _front_ends(model: Path | None) -> Path:
    """The model directory, known to have the two files that are needed hours later."""
    from cosy.api import find_model
    from cosy.train.data.front_ends import identity_of

    found = find_model(model)
    identity_of(found)
    return found


def _annotate(folder: Path, model: Path, workers: int | None) -> None:
    from cosy.train.data.corpus import shards_of
    from cosy.train.data.front_ends import annotate

    with _bar("speech tokens", len(shards_of(folder))) as (bar, task):
        with closing(annotate(folder, model, workers or _cores())) as finished:
            for _ in finished:
                bar.advance(task)
        bar.update(task, completed=len(shards_of(folder)))


def _conclude(folder: Path) -> None:
    from cosy.train.data.plots import draw
    from cosy.train.data.summary import as_text, write_summary

    typer.echo(as_text(write_summary(folder)))
    typer.echo(f"{draw(folder)} shows it", err=True)


def _names(text: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    """A list with commas.  Raises ParameterError for an empty one and for names that are not known."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        told = f"unknown {what} {unknown[0]!r}" if unknown else f"no {what} is named"
        raise ParameterError(f"{told}; known: {', '.join(known)}")
    return names


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _bar(what: str, total: int) -> Iterator[tuple[Progress, Any]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        yield bar, bar.add_task(what, total=total)
