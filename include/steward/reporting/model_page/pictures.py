"""The pictures of a model's page, each with the numbers it is drawn from in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steward.reporting.card import cell
from steward.reporting.charts.heat import Cell, Row, heat_map
from steward.reporting.charts.intervals import Bar, Scale, interval_chart
from steward.reporting.charts.lanes import Lane, Moment, Span, lanes_chart
from steward.reporting.charts.series import Mark, Point, series_chart
from steward.reporting.charts.steps import Step, steps_chart
from steward.reporting.model_page.releases import finding_of
from steward.reporting.model_page.view import span_of
from steward.types import JsonObject

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_LANES = 8
_KINDS = {"PASSED": "good", "FAILED": "bad"}


def pictures_of(view: JsonObject) -> dict[str, Any]:
    """As the template of the page takes them; each one empty where there is nothing to draw."""
    return {
        "life": _drawn(life_picture(view)) if view["versions"] else "",
        "metrics": [(metric_title(m), _drawn(metric_picture(m, view["marks"]))) for m in view["metrics"]],
        "drift": _drawn(drift_picture(view["drift"])) if view["drift"] else "",
        **{key: _rollout(view[key]) for key in ("rollout", "last_rollout")},
    }


def _rollout(rollout: JsonObject | None) -> JsonObject | None:
    if rollout is None:
        return None
    arms = [(title, _drawn(svg)) for title, svg in arms_pictures(rollout) if svg]
    return {"steps": _drawn(steps_picture(rollout)), "arms": arms}


def _drawn(picture: str) -> Markup:
    """Escaped by whoever drew it."""
    from markupsafe import Markup

    return Markup(picture)


def life_picture(view: JsonObject) -> str:
    """Who served when, and what was wrong meanwhile."""
    first, last = span_of(view)
    lanes = [*_version_lanes(view), *_incident_lanes(view)]
    return lanes_chart(lanes, first, last, f"Versions that served and incidents, {first:%Y-%m-%d} to {last:%Y-%m-%d}")


def _version_lanes(view: JsonObject) -> Iterator[Lane]:
    for known in _lanes_of(view["versions"], view["serving"]["champion"]):
        name = f"@{known['version']}"
        spans = [
            Span(
                s["since"], s["until"], "good" if s["until"] is None else "quiet", f"{name} served from {s['since']:%F}"
            )
            for s in known["served"]
        ]
        made = known["created_at"]
        kind = "bad" if known["state"] == "rejected" else "wait" if known["state"] == "challenger" else "quiet"
        moments = [Moment(made, kind, f"{name} registered {made:%F}, now {known['state']}")] if made else []
        yield Lane(f"{name} {known['state']}", spans, moments)


def _lanes_of(versions: Sequence[JsonObject], champion: int | None) -> list[JsonObject]:
    """The newest, and the champion whatever came after it."""
    newest, rest = versions[: MOST_LANES - 1], versions[MOST_LANES - 1 :]
    return [*newest, *([each for each in rest if each["version"] == champion] or rest[:1])]


def _incident_lanes(view: JsonObject) -> Iterator[Lane]:
    causes = dict.fromkeys(each["cause"] for each in view["incidents"])
    for cause in [*causes][:MOST_LANES]:
        mine = [each for each in view["incidents"] if each["cause"] == cause]
        spans = [
            Span(
                each["opened_at"], each["resolved_at"], "bad" if each["resolved_at"] is None else "wait", _trouble(each)
            )
            for each in mine
        ]
        yield Lane(cause, spans)


def _trouble(incident: JsonObject) -> str:
    until = f"until {incident['resolved_at']:%F}" if incident["resolved_at"] else "still open"
    return f"{incident['cause']} ({incident['severity']}) from {incident['opened_at']:%F}, {until}"


def metric_picture(metric: JsonObject, marks: Sequence[JsonObject]) -> str:
    points = [
        Point(
            p["end"],
            p["value"],
            _KINDS.get(p["outcome"] or "", "unsure" if p["outcome"] else "good"),
            f"{p['end']:%F}, @{p['version']}: {cell(p['value']) if p['value'] is not None else 'not judged'}"
            + (f", {p['reason']}" if p["value"] is None and p["reason"] else ""),
            p["lower"],
            p["upper"],
            p["baseline"],
            tuple(p["limits"]),
        )
        for p in metric["points"]
    ]
    return series_chart(points, _releases(metric["points"], marks), metric_title(metric))


def _releases(points: Sequence[JsonObject], marks: Sequence[JsonObject]) -> list[Mark]:
    """The changes of champion, and who it was at the left end."""
    first = points[0]
    before = [] if any(m["at"] == first["end"] for m in marks) else [_mark_of(first)]
    named = [(m, f"@{m['version']}" if m["version"] else "closed") for m in marks]
    return before + [Mark(m["at"], name, f"{name} served from {m['at']:%F}, event {m['seq']}") for m, name in named]


def _mark_of(point: JsonObject) -> Mark:
    return Mark(point["end"], f"@{point['version']}", f"@{point['version']} served")


def metric_title(metric: JsonObject) -> str:
    way = "more is better" if metric["better"] == "more" else "less is better"
    judged = [p for p in metric["points"] if p["value"] is not None]
    last = f"; newest {cell(judged[-1]['value'])}" if judged else ""
    gaps = len(metric["points"]) - len(judged)
    said = f", {gaps} of {len(metric['points'])} windows not judged" if gaps else f" in {len(judged)} windows"
    return f"{metric['title']} ({way}){said}{last}"


def drift_picture(drift: JsonObject) -> str:
    """The heat map of features and windows."""
    rows = [Row(row["feature"], [_cell(found) if found else None for found in row["cells"]]) for row in drift["rows"]]
    columns = [f"{window['end']:%m-%d}" for window in drift["windows"]]
    caption = "PSI of each feature against the version's reference, by the end of the window; worst features first"
    return heat_map(columns, rows, caption)


def _cell(found: JsonObject) -> Cell:
    return Cell(found["value"], found["limit"], found["outcome"] == "INCONCLUSIVE", found["reason"])


# --- a rollout -----------------------------------------------------------------------------------


def steps_picture(rollout: JsonObject) -> str:
    steps = [
        Step(s["percent"], s["state"], (s["seen"] or {}).get("requests"), (s["seen"] or {}).get("reason", ""))
        for s in rollout["steps"]
    ]
    told = ", ".join(f"{step.name} {step.state}" for step in steps)
    return steps_chart(steps, f"Steps of the rollout of version {rollout['version']}: {told}")


def arms_pictures(rollout: JsonObject) -> Iterator[tuple[str, str]]:
    """Title and chart of what each step has seen: error rate, slowest hundredth, outcomes, by arm."""
    arms = list(_arms(rollout))
    yield _of_arms("Error rate by step and arm, with 95 % intervals", arms, "error_rate", _limit(rollout, "error_rate"))
    slow = "Latency of the slowest hundredth (p99), in milliseconds"
    bars = [
        Bar(name, arm["p99"] * 1000, said=f"{arm['p99'] * 1000:.3g} ms") for name, arm in arms if arm["p99"] is not None
    ]
    limit = _limit(rollout, "p99_latency")
    yield (
        slow,
        interval_chart(
            bars,
            slow,
            None if limit is None else limit * 1000,
            _from_zero(bars, None if limit is None else limit * 1000),
        ),
    )
    yield _of_arms("Outcomes of the decisions by step and arm", arms, "outcome", None)


def _arms(rollout: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Of each step that was looked at; `outcome` is there where outcomes were told."""
    for step in rollout["steps"]:
        share = f"{step['percent']} %" if step["percent"] else "shadow"
        for name, arm in ((step["seen"] or {}).get("arms") or {}).items():
            number = rollout["version"] if name == "canary" else rollout["previous"]
            yield f"{share}: @{number} {name}", arm


