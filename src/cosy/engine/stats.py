"""What an engine has done, for its operator: counters since the start and recent distributions."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

RECENT = 1000  # observations a distribution keeps


@dataclass
class Stats:
    """Written by the engine's thread, read by any."""

    counts: Counter[str] = field(default_factory=Counter)
    recent: dict[str, deque[float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, name: str, amount: float = 1) -> None:
        """Count something up."""
        with self._lock:
            self.counts[name] += amount  # type: ignore[assignment]  # seconds, too, are counted

    def observe(self, name: str, value: float) -> None:
        """Note a value of a distribution."""
        with self._lock:
            self.recent.setdefault(name, deque(maxlen=RECENT)).append(value)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self.counts.clear()
            self.recent.clear()

    def take(self) -> Mapping[str, float]:
        """All counters, and `name_p50`, `name_p95`, `name_p99` of each distribution."""
        with self._lock:
            found: dict[str, float] = dict(self.counts)
            values = {name: sorted(kept) for name, kept in self.recent.items()}
        for name, ordered in values.items():
            for share in (50, 95, 99):
                found[f"{name}_p{share}"] = percentile(ordered, share)
        return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values, at least one."""
    rank = max(0, -(-len(ordered) * share // 100) - 1)
    return ordered[int(rank)]
