"""What only training needs is optional: one place imports it and names the remedy."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from cosy.errors import MissingDependencyError


def optional(name: str) -> ModuleType:
    """Import a package of the `train` extra.  Raises MissingDependencyError, naming the extra, where it is absent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyworld reads its version through the deprecated pkg_resources
            return importlib.import_module(name)
    except ImportError as error:
        message = f"{name!r} cannot be imported ({error}); training needs it: pip install 'cosy[train]'"
        raise MissingDependencyError(message) from error
