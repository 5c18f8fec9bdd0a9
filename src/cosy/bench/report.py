"""What every benchmark prints: a table to read, then one line of JSON to keep."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cosy.bench.machine import hardware, versions

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 100  # columns, where the output is no terminal
MANY = 10_000  # from here on digits are shown, no exponents


@dataclass
class Report:
    """Figures of one benchmark, and all that is needed to read them."""

    bench: str
    settings: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]  # one for each number of streams
    notes: Sequence[str] = ()  # what the figures cannot tell
    failures: Sequence[str] = ()  # what was violated: the benchmark has failed
    hardware: Mapping[str, Any] = field(default_factory=hardware)
    versions: Mapping[str, str] = field(default_factory=versions)

    def as_dict(self) -> dict[str, Any]:
        fields = ("bench", "hardware", "versions", "settings", "results", "notes", "failures")
        return {name: getattr(self, name) for name in fields}

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(self.as_dict(), allow_nan=False)

    def table(self) -> Table:
        """A column for each result, and for what was computed the official way; a row for each figure."""
        from rich.table import Table

        columns, title = list(_columns(self.results)), self._title()
        headings = (heading for heading, _ in columns)
        table = Table("", *headings, title=title, title_justify="left", min_width=min(len(title), WIDTH))
        for column in table.columns[1:]:
            column.justify = "right"
        for name in dict.fromkeys(name for _, figures in columns for name in figures):
            table.add_row(name, *(_shown(figures.get(name, "")) for _, figures in columns))
        return table

    def print(self) -> None:
        """To standard output."""
        from rich.console import Console

        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = WIDTH
        console.print(self.table())
        for kind, lines in (("note", self.notes), ("FAILED", self.failures)):
            for line in lines:
                console.print(f"{kind}: {line}", soft_wrap=True)
        console.print(self.line(), soft_wrap=True)

    def _title(self) -> str:
        machine = self.hardware
        threads = self.settings.get("threads", machine["threads"])
        place = machine["cpu"] if self.settings.get("device", "cpu") == "cpu" else machine["gpu"]
        return f"{self.bench}: {self.settings.get('model', '')} on {place}, threads: {threads}"


def _columns(results: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Heading and figures."""
    for result in results:
        own = {name: value for name, value in result.items() if name not in ("streams", "reference")}
        yield f"{result['streams']} stream{'s' if result['streams'] != 1 else ''}", dict(_flat(own))
        if "reference" in result:
            yield "the official way", dict(_flat(result["reference"]))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= MANY else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
