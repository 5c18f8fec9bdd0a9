"""Imports point down, lazy ones inside functions too: the layer table of docs/design as a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "cosy"

LAYERS: tuple[tuple[str, ...], ...] = (  # low to high; a row's members do not import each other
    ("errors", "timing"),
    ("types", "dependencies"),
    ("config",),
    ("audio", "text"),
    ("nn", "streaming_plan"),
    ("models",),
    ("checkpoint",),
    ("voices",),
    ("token2wav",),
    ("token2wav_official",),
    ("synthesis",),
    ("api",),
    ("engine",),
    ("server", "client", "bench", "eval", "train"),
    ("cli", "deploy"),
    ("__main__",),
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
COMPOSITION_ROOTS = {"cli", "deploy"}  # build an engine and hand it to an app: they may name anything
ALLOWED = {"client": ("cosy.errors", "cosy.types")}  # stands alone
ENGINE_SEAM = "cosy.engine.protocol"  # all that the server sees of the engine

FILES = sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    """The first name below `cosy`: a package or a top-level module."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Full names of what `source` imports from cosy, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it points"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name == "cosy" or name.startswith("cosy."))


def offences(package: str, source: str) -> list[str]:
    """Imports of `source`, a file of `package`, that do not point down."""
    found = []
    for name in imported(source):
        target = name.split(".")[1] if "." in name else ""
        if target == package or package in COMPOSITION_ROOTS:
            continue
        known = target in RANK and RANK[target] < RANK[package]
        alone = package not in ALLOWED or name.startswith(ALLOWED[package])
        seam = package != "server" or target != "engine" or name.startswith(ENGINE_SEAM)
        if not (known and alone and seam):
            found.append(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_down(path: Path) -> None:
    package = package_of(path)
    if package == "__init__":
        return  # the front door hands out names of every layer, lazily (test_imports)
    assert package in RANK, f"{package} has no place in the layer table of {Path(__file__).name}"
    assert not offences(package, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("audio", "from cosy.models.flow import Flow"),
        ("audio", "from cosy.text import tokenizer"),
        ("models", "def f():\n    import cosy.checkpoint.load"),
        ("eval", "from cosy.train.data import teachers"),
        ("nn", "from cosy import models"),
        ("nn", "import cosy"),
        ("client", "from cosy.audio.io import read"),
        ("server", "from cosy.engine.scheduler import Scheduler"),
        ("errors", "from cosy.brand_new import x"),
    ],
)
def test_the_rule_catches_an_import_that_points_up_or_sideways(package: str, source: str) -> None:
    assert len(offences(package, source)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "import torch\nfrom cosy.nn.conv import Conv"),
        ("server", "from cosy.engine.protocol import Engine"),
        ("client", "from cosy.types import AudioChunk"),
        ("cli", "from cosy.train.data import teachers"),
    ],
)
def test_the_rule_lets_imports_point_down(package: str, source: str) -> None:
    assert offences(package, source) == []
