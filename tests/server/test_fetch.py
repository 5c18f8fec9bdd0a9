"""Fetching what a client names by address, and refusing to."""

from __future__ import annotations

import base64
import ipaddress
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import pytest

from cosy.server.errors import ApiError, Kind
from cosy.server.fetch import Address, Fetcher, decode_base64, decode_data_url, is_public
from cosy.server.settings import Settings

AUDIO = b"RIFF and so on"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:0:7f00:1:0:0:80ff:fffe",
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class Handler(BaseHTTPRequestHandler):
    """/audio, /to?URL redirects, /loop, /big, /slow, /gzip, /missing."""

    seen: list[str]

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["Host"])  # type: ignore[attr-defined]
        path, _, rest = self.path.partition("?")
        if path == "/to":
            self._send(302, b"", Location=rest)
        elif path == "/loop":
            self._send(302, b"", Location="/loop")
        elif path == "/big":
            self._send(200, b"x" * 5000)
        elif path == "/gzip":
            self._send(200, AUDIO, **{"Content-Encoding": "gzip"})
        elif path == "/slow":
            self.server.released.wait(5)  # type: ignore[attr-defined]
        elif path == "/audio":
            self._send(200, AUDIO)
        else:
            self._send(404, b"")

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Any]:
    """A web server on all of loopback, so that 127.0.0.1 and 127.0.0.2 are two addresses of it."""
    server: Any = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    server.seen, server.released = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(
    url: str,
    fetch: str | None = "any",
    allowed: Callable[[Address], bool] = is_public,
    keys: bool = False,
    **settings: Any,
) -> bytes:
    async def has_keys() -> bool:
        return keys

    chosen = Settings(fetch=fetch, **{"max_upload_bytes": 4096, **settings})  # type: ignore[arg-type]
    return anyio.run(Fetcher(chosen, has_keys, allowed).audio, url)


def refusal(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(ApiError) as caught:
        fetch(*arguments, **settings)
    return f"{caught.value.problem.kind.value}: {caught.value}"


def first_only(address: Address) -> bool:
    """Stands for the public internet in these tests: 127.0.0.1 is, all else is not."""
    return str(address) == "127.0.0.1"


def url_of(site: Any, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{site.server_port}{path}"


def test_any_fetches_from_anywhere_and_follows_redirects(site: Any) -> None:
    assert fetch(url_of(site, "/audio")) == AUDIO
    assert fetch(url_of(site, "/to?" + url_of(site, "/audio", "127.0.0.2"))) == AUDIO


def test_public_refuses_loopback_whatever_it_is_called(site: Any) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::ffff:127.0.0.1]"):
        assert "not a public one" in refusal(url_of(site, "/audio", host), "public"), host
    assert site.seen == []


def test_public_checks_again_after_a_redirect(site: Any) -> None:
    assert fetch(url_of(site, "/to?" + url_of(site, "/audio")), "public", first_only) == AUDIO
    site.seen.clear()
    assert "not a public one" in refusal(
        url_of(site, "/to?" + url_of(site, "/audio", "127.0.0.2")), "public", first_only
    )
    assert site.seen == [f"127.0.0.1:{site.server_port}"]


def test_the_name_stays_in_the_host_header(site: Any) -> None:
    def v4(address: Address) -> bool:
        return True

    assert fetch(url_of(site, "/audio", "localhost"), "public", v4) == AUDIO
    assert site.seen == [f"localhost:{site.server_port}"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x", "//127.0.0.2/x"])
def test_a_redirect_leads_nowhere_else(target: str, site: Any) -> None:
    assert refusal(url_of(site, f"/to?{target}"), "public", first_only).startswith("invalid")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", "", "javascript:1", "http:", "http://[", "http://a b/"]
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert refusal(url).startswith("invalid")


@pytest.mark.parametrize(
    ("path", "message"), [("/loop", "TooManyRedirects"), ("/missing", "status 404"), ("/gzip", "compressed")]
)
def test_what_does_not_deliver_is_refused(path: str, message: str, site: Any) -> None:
    assert message in refusal(url_of(site, path))


def test_size_and_time_are_limited(site: Any) -> None:
    assert refusal(url_of(site, "/big")).startswith("too_large")
    assert "within 0.2 s" in refusal(url_of(site, "/slow"), fetch_timeout_s=0.2)


def test_off_fetches_nothing_but_data_urls(site: Any) -> None:
    assert "does not fetch" in refusal(url_of(site, "/audio"), "off")
    assert fetch("data:;base64," + base64.b64encode(AUDIO).decode(), "off") == AUDIO
    assert site.seen == []


@pytest.mark.parametrize(
    ("host", "keys", "mode"), [("127.0.0.1", False, "public"), ("0.0.0.0", True, "public"), ("0.0.0.0", False, "off")]
)
def test_unset_depends_on_who_can_reach_the_server(host: str, keys: bool, mode: str, site: Any) -> None:
    message = refusal(url_of(site, "/audio"), None, keys=keys, host=host)
    assert ("does not fetch" if mode == "off" else "not a public one") in message


@pytest.mark.parametrize(
    "url",
    [
        "data:audio/wav;base64,UklGRiBhbmQgc28gb24=",
        "data:;base64,UklGRiBhbmQgc28gb24",
        "DATA:audio/mpeg;charset=x;BASE64,UklGRiBh bmQg\nc28gb24=",
        "data:application/octet-stream;base64,UklGRiBhbmQgc28gb24%3D",
        "data:,RIFF%20and%20so%20on",
    ],
)
def test_data_urls_in_their_forms(url: str) -> None:
    assert decode_data_url(url, 100) == AUDIO


@pytest.mark.parametrize("url", ["data:audio/wav;base64", "data:;base64,!!!!", "data:;base64,A"])
def test_broken_data_urls(url: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_data_url(url, 100)
    assert caught.value.problem.kind is Kind.INVALID


def test_a_large_data_url_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ApiError) as caught:
        decode_base64(b"A" * 1000, 100)
    assert caught.value.problem.kind is Kind.TOO_LARGE
