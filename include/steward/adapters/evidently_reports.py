"""Evidently writes the drift report that a person looks at. It informs; the verdict is Steward's own.

Evidently's own PSI is another number: it bins both sides pooled, here of a sample. So that nobody reads two numbers for
one thing, the report is handed what was judged: each column's PSI, its limit, and whether it failed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.errors import DataError
from steward.gates import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 5000  # of either side; a picture needs no more, and the page stays readable
JUDGED = "steward_psi"
"""Name of the drift method in reports and snapshots."""
_GATE = "drift.psi:"
_CATEGORICAL = frozenset({"category", "boolean"})
_findings: ContextVar[Mapping[str, Finding]] = ContextVar("judged")


class EvidentlyDriftReporter:
    """Implements `steward.actions.state.DriftReporter`.

    The page carries its own scripts: it opens offline.
    """

    def __init__(self, *, max_rows: int = MAX_ROWS, seed: int = 0) -> None:
        self.max_rows, self.seed = max_rows, seed

    def write(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        columns: Mapping[str, str],
        path: Path,
        title: str,
        findings: Sequence[Finding],
    ) -> None:
        """`columns` gives the spec's type of each column. Drawn are those that `findings` (gates `drift.psi:…`) have a
        number for; the others, and texts, are named in the heading.

        Beside `path`, with the suffix .json, goes the snapshot that Evidently opens again. Replaces both in one step
        each. Raises DataError when no column is left to show.
        """
        judged = {f.gate.removeprefix(_GATE): f for f in findings if f.gate.startswith(_GATE) and f.value is not None}
        there = _shown(reference, current, columns)
        shown = {name: kind for name, kind in there.items() if name in judged}
        if not shown:
            raise DataError("no column has a judged drift: there is nothing to draw", where=str(path))
        sides = [self._sample(_typed(frame, shown)) for frame in (current, reference)]
        noted = _noted(title, reference, current, sides[1], sides[0])
        snapshot = self._run(sides[0], sides[1], shown, noted, judged)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        snapshot.save_html(str(partial))
        left_out = sorted(set(columns) - set(shown))
        partial.write_text(_headed(partial.read_text(encoding="utf-8"), noted, left_out), encoding="utf-8")
        partial.replace(path)
        partial.write_text(snapshot.dumps(), encoding="utf-8")
        partial.replace(path.with_suffix(".json"))

    def _sample(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sample(self.max_rows, random_state=self.seed) if len(frame) > self.max_rows else frame

    def _run(
        self,
        current: pd.DataFrame,
        reference: pd.DataFrame,
        columns: Mapping[str, str],
        title: str,
        judged: Mapping[str, Finding],
    ) -> Any:
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=[name for name, kind in columns.items() if kind not in _CATEGORICAL],
            categorical_columns=[name for name, kind in columns.items() if kind in _CATEGORICAL],
        )
        _register()
        limits = {name: float(judged[name].limit or 0.0) for name in columns}
        one = 1 / len(limits)  # the verdict fails with the first column, so the page's summary does too
        preset = DataDriftPreset(columns=list(columns), method=JUDGED, per_column_threshold=limits, drift_share=one)
        report = Report([preset], metadata={"title": title})
        told = _findings.set(judged)
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # its progress bar
                return report.run(Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition))
        finally:
            _findings.reset(told)


def _register() -> None:
    """The method by which a report says what was judged; registering again replaces it by the same."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    types = [ColumnType.Numerical, ColumnType.Categorical]
    title = "PSI as the monitor judged it, over the whole window"
    register_stattest(StatTest(JUDGED, title, types, default_threshold=0.0), default_impl=_as_judged)


def _as_judged(reference: pd.Series, current: pd.Series, kind: Any, threshold: float) -> tuple[float, bool]:
    finding = _findings.get()[str(reference.name)]
    return float(finding.value or 0.0), finding.outcome is Outcome.FAILED


def _shown(reference: pd.DataFrame, current: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, str]:
    return {
        name: kind
        for name, kind in columns.items()
        if kind != "text" and all(name in side and side[name].notna().any() for side in (reference, current))
    }


def _typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Floats and text only: the report must be drawn for columns that changed their type, too."""
    import pandas as pd

    typed = {}
    for name, kind in columns.items():
        column = frame[name]
        if kind in _CATEGORICAL:
            typed[name] = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
        else:
            typed[name] = pd.to_numeric(column, errors="coerce").astype("float64")
    return pd.DataFrame(typed)


def _noted(title: str, reference: pd.DataFrame, current: pd.DataFrame, *drawn: pd.DataFrame) -> str:
    """The title, with the numbers of rows where they are samples."""
    sides = zip(("reference", "current"), (reference, current), drawn, strict=True)
    notes = [f"{len(used)} of {len(whole)} {side} rows" for side, whole, used in sides if len(used) < len(whole)]
    return f"{title} (a sample: {', '.join(notes)})" if notes else title


def _headed(page: str, title: str, left_out: Sequence[str]) -> str:
    """The vendor's page has no title: put one where a browser and a reader look for it."""
    import html

    said = html.escape(title)
    heading = f'<h1 style="font: 600 1.25rem sans-serif; margin: 1rem 1.5rem">{said}</h1>'
    if left_out:
        names = html.escape(", ".join(left_out))
        heading += f'<p style="font: 1rem sans-serif; margin: 0 1.5rem">Not drawn, see the verdict: {names}.</p>'
    page = page.replace("<head>", f"<head>\n<title>{said}</title>", 1)
    return page.replace("<body>", f"<body>\n{heading}", 1)
