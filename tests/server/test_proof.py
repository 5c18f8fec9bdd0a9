"""What holds whatever happens: strange requests, killed servers, two servers on one store, the end."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import anyio
import httpx
import pytest
import schemathesis
import websocket
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from cosy.cli.compose import opened_database
from cosy.server.settings import Settings
from cosy.server.store.database import Database
from cosy.server.store.keys import KeyRing
from cosy.server.store.objects import ObjectStore
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry
from tests.server.calls import SPEECH, body, eventually, speak, stream_until_cut
from tests.server.conftest import Serve
from tests.server.dialects.recordings import clip
from tests.server.fake import make_parts, prepare
from tests.server.processes import Server, humming
from tests.server.vanishing import LONG, PAI_SOCKET, REFERENCES, connect, last_event, raw, speaking_socket

NOT_HERE = 501  # what a server cannot do that lacks an optional part, said so
EXAMPLES = 12  # of each operation, valid ones and as many invalid ones
TEXT = "This is some text."  # 1.44 s
CLIP = clip()
ANYTHING = examples(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


# Strange requests


def make_sense(case: Case) -> None:
    """Names and files that exist, so that a request gets further than to the check of its names."""
    for fields in (case.body, case.body.get("input") if isinstance(case.body, dict) else None):
        if not isinstance(fields, dict):
            continue
        for name in {"voice", "spk_id", "reference_audio_id"} & fields.keys():
            fields[name] = "alex"
        for name in {"prompt_wav", "file", "audio_sample", "recording", "audio"} & fields.keys():
            if isinstance(fields[name], bytes):
                fields[name] = CLIP


@pytest.mark.slow
def test_no_request_that_can_be_made_up_breaks_the_server(serve: Serve) -> None:
    url, broken = serve().url, []
    answers: Counter[int] = Counter()
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    for operation in (found.ok() for found in schema.get_all_operations()):
        for mode in GenerationMode:

            @ANYTHING
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: Case) -> None:
                make_sense(case)
                answer = case.call(base_url=url)
                answers[answer.status_code // 100] += 1
                if answer.status_code >= 500 and answer.status_code != NOT_HERE:
                    broken.append(f"{answer.status_code}: {case.as_curl_command()}")

            with suppress(Unsatisfiable):  # where nothing is invalid
                call()
    assert not broken, "\n".join(broken)
    assert answers[2] > 100
    assert answers[4] > 300


def test_the_description_of_the_api_is_made_without_a_warning(tmp_path: Path) -> None:
    with make_parts(tmp_path) as parts:
        description = parts.app.openapi()  # a warning is an error in tests
    operations = [each for path in description["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations) > 30


# Killed servers


def upload(server: Server, name: str, audio: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    files = {"file": (f"{name}.wav", audio, "audio/wav")}
    data = {"text": "Hello there."}
    return httpx.post(server.url + REFERENCES, files=files, data=data, headers=headers, timeout=20)


def voices(server: Server, headers: dict[str, str] | None = None) -> set[str]:
    """Ids of the uploaded voices."""
    answer = httpx.get(server.url + REFERENCES, params={"limit": 1000}, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return {each["id"] for each in answer.json()}


def kept(folder: Path) -> dict[str, bytes]:
    """The recordings of the store by voice; each voice must be whole, and nothing may be left of others."""
    settings = Settings(data_dir=folder)
    with opened_database(settings) as database:
        objects = ObjectStore(settings.objects)
        registry = VoiceRegistry(database, objects, prepare)
        registry.sweep(-60.0)
        records = anyio.run(registry.list)
        assert all(registry.prepared(record.id) for record in records)
        found = {record.id: anyio.run(registry.audio, record.id) for record in records}
        assert all(sha256(found[record.id]).hexdigest() == record.sha256 for record in records)
        assert len(list(objects.list("voices"))) == 2 * len(records)
        return found


def test_a_killed_server_shows_its_clients_an_error_and_starts_again(tmp_path: Path) -> None:
    with humming(tmp_path, delay_s=0.02) as server:
        voice = upload(server, "kept", CLIP).json()["id"]
        connection = speaking_socket(server.ws_url, LONG, voice)
        assert "result-generated" in connection.recv()
        assert stream_until_cut(server.url, LONG, server.kill)
        with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
            last_event(connection)
        connection.shutdown()
    with humming(tmp_path) as server:
        assert voices(server) == {voice}
        assert speak(server.url, voice=voice).status_code == 200


@pytest.mark.parametrize("format", ["wav", "mp3"])
def test_a_client_that_waits_for_a_file_gets_an_error_and_not_a_part_of_it(format: str, tmp_path: Path) -> None:
    with humming(tmp_path, delay_s=0.05) as server:
        killing = threading.Timer(0.3, server.kill)
        killing.start()
        with pytest.raises(httpx.TransportError):
            speak(server.url, LONG, stream=False, response_format=format)
        killing.join()


@pytest.mark.slow
@pytest.mark.parametrize("patience_s", [0.05, 0.3])
def test_a_server_killed_during_uploads_keeps_whole_voices_and_all_it_has_promised(
    patience_s: float, tmp_path: Path
) -> None:
    promised: dict[str, bytes] = {}
    sent = [clip(2.0 + number / 10) for number in range(4)]

    def send(audio: bytes) -> None:
        with suppress(httpx.TransportError):
            while True:
                answer = upload(server, "voice", audio)
                assert answer.status_code == 200, answer.text
                promised[answer.json()["id"]] = audio

    with humming(tmp_path) as server:
        threads = [threading.Thread(target=send, args=(audio,)) for audio in sent]
        for thread in threads:
            thread.start()
        eventually(lambda: bool(promised))
        time.sleep(patience_s)
        server.kill()
        for thread in threads:
            thread.join()
    with humming(tmp_path) as server:
        assert promised.keys() <= voices(server)
        assert all(speak(server.url, voice=voice).status_code == 200 for voice in voices(server))
        assert upload(server, "next", sent[0]).status_code == 200
    found = kept(tmp_path)
    assert promised.items() <= found.items()
    assert set(found.values()) <= set(sent)


def test_half_an_upload_leaves_nothing(tmp_path: Path) -> None:
    with humming(tmp_path) as server:
        connection, _ = begin_upload(server.url)
        server.kill()
        connection.close()
    with humming(tmp_path) as server:
        assert voices(server) == set()
    assert kept(tmp_path) == {}


def begin_upload(url: str) -> tuple[socket.socket, bytes]:
    """A connection over which half of a request with a recording was sent, and the rest of it."""
    data = raw(httpx.Request("POST", url + REFERENCES, data={"text": "Hi."}, files={"file": ("a.wav", CLIP)}))
    connection, half = connect(url), len(data) // 2
    connection.sendall(data[:half])
    return connection, data[half:]


# Two servers


CLIENTS, TURNS = 6, 4


@contextmanager
def keyring(folder: Path) -> Iterator[tuple[Database, KeyRing]]:
    """The keys of a store, from outside of its servers, as `cosy keys` has them."""
    with opened_database(Settings(data_dir=folder)) as database:
        yield database, KeyRing(database)


@pytest.mark.slow
def test_two_servers_at_work_on_one_store_lose_nothing_and_never_refuse(tmp_path: Path) -> None:
    with keyring(tmp_path) as (_, keys):
        key, secret = anyio.run(keys.create, "both", ["speech", "voices"])
    headers = {"Authorization": f"Bearer {secret}"}

    def work(client: int) -> set[str]:
        """Voices that stay of those that one client made."""
        here, there = (one, other) if client % 2 else (other, one)
        made = set()
        for turn in range(TURNS):
            answer = upload(here, f"{client}-{turn}", CLIP, headers)
            assert answer.status_code == 200, answer.text
            voice = answer.json()["id"]
            assert speak(there.url, TEXT, headers, voice=voice).status_code == 200
            assert voice in voices(there, headers)
            if turn % 2:
                assert httpx.delete(f"{there.url}{REFERENCES}/{voice}", headers=headers).status_code == 200
                assert speak(here.url, TEXT, headers, voice=voice).status_code == 400
            else:
                made.add(voice)
        return made

    with humming(tmp_path) as one, humming(tmp_path) as other:
        with ThreadPoolExecutor(CLIENTS) as pool:
            stay = set().union(*pool.map(work, range(CLIENTS)))
        assert voices(one, headers) == voices(other, headers) == stay
        with keyring(tmp_path) as (_, keys):
            anyio.run(keys.revoke, key.id)
        for server in (one, other):
            eventually(lambda url=server.url: speak(url, headers=headers).status_code == 401)  # type: ignore[misc]
            server.terminate()
            assert server.status() == 0
            assert "locked" not in server.log.read_text()
            assert "error" not in {line["level"] for line in server.lines}
    assert kept(tmp_path).keys() == stay
    with keyring(tmp_path) as (database, _):
        used = anyio.run(Usage(database).report)
    assert sum(row.characters for row in used) >= CLIENTS * TURNS * len(TEXT)
    assert {row.key_id for row in used} == {key.id}


# The end


def test_a_server_that_is_told_to_end_finishes_what_it_says_and_lets_nobody_in(tmp_path: Path) -> None:
    with humming(tmp_path, delay_s=0.1) as server:
        connection = speaking_socket(server.ws_url, TEXT, "alex")
        with httpx.stream("POST", server.url + SPEECH, json=body(TEXT), timeout=20) as answer:
            parts = answer.iter_raw()
            got = next(parts)
            server.terminate()
            eventually(lambda: httpx.get(server.url + "/ready").status_code == 503)
            refused = speak(server.url)
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            got += b"".join(parts)
        assert len(got) == 2 * round(0.08 * 24_000) * len(TEXT)
        assert last_event(connection)["event"] == "task-finished"
        connection.shutdown()
        assert server.status() == 0


@pytest.mark.parametrize(("drain_s", "signals"), [(0.5, 1), (60.0, 2)])
def test_at_the_limit_or_the_second_signal_it_cuts_what_is_left_and_says_so(
    drain_s: float, signals: int, tmp_path: Path
) -> None:
    with humming(tmp_path, delay_s=0.05, drain_s=drain_s) as server:
        connection = speaking_socket(server.ws_url, LONG, "alex")

        def end() -> None:
            for _ in range(signals):
                server.terminate()
                time.sleep(0.3)  # two at once are one

        assert stream_until_cut(server.url, LONG, end)
        failure = last_event(connection)
        assert (failure["event"], failure["error_code"]) == ("task-failed", "ServiceUnavailable")
        connection.shutdown()
        assert server.status() == 0


def test_an_upload_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    with humming(tmp_path) as server:
        connection, rest = begin_upload(server.url)
        server.terminate()
        eventually(lambda: httpx.get(server.url + "/ready").status_code == 503)
        time.sleep(0.5)  # for a server that does not wait to end
        connection.sendall(rest)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()
        assert server.status() == 0
    assert list(kept(tmp_path).values()) == [CLIP]


# What may not be told, and not be sent


def test_no_log_line_tells_a_key(tmp_path: Path) -> None:
    secret = "hush-hush"
    with humming(tmp_path, api_keys=[secret], log_level="debug") as server:
        for path in ("/v1/models", "/nothing", "/metrics", "/v1/audio/voice/list", "/cosy/v1/usage"):
            for name in ("token", "api_key", "access_token"):
                httpx.get(f"{server.url}{path}?{name}={secret}")
        for name in ("Authorization", "X-API-TOKEN", "X-API-Key", "api-key"):
            assert speak(server.url, TEXT, {name: secret}).status_code == 200
            speak(server.url, TEXT, {name: secret}, voice="nobody")
        websocket.create_connection(f"{server.ws_url}{PAI_SOCKET}?token={secret}").close()
        for path in (f"{PAI_SOCKET}?token={secret}x", f"/nothing?token={secret}"):
            with pytest.raises(websocket.WebSocketBadStatusException):
                websocket.create_connection(server.ws_url + path)
        with connect(server.url) as connection:
            connection.sendall(f"GET /?token={secret} HTTP/7.1 nonsense\r\n\r\n".encode())
            connection.recv(100)
        server.terminate()
        assert server.status() == 0
        assert len(server.lines) > 20
        assert secret not in server.log.read_text()
        assert TEXT not in server.log.read_text()


def test_a_message_above_the_limit_of_sockets_closes_its_own_socket(tmp_path: Path) -> None:
    with humming(tmp_path, max_socket_message_bytes=4096) as server:
        speaking = speaking_socket(server.ws_url, TEXT * 20, "alex")
        connection = speaking_socket(server.ws_url, "x" * 3000, "alex")
        connection.send("x" * 5000)
        while (frame := connection.recv_frame()).opcode != websocket.ABNF.OPCODE_CLOSE:
            pass
        assert int.from_bytes(frame.data[:2], "big") == 1009  # message too big
        assert last_event(speaking)["event"] == "task-finished"
        speaking.close()
        connection.shutdown()
