"""Optional packages: one place imports them and names the remedy."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from cosy.errors import MissingDependencyError


def optional(name: str, extra: str) -> ModuleType:
    """Import a package that the extra `extra` brings.  Raises MissingDependencyError, naming it, where it is absent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyworld reads its version through the deprecated pkg_resources
            return importlib.import_module(name)
    except ImportError as error:
        message = f"{name!r} cannot be imported ({error}): pip install 'cosy[{extra}]'"
        raise MissingDependencyError(message) from error
