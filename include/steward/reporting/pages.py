"""Card and compliance report as one HTML file each: everything escaped, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.reporting.card import cell
from steward.reporting.charts.intervals import Bar, Scale, bar_chart, calibration_chart, interval_chart
from steward.types import JsonObject, parse_instant

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
MOST_SLICES = 40
MOST_FEATURES = 20
_ONE = Scale(0.0, 1.0)
_OWNERS = {"team": "team", "owner": "name"}


def card_page(card: JsonObject) -> str:
    from markupsafe import Markup

    charts = [(title, Markup(svg)) for title, svg in card_charts(card) if svg]
    return render("card.html", card=card, charts=charts)


def compliance_page(report: JsonObject) -> str:
    return render("compliance.html", report=report)


def portfolio_fragment(view: JsonObject, live: bool) -> str:
    """Every model in a table, the answer on top. `live`: inside Airflow, with links and filters."""
    rows = view["rows"]
    choices = {
        "states": list(dict.fromkeys(str(row["health"]["state"]) for row in rows)),
        "tiers": [tier for tier in ("high", "medium", "low") if any(row["tier"] == tier for row in rows)],
        "stages": sorted({_spoken(row["stage"]) for row in rows if row["stage"]}),
        **{f"{name}s": sorted({row["owner"][key] for row in rows if row["owner"]}) for name, key in _OWNERS.items()},
    }
    return render("portfolio.html", view=view, live=live, choices=choices)


def portfolio_page(view: JsonObject) -> str:
    return single_file("Models", portfolio_fragment(view, live=False))


def model_fragment(view: JsonObject, live: bool) -> str:
    """All that people see of one model. `live`: inside Airflow, with what the user may do about it."""
    from steward.reporting.model_page.pictures import pictures_of

    return render("model.html", view=view, live=live, pictures=pictures_of(view))


def model_page(view: JsonObject) -> str:
    return single_file(f"{view['model']}: {view['health']['state']}", model_fragment(view, live=False))


def measures_fragment(view: JsonObject, live: bool) -> str:
    from steward.reporting.measures.page import page_of

    return render("measures.html", view=view, page=page_of(view), live=live)


def measures_page(view: JsonObject) -> str:
    return single_file("Measures", measures_fragment(view, live=False))


def measure_events_fragment(view: JsonObject) -> str:
    """What a number was counted from; only ever a part of the live page."""
    from steward.reporting.measures.page import figure_in_words

    return render("measure_events.html", view=view, figure=figure_in_words(view))


def single_file(title: str, fragment: str) -> str:
    """A page around a fragment that is not live."""
    from markupsafe import Markup

    return render("page.html", title=title, fragment=Markup(fragment))


def card_charts(card: JsonObject) -> Iterator[tuple[str, str]]:
    """What is easier seen than read: slices, groups, calibration, importance."""
    judged = card["evaluation"]
    if judged is None:
        return
    yield _slices(judged)
    for grouping in (judged["fairness"] or {}).get("groupings", []):
        yield _groups(judged, grouping)
    title = "Calibration: what the score says, and what came"
    yield (
        title,
        calibration_chart([(row["predicted"], row["seen"], row["rows"]) for row in judged["calibration"]], title),
    )
    yield _importance(judged)


def _slices(judged: JsonObject) -> tuple[str, str]:
    """The first gated metric, overall and on each slice."""
    if not judged["metrics"]:
        return "", ""
    first = judged["metrics"][0]
    name = first["metric"]
    limit = _limit_of(judged, f"metric.{name}", "overall")
    rows = [("overall", first), *((part["slice"], _named(part["metrics"], name)) for part in judged["slices"])]
    bars = [_measured(where, found, judged, f"metric.{name}") for where, found in rows[: MOST_SLICES + 1] if found]
    more = f" (the first {MOST_SLICES} slices)" if len(rows) > MOST_SLICES + 1 else ""
    drawn = f"; dashed: the limit {cell(limit)}" if limit is not None else ""
    title = f"{name} by slice, with 95 % intervals{more}{drawn}"
    return title, interval_chart(bars, title, limit)


def _measured(where: str, found: JsonObject, judged: JsonObject, gate: str) -> Bar:
    said = f"{cell(found['value'])}  ({found['rows']} rows)" if found["value"] is not None else "not judged"
    bad = any(f["gate"] == gate and f["slice"] == where and f["outcome"] == "FAILED" for f in judged["findings"])
    return Bar(where, found["value"], found["lower"], found["upper"], said, bad)


def _named(metrics: Sequence[JsonObject], name: str) -> JsonObject | None:
    return next((metric for metric in metrics if metric["metric"] == name), None)


def _limit_of(judged: JsonObject, gate: str, where: str) -> float | None:
    found = (f["limit"] for f in judged["findings"] if f["gate"] == gate and f["slice"] == where)
    return next(found, None)


def _groups(judged: JsonObject, grouping: JsonObject) -> tuple[str, str]:
    ratio = grouping["measures"].get("demographic_parity_ratio", {})
    small = set(grouping.get("small", []))
    bars = [
        Bar(
            group["group"],
            (share := group["selected"])["value"],
            share["lower"],
            share["upper"],
            f"{share['count']} of {share['rows']}" + (", too few" if group["group"] in small else ""),
            group["group"] == ratio.get("lowest"),
        )
        for group in grouping["groups"]
    ]
    value = f"; lowest over highest {cell(ratio['value'])}" if ratio.get("value") is not None else ""
    title = f"Favourable decisions by {grouping['by']}, with 95 % intervals{value}"
    return title, interval_chart(bars[:MOST_SLICES], title, scale=_ONE)


def _importance(judged: JsonObject) -> tuple[str, str]:
    found = judged["importance"] or {}
    features = sorted((found.get("features") or {}).items(), key=lambda feature: -feature[1])[:MOST_FEATURES]
    title = f"Importance: what {found.get('metric')} loses when a feature is shuffled"
    return title, bar_chart([Bar(name, loss, said=cell(loss)) for name, loss in features], title)


def render(template: str, **values: Any) -> str:
    """A template of this folder; every value is escaped, unless it is Markup."""
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"cell": cell, "day": _day, "minute": _minute, "short": _short, "spoken": _spoken, "told": _told}
    return found


def _day(value: str | datetime | None) -> str:
    return f"{parse_instant(value):%Y-%m-%d}" if value else "–"


def _minute(value: str | datetime | None) -> str:
    return f"{parse_instant(value):%Y-%m-%d %H:%M} UTC" if value else "–"


def _told(sentence: str) -> Markup:
    """A sentence, escaped, with what stands in backticks set as code."""
    from markupsafe import Markup, escape

    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    coded = (Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts))
    return Markup("").join(coded)


def _spoken(word: str | None) -> str:
    return word.replace("_", " ") if word else ""


def _short(digest: str | None) -> str:
    """The first twelve digits; the page has the whole one at the end."""
    return digest[:12] if digest else "–"
