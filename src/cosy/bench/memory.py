"""Does memory grow?  Looks taken now and then, and what they say after a warm-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from cosy.bench.machine import device_bytes, resident_bytes

Growth = Mapping[str, float | None]
"""Name -> share by which it grew; None: it cannot be told."""

FEWEST_LOOKS = 10  # after the warm-up
ENGINE = ("bytes_lm", "bytes_acoustic", "bytes_voices")


@dataclass
class MemoryWatch:
    """Bytes of the process, of its GPU and of the engine's own count, over time."""

    looks: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)

    def look(self, at_s: float, gauges: Mapping[str, float]) -> None:
        """Take note, with the gauges of an engine."""
        seen = {"engine": sum(gauges[name] for name in ENGINE), "gpu": float(device_bytes())}
        resident = resident_bytes()
        self.looks.append((at_s, seen if resident is None else {**seen, "process": float(resident)}))

    @property
    def last(self) -> Mapping[str, float]:
        return self.looks[-1][1]

    def growth(self, warm_up: float) -> Growth:
        """From the first to the last fifth of the time that follows the warm-up, a share of all; medians of each."""
        end = self.looks[-1][0]
        start = warm_up * end
        length = (end - start) / 5
        early = [seen for at_s, seen in self.looks if start <= at_s <= start + length]
        late = [seen for at_s, seen in self.looks if at_s >= end - length]
        enough = sum(at_s >= start for at_s, _ in self.looks) >= FEWEST_LOOKS and early and late
        return {name: _grown(early, late, name) if enough else None for name in ("process", "engine", "gpu")}


def _grown(early: list[Mapping[str, float]], late: list[Mapping[str, float]], name: str) -> float | None:
    if any(name not in seen for seen in (*early, *late)):
        return None
    before, after = (median(seen[name] for seen in looks) for looks in (early, late))
    return after / before - 1 if before else 0.0
