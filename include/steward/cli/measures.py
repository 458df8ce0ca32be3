"""kpi: how well models are delivered and looked after, from the audit events alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import AnyModel, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.actions.state import Services

Days = Annotated[int | None, typer.Option("--days", help="Of the last so many days; 7, 30 and 90 unless one is given.")]
By = Annotated[str | None, typer.Option("--by", help="model, team, tier or portfolio (the default).")]
Of = Annotated[str | None, typer.Option("--of", help="Only this team or tier, by its name.")]
At = Annotated[str | None, typer.Option("--at", help="As it was then: 2013-06-01, or an ISO instant (UTC).")]
Events = Annotated[str | None, typer.Option("--events", metavar="MEASURE", help="The events behind this figure.")]
DRILLED_DAYS = 30


def add_to(app: typer.Typer) -> None:
    app.command()(kpi)


def kpi(
    model: AnyModel = None,
    days: Days = None,
    by: By = None,
    of: Of = None,
    at: At = None,
    events: Events = None,
    as_json: Json = False,
) -> None:
    """Deployments, lead time, failures, incidents, retraining, audits and drift, each as a number with its counts.

    Example: steward kpi flight_delays --days 90
    Example: steward kpi --by team
    Example: steward kpi --events change_failure
    """
    from steward import wiring

    services, moment = wiring.services(), instant_of(at) if at else None
    by, of = _scope(services, model, by, of)
    if events:
        _drill(services, events, (DRILLED_DAYS if days is None else days, by, of, moment), as_json)
        return
    from steward.actions.telling.measures import tell_measures
    from steward.reporting.measures.view import DAYS

    view = tell_measures(services, DAYS if days is None else (days,), (by,), of=of, at=moment)
    if as_json:
        print_json(view)
        return
    spans = [f"{count} days" for count in view["days"]]
    columns = ("of", "measure", *spans) if len(view["groups"]) > 1 else ("measure", *spans)
    title = f"as of {view['at']:%Y-%m-%d %H:%M} UTC{f', {by} {of}' if of else ''}"
    one = len(spans) == 1
    print_table((*columns, "and") if one else columns, _rows(view, with_parts=one), title=title)


def _scope(services: Services, model: str | None, by: str | None, of: str | None) -> tuple[str, str | None]:
    """Raises RequestError for a model beside another grouping, and for one group of none."""
    from steward.actions.telling.measures import require_known
    from steward.errors import RequestError

    if model is None:
        if of is not None and by in (None, "portfolio"):
            raise RequestError(f"--of {of} names one group of none", hint="add --by team, --by tier or --by model")
        return by or "portfolio", of
    if by not in (None, "model") or of not in (None, model):
        raise RequestError(f"{model} is one model", hint="leave out --by and --of, or leave out the model")
    require_known(services, model)
    return "model", model


def _rows(view: JsonObject, with_parts: bool) -> Iterator[tuple[str, ...]]:
    """With one number of days there is room for what else was counted, or why there is no figure."""
    units = {measure["id"]: measure["unit"] for measure in view["measures"]}
    for group in view["groups"]:
        for name, figures in group["figures"].items():
            first = (group["of"], name) if len(view["groups"]) > 1 else (name,)
            more = (_more(figures[0], units[name]),) if with_parts else ()
            yield (*first, *(_cell(figure, units[name]) for figure in figures), *more)


def _cell(figure: JsonObject, unit: str) -> str:
    from steward.reporting.measures.words import counts_in_words, value_in_words

    counts = counts_in_words(figure, unit)
    return value_in_words(figure["value"], unit) + (f" ({counts})" if counts else "")


def _more(figure: JsonObject, unit: str) -> str:
    from steward.reporting.measures.words import parts_in_words

    return "; ".join([*([figure["why_not"]] if figure["why_not"] else []), *parts_in_words(figure, unit)])


def _drill(
    services: Services, measure: str, scope: tuple[int, str, str | None, datetime | None], as_json: bool
) -> None:
    from steward.actions.telling.measures import tell_measure_events

    days, by, of, at = scope
    told = tell_measure_events(services, measure, days, by, of, at=at)
    if as_json:
        print_json(told)
        return
    about, figure = told["measure"], told["figure"]
    typer.echo(f"{about['title']}, {days} days{f', {by} {of}' if of else ''}: {_cell(figure, about['unit'])}")
    if more := _more(figure, about["unit"]):
        typer.echo(more)
    typer.echo(about["definition"])
    cells = ((e["seq"], f"{e['at']:%Y-%m-%d %H:%M}", _ref(e), e["event"], e["reason"]) for e in told["events"])
    print_table(("#", "at", "model", "event", "reason"), cells)
    if told["left_out"]:
        typer.echo(f"and {told['left_out']} older ones: take fewer days, or one team or model", err=True)


def _ref(event: JsonObject) -> str:
    return f"{event['model']}@{event['version']}" if event["version"] else str(event["model"])
