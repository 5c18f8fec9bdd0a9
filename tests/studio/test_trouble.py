"""What goes wrong is said in plain words, and what comes back is used again."""

from __future__ import annotations

import json

from websockets.sync.client import connect

from tests.server.calls import eventually
from tests.studio.browsing import KEY, Studio, wire
from tests.studio.conftest import OpenStudio
from tests.studio.test_speaking import LONG, idle

PLACES = 2  # that the tests' server has


def test_a_full_server_says_so(studio: Studio) -> None:
    studio.open()
    address = studio.url.replace("http", "ws") + f"/cosy/v1/speech?token={KEY}"
    with connect(address) as one, connect(address) as two:
        for busy in (one, two):
            busy.send(json.dumps({"type": "start"}))
            busy.send(json.dumps({"type": "text", "text": LONG}))
            assert json.loads(busy.recv())["type"] == "started"  # has its place, if not its turn
        studio.say("No place for this.")
        studio.wait('[role="alert"][data-code="overloaded"]')
        assert "The server is busy" in studio.page.inner_text('[role="alert"]')
    eventually(lambda: idle(studio.url))
    studio.say("Now there is.")
    studio.wait('[data-state="done"]')


def test_a_lost_connection_is_noticed_and_found_again(open_studio: OpenStudio, served: str) -> None:
    with wire(served) as line:
        studio = open_studio(line.url)
        studio.open()
        studio.say(LONG)
        studio.until("cosyStudio.metrics().samples_received > 0")
        line.cut()
        studio.wait('[role="alert"][data-code="offline"]')
        studio.wait('[data-code="lost"]')
        eventually(lambda: idle(served))
        line.mend()
        studio.page.wait_for_selector('[data-code="lost"]', state="detached")
        studio.say("Here we are again.")
        studio.wait('[data-state="done"]')
        studio.problems.clear()  # browsers write failed connections on their console


def test_without_a_key_it_asks_for_one(open_studio: OpenStudio) -> None:
    studio = open_studio(key="")
    studio.open()
    studio.wait('[role="alert"][data-code="unauthorized"]')
    studio.page.click("text=Enter it in the settings")
    studio.page.fill("#key", KEY)
    studio.press("Save")
    studio.page.wait_for_selector('[role="alert"]', state="detached")
    studio.open()
    studio.say("Let me in.")
    studio.wait('[data-state="done"]')
    studio.problems.clear()  # the refusal


def test_what_the_server_refuses_is_shown_in_its_words(studio: Studio) -> None:
    studio.open()
    studio.page.select_option("#mode", "zero_shot")
    studio.say("This voice has no transcript.")
    studio.wait('[data-state="failed"] [role="alert"]')
    assert "has no transcript" in studio.page.inner_text('[role="alert"]')
