"""What was made stays in the browser."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import soundfile

from tests.studio.browsing import POLL_MS, Studio

if TYPE_CHECKING:
    from playwright.sync_api import Route

TIME = r"00:00:0\d,\d{3}"
SRT = rf"1\n00:00:00,000 --> ({TIME})\nRemember this\.\n\n2\n\1 --> {TIME}\nAnd that\.\n"


def speak(studio: Studio, *texts: str) -> None:
    studio.open()
    for text in texts:
        studio.say(text)
        studio.wait('[data-state="done"]')


def test_it_outlives_a_reload_and_is_the_same_audio(studio: Studio) -> None:
    speak(studio, "Remember this. And that.")
    sent = studio.sent_by_server()
    studio.open("history")
    studio.page.reload()
    studio.wait('.list h2:text-is("Remember this. And that.")')
    with studio.page.expect_download() as download:
        studio.press("Download WAV")
    samples, _ = soundfile.read(io.BytesIO(download.value.path().read_bytes()), dtype="int16")
    assert samples.tolist() == sent.tolist()
    with studio.page.expect_download() as download:
        studio.press("SRT")
    assert re.fullmatch(SRT, download.value.path().read_text(encoding="utf-8"))
    with studio.page.expect_download() as download:
        studio.press("VTT")
    assert download.value.path().read_text(encoding="utf-8").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")


def test_two_are_compared_with_one_click_and_deleted(studio: Studio) -> None:
    speak(studio, "The first of two.", "The second of two.")
    studio.open("history")
    studio.wait(".list > li")
    for box in studio.page.get_by_label("Compare").all():
        box.check()
    studio.press("Play A (anna)")
    playing = "[...document.querySelectorAll('section audio')].map((player) => !player.paused)"
    studio.until(f"({playing})[0]")
    studio.press("Switch to B (anna)")
    studio.until(f"({playing})[1]")
    assert studio.page.evaluate(playing) == [False, True]
    studio.page.get_by_role("button", name="Delete", exact=True).first.click()
    studio.until("document.querySelectorAll('.list > li').length === 1")
    studio.press("Delete all")
    studio.page.locator("dialog[open]").get_by_role("button", name="Delete all").click()
    studio.wait("text=Nothing yet.")


def test_a_page_may_be_left_while_a_picture_loads(studio: Studio) -> None:
    held: list[Route] = []
    studio.page.route("**/wavesurfer-spectrogram.js", lambda route: held.append(route))
    speak(studio, "Draw this.")
    studio.press("Spectrogram")
    while not held:
        studio.page.wait_for_timeout(POLL_MS)
    studio.open("history")
    with studio.page.expect_response("**/wavesurfer-spectrogram.js") as loaded:
        held[0].continue_()
    loaded.value.finished()
    studio.page.wait_for_timeout(10 * POLL_MS)  # for what must not come: errors, which the fixture looks for
