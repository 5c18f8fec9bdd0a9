"""The stream service, by the calls of its guide and by ones that are wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile

from cosy.errors import OverloadedError
from cosy.types import InlineVoice, Mode
from tests.server.conftest import Serve, running
from tests.server.dialects.recordings import bomb, clip, silence
from tests.server.fake import PRESET, SECONDS_PER_CHARACTER, FakeEngine, make_parts

TEXT = "欢迎光临!请问您需要什么?"
NEWS = "你是一位专业的新闻主播,声音清晰,语调平稳,充满权威感。"
MARK = "<|endofprompt|>"
DEFAULT = "Speak in a natural tone."
MIB = 2**20


def synthesize(server: Any, **arguments: Any) -> bytes:
    """As the guide's examples do, 1024 bytes at a time."""
    response = requests.post(f"{server.url}/synthesize", stream=True, timeout=10, **arguments)
    assert response.status_code == 200, response.text
    return b"".join(chunk for chunk in response.iter_content(chunk_size=1024) if chunk)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "my_custom_voice.wav"
    path.write_bytes(clip())
    return path


def test_example_1_speaks_with_the_default_instruction_in_the_default_voice(serve: Serve) -> None:
    server = serve()
    audio = synthesize(server, data={"text": TEXT})
    assert len(audio) == 2 * round(24_000 * SECONDS_PER_CHARACTER * len(TEXT))
    samples = np.frombuffer(audio, dtype="<i2")
    assert np.abs(samples).max() == pytest.approx(2**14, rel=0.01)
    (asked,) = server.engine.requests
    assert (asked.text, asked.voice, asked.mode, asked.instruction) == (TEXT, PRESET, Mode.INSTRUCT, DEFAULT)


def test_example_2_speaks_with_an_instruction(serve: Serve) -> None:
    server = serve()
    synthesize(server, data={"text": TEXT, "instruction": NEWS + MARK})
    (asked,) = server.engine.requests
    assert (asked.voice, asked.mode, asked.instruction) == (PRESET, Mode.INSTRUCT, NEWS)


def test_example_3_speaks_with_an_instruction_in_the_voice_of_a_file(serve: Serve, recording: Path) -> None:
    server = serve()
    with recording.open("rb") as file:
        synthesize(server, data={"text": TEXT, "instruction": NEWS + MARK}, files={"prompt_wav": file})
    (asked,) = server.engine.requests
    assert (asked.voice, asked.mode, asked.instruction) == (InlineVoice(clip()), Mode.INSTRUCT, NEWS)


def test_example_4_speaks_in_the_voice_of_a_file_alone(serve: Serve, recording: Path) -> None:
    server = serve()
    with recording.open("rb") as file:
        synthesize(server, data={"text": TEXT}, files={"prompt_wav": file})
    (asked,) = server.engine.requests
    assert (asked.voice, asked.mode, asked.instruction) == (InlineVoice(clip()), Mode.CROSS_LINGUAL, "")


@pytest.mark.parametrize(
    ("fields", "mode", "transcript", "instruction"),
    [
        ({"instruction": "Glad.", "prompt_wav": True, "prompt_text": "Hi."}, Mode.INSTRUCT, "", "Glad."),
        ({"prompt_wav": True, "prompt_text": "Hi."}, Mode.ZERO_SHOT, "Hi.", ""),
        ({"instruction": "", "prompt_wav": True, "prompt_text": ""}, Mode.CROSS_LINGUAL, "", ""),
        ({"prompt_text": "Hi."}, Mode.ZERO_SHOT, "Hi.", ""),
        ({"instruction": "Glad."}, Mode.INSTRUCT, "What it says.", "Glad."),
        ({}, Mode.INSTRUCT, "What it says.", DEFAULT),
    ],
)
def test_the_fields_that_are_there_decide_how_it_sounds(
    serve: Serve, recording: Path, fields: dict[str, Any], mode: Mode, transcript: str, instruction: str
) -> None:
    server = serve(default_prompt=recording, default_prompt_text="What it says.")
    data = {key: value for key, value in fields.items() if key != "prompt_wav"}
    sent = clip(4.0) if "prompt_wav" in fields else b""
    synthesize(server, data={"text": TEXT, **data}, files={"prompt_wav": ("a.wav", sent, "audio/wav")})
    (asked,) = server.engine.requests
    assert asked.voice == InlineVoice(sent or clip(), transcript)
    assert (asked.mode, asked.instruction) == (mode, instruction)


@pytest.mark.parametrize(
    ("sent", "used"),
    [
        (f"{NEWS}{MARK}", NEWS),
        (f"Be glad.{MARK} And drop this.{MARK}", "Be glad."),
        (f"  Be\n glad 😀！ {MARK}", "Be glad 😀！"),
        (MARK, DEFAULT),
    ],
)
def test_an_instruction_ends_at_its_first_mark(serve: Serve, sent: str, used: str) -> None:
    server = serve()
    synthesize(server, data={"text": TEXT, "instruction": sent})
    assert server.engine.requests[0].instruction == used


