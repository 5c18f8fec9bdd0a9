"""To speak and to be heard: what leaves the page's audio graph is what the server sent, whole and in one piece."""

from __future__ import annotations

import io

import httpx
import numpy as np
import numpy.typing as npt
import soundfile

from tests.server.calls import eventually
from tests.studio.browsing import KEY, Studio
from tests.studio.conftest import OpenStudio

TEXT = "Good morning. This is the studio, and it speaks while the rest is being made."
LONG = "One day follows the other, and each of them begins in the morning. " * 12
LEAST_LEVEL = 0.01  # root mean square of speech, full scale being 1
SECONDS_PER_CHARACTER = (0.03, 0.2)
MOST_GAP_S = 0.005


def longest_gap(heard: npt.NDArray[np.int16], sent: npt.NDArray[np.int16]) -> int:
    """Samples between two that should be neighbours, where the sent ones are found in order in what was heard."""
    start = np.flatnonzero(heard)[0] - np.flatnonzero(sent)[0]
    same = heard[start : start + len(sent)] == sent[: len(heard) - start]
    if same.all() and len(same) == len(sent):
        return 0
    broken = int(np.argmin(same))
    rest = sent[broken:]
    for shift in range(1, len(heard) - start - len(sent) + 1):
        if np.array_equal(heard[start + broken + shift :][: len(rest)], rest):
            return shift
    raise AssertionError(f"sample {broken} of {len(sent)} and those after it were not heard as they were sent")


def idle(url: str) -> bool:
    state = httpx.get(f"{url}/cosy/v1/server", headers={"Authorization": f"Bearer {KEY}"}).json()
    return state["active"] == state["stats"]["streams_active"] == state["stats"]["streams_waiting"] == 0


def test_what_is_heard_is_what_was_sent_without_a_gap(studio: Studio) -> None:
    studio.open()
    studio.say(TEXT)
    studio.wait('[data-state="done"]')
    sent, heard, metrics = studio.sent_by_server(), studio.heard(), studio.metrics()
    assert np.sqrt(np.mean(np.square(sent / 32768.0))) > LEAST_LEVEL
    low, high = (len(TEXT) * each for each in SECONDS_PER_CHARACTER)
    assert low < len(sent) / metrics["rate_hz"] < high
    assert len(sent) == metrics["samples_received"] == metrics["samples_played"]
    assert longest_gap(heard, sent) <= MOST_GAP_S * metrics["rate_hz"]
    assert metrics["gaps"] == []
    assert studio.fact("underruns") == "0"
    assert studio.fact("duration") == f"{len(sent) / metrics['rate_hz']:.2f} s"


def test_playing_begins_before_all_is_made(studio: Studio) -> None:
    studio.open()
    studio.say(LONG)
    studio.until("cosyStudio.metrics().samples_played > 0")
    assert studio.metrics()["state"] == "speaking"
    studio.press("Stop")


def test_stop_aborts_on_the_server_too(studio: Studio) -> None:
    studio.open()
    studio.say(LONG)
    studio.until("cosyStudio.metrics().samples_played > 0")
    studio.press("Stop")
    studio.wait('[data-state="stopped"]')
    eventually(lambda: idle(studio.url))
    studio.page.wait_for_timeout(500)
    heard, metrics = studio.heard(), studio.metrics()
    assert heard.any()
    assert not heard[-metrics["rate_hz"] // 4 :].any()
    assert metrics["state"] == "stopped"


def test_a_locked_seed_and_a_rate_give_the_same_audio_again(studio: Studio) -> None:
    studio.open()
    studio.page.click("summary")
    studio.page.select_option("#rate", "16000")
    studio.page.check("#locked")
    studio.page.fill("#seed", "7")
    takes = []
    for _ in range(2):
        studio.say("Once more.")
        studio.wait('[data-state="done"]')
        takes.append(studio.sent_by_server())
        assert (studio.metrics()["rate_hz"], studio.fact("seed")) == (16000, "7")
    np.testing.assert_array_equal(*takes)


def test_another_format_is_the_same_audio(studio: Studio) -> None:
    studio.open()
    studio.page.click("summary")
    studio.page.select_option("#format", "flac")
    studio.say("Once more.")
    studio.wait('[data-state="done"]')
    with studio.page.expect_download() as download:
        studio.press("Download FLAC")
    decoded, rate_hz = soundfile.read(io.BytesIO(download.value.path().read_bytes()), dtype="int16")
    sent = studio.sent_by_server()
    assert rate_hz == studio.metrics()["rate_hz"]
    np.testing.assert_allclose(decoded, sent, atol=1)


def test_the_part_that_is_spoken_stands_out(studio: Studio) -> None:
    studio.open()
    studio.say(LONG)
    studio.wait(".segments li[aria-current]")
    texts = studio.page.locator(".segments li").all_inner_texts()
    assert len(texts) > 1
    assert LONG.startswith(texts[0][:40])
    studio.press("Stop")


def test_typed_text_is_spoken_before_its_end(studio: Studio) -> None:
    studio.open("type")
    studio.page.locator("#typed").press_sequentially(
        TEXT + " More is to come, and more than that, as you see. ", delay=5
    )
    studio.until("cosyStudio.metrics().samples_received > 0")
    studio.page.fill("#typed", "Something else.")  # what was sent stays
    assert studio.page.input_value("#typed").startswith(TEXT)
    studio.press("Finish")
    studio.wait('[data-state="done"]')
    assert studio.metrics()["samples_played"] == studio.metrics()["samples_received"]


def test_it_can_wait_for_the_whole(studio: Studio) -> None:
    studio.open()
    studio.page.click("summary")
    studio.page.uncheck("#live")
    studio.say("Good morning.")
    studio.wait('[data-state="speaking"]')
    assert studio.metrics()["samples_scheduled"] == 0
    studio.wait('[data-state="done"]')
    assert studio.metrics()["samples_played"] == len(studio.sent_by_server())


def test_a_full_keyboard_speaks_and_stops(open_studio: OpenStudio) -> None:
    studio = open_studio()
    studio.open()
    studio.page.fill("#text", LONG)
    studio.page.press("#text", "Control+Enter")
    studio.until("cosyStudio.metrics().samples_played > 0")
    studio.page.press("#text", "Escape")
    studio.wait('[data-state="stopped"]')
