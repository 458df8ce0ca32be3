"""Figures as people read them: short, with the counts beside them, and never rounded up to all or down to none."""

from __future__ import annotations

from collections.abc import Iterator

from steward.reporting.measures.definitions import Unit
from steward.types import JsonObject

NOT_ENOUGH = "not enough data"
_SPANS = ((172800, 86400, "d"), (7200, 3600, "h"), (120, 60, "min"))
_PARTS = {
    "glass_broken": "by broken glass",
    "not_approved": "nobody approved",
    "not_complete": "not at all users",
    "same_code": "of code released before",
    "not_recorded": "without the time of a commit",
    "under_way": "under way",
    "rolled_back": "rolled back",
    "with_incident": "with an incident",
    "to_no_version": "back to no version",
    "not_over": "not over",
    "refused": "refused",
    "no_version": "without a version",
    "abandoned": "abandoned",
    "not_judged": "not judged",
    "not_known": "not known",
}


def value_in_words(value: float | None, unit: str) -> str:
    if value is None:
        return NOT_ENOUGH
    if unit == Unit.SHARE:
        return _share(value)
    return _seconds(value) if unit == Unit.SECONDS else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def counts_in_words(figure: JsonObject, unit: str) -> str:
    """`7 of 8`, `4 for 3`, `of 12`; empty where there is not enough data."""
    parts, sample = figure["parts"], figure["sample"]
    if figure["value"] is None:
        return ""
    if "of" not in parts:
        return f"of {sample}"
    return f"{parts['count']} {'for' if unit == Unit.EACH else 'of'} {parts['of']}"


def parts_in_words(figure: JsonObject, unit: str) -> Iterator[str]:
    """What else was counted; nothing that there was none of."""
    parts = figure["parts"]
    for name, said in (("mean", "mean"), ("largest", "longest" if unit == Unit.SECONDS else "largest")):
        if parts.get(name) is not None and figure["sample"] > 1:
            yield f"{said} {value_in_words(parts[name], unit)}"
    for name, said in _PARTS.items():
        if parts.get(name):
            yield f"{parts[name]} {said}"


def _share(value: float) -> str:
    rounded = f"{value * 100:.0f}"
    if (rounded == "100" and value < 1) or (rounded == "0" and value > 0):
        rounded = f"{value * 100:.2g}" if value < 0.5 else f"{int(value * 1000) / 10:g}"
    return f"{rounded} %"


def _seconds(value: float) -> str:
    for least, unit, name in _SPANS:
        if value >= least:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} s"
