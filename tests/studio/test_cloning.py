"""From a recording to a voice that speaks."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.studio.browsing import KEY, Studio, elsewhere
from tests.studio.recordings import WORDS

URI = re.compile(r"speech:[^:]+:[^:]+:[^:]+")


def describe(studio: Studio, name: str) -> None:
    """What is asked of whoever clones."""
    studio.page.fill("#name", name)
    studio.page.fill("#transcript", WORDS)
    studio.page.check("#consent")


def made(studio: Studio) -> str:
    """The voice's id, once it is there."""
    studio.press("Make the voice")
    studio.wait("[data-uri]")
    return studio.page.inner_text("[data-uri]")


def test_a_file_becomes_a_voice_that_speaks(studio: Studio, recording: Path) -> None:
    studio.open("clone")
    studio.page.set_input_files("#file", recording)
    studio.wait('[data-check="ok"]')
    describe(studio, "Ada")
    studio.wait('[data-check="ok"]')
    uri = made(studio)
    assert URI.fullmatch(uri)
    studio.page.get_by_role("link", name="Speak with it").click()
    studio.wait('main[data-page="speak"]')
    assert studio.page.input_value("#voice") == uri
    studio.say("Hello.")
    studio.wait('[data-state="done"]')
    assert np.abs(studio.sent_by_server()).max() > 300


def test_the_ready_snippets_speak_as_they_are(studio: Studio, recording: Path, tmp_path: Path) -> None:
    studio.open("clone")
    drop(studio, recording)
    describe(studio, "Ready")
    studio.wait('[data-check="ok"]')
    uri = made(studio)
    for name in ("curl", "Python", "OpenAI SDK", "SiliconFlow", "PAI", "DashScope"):
        studio.press(name)
        snippet = studio.page.inner_text("pre")
        assert uri in snippet
        assert speech_of(snippet, tmp_path) > 0.5, name


def drop(studio: Studio, file: Path) -> None:
    """Let go of a file over the place for it."""
    data = base64.b64encode(file.read_bytes()).decode()
    script = """([data, name]) => {
        const held = new DataTransfer();
        held.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
        return held;
    }"""
    held = studio.page.evaluate_handle(script, [data, file.name])
    studio.page.dispatch_event(".drop", "dragover", {"dataTransfer": held})
    studio.page.dispatch_event(".drop", "drop", {"dataTransfer": held})


def speech_of(snippet: str, folder: Path) -> float:
    """Seconds of audio that a snippet makes, its placeholder for a key filled in."""
    command = [sys.executable, "-c", re.sub(r"\bKEY\b", KEY, snippet)]
    if snippet.startswith("curl"):
        command = ["bash", "-c", snippet]
    environment = {**os.environ, "COSY_API_KEY": KEY}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for file in folder.glob("hello.*"):
        sound = io.BytesIO(file.read_bytes())
        file.unlink()
        break
    else:
        sound = io.BytesIO(base64.b64decode(json.loads(ended.stdout)["output"]["audio"]["data"]))
    return float(soundfile.info(sound).duration)


def test_a_microphone_becomes_a_voice(studio: Studio) -> None:
    studio.open("clone")
    studio.press("Record")
    studio.wait("meter")
    studio.page.wait_for_timeout(3500)
    assert studio.page.evaluate("document.querySelector('meter').value") > -60
    studio.press("Stop recording")
    studio.wait('[data-check="ok"]')
    assert "s speech" in studio.page.inner_text("[data-check]")
    studio.page.fill("#name", "Microphone")
    studio.page.check("#consent")
    studio.wait('[data-check="ok"]')
    assert URI.fullmatch(made(studio))


def test_a_stretch_can_be_chosen(studio: Studio, recording: Path) -> None:
    studio.open("clone")
    studio.page.set_input_files("#file", recording)
    studio.wait('[data-check="ok"]')
    studio.page.fill('.trim label:has-text("To") input', "2")
    studio.page.press('.trim label:has-text("To") input', "Tab")
    studio.wait('[data-check="running"]')
    studio.wait('[data-check="ok"]')
    assert "2.0 s, of which" in studio.page.inner_text("[data-check]")


def test_a_recogniser_proposes_the_words(studio: Studio, recording: Path) -> None:
    """The tests' server has none, so its answers are those of one that has."""
    info = studio.page.request.get(f"{studio.url}/cosy/v1/info").json()
    studio.page.route("**/cosy/v1/info", lambda route: route.fulfill(json={**info, "transcription": True}))
    studio.page.route("**/cosy/v1/transcriptions", lambda route: route.fulfill(json={"text": WORDS}))
    studio.open("clone")
    studio.page.set_input_files("#file", recording)
    studio.press("Propose")
    studio.until(f"document.getElementById('transcript').value === {json.dumps(WORDS)}")


def test_what_is_no_recording_is_refused_in_plain_words(studio: Studio, tmp_path: Path) -> None:
    letter = tmp_path / "letter.wav"
    letter.write_text("This is a letter, not a recording. " * 20)
    studio.open("clone")
    studio.page.set_input_files("#file", letter)
    studio.wait('[data-check="bad"]')
    assert "This recording cannot be used" in studio.page.inner_text("[data-check]")
    describe(studio, "Letter")
    assert studio.page.is_disabled("text=Make the voice")


