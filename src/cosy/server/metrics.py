"""Prometheus metrics, in a registry of the app's own so that two apps in one process do not meet.

Names end in their unit.  Labels are few and known: dialects, classes of errors, ids of keys; nothing a client invents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from cosy.engine.protocol import Engine
    from cosy.server.limits import Limits

FIRST_AUDIO_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
SLACK_S = (-5.0, -2.0, -1.0, -0.5, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
REAL_TIME_FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What is counted."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("cosy_requests", "Finished requests", ["dialect", "outcome"], registry=registry)
        self.errors = Counter("cosy_errors", "Failures by class", ["dialect", "kind"], registry=registry)
        self.first_audio = Histogram(
            "cosy_first_audio_seconds",
            "From the request's acceptance to its first audio",
            ["dialect"],
            buckets=FIRST_AUDIO_S,
            registry=registry,
        )
        self.slack = Histogram(
            "cosy_chunk_slack_seconds",
            "Sound a player still had when the next chunk came",
            ["dialect"],
            buckets=SLACK_S,
            registry=registry,
        )
        self.underruns = Counter(
            "cosy_underruns", "Chunks that came after a player had run dry", ["dialect"], registry=registry
        )
        self.real_time_factor = Histogram(
            "cosy_real_time_factor",
            "Seconds of waiting for the engine per second of audio",
            ["dialect"],
            buckets=REAL_TIME_FACTORS,
            registry=registry,
        )
        self.audio_s = Counter("cosy_audio_seconds", "Audio made", ["key"], registry=registry)
        self.characters = Counter("cosy_characters", "Characters of text", ["key"], registry=registry)
        self.text_bytes = Counter("cosy_text_bytes", "The same text as UTF-8", ["key"], registry=registry)
        registry.register(_Gauges(engine, limits))

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self._registry)

    def failed(self, dialect: str, kind: str) -> None:
        self.errors.labels(dialect, kind).inc()


class _Gauges(Collector):
    """Read when the page is read: the server's queue, and whatever the engine tells of itself."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("cosy_active_streams", "Answers being made", self._limits.active)
        yield GaugeMetricFamily("cosy_queued_requests", "Requests waiting for a place", self._limits.queued)
        yield GaugeMetricFamily("cosy_draining", "1 while the server is shutting down", float(self._limits.draining))
        yield GaugeMetricFamily("cosy_engine_ready", "1 while the engine serves", float(self._engine.health().ready))
        yield _engine_family(self._engine.stats())


def _engine_family(stats: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily("cosy_engine", "The engine's own counters and gauges", labels=["stat"])
    for name, value in stats.items():
        family.add_metric([name], value)
    return family
