"""What must stay cheap to import stays so: each module in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "av",
    "huggingface_hub",
    "inflect",
    "librosa",
    "modelscope",
    "onnx",
    "onnxruntime",
    "pocketsphinx",
    "pyworld",
    "safetensors",
    "scipy",
    "sounddevice",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "wetext",
    "wordfreq",
}

HELP = """
sys.argv = ["cosy", "--help"]
from cosy.cli.app import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
"""


def heavy_modules_after(code: str) -> set[str]:
    """Heavy packages in `sys.modules` once `code` has run in a new interpreter."""
    report = "\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    command = [sys.executable, "-W", "error", "-c", "import json, sys\n" + code + report]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return HEAVY & set(json.loads(finished.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["cosy", "cosy.errors", "cosy.types", "cosy.config", "cosy.engine.protocol", "cosy.cli.app"]
)
def test_import_brings_nothing_heavy(module: str) -> None:
    assert heavy_modules_after(f"import {module}") == set()


def test_help_brings_nothing_heavy() -> None:
    assert heavy_modules_after(HELP) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert heavy_modules_after("import soundfile") == {"soundfile"}