def test_too_short_a_recording_is_refused_in_plain_words(studio: Studio, recording: Path, tmp_path: Path) -> None:
    samples, rate_hz = soundfile.read(recording, dtype="float32")
    short = tmp_path / "short.wav"
    soundfile.write(short, samples[rate_hz : rate_hz + rate_hz // 2], rate_hz)
    studio.open("clone")
    studio.page.set_input_files("#file", short)
    studio.wait('[data-check="bad"]')
    assert "It is too short: 0.50 s. At least 1 s are needed" in studio.page.inner_text("[data-check]")


def test_voices_are_found_renamed_carried_and_deleted(studio: Studio, recording: Path, tmp_path: Path) -> None:
    studio.open("clone")
    studio.page.set_input_files("#file", recording)
    describe(studio, "Carried")
    studio.wait('[data-check="ok"]')
    voice = f'li[data-voice="{made(studio)}"]'
    studio.open("voices")
    studio.page.fill("#search", "carried")
    studio.wait(voice)
    assert studio.page.locator(".list > li").count() == 1
    with studio.page.expect_download() as download:
        studio.press("Export: Carried")
    file = tmp_path / "carried.cosyvoice"
    download.value.save_as(file)
    studio.press("Listen to the recording: Carried")
    studio.wait(f"{voice} audio")
    studio.press("Rename: Carried")
    studio.page.fill(f"{voice} input", "Carried away")
    studio.press("Save")
    studio.wait(f'{voice} h2:text-is("Carried away")')
    studio.page.set_input_files("input[type=file]", file)
    studio.wait('.list h2:text-is("Carried")')
    studio.press("Delete: Carried away")
    studio.page.locator("dialog[open]").get_by_role("button", name="Delete").click()
    studio.page.wait_for_selector(voice, state="detached")
    assert studio.page.locator(".list > li").count() == 1


def test_the_clone_page_uploads_speaks_and_deletes(studio: Studio, recording: Path) -> None:
    page = studio.page
    page.goto(f"{studio.url}/voice-cloner.html")
    page.fill("#name", "Amadeus")
    page.fill("#words", WORDS)
    page.set_input_files("#file", recording)
    studio.press("Upload")
    studio.wait("[data-uri]")
    assert re.fullmatch(r"speech:Amadeus:[^:]+:[^:]+", page.inner_text("[data-uri]"))
    page.fill("#input", "Hello.")
    with page.expect_response("**/v1/audio/speech") as answer:
        studio.press("Speak")
    assert (answer.value.status, answer.value.headers["content-type"]) == (200, "audio/mpeg")
    studio.wait("audio")
    studio.press("Delete: Amadeus")
    page.wait_for_selector('h3:text-is("Amadeus")', state="detached")


CLONE = """async ([server, key, file, input]) => {
    const headers = { Authorization: `Bearer ${key}` };
    const send = (path, options) => fetch(server + path, { method: "POST", headers, ...options });
    const typed = { ...headers, "Content-Type": "application/json" };
    const json = (value) => ({ headers: typed, body: JSON.stringify(value) });
    const form = new FormData();
    form.append("model", "FunAudioLLM/CosyVoice2-0.5B");
    form.append("customName", "elsewhere");
    form.append("text", "What is said.");
    form.append("audio", file);
    const { uri } = await (await send("/v1/uploads/audio/voice", { body: form })).json();
    const { result } = await (await fetch(server + "/v1/audio/voice/list", { headers })).json();
    const request = { model: "FunAudioLLM/CosyVoice2-0.5B", voice: uri, input, response_format: "mp3" };
    const speech = await (await send("/v1/audio/speech", json(request))).blob();
    const deleted = await (await send("/v1/audio/voice/deletions", json({ uri }))).json();
    const refused = await (await send("/v1/audio/speech", json({ ...request, voice: "nobody" }))).json();
    return { uri, listed: result.map((voice) => voice.uri), type: speech.type, size: speech.size, deleted, refused };
}"""


def test_a_page_of_another_origin_may_clone(studio: Studio, recording: Path, tmp_path: Path) -> None:
    """As the Amadeus documentation's own page does: FormData with the whole recording as a data URL."""
    file = "data:audio/wav;base64," + base64.b64encode(recording.read_bytes()).decode()
    said = "Can you say it with a happy emotion? <|endofprompt|>I'm so happy, spring is coming!"
    (tmp_path / "page.html").write_text("<!doctype html><link rel=icon href=data:,>")
    with elsewhere(tmp_path) as url:
        studio.page.goto(f"{url}/page.html")
        told = studio.page.evaluate(CLONE, [studio.url, KEY, file, said])
    assert URI.fullmatch(told["uri"])
    assert told["uri"] in told["listed"]
    assert told["type"] == "audio/mpeg"
    assert told["size"] > 10_000
    assert told["deleted"] == {}
    assert "nvalid voice" in told["refused"]["error"]["message"]
    studio.asked.clear()  # the page itself came from elsewhere
    studio.problems.clear()  # the refusal
