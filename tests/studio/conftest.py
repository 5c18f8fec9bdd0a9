"""One server and one browser for all tests of the studio; a fresh profile for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.processes import speaking
from tests.studio.browsing import KEY, TAP, WAIT_MS, Studio, preferences
from tests.studio.recordings import spoken, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
SWITCHES = [
    "--no-sandbox",  # which root may not use
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
ROOM = {"width": 1000, "height": 900}

OpenStudio = Callable[..., Studio]

# A browser of Playwright's keeps an event loop in its thread, in which no other test could run one of its own:
# everything ends with the folder.


@pytest.fixture(scope="package")
def installed() -> None:
    """Skips what needs a browser where there is none."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: see .ci/chromium")


@pytest.fixture(scope="package")
def served(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `cosy serve` with the bundled model, a key, and two places."""
    options = [f'api_keys=["{KEY}"]', "max_active=2", "max_queued=0"]
    given = [word for option in options for word in ("--set", option)]
    with speaking(tmp_path_factory.mktemp("studio"), *given) as server:
        yield server.url


@pytest.fixture(scope="package")
def recording(served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of speech, a WAV file."""
    return write(tmp_path_factory.mktemp("recording") / "speech.wav", *spoken(served, KEY))


@pytest.fixture(scope="package")
def browser(recording: Path) -> Iterator[Browser]:
    """Debian's Chromium, whose microphone plays a recording of the tests."""
    from playwright.sync_api import sync_playwright

    switches = [*SWITCHES, f"--use-file-for-fake-audio-capture={recording}"]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def open_studio(browser: Browser, served: str) -> Iterator[OpenStudio]:
    """`open_studio(url=..., key=..., **how)` makes a fresh profile with a page that is not loaded yet.

    No page may have met an error or asked for anything outside its server, unless `problems` is cleared.
    """
    with ExitStack() as stack:
        made: list[Studio] = []

        def start(url: str = "", key: str = KEY, buffer_ms: int = 1000, **how: Any) -> Studio:
            context = browser.new_context(**{"viewport": ROOM, "locale": "en-US", **how})
            stack.callback(context.close)
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(preferences(key=key, buffer_ms=buffer_ms))
            context.add_init_script(path=TAP)
            studio = Studio(context.new_page(), url or served)
            studio.watch()
            made.append(studio)
            return studio

        yield start
        for studio in made:
            assert studio.problems == []
            assert outside(studio) == []


@pytest.fixture
def studio(open_studio: OpenStudio) -> Studio:
    return open_studio()


def outside(studio: Studio) -> list[str]:
    """Addresses it asked for that are not its server's."""
    host = studio.url.partition("://")[2]
    ours = (f"http://{host}/", f"ws://{host}/", "blob:", "data:")
    return [url for url in studio.asked if not url.startswith(ours)]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of the pages go: nowhere in particular, or with COSY_SCREENSHOTS=1 into the documentation."""
    return REPOSITORY / "docs" / "studio" if os.environ.get("COSY_SCREENSHOTS") else tmp_path
