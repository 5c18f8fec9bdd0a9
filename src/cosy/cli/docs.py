"""The reference of the command line, made from its own help: `python -m cosy.cli.docs > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperGroup

from cosy.cli.app import app

WIDTH = 100  # columns, whatever the terminal
INTRODUCTION = """\
# The command line

Made by `python -m cosy.cli.docs`; do not edit.
"""


def reference() -> str:
    """Every command's help as Markdown."""
    root = typer.main.get_command(app)
    return "\n".join([INTRODUCTION, *_sections(typer.Context(root, info_name="cosy", terminal_width=WIDTH))])


def _sections(context: typer.Context) -> Iterator[str]:
    command = context.command
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context).strip()}\n```\n"
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _sections(typer.Context(inner, parent=context, info_name=name))


if __name__ == "__main__":
    print(reference(), end="")
