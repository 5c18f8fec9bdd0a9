"""The fields of one request, wherever the caller put them.

The clients of the form dialects send the same fields as a multipart body, a urlencoded body, a JSON object or a
query, and some send a body with GET.  The body goes before the query; unknown fields stay unread.  Text must be
UTF-8 (or the charset the body declares): form parsers read anything else as Latin-1, and it would be spoken so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cosy.server.errors import ApiError, Kind, Problem
from cosy.server.limits import read_upload
from cosy.server.store.admission import admit
from cosy.server.store.records import VoiceLimits
from cosy.types import InlineVoice

if TYPE_CHECKING:
    from starlette.requests import Request

    from cosy.server.context import Context

UNPROCESSABLE = 422  # what FastAPI answers when a field is missing or malformed
MISSING = "Field required"
MAX_PARTS = 64
MAX_SEED = 2**63 - 1
OUTPUT_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
END_OF_PROMPT = "<|endofprompt|>"  # ends an instruction
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded", "application/json")


@dataclass(frozen=True)
class Upload:
    """One file part, read.  Its name is data, never a path."""

    filename: str
    media_type: str
    data: bytes


def refuse(name: str, message: str) -> NoReturn:
    """Raise for a field that cannot be read: 422, naming it."""
    raise ApiError(Kind.INVALID, message, param=name, status=UNPROCESSABLE)


class Fields:
    """Field name to what was sent for it; every method raises ApiError (422) that names the field."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def required(self, name: str) -> str:
        """Text that must be there and not be blank."""
        value = self.text(name)
        return value if value.strip() else refuse(name, MISSING)

    def text(self, name: str) -> str:
        """Text, empty where it is absent."""
        value = self._values.get(name)
        if isinstance(value, Upload):
            refuse(name, "Input should be text, not a file")
        if not isinstance(value, str | None):
            refuse(name, f"Input should be text, got {json.dumps(value)[:80]}")
        if value and not _storable(value):
            refuse(name, "Input should be text without NUL and lone surrogates")
        return value or ""

    def file(self, name: str) -> Upload | None:
        """A file, None where it is absent or an empty part."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, Upload):
            refuse(name, "Input should be a file: send it as a multipart part with a file name")
        return value if value.data else None

    def required_file(self, name: str) -> Upload:
        """A file that must be there and hold something."""
        return self.file(name) or refuse(name, MISSING)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number of [low, high]."""
        if name not in self:
            return default
        try:
            value = float(self._scalar(name))
        except ValueError:
            refuse(name, f"Input should be a number between {low:g} and {high:g}, got {self._shown(name)}")
        if not low <= value <= high:  # also refuses NaN
            refuse(name, f"Input should be between {low:g} and {high:g}, got {value:g}")
        return value

    def integer(self, name: str, default: int | None, low: int, high: int) -> int | None:
        """A whole number of [low, high]."""
        if name not in self:
            return default
        try:
            value = int(self._scalar(name))
        except ValueError:
            refuse(name, f"Input should be a whole number, got {self._shown(name)}")
        return value if low <= value <= high else refuse(name, f"Input should be between {low} and {high}, got {value}")

    def choice(self, name: str, default: int, choices: Sequence[int]) -> int:
        """One of several whole numbers."""
        value = self.integer(name, default, 0, max(choices))
        if value is None or value not in choices:
            refuse(name, f"Input should be one of {list(choices)}, got {value}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A truth value in the usual spellings."""
        if name not in self:
            return default
        word = self._scalar(name).lower()
        if word not in TRUTH:
            refuse(name, f"Input should be true or false, got {self._shown(name)}")
        return TRUTH[word]

    def _scalar(self, name: str) -> str:
        value = self._values[name]
        return str(value).strip() if isinstance(value, str | int | float) else refuse(name, "Input should be one value")

    def _shown(self, name: str) -> str:
        return repr(str(self._values[name])[:80])


def _storable(text: str) -> bool:
    """Whether databases and encoders take the text: a JSON body can spell what is no character."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def plain_instruction(text: str) -> str:
    """An instruction on one line, up to its marker: what follows that was put there by mistake."""
    return " ".join(text.partition(END_OF_PROMPT)[0].split())


def text_and_instruction(fields: Fields, name: str) -> tuple[str, str]:
    """Text to speak, and the instruction that a marker within it divides from it (else empty)."""
    text = fields.required(name)
    before, marker, after = text.partition(END_OF_PROMPT)
    if not marker:
        return text, ""
    return after.strip() or refuse(name, f"there is no text to speak after {END_OF_PROMPT}"), plain_instruction(before)


async def inline_voice(upload: Upload, transcript: str, context: Context) -> InlineVoice:
    """The voice of a recording sent along, by the rules for uploads.  Raises AudioError as `admit` does."""
    limits = VoiceLimits(max_bytes=context.settings.max_upload_bytes)
    check = partial(admit, filename=upload.filename, content_type=upload.media_type)
    recording = await to_thread.run_sync(check, upload.data, transcript, limits)
    return InlineVoice(recording.readable, recording.transcript)


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The error body of FastAPI's own making: a message, or for a field that cannot be read a list with its place."""
    if problem.kind is Kind.UNAUTHORIZED:
        return {"detail": "Invalid or missing API token"}
    if problem.kind is Kind.BAD_AUDIO:
        return {"detail": f"prompt_wav cannot be used: {problem.message}"}
    if problem.status != UNPROCESSABLE:
        return {"detail": problem.message}
    kind = "missing" if problem.message == MISSING else "value_error"
    place = ["body", problem.param] if problem.param != "body" else ["body"]
    return {"detail": [{"type": kind, "loc": place, "msg": problem.message, "input": None}]}


def body_description(required: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    """The request body, field name to JSON schema, for the OpenAPI page of a route that reads its body itself."""
    schema = {"type": "object", "properties": {**required, **extras}, "required": list(required)}
    has_file = any(each.get("format") == "binary" for each in required.values())
    content = {media_type: {"schema": schema} for media_type in (FORMS[:1] if has_file else FORMS)}
    return {"requestBody": {"required": True, "content": content}}


async def read_fields(request: Request, context: Context) -> Fields:
    """All fields of a request.  Raises ApiError: 422 for a body that cannot be read, 413 for an upload too large."""
    query = _pairs(request.scope["query_string"], "query")
    return Fields({**query, **await _body(request, context)})


async def _body(request: Request, context: Context) -> dict[str, Any]:
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type == b"multipart/form-data":
        return await _multipart(request, context, options.get(b"charset", b"utf-8").decode("latin-1"))
    body = await request.body()
    if media_type == b"application/json":
        return _object(body)
    if media_type == b"application/x-www-form-urlencoded":
        return _pairs(body, "body")
    if body:
        refuse("body", f"a body must be multipart, urlencoded or JSON, not {media_type.decode('latin-1')[:80]!r}")
    return {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):  # ValueError: syntax, and bytes that are not UTF-8
        refuse("body", "the body is not valid JSON in UTF-8")
    return found if isinstance(found, dict) else refuse("body", "the JSON body must be an object")


def _pairs(encoded: bytes, place: str) -> dict[str, Any]:
    """The fields of a query or a urlencoded body; of a repeated field the last counts."""
    pairs = (part.replace(b"+", b" ").partition(b"=") for part in encoded.split(b"&") if part)
    return {_decoded(unquote_to_bytes(key), place): _decoded(unquote_to_bytes(value), place) for key, _, value in pairs}


async def _multipart(request: Request, context: Context, charset: str) -> dict[str, Any]:
    """The parts of a multipart body; Latin-1 loses nothing, so that the text can be decoded strictly afterwards."""
    plain = Headers({"content-type": f"{request.headers['content-type']}; charset=latin-1"})
    size = context.settings.max_body_bytes
    parser = MultiPartParser(plain, request.stream(), max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=size)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        refuse("body", f"the multipart body cannot be read: {error.message}")
    try:
        return {name: await _part(name, part, charset, context) for name, part in form.multi_items()}
    finally:
        await form.close()


async def _part(name: str, part: str | UploadFile, charset: str, context: Context) -> str | Upload:
    if isinstance(part, str):
        return _decoded(part.encode("latin-1"), name, charset)
    return Upload(part.filename or "", part.content_type or "", await read_upload(part, context))


def _decoded(data: bytes, place: str, charset: str = "utf-8") -> str:
    try:
        return data.decode(charset)
    except (UnicodeDecodeError, LookupError):
        refuse(place, f"text must be {charset}, and this is not: {data[:40]!r}")
