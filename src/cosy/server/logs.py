"""One JSON object per line on standard error.  Nothing here ever sees the text to speak, a key, or a query string."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any, TextIO

logger = logging.getLogger("cosy.server")

CUT_OFF = "ASGI callable returned without"  # uvicorn's word for an answer that was cut on purpose; ours is logged


class JsonFormatter(logging.Formatter):
    """A record as JSON; `extra={"fields": {...}}` brings fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "logger": record.name}
        line |= {"event": record.getMessage()} | getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, stream: TextIO | None = None) -> logging.Handler:
    """Send what Cosy and uvicorn log to `stream` (None: standard error); returns the handler.

    Of uvicorn only warnings and worse: its information on WebSockets has the query in it, and with that keys.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_wanted)
    for name in ("cosy", "uvicorn", "alembic"):
        one = logging.getLogger(name)
        one.handlers, one.propagate = [handler], False
        one.setLevel(level.upper() if name == "cosy" else logging.WARNING)
    return handler


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one thing that happened."""
    logger.log(level, name, extra={"fields": {key: value for key, value in fields.items() if value is not None}})


def _wanted(record: logging.LogRecord) -> bool:
    return CUT_OFF not in str(record.msg)
