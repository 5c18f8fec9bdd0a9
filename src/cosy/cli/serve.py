"""`cosy serve`: the HTTP and WebSocket server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import ParameterError

if TYPE_CHECKING:
    from cosy.server.settings import Settings

Config = Annotated[Path | None, typer.Option(help="Settings file (TOML); by default COSY_CONFIG.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the database and the recordings.")]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; by default 8000.")] = None,
    model: Annotated[str | None, typer.Option(help="Model directory; by default the bundled one.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; by default cpu.")] = None,
    data_dir: DataDir = None,
    presets_dir: Annotated[Path | None, typer.Option(help="Folder of preset voices: name.wav and name.txt.")] = None,
    allow_open: Annotated[
        bool | None, typer.Option("--allow-open", help="Listen beyond this machine without any API key.")
    ] = None,
    config: Config = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as name=value; repeatable.")
    ] = None,
) -> None:
    """Serve speech over HTTP and WebSocket, until interrupted.

    All settings are in docs/settings.md.  What is given here goes before the environment (COSY_...), that before
    the settings file.
    """
    from cosy.server.settings import Settings

    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "model": model,
        "device": device,
        "data_dir": data_dir,
        "presets_dir": presets_dir,
        "allow_open": allow_open,
    }
    run(Settings.load({**parse_assignments(set_ or []), **_given(flags)}, config))


def run(settings: Settings) -> None:
    """Serve with these settings.  Raises CosyError if it cannot begin."""
    from importlib.util import find_spec

    import anyio

    from cosy.server import logs

    logs.set_up(settings.log_level)
    anyio.run(serve_until_told, settings, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def serve_until_told(settings: Settings) -> None:
    """Bind, build everything, serve; SIGTERM or SIGINT end it.  Raises CosyError if it cannot begin."""
    from cosy.cli.compose import composed
    from cosy.server.process import bind, serve_app

    with bind(settings) as socket:
        async with composed(settings) as app:
            await serve_app(app, settings, socket)


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """`name=value` settings; a list is written as JSON.  Raises ParameterError for anything else."""
    from cosy.server.settings import from_text

    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ParameterError(f"--set takes name=value, got {assignment!r}")
        found[name.strip()] = from_text(name.strip(), value)
    return found


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}
