"""The report's pictures, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from steward.types import JsonObject, parse_instant

INK, BLUE, ORANGE, RED, GREEN = "#333a45", "#2c6fbb", "#d9822b", "#c23b3b", "#3a8f55"


_MONITORED = {"roc_auc": "fall of AUC below evaluation", "calibration_gap": "calibration gap"}


def monitored(windows: Sequence[JsonObject], marks: Sequence[tuple[datetime, str]]) -> str:
    """Fall of AUC and calibration gap of every judged window, with their limits and the releases.

    One item per window: {"end", "roc_auc", "roc_auc_limit", "calibration_gap", "calibration_gap_limit"}; None where
    nothing was judged.
    """
    figure, axes = _figure(2, 1, 9, 5.2)
    for axis, (name, title), colour in zip(axes, _MONITORED.items(), (BLUE, ORANGE), strict=True):
        ends = [parse_instant(w["end"]) for w in windows]
        axis.plot(ends, [w[name] for w in windows], "o-", color=colour, markersize=3.5, label="seven-day window")
        axis.plot(ends, [w[f"{name}_limit"] for w in windows], "--", color=RED, linewidth=1, label="limit")
        axis.set_ylabel(title)
        for at, text in marks:
            axis.axvline(at, color=INK, linewidth=0.8, alpha=0.6)
            axis.annotate(
                text,
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=7,
                va="top",
                ha="right",
            )
        axis.legend(loc="upper left", fontsize=7)
    return _svg(figure)


def weeks(rows: Sequence[JsonObject]) -> str:
    """Before and after retraining, on the same flights: ranking on the left, calibration on the right."""
    figure, (ranking, calibration) = _figure(1, 2, 9, 3)
    versions = sorted({row["version"] for row in rows})
    for position, version in enumerate(versions):
        mine = [row for row in rows if row["version"] == version]
        places = [index + 0.38 * position for index in range(len(mine))]
        colour = (BLUE, GREEN)[position % 2]
        ranking.bar(places, [row["roc_auc"] for row in mine], 0.36, color=colour, label=f"version {version}")
        calibration.bar(places, [row["calibration_gap"] for row in mine], 0.36, color=colour)
    labels = [row["week"] for row in rows if row["version"] == versions[0]]
    for axis, title in ((ranking, "AUC (more is better)"), (calibration, "calibration gap (less is better)")):
        axis.set_xticks([index + 0.19 for index in range(len(labels))], labels)
        axis.set_title(title, fontsize=9)
    ranking.set_ylim(0.5, None)
    ranking.legend(fontsize=7)
    return _svg(figure)


def gates(findings: Sequence[JsonObject], title: str) -> str:
    """Every gate of a verdict: its value, its limit, and on which side it fell."""
    shown = [f for f in findings if f["value"] is not None and f["limit"] is not None]
    figure, axis = _figure(1, 1, 9, 0.32 * len(shown) + 1)
    colours = {"PASSED": GREEN, "FAILED": RED, "INCONCLUSIVE": ORANGE}
    for place, finding in enumerate(shown):
        axis.plot([finding["limit"], finding["value"]], [place, place], color="#c8ccd3", zorder=1)
        axis.scatter(finding["limit"], place, marker="|", s=120, color=INK, zorder=2)
        axis.scatter(finding["value"], place, color=colours[finding["outcome"]], zorder=3)
    axis.set_yticks(range(len(shown)), [f"{f['gate']} · {f['slice']}" for f in shown], fontsize=7)
    axis.set_title(title, fontsize=9)
    return _svg(figure)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    return pyplot.subplots(rows, columns, figsize=(width, height), layout="constrained")


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg")
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
