"""The deployment files: lint, and what they promise about each other and about the package."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKERFILE = REPOSITORY / "deploy" / "Dockerfile"
UNIT = REPOSITORY / "deploy" / "cosy.service"
IGNORED = REPOSITORY / ".dockerignore"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def last(instruction: str) -> str:
    return [rest for word, rest in instructions() if word == instruction][-1]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_dockerfile_passes_the_linter() -> None:
    finished = subprocess.run([str(HADOLINT), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_the_image_runs_as_nobody_special_and_is_checked_for_health() -> None:
    user = last("USER").partition(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    ast.parse(command[-1])
    assert "/health" in command[-1]


def test_the_image_starts_the_server() -> None:
    assert json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")) == ["cosy", "serve"]


def test_the_build_is_for_a_cpu_unless_told_otherwise() -> None:
    assert "TORCH_VARIANT=cpu" in [rest for word, rest in instructions() if word == "ARG"]


def test_the_extras_of_the_image_are_extras_of_the_package() -> None:
    wanted = next(rest for word, rest in instructions() if word == "ARG" and rest.startswith("EXTRAS="))
    assert set(wanted.partition("=")[2].split(",")) <= set(metadata("cosy").get_all("Provides-Extra", []))


def test_what_the_image_copies_is_there_and_let_through() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    names = {Path(name).name for names in copied for name in names}
    let_through = {line[1:] for line in IGNORED.read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    assert names == let_through
    assert all((REPOSITORY / name).exists() for name in names)


def test_settings_in_the_deployment_files_exist() -> None:
    from cosy.server.settings import Settings

    text = DOCKERFILE.read_text(encoding="utf-8") + UNIT.read_text(encoding="utf-8")
    named = {name.lower() for name in re.findall(r"COSY_([A-Z_]+)=", text)} - {"name"}
    assert named
    assert named <= set(Settings.model_fields)


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/cosy/bin/cosy", "/bin/true"), encoding="utf-8")
    finished = subprocess.run([str(SYSTEMD_ANALYZE), "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_unit_gives_running_answers_the_time_to_finish() -> None:
    from cosy.server.settings import Settings

    stop_s = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)[0])
    assert stop_s > Settings().drain_s
