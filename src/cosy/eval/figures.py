"""Shares and means with what they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Z95 = 1.96


@dataclass(frozen=True)
class Share:
    """`count` of `of`."""

    count: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.of or self.of == 0:
            raise ValueError(f"a share needs 0 <= count <= of and of > 0, got {self.count} of {self.of}")

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def standard_error(self) -> float:
        """Of a binomial share; 0 where none or all were counted, which is why there is `at_most`, too."""
        return math.sqrt(self.value * (1 - self.value) / self.of)

    @property
    def at_most(self) -> float:
        """Upper end of the 95 % interval (Wilson 1927): above 0 even if nothing was counted."""
        n, p = self.of, self.value
        spread = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
        return min(1.0, (p + Z95**2 / (2 * n) + spread) / (1 + Z95**2 / n))

    def as_data(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "of": self.of,
            "share": self.value,
            "standard_error": self.standard_error,
            "at_most": self.at_most,
        }

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ± {100 * self.standard_error:.1f} %"


@dataclass(frozen=True)
class Mean:
    """A mean, its standard error (nan for a single value), and how many values it is of."""

    value: float
    standard_error: float
    of: int

    @classmethod
    def over(cls, values: Sequence[float]) -> Mean | None:
        """None if there are no values."""
        n = len(values)
        if n == 0:
            return None
        mean = math.fsum(values) / n
        error = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1) / n) if n > 1 else math.nan
        return cls(mean, error, n)

    def as_data(self) -> dict[str, Any]:
        error = None if math.isnan(self.standard_error) else self.standard_error
        return {"mean": self.value, "standard_error": error, "of": self.of}
