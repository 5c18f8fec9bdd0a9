"""The studio's files: how they are served, and that they are whole.  No browser needed."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from cosy.server.studio import UI
from tests.server.conftest import Serve, serve

__all__ = ["serve"]

REPOSITORY = Path(__file__).parents[2]
OURS = sorted(path for path in UI.rglob("*") if path.is_file() and "vendor" not in path.parts)
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
IMPORT = re.compile(r"""(?:from\s+|import\s+|import\()["']([^"'$]+)["']""")
ADDRESS = re.compile(r"https?://(?!www\.w3\.org/2000/svg)[\w.-]+")
PLACE = re.compile(r"\{\w+\}")


def locale(name: str) -> dict[str, str]:
    return json.loads((UI / "locales" / f"{name}.json").read_text(encoding="utf-8"))


def test_browsers_get_the_studio_and_others_what_they_always_got(serve: Serve) -> None:
    url = serve().url
    assert httpx.get(url + "/").json()["name"] == "cosy"
    page = httpx.get(url + "/", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<div id="app">' in page.text
    assert "Accept" in page.headers["vary"]


@pytest.mark.parametrize("path", ["/", "/voice-cloner.html"])
def test_a_page_names_files_that_are_there_and_may_be_kept(path: str, serve: Serve) -> None:
    url = serve().url
    page = httpx.get(url + path, headers=BROWSER)
    assert page.headers["cache-control"] == "no-cache"
    named = re.findall(r'(?:src|href)="(studio/[^"]+)"', page.text)
    assert len(named) >= 3
    for each in named:
        answer = httpx.get(f"{url}/{each}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_pages_and_files_are_locked_down(serve: Serve) -> None:
    url = serve().url
    page = httpx.get(url + "/", headers=BROWSER)
    script = re.findall(r'src="(.+?)"', page.text)[0]
    file = httpx.get(f"{url}/{script}")
    for answer in (page, file):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' ")
        assert not re.search(r"unsafe|https?:|\*", policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"


def test_files_are_sent_packed_and_only_when_they_changed(serve: Serve) -> None:
    address = f"{serve().url}/studio/any/app.js"
    packed = httpx.get(address, headers={"Accept-Encoding": "gzip"})
    plain = httpx.get(address, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content == (UI / "app.js").read_bytes()
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0)) < len(plain.content)
    assert plain.headers["cache-control"] == "no-cache"  # of another version: not to be kept
    again = httpx.get(address, headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "../studio.py", "%2e%2e/studio.py", "..%2fstudio.py", "%00", "index.html"]
)
def test_nothing_else_is_served(name: str, serve: Serve) -> None:
    assert httpx.get(f"{serve().url}/studio/any/{name}").status_code == 404


def test_it_can_be_switched_off(serve: Serve) -> None:
    url = serve(studio=False).url
    assert httpx.get(url + "/", headers=BROWSER).json()["name"] == "cosy"
    assert httpx.get(url + "/voice-cloner.html").status_code == 404
    assert httpx.get(url + "/studio/any/app.js").status_code == 404


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_every_language_says_the_same_things(language: str) -> None:
    english, other = locale("en"), locale(language)
    assert list(other) == list(english)
    assert all(other.values())
    different = [key for key in english if set(PLACE.findall(english[key])) != set(PLACE.findall(other[key]))]
    assert different == []


def test_every_text_that_is_asked_for_is_there() -> None:
    asked = {key for path in OURS for key in re.findall(r'\bt\("([^"]+)"', path.read_text(encoding="utf-8"))}
    assert len(asked) > 100
    assert asked - locale("en").keys() == set()


def test_warnings_of_the_server_are_known_and_translated() -> None:
    places = ("audio/io.py", "audio/silence.py", "voices/prepare.py", "engine/rendering.py")
    places += ("server/store/admission.py", "server/store/voice_check.py")
    source = "".join((UI.parents[1] / place).read_text(encoding="utf-8") for place in places)
    said = re.sub(r"\{[^{}]*\}", "1", re.sub(r'"\n\s*f?"', "", source))
    sayings = re.findall(r"^  (\w+): /(.*)/,$", (UI / "parts/advice.js").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(sayings) > 10
    for name, pattern in sayings:
        assert f"advice.{name}" in locale("en")
        for part in pattern.replace("(?<", "(?P<").split("|"):
            assert re.search(part, said), f"nobody says {part!r}"


def test_every_import_finds_its_file() -> None:
    for path in OURS:
        if path.suffix == ".js":
            for name in IMPORT.findall(path.read_text(encoding="utf-8")):
                assert (path.parent / name).resolve().is_file(), f"{path.name} imports {name}"


def test_no_file_of_ours_names_an_address_elsewhere() -> None:
    found = {path.name: ADDRESS.findall(path.read_text(encoding="utf-8")) for path in OURS}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_the_package_carries_every_file(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="Hatchling, which builds the package, is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        carried = {name.removeprefix("cosy/server/ui/") for name in wheel.namelist() if "/server/ui/" in name}
    assert carried == {path.relative_to(UI).as_posix() for path in UI.rglob("*") if path.is_file()}


def test_the_vendored_files_are_what_their_manifest_says() -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "vendor_ui.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
