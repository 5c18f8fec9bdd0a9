"""`cosy text`: how a text will be read, change by change, and the segments it falls into."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import ParameterError, TextError

if TYPE_CHECKING:
    from cosy.text.frontend import Segment, TextFrontend
    from cosy.text.rules import Rewrite

STANDARD_INPUT = "-"


class PolicyName(str, Enum):
    cosy = "cosy"
    official = "official"


def text_command(
    text: Annotated[
        str | None, typer.Argument(help="What to read; - reads standard input.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Read the text from a UTF-8 file.", exists=True, dir_okay=False, metavar="FILE"),
    ] = None,
    language: Annotated[str, typer.Option(help="en, zh, ja ...; by default detected.")] = "",
    lexicon: Annotated[
        Path | None, typer.Option(help="How to say certain words.", exists=True, dir_okay=False, metavar="FILE")
    ] = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="The lexicon's words match in any case.")] = False,
    normalise: Annotated[
        bool, typer.Option("--normalise/--no-normalise", help="Write out numbers and signs before speaking.")
    ] = True,
    policy: Annotated[
        PolicyName, typer.Option(help="Whose rules: ours, or those of CosyVoice 2 without a normaliser package.")
    ] = PolicyName.cosy,
    model: Annotated[
        Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a text will be read.

    Prints every change (rule, before, after), then every segment with its language and its number of text tokens.  Of a
    model that reads English words as phones also those that its dictionary lacks: a --lexicon may write them otherwise.
    """
    given = _given(text, file)
    frontend = _frontend(model, lexicon, ignore_case, normalise, policy)
    rewrites, segments = frontend.explain(given, language), frontend.segments(given, language)
    unknown = frontend.tokenizer.pronunciations.unknown(" ".join(segment.text for segment in segments))
    if as_json:
        typer.echo(json.dumps(_report(given, rewrites, segments, unknown), ensure_ascii=False))
        return
    for line in _lines(rewrites, segments, unknown):
        typer.echo(line)


def _given(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        raise ParameterError("give either TEXT, or --file, or - for standard input")
    if text is not None and text != STANDARD_INPUT:
        return text
    data = sys.stdin.buffer.read() if file is None else file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        name = file or "standard input"
        raise TextError(f"{name} is not UTF-8 text (byte {error.start}); convert it first") from error


def _frontend(
    model: Path | None, lexicon: Path | None, ignore_case: bool, normalise: bool, policy: PolicyName
) -> TextFrontend:
    from cosy.api import find_model
    from cosy.checkpoint.layout import Layout
    from cosy.text.frontend import TextFrontend
    from cosy.text.lexicon import Lexicon
    from cosy.text.tokenizer import TextTokenizer

    words = None if lexicon is None else Lexicon.load(lexicon, ignore_case)
    return TextFrontend(TextTokenizer(Layout(find_model(model)).backbone), words, normalise, policy.value)


def _report(text: str, rewrites: list[Rewrite], segments: list[Segment], unknown: list[str]) -> dict[str, Any]:
    return {
        "text": text.encode("utf-8", "replace").decode(),
        "rewrites": [asdict(rewrite) for rewrite in rewrites],
        "segments": [
            {"text": segment.text, "language": segment.language, "tokens": segment.tokens, "ids": segment.ids}
            for segment in segments
        ],
        "unknown_words": unknown,
    }


def _lines(rewrites: list[Rewrite], segments: list[Segment], unknown: list[str]) -> list[str]:
    width = max((len(rewrite.rule) for rewrite in rewrites), default=0)
    changes = [f"{rewrite.rule:<{width}}  {rewrite.before!r} -> {rewrite.after!r}" for rewrite in rewrites]
    spoken = [
        f"{number}. [{segment.language}, {segment.tokens} tokens] {segment.text}"
        for number, segment in enumerate(segments, start=1)
    ]
    letters = ["", f"not in the dictionary, read by letters: {', '.join(unknown)}"] if unknown else []
    return [*changes, *([""] if changes else []), *spoken, *letters]
