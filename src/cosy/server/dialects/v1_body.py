"""Reading and describing the bodies of the `/v1` paths: JSON objects, and recordings sent as text.

Routes read their bodies themselves, for a path may have more than one kind; what FastAPI would otherwise do, check
and put into the OpenAPI page, is here, with errors that name the field at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from cosy.server.dialects.fields import UNPROCESSABLE, Fields, Upload
from cosy.server.errors import ApiError, Kind
from cosy.server.fetch import decode_base64, decode_data_url
from cosy.server.store.admission import MAX_PCM_RATE_HZ, MIN_PCM_RATE_HZ


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold NUL characters")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


class Body(BaseModel):
    """A JSON body: values have the type they should have, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False)


BodyT = TypeVar("BodyT", bound=Body)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body, whatever type it declares; null counts as absent, at any depth."""
    body = await request.body()
    try:
        found = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise ApiError(Kind.INVALID, f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(Kind.INVALID, f"the body must be a JSON object, not {type(found).__name__}")
    return without_nulls(found)


def without_nulls(found: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object without its nulls, which count as absent, at any depth."""
    return {key: _cleaned(inner) for key, inner in found.items() if inner is not None}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return without_nulls(value)
    return [_cleaned(inner) for inner in value if inner is not None] if isinstance(value, list) else value


def parse(model: type[BodyT], raw: Mapping[str, Any]) -> BodyT:
    """The fields of a body.  Raises ApiError that names the first field at fault, and what it should be."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place, param = ".".join(map(str, first["loc"])), str(first["loc"][0])
        silent = first["type"] == "missing" or param == "input"  # the text to speak belongs into no message
        got = "" if silent else f", got {str(first['input'])[:40]!r}"
        raise ApiError(Kind.INVALID, f"{place}: {first['msg']}{got}", param) from error


def describe(model: type[Body], *media_types: str) -> dict[str, Any]:
    """The request body for the OpenAPI page, of a route that reads its body itself; JSON unless types are named."""
    schema = model.model_json_schema()
    content = {name: {"schema": _inlined(schema, schema)} for name in media_types or ("application/json",)}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(node: Any, root: dict[str, Any]) -> Any:
    """A schema with its `$ref`s replaced: they point to definitions that the page does not have."""
    if isinstance(node, list):
        return [_inlined(inner, root) for inner in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(root["$defs"][node["$ref"].rpartition("/")[2]], root)
    return {key: _inlined(inner, root) for key, inner in node.items() if key != "$defs"}


@contextmanager
def form_errors() -> Iterator[None]:
    """Around the reading of a form: what other dialects refuse with 422 is 400 in these."""
    try:
        yield
    except ApiError as error:
        if error.problem.status == UNPROCESSABLE:
            told = f"{error.problem.param}: {error.problem.message}"
            error.problem = replace(error.problem, status=400, message=told)
        raise


def pcm_rate(fields: Fields) -> int | None:
    """The field `sample_rate`, in Hz: it says what an uploaded recording without a header has."""
    return fields.integer("sample_rate", None, MIN_PCM_RATE_HZ, MAX_PCM_RATE_HZ)


def decode_audio(value: str, most: int) -> Upload:
    """A recording sent as text: base64, or a data URL of any type; at most so many bytes.  Raises ApiError."""
    if value[:5].lower() == "data:":
        media_type = value[5:].partition(",")[0].partition(";")[0]
        upload = Upload("", media_type, decode_data_url(value, most))
    else:
        upload = Upload("", "", decode_base64(value.encode("utf-8", "replace"), most))
    if not upload.data:
        raise ApiError(Kind.BAD_AUDIO, "the recording is empty; record or upload it again")
    return upload
