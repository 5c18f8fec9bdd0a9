"""The front matter cannot rot: its examples run, its options exist, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import typer
from typer.core import TyperGroup

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BUNDLED_MODEL = REPOSITORY / "src" / "cosy" / "assets" / "model"
PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))


def blocks(language: str) -> list[str]:
    """The fenced code blocks of the README in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def command_lines() -> Iterator[list[str]]:
    """The arguments of every `cosy ...` line of the README, up to a pipe or a comment."""
    for block in blocks("bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["cosy"]:
                yield words[1 : words.index("|")] if "|" in words else words[1:]


@pytest.mark.slow
@pytest.mark.skipif(not BUNDLED_MODEL.is_dir(), reason="there is no bundled checkpoint in this tree")
def test_the_python_example_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSY_MODEL", raising=False)
    example = next(block for block in blocks("python") if "cosy" in block.partition("\n")[0])
    exec(compile(example, "README.md", "exec"), {})
    assert soundfile.info(tmp_path / "hello.wav").duration > 1.0


@pytest.mark.parametrize("arguments", list(command_lines()), ids=" ".join)
def test_every_command_of_the_readme_exists_with_its_options(arguments: list[str]) -> None:
    from cosy.cli.app import app

    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        name, *arguments = arguments
        assert name in command.commands
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in arguments if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing
