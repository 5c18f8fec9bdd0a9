"""Both clients against the server: what they send arrives, and what comes back is handed on as it comes."""

from __future__ import annotations

import asyncio
import inspect
import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from cosy.client import (
    AsyncClient,
    AuthenticationError,
    Client,
    Health,
    InlineVoice,
    InterruptedAnswerError,
    UnreachableError,
    VoiceEntry,
)
from cosy.errors import (
    AudioError,
    CosyError,
    EngineError,
    OverloadedError,
    ParameterError,
    TextError,
    UnknownVoiceError,
)
from cosy.types import Mode
from tests.server.calls import eventually
from tests.server.conftest import Serve
from tests.server.dialects.recordings import clip, silence
from tests.server.fake import PRESET, SECONDS_PER_CHARACTER, FakeEngine

TEXT = "Hello, I am a voice."
SECONDS = SECONDS_PER_CHARACTER * len(TEXT)
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "client.md"


def duration_s(audio: bytes) -> float:
    samples, rate_hz = soundfile.read(io.BytesIO(audio))
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)
    return len(samples) / rate_hz


def test_speech_is_a_whole_file(serve: Serve, tmp_path: Path) -> None:
    with Client(serve().url) as client:
        speech = client.speech(TEXT, PRESET)
    assert (speech.media_type, speech.rate_hz) == ("audio/wav", 24_000)
    assert speech.request_id
    assert int.from_bytes(speech.audio[4:8], "little") == len(speech.audio) - 8
    speech.save(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").duration == pytest.approx(SECONDS, abs=0.001)


def test_every_format_can_be_decoded(serve: Serve) -> None:
    with Client(serve().url) as client:
        for format in ("wav", "mp3", "opus", "flac"):
            assert duration_s(client.speech(TEXT, PRESET, format=format).audio) == pytest.approx(SECONDS, abs=0.12)
        assert client.speech(TEXT, PRESET, format="aac").audio[0] == 0xFF


def test_options_reach_the_engine(serve: Serve) -> None:
    server = serve()
    with Client(server.url + "/v1/") as client:
        options: Any = {"speed": 2.0, "gain_db": -6.0, "seed": 5, "instructions": "Be glad."}
        speech = client.speech(TEXT, PRESET, format="pcm", sample_rate_hz=16_000, **options)
    (asked,) = server.engine.requests
    assert (asked.speed, asked.gain_db, asked.seed, asked.instruction) == (2.0, -6.0, 5, "Be glad.")
    assert (asked.mode, asked.stream, asked.voice) == (Mode.INSTRUCT, False, PRESET)
    assert speech.rate_hz == 16_000
    assert len(speech.audio) / 32_000 == pytest.approx(SECONDS / 2, abs=0.01)


def test_a_stream_hands_on_audio_while_it_is_made(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    with Client(server.url) as client, client.stream(TEXT, PRESET, format="pcm") as stream:
        pieces = iter(stream)
        chunks = [next(pieces)]
        assert server.engine.running == 1
        chunks += pieces
    assert (stream.rate_hz, stream.media_type) == (24_000, "audio/pcm")
    assert len(chunks) > 3
    assert all(len(chunk) % 2 == 0 for chunk in chunks)
    assert len(b"".join(chunks)) == 2 * round(24_000 * SECONDS)


def test_leaving_a_stream_early_stops_the_engine(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    with Client(server.url) as client, client.stream(TEXT * 5, PRESET, format="pcm") as stream:
        next(iter(stream))
    eventually(lambda: server.engine.aborted == 1)
    assert server.engine.running == 0


def test_a_recording_can_be_sent_along(serve: Serve) -> None:
    server = serve()
    with Client(server.url) as client:
        client.speech(TEXT, InlineVoice(clip(), "What it says."))
    assert server.engine.requests[0].voice == InlineVoice(clip(), "What it says.")


def test_a_voice_is_uploaded_listed_spoken_with_and_deleted(serve: Serve) -> None:
    server = serve(api_keys=["secret"], require_consent=True)
    with Client(server.url, "secret") as client:
        voice = client.upload_voice("me / 我", clip(), transcript="What it says.", consent="It is my own voice.")
        assert voice.name == "me / 我"
        assert {VoiceEntry(PRESET, PRESET), voice} <= set(client.voices())
        client.speech(TEXT, voice.id)
        assert server.engine.requests[0].voice == voice.id
        client.delete_voice(voice.id)
        assert voice not in client.voices()
        with pytest.raises(UnknownVoiceError):
            client.delete_voice(voice.id)


def test_models_and_health(serve: Serve) -> None:
    with Client(serve().url) as client:
        assert "cosyvoice-v2" in client.models()
        assert client.health() == Health(True, "ok")
    with Client(serve(FakeEngine(ready=False)).url) as client:
        assert client.health() == Health(False, "loading")


BAD: dict[str, tuple[tuple[Any, Any], dict[str, Any], type[CosyError]]] = {
    "unknown voice": ((TEXT, "nobody"), {}, UnknownVoiceError),
    "empty text": (("", PRESET), {}, TextError),
    "long text": (("x" * 300_000, PRESET), {}, TextError),
    "speed": ((TEXT, PRESET), {"speed": 9.0}, ParameterError),
    "format": ((TEXT, PRESET), {"format": "midi"}, ParameterError),
    "rate": ((TEXT, PRESET), {"sample_rate_hz": 5}, ParameterError),
    "option": ((TEXT, PRESET), {"velocity": 2}, ParameterError),
    "silence": ((TEXT, InlineVoice(silence())), {}, AudioError),
    "noise": ((TEXT, InlineVoice(b"noise")), {}, AudioError),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_an_exception_of_its_kind(serve: Serve, case: str) -> None:
    arguments, options, kind = BAD[case]
    with Client(serve(voice_fallback=False).url) as client:
        with pytest.raises(kind) as caught:
            client.speech(*arguments, **options)
        assert type(caught.value) is kind
        with pytest.raises(kind), client.stream(*arguments, **options):
            pass


def test_a_wrong_key_is_an_authentication_error(serve: Serve) -> None:
    url = serve(api_keys=["secret"]).url
    for key in ("", "wrong"):
        with Client(url, key) as client, pytest.raises(AuthenticationError):
            client.speech(TEXT, PRESET)


def test_overload_says_when_to_come_back(serve: Serve) -> None:
    server = serve(FakeEngine(error=OverloadedError("full", 3.2)))
    with Client(server.url) as client, pytest.raises(OverloadedError) as caught:
        client.speech(TEXT, PRESET)
    assert caught.value.retry_after_s == 4.0
    assert len(server.engine.requests) == 1


def test_a_failure_of_the_engine_is_told_before_or_within_the_audio(serve: Serve) -> None:
    with Client(serve(FakeEngine(error=RuntimeError("broken"))).url) as client, pytest.raises(EngineError):
        client.speech(TEXT, PRESET)
    url = serve(FakeEngine(error=RuntimeError("broken"), fail_at=3)).url
    with (
        Client(url) as client,
        client.stream(TEXT, PRESET, format="pcm") as stream,
        pytest.raises(InterruptedAnswerError),
    ):
        list(stream)


def test_the_twins_have_the_same_methods() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in methods if name[0] != "_"}

    blocking, asynchronous = public(Client), public(AsyncClient)
    assert blocking.pop("close") == asynchronous.pop("aclose")
    assert asynchronous.pop("speak")
    assert blocking == asynchronous
    assert list(inspect.signature(Client).parameters) == list(inspect.signature(AsyncClient).parameters)


def test_the_asynchronous_twin_does_it_all(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.02))

    async def run() -> None:
        async with AsyncClient(server.url) as client:
            assert duration_s((await client.speech(TEXT, PRESET)).audio) == pytest.approx(SECONDS, abs=0.01)
            voice = await client.upload_voice("me", clip())
            assert voice in await client.voices()
            async with client.stream(TEXT, voice.id, format="pcm") as stream:
                chunks = [chunk async for chunk in stream]
            assert len(chunks) > 3
            assert len(b"".join(chunks)) == 2 * round(24_000 * SECONDS)
            await client.delete_voice(voice.id)
            assert "cosyvoice-v2" in await client.models()
            assert (await client.health()).ready
            with pytest.raises(UnknownVoiceError):
                await client.speech(TEXT, "nobody")

    asyncio.run(run())


async def written(*pieces: str, pause_s: float = 0.0) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(pause_s)


def test_text_is_spoken_before_its_last_piece_is_written(serve: Serve) -> None:
    server = serve()
    heard = asyncio.Event()

    async def story() -> AsyncIterator[str]:
        yield "The first sentence is long enough to be spoken. And the second "
        await asyncio.wait_for(heard.wait(), 10)
        yield "ends the story."

    async def run() -> bytes:
        audio = b""
        options: Any = {"sample_rate_hz": 16_000, "speed": 1.5, "seed": 5, "instructions": "Be glad."}
        async with AsyncClient(server.url) as client, client.speak(story(), PRESET, **options) as stream:
            async for chunk in stream:
                audio += chunk
                heard.set()
        return audio

    samples = np.frombuffer(asyncio.run(run()), dtype="<i2")
    assert len(samples) / 16_000 == pytest.approx(
        SECONDS_PER_CHARACTER * sum(map(len, server.engine.pieces)) / 1.5, abs=0.05
    )
    (asked,) = server.engine.requests
    assert (asked.speed, asked.seed, asked.instruction, asked.voice) == (1.5, 5, "Be glad.", PRESET)


def test_what_is_wrong_with_a_task_is_an_exception_of_its_kind(serve: Serve) -> None:
    url = serve(api_keys=["secret"], voice_fallback=False).url

    async def speak(key: str, voice: str, **options: Any) -> None:
        async with AsyncClient(url, key) as client, client.speak(written(TEXT), voice, **options) as stream:
            async for _ in stream:
                pass

    for arguments, options, kind in [
        (("wrong", PRESET), {}, AuthenticationError),
        (("secret", "nobody"), {}, UnknownVoiceError),
        (("secret", PRESET), {"speed": 3.0}, ParameterError),
        (("secret", PRESET), {"seed": 0}, ParameterError),
        (("secret", PRESET), {"gain_db": 1.0}, ParameterError),
    ]:
        with pytest.raises(kind):
            asyncio.run(speak(*arguments, **options))


def test_a_writer_that_fails_is_heard_where_the_audio_is_read(serve: Serve) -> None:
    server = serve()

    async def story() -> AsyncIterator[str]:
        yield "Once upon a time. "
        raise KeyError("the end is lost")

    async def run() -> None:
        async with AsyncClient(server.url) as client, client.speak(story(), PRESET) as stream:
            async for _ in stream:
                pass

    with pytest.raises(KeyError, match="the end is lost"):
        asyncio.run(run())


def test_leaving_a_task_early_stops_writer_and_engine(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    ended = []

    async def story() -> AsyncIterator[str]:
        try:
            yield "This is a sentence that goes on for quite some time, as sentences do. And then another. "
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def run() -> None:
        async with AsyncClient(server.url) as client, client.speak(story(), PRESET) as stream:
            async for _ in stream:
                return

    asyncio.run(run())
    assert ended == [True]
    eventually(lambda: server.engine.running == 0)


def test_no_server_for_a_task_is_unreachable() -> None:
    async def run() -> None:
        async with AsyncClient("http://127.0.0.1:9") as client, client.speak(written(TEXT), PRESET):
            pass

    with pytest.raises(UnreachableError):
        asyncio.run(run())


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_examples_of_the_guide_run(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    presets = tmp_path / "presets"
    presets.mkdir()
    for path in (presets / "anna.wav", tmp_path / "me.wav"):
        path.write_bytes(clip())
    url = serve(presets_dir=presets).url
    monkeypatch.chdir(tmp_path)
    example = examples()[number]
    assert "http://127.0.0.1:8000" in example
    exec(compile(example.replace("http://127.0.0.1:8000", url), str(GUIDE), "exec"), {"__name__": "__main__"})


def test_the_client_needs_neither_torch_nor_the_server() -> None:
    code = "import sys, cosy.client; sys.exit(str({'torch', 'av', 'fastapi', 'websockets'} & sys.modules.keys()))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stderr.strip() == "set()"
