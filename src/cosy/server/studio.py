"""The studio: an app for the browser at `/`, its files under `/studio/`, and the clone page at `/voice-cloner.html`.

The files come with the package and are served as they are; docs/design/0005-studio.md says why there is no build.
Their address holds a digest of all of them, so that browsers keep them for good and yet never mix two versions.
The pages talk to this server's public API and to nothing else: their Content-Security-Policy sees to that.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect
from cosy.server.errors import Problem
from cosy.server.operations import root

UI = Path(__file__).parent / "ui"
FOREVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
PACKED = (".js", ".css", ".json", ".html", ".svg")  # worth compressing

WAVESURFER_STYLE = "'sha256-7Wn/5ghbhb9U5yM332FZpa4jDUilNGJdZ87eJ6XZFBA='"
"""The one style element there is: wavesurfer puts it, always the same, into its shadow root."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {WAVESURFER_STYLE}",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}

router = APIRouter(include_in_schema=False)
Ctx = Annotated[Context, Depends(context_of)]


@router.get("/")
async def front(request: Request, context: Ctx) -> Response:
    """The studio for browsers; what it has always been for everybody else."""
    if context.settings.studio and "text/html" in request.headers.get("accept", ""):
        return _page("index.html", request)
    return JSONResponse(await root(), headers={"Vary": "Accept"})


@router.get("/voice-cloner.html")
async def voice_cloner(request: Request, context: Ctx) -> Response:
    """Uploading a voice in SiliconFlow's way."""
    _check(context)
    return _page("voice-cloner.html", request)


@router.get("/studio/{version}/{name:path}")
async def asset(version: str, name: str, request: Request, context: Ctx) -> Response:
    """A file of the app.  An outdated version gets today's, which its page then asks for again each time."""
    _check(context)
    app = _app()
    if name not in app.files or name.endswith(".html"):
        raise HTTPException(404, "Not Found")
    return _answer(app.files[name], request, FOREVER if version == app.version else ASK_AGAIN)


@dataclass(frozen=True)
class Asset:
    """A file, read once."""

    name: str
    data: bytes

    @cached_property
    def tag(self) -> str:
        return f'W/"{hashlib.sha256(self.data).hexdigest()[:20]}"'

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(self.data, mtime=0)

    @property
    def media_type(self) -> str:
        kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(self.name).suffix)
        return kind or mimetypes.guess_type(self.name)[0] or "text/plain"


@dataclass(frozen=True)
class App:
    """All files by their path below `ui`, pages with the addresses of the others in them."""

    version: str  # a digest of all
    files: dict[str, Asset]


def _check(context: Context) -> None:
    if not context.settings.studio:
        raise HTTPException(404, "the studio is switched off by the setting 'studio'")


def _page(name: str, request: Request) -> Response:
    return _answer(_app().files[name], request, ASK_AGAIN, Vary="Accept, Accept-Encoding")


def _answer(asset: Asset, request: Request, cache: str, **extra: str) -> Response:
    headers = {**HEADERS, "Cache-Control": cache, "ETag": asset.tag, "Vary": "Accept-Encoding", **extra}
    known = request.headers.get("if-none-match", "")
    if asset.tag in [tag.strip() for tag in known.split(",")]:
        return Response(status_code=304, headers=headers)
    if asset.name.endswith(PACKED) and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.data, media_type=asset.media_type, headers=headers)


def _app() -> App:
    """Read again when a file has changed, for those who work on it."""
    paths = sorted(path for path in UI.rglob("*") if path.is_file())
    return _read(tuple((path.relative_to(UI).as_posix(), path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=1)
def _read(fingerprint: tuple[tuple[str, int], ...]) -> App:
    files = {name: Asset(name, (UI / name).read_bytes()) for name, _ in fingerprint}
    whole = hashlib.sha256()
    for name, each in files.items():
        whole.update(f"{name} {each.tag}\n".encode())
    version = whole.hexdigest()[:16]
    for name in [name for name in files if name.endswith(".html")]:
        files[name] = Asset(name, files[name].data.replace(b"{version}", version.encode()))
    return App(version, files)


def _error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    return {"detail": problem.message, "request_id": request_id}


STUDIO = Dialect(
    "studio", router, lambda path: path.startswith("/studio/") or path == "/voice-cloner.html", _error_body
)
