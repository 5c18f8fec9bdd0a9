"""Recordings that a client names by address: data URLs, and http(s) as far as the settings allow.

With `public` what is checked is the address really connected to: a name is resolved here, every address it has must
be public, and the connection goes to one of those, not to the name.  So a name that resolves to something else the
next moment gains nothing, and a redirect, being a new request, is checked like the first.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import anyio
import httpx

from cosy.server.errors import ApiError, Kind
from cosy.server.limits import upload_too_large

if TYPE_CHECKING:
    from cosy.server.settings import Settings

MAX_REDIRECTS = 5
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether this is an address of the open internet, also by the IPv4 address inside an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        if inner := _embedded(address):
            return is_public(inner)
        if address.is_site_local:
            return False
    special = address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    return address.is_global and not special and not address.is_unspecified


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """What a mapped, 6to4, Teredo or NAT64 address leads to."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class Fetcher:
    """Gets recordings.  `has_keys` says whether calls need a key; `allowed` judges addresses where only some are."""

    def __init__(
        self,
        settings: Settings,
        has_keys: Callable[[], Awaitable[bool]],
        allowed: Callable[[Address], bool] = is_public,
    ) -> None:
        self._settings = settings
        self._has_keys = has_keys
        self._allowed = allowed

    async def audio(self, url: str) -> bytes:
        """The bytes behind a data URL or an http(s) address.

        Raises ApiError INVALID for an address that is malformed, not allowed or does not answer, TOO_LARGE.
        """
        if url[:5].lower() == "data:":
            return decode_data_url(url, self._settings.max_upload_bytes)
        if not url.lower().startswith(("http://", "https://")):
            raise _refusal("the address of a recording must begin with http://, https:// or data:")
        mode = self._settings.fetch or ("public" if await self._is_private() else "off")
        if mode == "off":
            raise _refusal("this server does not fetch recordings from addresses; send the audio itself")
        try:
            with anyio.fail_after(self._settings.fetch_timeout_s):
                return await self._get(url, self._allowed if mode == "public" else None)
        except TimeoutError:
            seconds = self._settings.fetch_timeout_s
            raise _refusal(f"the recording's address did not deliver within {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, UnicodeError) as error:
            raise _refusal(f"the recording cannot be fetched: {type(error).__name__}") from error

    async def _is_private(self) -> bool:
        """Whether strangers cannot make this server fetch."""
        return self._settings.on_loopback or await self._has_keys()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # reads all certificates: once, and only where it is needed

    async def _get(self, url: str, allowed: Callable[[Address], bool] | None) -> bytes:
        # No connection is kept: the next request of that name is to be checked again.
        inner = httpx.AsyncHTTPTransport(
            verify=self._tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        transport = inner if allowed is None else CheckedTransport(inner, allowed)
        headers = {"Accept-Encoding": "identity", "User-Agent": "cosy"}
        client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=self._settings.fetch_timeout_s,
            trust_env=False,
        )
        async with client, client.stream("GET", url, headers=headers) as answer:
            return await self._body(answer)

    async def _body(self, answer: httpx.Response) -> bytes:
        most = self._settings.max_upload_bytes
        if answer.status_code != httpx.codes.OK:
            raise _refusal(f"the recording's address answered with status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise _refusal("the recording's address answers compressed although that was not asked for")
        data = bytearray()
        async for part in answer.aiter_raw():
            data += part
            if len(data) > most:
                raise upload_too_large(most)
        return bytes(data)


class CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves the name of every request and connects only to addresses that are allowed."""

    def __init__(self, inner: httpx.AsyncBaseTransport, allowed: Callable[[Address], bool]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        addresses = await _resolve(host, request.url.port or 0)
        if not all(self._allowed(address) for address in addresses):
            raise _refusal("the recording's address is not a public one; this server fetches from nowhere else")
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_towards(request, address))
            except httpx.ConnectError:
                continue
        return await self._inner.handle_async_request(_towards(request, addresses[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _towards(request: httpx.Request, address: Address) -> httpx.Request:
    """The same request to a numeric address; Host header and certificate check keep the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


async def _resolve(host: str, port: int) -> list[Address]:
    """All addresses of a name, the resolver's favourite first.  Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)  # without the zone
    return [ipaddress.ip_address(number) for number in numbers]


def decode_data_url(url: str, most: int) -> bytes:
    """The content of `data:[type][;base64],...`, white space in it ignored.  Raises ApiError."""
    head, comma, body = url.partition(",")
    if not comma:
        raise _refusal("the data URL has no comma before its content")
    data = unquote_to_bytes(body) if "%" in body else body.encode("utf-8", "replace")
    if head.lower().endswith(";base64"):
        return decode_base64(data, most)
    if len(data) > most:
        raise upload_too_large(most)
    return data


def decode_base64(data: bytes, most: int) -> bytes:
    """Base64 of either alphabet, with or without padding and white space.  Raises ApiError."""
    packed = b"".join(data.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    if len(packed) * 3 // 4 > most:
        raise upload_too_large(most)
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise _refusal(f"the recording is not base64: {error}") from error


def _refusal(message: str) -> ApiError:
    return ApiError(Kind.INVALID, message)
