"""The clients are tested against the real server."""

from tests.server.conftest import serve

__all__ = ["serve"]
