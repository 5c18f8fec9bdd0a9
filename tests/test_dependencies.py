"""Optional packages."""

from __future__ import annotations

import pytest

from cosy.dependencies import optional
from cosy.errors import MissingDependencyError


def test_an_absent_package_names_the_extra() -> None:
    with pytest.raises(MissingDependencyError, match=r"no_such_package.*cosy\[eval\]"):
        optional("no_such_package", "eval")


def test_a_present_package_is_imported() -> None:
    assert optional("json", "eval").loads("1") == 1
