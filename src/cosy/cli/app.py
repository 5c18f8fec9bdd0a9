"""The `cosy` command: its options, the table of its commands, and what becomes of errors.

Importing this module imports nothing heavy, so `cosy --help` answers at once: a command imports what it needs
when it runs.  Results go to standard output, everything else to standard error.

    exit status   0    done
                  1    synthesis failed
                  2    wrong usage, text, voice, audio or parameter
                  3    the model directory cannot be used
                  4    an optional package is missing
                  130  interrupted
                  141  whoever read the output has gone
                  143  told to end
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import traceback
from typing import Annotated

import typer
from typer.core import TyperGroup

from cosy.cli.bench import bench_app
from cosy.cli.data import data_app
from cosy.cli.doctor import doctor
from cosy.cli.evaluate import eval_app
from cosy.cli.evaluate_mandarin import mandarin
from cosy.cli.keys import keys_app, usage
from cosy.cli.model import model_app
from cosy.cli.say import say
from cosy.cli.serve import serve
from cosy.cli.text import text_command
from cosy.cli.tools import Tools
from cosy.cli.train import train_app
from cosy.cli.voice import voice_app
from cosy.errors import CheckpointError, CosyError, InputError, MissingDependencyError

EXIT_STATUS: tuple[tuple[type[CosyError], int], ...] = (
    (InputError, 2),
    (CheckpointError, 3),
    (MissingDependencyError, 4),
    (CosyError, 1),
)
INTERRUPTED, READER_GONE, TERMINATED = 130, 141, 143  # what a shell reports for SIGINT, SIGPIPE and SIGTERM


def exit_status(error: CosyError) -> int:
    """The exit status that stands for an error."""
    return next(status for kind, status in EXIT_STATUS if isinstance(error, kind))


class Commands(TyperGroup):
    """Turns what a command raises into one line and an exit status."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except CosyError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            typer.echo(f"error: {_one_line(str(error))}", err=True)
            raise typer.Exit(exit_status(error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when Python ends
            raise typer.Exit(READER_GONE) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: quick, and the same in a terminal, in a pipe and in docs/cli.md
    pretty_exceptions_enable=False,
)
app.command()(say)
app.add_typer(voice_app, name="voice")
app.add_typer(model_app, name="model")
app.add_typer(data_app, name="data")
app.command("text")(text_command)
app.add_typer(train_app, name="train")
app.add_typer(eval_app, name="eval")
eval_app.command()(mandarin)
app.add_typer(bench_app, name="bench")
app.command()(serve)
app.add_typer(keys_app, name="keys")
app.command()(usage)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cosy {version('cosy')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log what happens; twice: in detail.", show_default=False)
    ] = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """CosyVoice 2: speech from text, in any voice."""
    ctx.obj = ctx.obj or Tools()
    if verbose:
        _log_to_stderr(ctx, logging.INFO if verbose == 1 else logging.DEBUG)


def _log_to_stderr(ctx: typer.Context, level: int) -> None:
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logger = logging.getLogger("cosy")
    logger.setLevel(level)
    logger.addHandler(handler)
    ctx.call_on_close(lambda: logger.removeHandler(handler))


def _one_line(message: str) -> str:
    return re.sub(r"\s*\n\s*", " ", message.strip())


def main(tools: Tools | None = None) -> None:
    """The `cosy` program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # by an exception, so that half files are removed
    app(prog_name="cosy", obj=tools)
