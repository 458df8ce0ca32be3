"""The page of measures: what stands in each cell, in words. `measures.html` sets it."""

from __future__ import annotations

from itertools import groupby
from urllib.parse import urlencode

from steward.reporting.measures.record import PORTFOLIO
from steward.reporting.measures.words import counts_in_words, parts_in_words, value_in_words
from steward.types import JsonObject

USUAL_DAYS = 30
"""Where there is room for one number of days."""


def page_of(view: JsonObject) -> JsonObject:
    """`whole`: groups with a table of their own, every measure by every number of days. `compared`: of each other
    grouping one table, a group a row, over one number of days."""
    days = USUAL_DAYS if USUAL_DAYS in view["days"] else view["days"][-1]
    whole = [group for group in view["groups"] if group["by"] == PORTFOLIO or view["of"] is not None]
    compared = [by for by in view["by"] if by != PORTFOLIO and view["of"] is None]
    return {
        "whole": [_whole(view, group) for group in whole],
        "compared": [{"by": by, "rows": _compared(view, by, days)} for by in compared],
        "days": days,
        "query": _query(view),
        "lead": _lead(view, whole, days),
        "nothing": not any(f["value"] is not None for g in view["groups"] for fs in g["figures"].values() for f in fs),
    }


def events_address(measure: str, days: int, by: str, of: str | None) -> str:
    """Relative to the application, as the page of measures asks for the events of a number."""
    asked = {"days": days, "by": by, **({"of": of} if of else {})}
    return f"steward/ui/measures/{measure}/events?{urlencode(asked)}"


def figure_in_words(drilled: JsonObject) -> JsonObject:
    return _cell({**drilled["figure"], "days": drilled["days"], "before": None}, drilled["measure"]["unit"])


def _query(view: JsonObject) -> str:
    """The file is of what the page shows."""
    asked = {"by": view["by"][-1], **({"of": view["of"]} if view["of"] is not None else {})}
    return "" if asked == {"by": PORTFOLIO} else f"?{urlencode(asked)}"


def _whole(view: JsonObject, group: JsonObject) -> JsonObject:
    topics = groupby(view["measures"], key=lambda measure: measure["topic"])
    rows = [{"topic": topic, "measures": [_row(measure, group) for measure in found]} for topic, found in topics]
    return {"by": group["by"], "of": group["of"], "topics": rows}


def _row(measure: JsonObject, group: JsonObject) -> JsonObject:
    cells = [_cell(figure, measure["unit"]) for figure in group["figures"][measure["id"]]]
    longest = max(cell["days"] for cell in cells)
    address = events_address(measure["id"], longest, group["by"], group["of"])
    why = {cell["why_not"] for cell in cells}
    return {
        **measure,
        "cells": cells,
        "events": address,
        "longest": longest,
        "why": why.pop() if len(why) == 1 else None,
    }


def _cell(figure: JsonObject, unit: str) -> JsonObject:
    return {
        "days": figure["days"],
        "known": figure["value"] is not None,
        "value": value_in_words(figure["value"], unit),
        "sort": figure["value"],
        "counts": counts_in_words(figure, unit),
        "parts": list(parts_in_words(figure, unit)),
        "before": value_in_words(figure["before"], unit) if figure["before"] is not None else None,
        "why_not": figure["why_not"],
    }


def _compared(view: JsonObject, by: str, days: int) -> list[JsonObject]:
    units = {measure["id"]: measure["unit"] for measure in view["measures"]}
    place = view["days"].index(days)
    return [
        {
            "of": group["of"],
            "address": f"plugin/measures?{urlencode({'by': by, 'of': group['of']})}",
            "cells": [_cell(figures[place], units[name]) for name, figures in group["figures"].items()],
        }
        for group in view["groups"]
        if group["by"] == by
    ]


def _lead(view: JsonObject, whole: list[JsonObject], days: int) -> str | None:
    """One sentence for whoever reads no table."""
    if not whole or days not in view["days"]:
        return None
    figures, place = whole[0]["figures"], view["days"].index(days)
    through, failed = figures["pipeline_share"][place], figures["change_failure"][place]
    if through["value"] is None:
        return f"No version first answered users in the last {days} days."
    made, good, bad = through["sample"], through["parts"]["count"], failed["parts"]["count"]
    versions = "1 version" if made == 1 else f"{made} versions"
    passed = (
        "all through the pipeline"
        if good == made > 1
        else "through the pipeline"
        if good == made
        else f"{good} of them through the pipeline"
    )
    ended = "none of them failed so far" if not bad else f"{bad} failed or had an incident so far"
    return f"In the last {days} days {versions} first answered users, {passed}; {ended}."