def test_without_a_default_instruction_the_default_voice_speaks_as_it_is(serve: Serve) -> None:
    server = serve(default_instruction="")
    synthesize(server, json={"text": TEXT})
    (asked,) = server.engine.requests
    assert (asked.voice, asked.mode, asked.instruction) == (PRESET, None, "")


def test_the_head_says_what_the_samples_are(serve: Serve) -> None:
    response = requests.post(f"{serve().url}/synthesize", data={"text": TEXT}, timeout=10)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Sample-Rate"] == "24000"
    assert response.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize(
    "arguments", [{"headers": {"Accept": "audio/wav"}}, {"format": "WAV"}], ids=["header", "field"]
)
def test_a_wav_file_comes_if_asked_for(serve: Serve, arguments: dict[str, Any]) -> None:
    data = {"text": TEXT, "sample_rate": "16000", "format": arguments.pop("format", "")}
    response = requests.post(f"{serve().url}/synthesize", data=data, timeout=10, **arguments)
    assert response.headers["Content-Type"] == "audio/wav"
    info = soundfile.info(io.BytesIO(response.content))
    assert (info.samplerate, info.channels) == (16_000, 1)
    assert len(response.content) - 44 == pytest.approx(32_000 * SECONDS_PER_CHARACTER * len(TEXT), abs=100)


def test_a_whole_second_of_mp3_can_be_decoded(serve: Serve) -> None:
    data = {"text": TEXT, "format": "mp3", "speed": "0.5"}
    response = requests.post(f"{serve().url}/synthesize", data=data, timeout=10)
    assert response.headers["Content-Type"] == "audio/mpeg"
    info = soundfile.info(io.BytesIO(response.content))
    assert info.duration == pytest.approx(2 * SECONDS_PER_CHARACTER * len(TEXT), abs=0.15)


def test_health_is_exactly_this_and_needs_no_token(serve: Serve) -> None:
    url = serve(api_keys=["secret"]).url
    response = requests.get(f"{url}/health", timeout=10)
    assert response.status_code == 200
    assert response.text == '{"status":"ok","model_type":"CosyVoice2"}'


def test_health_says_that_the_model_is_loading(serve: Serve) -> None:
    response = requests.get(f"{serve(FakeEngine(ready=False)).url}/health", timeout=10)
    assert (response.status_code, response.json()) == (503, {"status": "loading", "model_type": "CosyVoice2"})


