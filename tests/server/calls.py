"""Requests of the tests, and ways to wait for what follows from them."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import websocket

SPEECH = "/v1/audio/speech"


def body(text: str = "Hello there.", **fields: object) -> dict[str, object]:
    return {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm", **fields}


def speak(
    url: str, text: str = "Hello there.", headers: dict[str, str] | None = None, **fields: object
) -> httpx.Response:
    """One request for speech in the OpenAI dialect."""
    return httpx.post(url + SPEECH, json=body(text, **fields), headers=headers, timeout=20)


def open_stream(url: str, text: str, **fields: object) -> socket.socket:
    """A raw connection that has asked for speech and read nothing."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    content = json.dumps(body(text, **fields)).encode()
    head = [
        f"POST {SPEECH} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
    return connection


def stream_until_cut(url: str, text: str, then: Callable[[], object] = lambda: None) -> bytes:
    """What came of an answer that breaks off in the middle; `then` is called once something has come."""
    got = b""
    try:
        with httpx.stream("POST", url + SPEECH, json=body(text), timeout=20) as answer:
            assert answer.status_code == 200
            for data in answer.iter_raw():
                if not got:
                    then()
                got += data
    except httpx.RemoteProtocolError:
        return got
    raise AssertionError("the answer was complete")


def reset(connection: socket.socket) -> None:
    """Close abruptly: the other side gets a reset, not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def web_socket(url: str, **given: Any) -> Iterator[websocket.WebSocket]:
    """A connection of `websocket-client`, which ends however the server left it."""
    connection = websocket.create_connection(url, timeout=10, **given)
    try:
        yield connection
    finally:
        if connection.connected:
            connection.close()
        connection.shutdown()  # after a close of the server's, the one above leaves the socket open


def close_code(connection: websocket.WebSocket) -> int:
    """The code with which the server closes, which it must do next."""
    opcode, data = connection.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int(struct.unpack("!H", data[:2])[0])


def eventually(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.005)


def metric(url: str, name: str) -> float:
    """One value of the metrics page, 0 if it is not there."""
    page = httpx.get(url + "/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0
