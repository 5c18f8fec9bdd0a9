"""Keys: every place where clients put them, what they allow, and what happens without."""

from __future__ import annotations

import anyio
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.calls import SPEECH, speak
from tests.server.conftest import Serve, Served

KEY = "a-secret-key"

PLACES = [
    {"Authorization": f"Bearer {KEY}"},
    {"Authorization": f"bearer {KEY}"},
    {"Authorization": f"BEARER   {KEY}"},
    {"Authorization": KEY},
    {"X-API-TOKEN": KEY},
    {"X-API-Key": KEY},
    {"api-key": KEY},
    {"Authorization": "Bearer wrong", "X-API-TOKEN": KEY},
]
WRONG = [
    {},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Bearer {KEY[:-1]}"},
    {"Authorization": f"Basic {KEY}"},
    {"X-API-TOKEN": "wrong"},
    {"Cookie": f"token={KEY}"},
]


@pytest.mark.parametrize("headers", PLACES)
def test_a_key_is_found_in_every_header(headers: dict[str, str], serve: Serve) -> None:
    assert speak(serve(api_keys=[KEY]).url, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", WRONG)
def test_a_wrong_or_missing_key_is_refused(headers: dict[str, str], serve: Serve) -> None:
    answer = speak(serve(api_keys=[KEY]).url, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("name", ["token", "api_key", "access_token"])
def test_a_key_in_the_query_counts_for_get_but_not_for_post(name: str, serve: Serve) -> None:
    url = serve(api_keys=[KEY]).url
    assert httpx.get(f"{url}/v1/models?{name}={KEY}").status_code == 200
    assert httpx.post(f"{url}{SPEECH}?{name}={KEY}", json={}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/health", "/model_info", "/ready", "/v1/audio/voices", "/v1/audio/models"])
def test_some_paths_never_need_a_key(path: str, serve: Serve) -> None:
    assert httpx.get(serve(api_keys=[KEY]).url + path).status_code == 200


def test_a_preflight_needs_no_key(serve: Serve) -> None:
    headers = {"Origin": "http://page", "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = "authorization, content-type"
    answer = httpx.options(serve(api_keys=[KEY]).url + SPEECH, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]


def test_options_without_a_preflight_is_answered(serve: Serve) -> None:
    assert httpx.options(serve(api_keys=[KEY]).url + SPEECH).status_code == 204


def test_without_keys_credentials_are_ignored(serve: Serve) -> None:
    assert speak(serve().url, headers={"Authorization": "Bearer whatever"}).status_code == 200


def make_key(served: Served, *scopes: str, rpm: int | None = None) -> str:
    async def make() -> str:
        return (await served.keys.create("test", scopes, rpm=rpm))[1]

    return anyio.run(make)


def test_a_key_may_do_only_what_its_scopes_say(serve: Serve) -> None:
    served = serve()
    key = make_key(served, "voices")
    refused = speak(served.url, headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == 403
    assert "lacks the scope 'speech'" in refused.json()["error"]["message"]


def test_the_first_key_closes_the_server_and_revoking_it_does_not_open_it(serve: Serve) -> None:
    served = serve()
    key = make_key(served, "speech")
    headers = {"Authorization": f"Bearer {key}"}
    assert speak(served.url).status_code == 401
    assert speak(served.url, headers=headers).status_code == 200
    key_id = anyio.run(served.keys.list)[0].id
    anyio.run(served.keys.revoke, key_id)
    assert speak(served.url, headers=headers).status_code == 401
    assert speak(served.url).status_code == 401


def test_a_key_has_its_own_rate(serve: Serve) -> None:
    served = serve()
    headers = {"Authorization": f"Bearer {make_key(served, 'speech', rpm=2)}"}
    answers = [speak(served.url, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 31


def test_metrics_need_a_key_of_scope_admin(serve: Serve) -> None:
    served = serve()
    assert httpx.get(served.url + "/metrics").status_code == 200
    speech, admin = make_key(served, "speech"), make_key(served, "admin")
    assert httpx.get(served.url + "/metrics").status_code == 401
    assert httpx.get(served.url + "/metrics", headers={"X-API-Key": speech}).status_code == 403
    assert httpx.get(served.url + "/metrics", headers={"X-API-Key": admin}).status_code == 200


def test_metrics_can_be_open(serve: Serve) -> None:
    assert httpx.get(serve(api_keys=[KEY], open_metrics=True).url + "/metrics").status_code == 200


SOCKETS = ["/api-ws/v1/inference", "/api-ws/v1/inference/", "/api-ws/v1/audio/speech"]


@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_without_key_is_refused_before_it_is_accepted(path: str, serve: Serve) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(serve(api_keys=[KEY]).ws_url + path):
        pass
    assert caught.value.response.status_code == 401
    assert b'"code"' in (caught.value.response.body or b"")
    assert caught.value.response.headers["X-Request-Id"]


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("query", ["", f"?token={KEY}", f"?api_key={KEY}"])
def test_a_socket_takes_a_key_by_header_or_query(path: str, query: str, serve: Serve) -> None:
    headers = {} if query else {"Authorization": f"bearer {KEY}"}
    with connect(serve(api_keys=[KEY]).ws_url + path + query, additional_headers=headers) as socket:
        assert socket.response is not None
        assert socket.response.status_code == 101
