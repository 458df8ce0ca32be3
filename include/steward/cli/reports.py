"""report: the model card, the compliance report and the packs behind it. Nothing here changes the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from steward.cli import completion
from steward.cli.arguments import Model
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject

report = typer.Typer(help="What people outside the team read about a model.", no_args_is_help=True)

Target = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[@N]",
        help="The champion, or newest version, unless one is named.",
        autocompletion=completion.versions,
    ),
]
At = Annotated[str | None, typer.Option("--at", help="As it was then: 2013-06-01, or an ISO instant (UTC).")]
Html = Annotated[Path | None, typer.Option("--html", help="Write one self-contained page instead.")]


def add_to(app: typer.Typer) -> None:
    report.command()(card)
    report.command()(compliance)
    report.command()(model)
    report.command()(packs)
    report.command()(portfolio)
    app.add_typer(report, name="report")


def card(target: Target, at: At = None, html: Html = None, as_json: Json = False) -> None:
    """What a version is, was made from, can and cannot do, and who answers for it.

    Example: steward report card flight_delays --html card.html
    """
    from steward import wiring
    from steward.actions.telling.reporting import tell_card
    from steward.reporting.pages import card_page

    told = tell_card(wiring.services(), *_target(target), _instant(at))
    if html:
        _write(html, card_page(told))
    if as_json:
        print_json(told)
    elif not html:
        print_table(("", ""), _card_rows(told))


def compliance(
    target: Target,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            "--framework",
            help="A pack's id; those of the spec if none is named. May be repeated.",
            autocompletion=completion.frameworks,
        ),
    ] = None,
    at: At = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What each framework asks for: met by which evidence, or a gap and what to do. Gaps are no error: exit code 0.

    Example: steward report compliance loan_approval --framework sr-26-2 --html compliance.html
    """
    from steward import wiring
    from steward.actions.telling.reporting import tell_compliance
    from steward.reporting.pages import compliance_page

    told = tell_compliance(wiring.services(), *_target(target), _instant(at), framework or ())
    if html:
        _write(html, compliance_page(told))
    if as_json:
        print_json(told)
    elif not html:
        _print_compliance(told)


def model(name: Model, html: Html = None, as_json: Json = False) -> None:
    """How a model does and why, its metrics over time, drift by feature, releases, gates and history, with pictures.

    Example: steward report model flight_delays --html flight_delays.html
    """
    from steward import wiring
    from steward.actions.telling.model_page import tell_model
    from steward.reporting.pages import model_page

    told = tell_model(wiring.services(), name)
    if html:
        _write(html, model_page(told))
    if as_json:
        print_json(told)
    elif not html:
        print_table(("", ""), _model_rows(told))


def portfolio(html: Html = None, as_json: Json = False) -> None:
    """How do we know our models still perform? Then every model there is, the worst first.

    Example: steward report portfolio --html models.html
    """
    from steward import wiring
    from steward.actions.telling.portfolio import tell_portfolio
    from steward.cli.portfolio import print_portfolio
    from steward.reporting.pages import portfolio_page

    told = tell_portfolio(wiring.services(), wiring.places())
    if html:
        _write(html, portfolio_page(told))
    if as_json:
        print_json(told)
    elif not html:
        print_portfolio(told)


def packs(as_json: Json = False) -> None:
    """The compliance packs at hand, from when until when each holds, and whether its text was checked.

    Example: steward report packs
    """
    from steward import wiring

    catalogue, today = wiring.packs(), wiring.clock().now().date()
    if as_json:
        print_json([{**pack.heading(), "standing": pack.standing(today)} for pack in catalogue.packs])
        return
    columns = ("id", "version", "in force from", "superseded", "standing", "statements", "checked", "title")
    print_table(
        columns,
        (
            (
                pack.id,
                pack.version,
                pack.effective_from,
                f"{pack.superseded_on} by {pack.superseded_by}" if pack.superseded_on else "",
                pack.standing(today),
                len(pack.statements),
                "yes" if pack.checked_against_primary_text else "no",
                pack.title,
            )
            for pack in catalogue.packs
        ),
    )