def test_health_answers_while_requests_run(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    with requests.post(f"{server.url}/synthesize", data={"text": TEXT * 5}, stream=True, timeout=10):
        assert requests.get(f"{server.url}/health", timeout=1).status_code == 200
        assert server.engine.running == 1


def test_model_info_has_the_keys_of_the_guide(serve: Serve) -> None:
    server = serve(api_keys=["secret"], model="/models/CosyVoice2-0.5B", default_instruction=f"Be glad.{MARK}")
    assert requests.get(f"{server.url}/model_info", timeout=10).json() == {
        "model_type": "CosyVoice2",
        "model_dir": "/models/CosyVoice2-0.5B",
        "default_instruction": f"Be glad.{MARK}",
        "usage": "Use /synthesize endpoint with 'instruction' parameter (CosyVoice2/3)",
        "endpoint": "/synthesize",
    }


def test_model_info_names_the_bundled_model_where_no_other_is_set(serve: Serve) -> None:
    info = requests.get(f"{serve().url}/model_info", timeout=10).json()
    assert Path(info["model_dir"]).parts[-2:] == ("assets", "model")
    assert info["default_instruction"] == DEFAULT + MARK


def test_a_token_is_needed_unless_the_setting_says_otherwise(serve: Serve) -> None:
    closed = f"{serve(api_keys=['secret']).url}/synthesize"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        response = requests.post(closed, data={"text": TEXT}, headers=headers, timeout=10)
        assert (response.status_code, response.json()) == (401, {"detail": "Invalid or missing API token"})
    authorised = {"Authorization": "Bearer secret"}
    assert requests.post(closed, data={"text": TEXT}, headers=authorised, timeout=10).status_code == 200


def test_the_setting_lets_everybody_in(serve: Serve) -> None:
    server = serve(api_keys=["secret"], open_synthesize=True)
    assert synthesize(server, data={"text": TEXT})


@pytest.mark.parametrize("data", [{}, {"prompt_text": "Hi."}, {"instruction": "Glad."}], ids=str)
def test_a_default_file_that_is_not_there_is_told_in_the_words_of_the_guide(serve: Serve, data: dict[str, str]) -> None:
    server = serve(default_prompt=Path("asset/zero_shot_prompt.wav"))
    response = requests.post(f"{server.url}/synthesize", data={"text": TEXT, **data}, timeout=10)
    assert response.status_code == 400
    assert response.json() == {"detail": "No prompt_wav provided and default file not found"}


def test_a_transcript_alone_needs_a_default_voice_that_has_its_recording(serve: Serve) -> None:
    response = requests.post(f"{serve().url}/synthesize", data={"text": TEXT, "prompt_text": "Hi."}, timeout=10)
    assert response.status_code == 400
    assert response.json() == {"detail": "No prompt_wav provided and default file not found"}


def wrong(**fields: str) -> dict[str, Any]:
    return {"data": {"text": TEXT, **fields}}


def upload(data: bytes, name: str = "a.wav") -> dict[str, Any]:
    return {"data": {"text": TEXT}, "files": {"prompt_wav": (name, data, "audio/wav")}}


def raw(body: bytes, media_type: str) -> dict[str, Any]:
    return {"data": body, "headers": {"Content-Type": media_type}}


GBK = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xbb\xb6\xd3\xad\r\n--b--\r\n'
BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing": ({}, 422, "text"),
    "no text": ({"data": {"instruction": NEWS}}, 422, "text"),
    "empty text": (wrong(text=""), 422, "text"),
    "text as a file": ({"files": {"text": ("a.txt", b"Hello")}}, 422, "text"),
    "text as a number": ({"json": {"text": 5}}, 422, "text"),
    "instruction as a list": ({"json": {"text": TEXT, "instruction": ["x"]}}, 422, "instruction"),
    "recording as text": (wrong(prompt_wav="abc"), 422, "prompt_wav"),
    "speed too low": (wrong(speed="0.2"), 422, "speed"),
    "speed as a word": (wrong(speed="fast"), 422, "speed"),
    "rate that is not offered": (wrong(sample_rate="1"), 422, "sample_rate"),
    "unknown format": (wrong(format="midi"), 422, "format"),
    "seed as a fraction": (wrong(seed="1.5"), 422, "seed"),
    "rate that the format has not": (wrong(format="mp3", sample_rate="12000"), 200, ""),
    "10 MB of text": (wrong(text="x" * 10_000_000), 413, "characters"),
    "33 MB of text": (wrong(text="x" * 33 * MIB), 413, "larger than 32 MiB"),
    "21 MB of recording": (upload(clip() + bytes(21 * MIB)), 413, "larger than 20 MiB"),
    "noise for a recording": (upload(b"RIFF" + np.random.default_rng(0).bytes(5000)), 400, "prompt_wav cannot"),
    "silence": (upload(silence()), 400, "prompt_wav cannot"),
    "too short": (upload(clip(0.5)), 400, "prompt_wav cannot"),
    "five hours in a small file": (upload(bomb()), 400, "prompt_wav cannot"),
    "a path for a name": (upload(b"x", "../../../etc/passwd"), 400, "prompt_wav cannot"),
    "a NUL in a name": (upload(b"x", "a\0.wav"), 400, "prompt_wav cannot"),
    "text in another charset": (raw(GBK, "multipart/form-data; boundary=b"), 422, "text"),
    "declared charset": (raw(GBK, "multipart/form-data; boundary=b; charset=gbk"), 200, ""),
    "unknown charset": (raw(GBK, "multipart/form-data; boundary=b; charset=klingon"), 422, "text"),
    "escapes in another charset": (raw(b"text=%C4%E3", "application/x-www-form-urlencoded"), 422, "body"),
    "broken JSON": (raw(b'{"text": ', "application/json"), 422, "body"),
    "a body of no known kind": (raw(b"Hello", "text/plain"), 422, "body"),
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the whole table."""
    with make_parts(tmp_path_factory.mktemp("store")) as parts, running(parts) as address:
        yield address


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_told_what_is_wrong(url: str, case: str) -> None:
    arguments, status, expected = BAD[case]
    answer = requests.post(f"{url}/synthesize", timeout=30, **arguments)
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["detail"][0]["loc"][-1] == expected
    elif status != 200:
        assert expected in answer.json()["detail"]


def test_a_missing_text_is_told_in_the_words_of_fastapi(url: str) -> None:
    detail = requests.post(f"{url}/synthesize", timeout=10).json()["detail"]
    assert detail == [{"type": "missing", "loc": ["body", "text"], "msg": "Field required", "input": None}]


def test_get_is_refused(url: str) -> None:
    answer = requests.get(f"{url}/synthesize", timeout=10)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def test_an_overloaded_engine_is_503_and_says_when_to_come_back(serve: Serve) -> None:
    server = serve(FakeEngine(error=OverloadedError("the engine is full", 3.2)))
    answer = requests.post(f"{server.url}/synthesize", data={"text": TEXT}, timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "4")
    assert answer.json() == {"detail": "the engine is full"}


def test_a_failure_before_any_audio_is_500_with_a_body_to_print(serve: Serve) -> None:
    server = serve(FakeEngine(error=RuntimeError("broken")))
    answer = requests.post(f"{server.url}/synthesize", data={"text": TEXT}, timeout=10)
    assert answer.status_code == 500
    assert answer.json()["detail"]
