"""`stages` as a report: a row for each stage and kind of arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cosy.api import find_model
from cosy.bench.random_model import random_model
from cosy.bench.report import Report
from cosy.bench.stages import STAGES, stages
from cosy.checkpoint.load import load_model
from cosy.errors import ParameterError
from cosy.nn.threads import set_threads

if TYPE_CHECKING:
    from rich.table import Table


class StagesReport(Report):
    """Figures of single networks."""

    def table(self) -> Table:
        from rich.table import Table

        table = Table(title=self._title(), title_justify="left")
        table.add_column("stage", no_wrap=True)
        for heading in ("rows", "kind", "ms", "x faster", "error"):
            table.add_column(heading, justify="right")
        for row in self.results:
            figures = f"{row['ms']:.2f}", f"{row['ratio']:.2f}", f"{row['error']:.1e}"
            table.add_row(row["stage"], str(row["rows"]), row["kind"], *figures)
        return table


def measured_stages(
    directory: Path | None,
    random_weights: bool,
    names: Sequence[str],
    rows: Sequence[int],
    visible_tokens: int,
    repeats: int,
    threads: int,
) -> Report:
    """Run `stages` on a model directory or on random weights.  Raises ParameterError, CheckpointError."""
    if unknown := [name for name in names if name not in STAGES]:
        raise ParameterError(f"unknown stages {', '.join(unknown)}; choose from {', '.join(STAGES)}")
    if random_weights and directory:
        raise ParameterError("random weights need no model; leave --model out")
    set_threads(threads)
    model = random_model() if random_weights else load_model(find_model(directory), parts=())
    told = {"rows": list(rows), "visible_tokens": visible_tokens, "repeats": repeats}
    found = [asdict(row) for row in stages(model, names, rows=rows, visible_tokens=visible_tokens, repeats=repeats)]
    name = "random weights, official size" if random_weights else str(model.directory)
    notes = [] if repeats > 1 else ["one turn tells little: what else the machine did is in the figures"]
    return StagesReport("stages", {"model": name, "random_weights": random_weights, **told}, found, notes)