def _print_compliance(told: JsonObject) -> None:
    for sentence in told["findings"]:
        typer.echo(f"note: {sentence}")
    rows = (
        (pack["id"], one["id"], one["status"], _missing(one) or _links(one))
        for pack in told["frameworks"]
        for one in pack["statements"]
    )
    print_table(("framework", "statement", "status", "evidence, or what is missing"), rows)
    for pack in told["frameworks"]:
        counts, unchecked = pack["counts"], "" if pack["checked_against_primary_text"] else "; unchecked text"
        typer.echo(f"{pack['id']} ({pack['standing']}{unchecked}): {counts['met']} met, {counts['gap']} gaps")


def _missing(statement: JsonObject) -> str:
    return "; ".join(asked["gap"] for asked in statement["evidence"] if asked["gap"])


def _links(statement: JsonObject) -> str:
    return "; ".join(link["what"] for asked in statement["evidence"] for link in asked["links"])


def _card_rows(told: JsonObject) -> Iterator[tuple[str, str]]:
    name = told["model"] if told["version"] is None else f"{told['model']}@{told['version']}"
    yield "model", f"{name}, {told['state']}: {told['title']}"
    yield "answers for it", f"{told['owner']['name']} ({told['owner']['team']}), tier {told['risk_tier']}"
    if told["stages"]:
        yield "stage", f"{told['stages'][-1]['stage']} since {told['stages'][-1]['at'][:10]}"
    if taken := told["data"]["snapshot"]:
        yield "data", f"{taken['rows']} rows, {taken['table']} version {taken['version']}"
    if judged := told["evaluation"]:
        yield "verdict", f"{judged['outcome']}, evidence {judged['evidence']}"
        for one in judged["metrics"][:3]:
            yield one["metric"], _metric(one)
    for answer in told["approvals"]:
        yield (
            "approved" if answer["approved"] else "rejected",
            f"{answer['by']} {answer['at'][:10]}: {answer['reason']}",
        )
    for one in told["limitations"]:
        yield "limitation", f"{one['what']}: {one['why']}"


def _model_rows(told: JsonObject) -> Iterator[tuple[str, str]]:
    health, serving = told["health"], told["serving"]
    yield "model", health["sentence"] + (f": {told['title']}" if told["title"] else "")
    for each in health["reasons"]:
        yield "why", each["sentence"]
    for each in health["in_the_way"]:
        yield "in the way", each["sentence"]
    if serving["since"]:
        yield "serves", f"@{serving['champion']} since {serving['since']:%Y-%m-%d}"
    for metric in told["metrics"]:
        judged = [point for point in metric["points"] if point["value"] is not None]
        newest = f"{judged[-1]['value']:.4g} in the newest of them" if judged else "not judged"
        yield metric["metric"], f"{len(judged)} of {len(metric['points'])} windows, {newest}"
    if told["drift"] and told["drift"]["summary"]:
        yield "drift", told["drift"]["summary"]
    for judged in told["gates"]:
        yield f"gates of @{judged['version']}", f"{judged['outcome']}, evidence {judged['evidence']}"


def _metric(one: JsonObject) -> str:
    if one["value"] is None:
        return str(one.get("problem"))
    return f"{one['value']:.4g} ({one['lower']:.4g} to {one['upper']:.4g}, {one['rows']} rows)"


def _target(text: str) -> tuple[str, int | None]:
    from steward.types import VersionRef

    if "@" not in text:
        return text, None
    ref = VersionRef.parse(text)
    return ref.model, ref.number


def _instant(text: str | None) -> datetime | None:
    from steward.errors import RequestError
    from steward.types import parse_instant

    try:
        return parse_instant(text) if text else None
    except ValueError as error:
        raise RequestError(f"{text!r} is no date", hint="write 2013-06-01 or 2013-06-01T12:00:00Z") from error


def _write(path: Path, page: str) -> None:
    from steward.errors import StewardError

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StewardError(f"the page cannot be written: {error.strerror}", where=str(path)) from error
    typer.echo(f"wrote {path}", err=True)
