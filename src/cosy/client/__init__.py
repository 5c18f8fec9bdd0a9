"""A client of a Cosy server, for programs that have neither torch nor a model.

    from cosy.client import Client

    with Client("http://127.0.0.1:8000", api_key="...") as client:
        client.speech("Hello.", "anna").save("hello.wav")

`AsyncClient` is its twin for asyncio, and can speak a text while it is still being written.
"""

from __future__ import annotations

from cosy.client.asynchronous import AsyncClient
from cosy.client.errors import AuthenticationError, InterruptedAnswerError, UnreachableError
from cosy.client.results import Health, Speech, VoiceEntry
from cosy.client.sync import Client
from cosy.types import InlineVoice

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "Health",
    "InlineVoice",
    "InterruptedAnswerError",
    "Speech",
    "UnreachableError",
    "VoiceEntry",
]
