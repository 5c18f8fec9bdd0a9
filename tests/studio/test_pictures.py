"""Pictures of every page, as docs/studio.md shows them: `COSY_SCREENSHOTS=1 pytest tests/studio/test_pictures.py`."""

from __future__ import annotations

from pathlib import Path

from tests.studio.browsing import Studio
from tests.studio.conftest import OpenStudio
from tests.studio.recordings import WORDS

WIDE = {"width": 1100, "height": 760}
PHONE = {"width": 360, "height": 740}
TEXT = (
    "Good morning. This is the studio: type what you would like to hear, and it speaks while the rest is being made. "
    "What is a long text to you is a list of short ones to it. The one that is being spoken stands out, and the others "
    "wait for their turn."
)
SETTLE_MS = 700  # until waveforms are drawn


def take(studio: Studio, file: Path) -> None:
    """The whole page, without the focus that the test has left somewhere."""
    studio.page.mouse.move(0, 0)
    studio.page.evaluate("document.activeElement.blur()")
    studio.page.wait_for_timeout(SETTLE_MS)
    studio.page.screenshot(path=file, full_page=True)


def test_speaking(open_studio: OpenStudio, pictures: Path) -> None:
    studio = open_studio(viewport=WIDE)
    studio.open()
    studio.say(TEXT)
    studio.until("cosyStudio.metrics().samples_played > 72000")
    take(studio, pictures / "speak.png")
    studio.press("Stop")
    studio.open("type")
    studio.press("Type an example")
    studio.until("cosyStudio.metrics().state === 'speaking' && cosyStudio.metrics().samples_played > 48000")
    take(studio, pictures / "type.png")
    studio.press("Stop")
    studio.open()
    for text in ("Good morning. How are you today?", "Good morning! And how are you?"):
        studio.say(text)
        studio.wait('[data-state="done"]')
    studio.open("history")
    studio.wait(".list > li")
    for box in studio.page.get_by_label("Compare").all()[:2]:
        box.check()
    studio.page.get_by_role("button", name="Replay").first.click()
    take(studio, pictures / "history.png")
    for name in ("server", "settings"):
        studio.open(name)
        studio.page.wait_for_load_state("networkidle")
        take(studio, pictures / f"{name}.png")


def test_cloning(open_studio: OpenStudio, recording: Path, pictures: Path) -> None:
    studio = open_studio(viewport=WIDE)
    studio.open("clone")
    studio.page.set_input_files("#file", recording)
    studio.page.fill("#name", "Ada")
    studio.page.fill("#transcript", WORDS)
    studio.page.check("#consent")
    studio.wait('[data-check="ok"]')
    take(studio, pictures / "clone.png")
    studio.press("Make the voice")
    studio.wait("[data-uri]")
    take(studio, pictures / "voice.png")
    studio.open("voices")
    studio.wait(".list > li")
    take(studio, pictures / "voices.png")
    studio.page.goto(f"{studio.url}/voice-cloner.html")
    studio.wait("main h1")
    take(studio, pictures / "voice-cloner.png")


def test_a_phone_in_the_dark(open_studio: OpenStudio, pictures: Path) -> None:
    studio = open_studio(viewport=PHONE, color_scheme="dark", locale="zh-CN")
    studio.open()
    studio.page.fill("#text", "Good evening.")
    studio.page.press("#text", "Control+Enter")
    studio.wait('[data-state="done"]')
    take(studio, pictures / "phone.png")