def _of_arms(title: str, arms: Iterable[tuple[str, JsonObject]], key: str, limit: float | None) -> tuple[str, str]:
    found = [(name, arm[key]) for name, arm in arms if arm.get(key)]
    bars = [
        Bar(
            name,
            each["value"],
            each["lower"] if each["value"] is not None else None,
            each["upper"] if each["value"] is not None else None,
            f"{each['count']} of {each['rows']}" if "count" in each else f"{cell(each['value'])} of {each['rows']}",
        )
        for name, each in found
    ]
    uppers = [each["upper"] for _, each in found if each["value"] is not None and each["upper"] is not None]
    scale = _from_zero(bars, limit, max(uppers, default=0.0)) if key == "error_rate" else None
    return title, interval_chart(bars, title, limit, scale)


def _from_zero(bars: Sequence[Bar], limit: float | None, highest: float = 0.0) -> Scale:
    known = [bar.value for bar in bars if bar.value is not None]
    return Scale(0.0, max([*known, limit or 0.0, highest]) * 1.1 or 1.0)


def _limit(rollout: JsonObject, gate: str) -> float | None:
    found = (finding_of(step, f"canary.{gate}") for step in reversed(rollout["steps"]))
    return next((finding["limit"] for finding in found if finding and finding["limit"] is not None), None)
