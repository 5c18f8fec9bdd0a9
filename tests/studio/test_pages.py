"""Every page: reachable for everybody, in each language, in little room, and from this server alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cosy.server.studio import UI
from tests.studio.browsing import Studio
from tests.studio.conftest import OpenStudio

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = ("speak", "type", "voices", "clone", "history", "server", "settings")
LANGUAGES = {"en": "en-US", "zh": "zh-CN", "ja": "ja-JP"}
FIRST_LOAD_BYTES = 300_000
NARROW = {"width": 360, "height": 740}
AT_REST = """async () => {
    const running = () => document.getAnimations().filter((each) => each.playState === "running");
    while (running().length) await Promise.allSettled(running().map((each) => each.finished));  // or cancelled
}"""


def texts(language: str) -> dict[str, str]:
    return json.loads((UI / "locales" / f"{language}.json").read_text(encoding="utf-8"))


def show(studio: Studio, name: str) -> None:
    """Open a page by its name, the clone page among them, and let it settle."""
    if name == "cloner":
        studio.page.goto(f"{studio.url}/voice-cloner.html")
        studio.wait("main h1")
    else:
        studio.open(name)
    studio.page.wait_for_load_state("networkidle")


def findings(page: Page) -> list[str]:
    """What axe has against a page, by WCAG 2.2 AA and its own advice; what is minor is left out."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # the policy forbids a script element
    page.evaluate(AT_REST)  # between two colours a button has neither
    found: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {node['html']}" for each in serious for node in each["nodes"]]


def states(studio: Studio, recording: Path) -> Iterator[str]:
    """Every page and what may come up on it, one after the other."""
    page = studio.page
    show(studio, "speak")
    page.select_option("#mode", "instruct")
    page.click("summary")
    yield "speak"
    page.select_option("#mode", "auto")
    studio.say("Good morning.")
    studio.wait('[data-state="done"]')
    studio.press("Spectrogram")
    yield "result"
    show(studio, "clone")
    page.set_input_files("#file", recording)
    page.fill("#name", "Everybody")
    page.check("#consent")
    studio.wait('[data-check="ok"]')
    yield "clone"
    studio.press("Make the voice")
    studio.wait("[data-uri]")
    yield "voice"
    show(studio, "voices")
    page.get_by_role("button", name="Delete: Everybody").first.click()
    yield "dialog"
    page.locator("dialog[open]").get_by_role("button", name="Delete").click()
    show(studio, "history")
    studio.press("Replay")
    yield "history"
    for name in ("type", "voices", "server", "settings", "cloner"):
        show(studio, name)
        yield name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_has_nothing_serious_against_any_page(open_studio: OpenStudio, theme: str, recording: Path) -> None:
    studio = open_studio(color_scheme=theme)
    told = {name: findings(studio.page) for name in states(studio, recording)}
    assert {name: each for name, each in told.items() if each} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_the_language_of_the_browser(open_studio: OpenStudio, language: str) -> None:
    studio, told = open_studio(locale=LANGUAGES[language]), texts(language)
    for name in PAGES:
        show(studio, name)
        assert studio.page.inner_text("h1") == told[f"{name}.title"]
        assert studio.page.title() == f"{told[f'{name}.title']} · Cosy"
    assert studio.page.get_attribute("html", "lang") in (language, LANGUAGES[language])


def test_a_language_can_be_chosen_and_stays(studio: Studio) -> None:
    show(studio, "settings")
    studio.page.select_option("#language", "ja")
    studio.wait(f'h1:text-is("{texts("ja")["settings.title"]}")')
    studio.page.reload()
    studio.wait(f'h1:text-is("{texts("ja")["settings.title"]}")')


def test_no_page_needs_more_room_than_a_phone_has(open_studio: OpenStudio, recording: Path) -> None:
    studio = open_studio(viewport=NARROW)
    room = {name: studio.page.evaluate("document.documentElement.scrollWidth") for name in states(studio, recording)}
    assert {name: width for name, width in room.items() if width > NARROW["width"]} == {}


def test_the_first_load_is_small(studio: Studio) -> None:
    session = studio.page.context.new_cdp_session(studio.page)
    session.send("Network.enable")
    loaded: list[float] = []
    session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    show(studio, "speak")
    assert 10_000 < sum(loaded) < FIRST_LOAD_BYTES


def test_the_keyboard_reaches_everything_from_the_top(studio: Studio) -> None:
    show(studio, "speak")
    reached = []
    for _ in range(14):
        studio.page.keyboard.press("Tab")
        reached.append(studio.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached[0] == "Skip to the content"
    assert [each for each in reached if each in ("text", "voice", "mode", "Speak")][-4:] == [
        "text",
        "voice",
        "mode",
        "Speak",
    ]


def test_the_server_page_shows_what_was_measured(studio: Studio) -> None:
    studio.open()
    studio.say("Measure this.")
    studio.wait('[data-state="done"]')
    show(studio, "server")
    studio.wait(".uplot canvas")
    assert studio.fact("health") == "ready"
    assert studio.page.locator("td").first.text_content()
