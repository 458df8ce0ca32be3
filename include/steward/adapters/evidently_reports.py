"""Evidently writes the drift report that a person looks at. It informs; the verdict is Steward's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 5000  # of either side; a picture needs no more, and the page stays readable
PSI_THRESHOLD = 0.25
_CATEGORICAL = frozenset({"category", "boolean"})


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
    ) -> None:
        """`columns` gives the spec's type of each column; text, and columns empty on a side, are left out.

        Replaces `path` in one step. Raises DataError when no column is left to show.
        """
        shown = _shown(reference, current, columns)
        if not shown:
            raise DataError("no column has values on both sides: there is nothing to draw", where=str(path))
        sides = [self._sample(_typed(frame, shown)) for frame in (current, reference)]
        noted = _noted(title, reference, current, sides[1], sides[0])
        snapshot = self._run(sides[0], sides[1], shown, noted)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        snapshot.save_html(str(partial))
        partial.write_text(_headed(partial.read_text(encoding="utf-8"), noted), encoding="utf-8")
        partial.replace(path)

    def _sample(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sample(self.max_rows, random_state=self.seed) if len(frame) > self.max_rows else frame

    def _run(self, current: pd.DataFrame, reference: pd.DataFrame, columns: Mapping[str, str], title: str) -> Any:
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=[name for name, kind in columns.items() if kind not in _CATEGORICAL],
            categorical_columns=[name for name, kind in columns.items() if kind in _CATEGORICAL],
        )
        preset = DataDriftPreset(columns=list(columns), method="psi", threshold=PSI_THRESHOLD)
        report = Report([preset], metadata={"title": title})
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # its progress bar
            return report.run(Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition))


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


def _headed(page: str, title: str) -> str:
    """The vendor's page has no title: put one where a browser and a reader look for it."""
    import html

    said = html.escape(title)
    heading = f'<h1 style="font: 600 1.25rem sans-serif; margin: 1rem 1.5rem">{said}</h1>'
    page = page.replace("<head>", f"<head>\n<title>{said}</title>", 1)
    return page.replace("<body>", f"<body>\n{heading}", 1)
