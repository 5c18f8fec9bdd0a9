"""`cosy keys` and `cosy usage`: who may call a server, and what they have used."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cosy.cli.serve import Config, DataDir

if TYPE_CHECKING:
    from pathlib import Path

    from cosy.server.store.database import Database
    from cosy.server.store.keys import Key

T = TypeVar("T")

keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of a server.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SCOPES = ("speech", "voices")


@keys_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="speech, voices, admin; repeatable. [default: speech, voices]")
    ] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests per minute; by default what the settings say.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at once; by default what the settings say.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key.  It is shown this once: only its hash is kept."""
    from cosy.server.store.keys import KeyRing

    key, secret = _with_database(
        config, data_dir, lambda db: KeyRing(db).create(name, scope or SCOPES, rpm=rpm, concurrency=concurrency)
    )
    if as_json:
        typer.echo(json.dumps({**_as_dict(key), "key": secret}, ensure_ascii=False))
        return
    typer.echo(
        f"key {key.id} of {key.name!r} for {', '.join(sorted(key.scopes))}; keep it, it is not shown again:", err=True
    )
    typer.echo(secret)


@keys_app.command("list")
def list_keys(config: Config = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List all keys, revoked ones too."""
    from cosy.server.store.keys import KeyRing

    found = [_as_dict(key) for key in _with_database(config, data_dir, lambda db: KeyRing(db).list())]
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for key in found:
        state = f"revoked {key['revoked_at']}" if key["revoked_at"] else ",".join(key["scopes"])
        typer.echo(f"{key['id']}  {key['created_at']}  {state}  {key['name']}")


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of a key, as `list` shows it.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Take a key back; a running server notices within seconds."""
    from cosy.server.store.keys import KeyRing

    typer.echo(_with_database(config, data_dir, lambda db: KeyRing(db).revoke(key_id)).id)


def usage(
    key: Annotated[str | None, typer.Option(help="Of one key, by its id.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day (UTC).")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Tell what each API key has used, by day."""
    from cosy.server.store.usage import Usage

    first, last = since and since.date(), until and until.date()
    rows = _with_database(config, data_dir, lambda db: Usage(db).report(key_id=key, since=first, until=last))
    found = [{**asdict(row), "day": row.day.isoformat()} for row in rows]
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{'day':<12}{'key':<18}{'requests':>10}{'errors':>8}{'characters':>12}{'bytes':>12}{'audio s':>12}")
    for row in found:
        counts = f"{row['requests']:>10}{row['errors']:>8}{row['characters']:>12}{row['utf8_bytes']:>12}"
        typer.echo(f"{row['day']:<12}{row['key_id'] or '-':<18}{counts}{row['audio_s']:>12.1f}")


def _with_database(config: Path | None, data_dir: Path | None, ask: Callable[[Database], Awaitable[T]]) -> T:
    """What a coroutine answers about the server's database, which is made if there is none."""
    import anyio

    from cosy.cli.compose import opened_database
    from cosy.server.settings import Settings

    async def answer() -> T:
        with opened_database(Settings.load({"data_dir": data_dir}, config)) as database:
            return await ask(database)

    return anyio.run(answer)


def _as_dict(key: Key) -> dict[str, Any]:
    def when(instant: datetime | None) -> str | None:
        return instant.isoformat(timespec="seconds") if instant else None

    made, revoked = when(key.created_at), when(key.revoked_at)
    limits = {"rpm": key.rpm, "concurrency": key.concurrency}
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        **limits,
        "created_at": made,
        "revoked_at": revoked,
    }
