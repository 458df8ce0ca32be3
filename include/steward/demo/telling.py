"""Puts the chapters in order, then checks the ledger and writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from steward import wiring
from steward.actions import verify_ledger
from steward.adapters.airflow_rest import AirflowClient
from steward.clock import ReplayClock
from steward.demo import mortgages, winds
from steward.demo.aftermath import compare_weeks
from steward.demo.desk import Desk
from steward.demo.display import Narrator
from steward.demo.flights import FlightStream
from steward.demo.mortgages import Mortgages
from steward.demo.report import QUIET, write_report
from steward.demo.story import WEEKS_AFTER, People, Story
from steward.demo.winds import Winds
from steward.ledger import AuditEvent, serving_at, timeline
from steward.local import Stack
from steward.training import ModelCode
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.actions.state import Services

MODEL = "flight_delays"


def tell(stack: Stack, narrator: Narrator, report: Path) -> None:
    """Raises StoryError (or whatever a step raised) when something of the story did not happen."""
    services = wiring.services()
    spec = services.specs.get(MODEL)
    clock = wiring.clock()
    assert isinstance(clock, ReplayClock)
    stream = FlightStream(spec, ModelCode(services.specs.module_path(MODEL)))
    desk = Desk(stack.urls.server, stream, clock)
    story = Story(spec, _people(stack), desk, clock, narrator, services.database)
    story.refuse_a_bad_candidate()
    story.release_a_good_candidate()
    story.replay_until_retrained()
    story.live_with_it()
    weeks = _aftermath(story, stream, narrator)
    story.catch_a_skewed_release()
    _winds(stack, clock, narrator, services).tell()
    _mortgages(stack, narrator, services).tell(clock.now())
    events = _verified(story, narrator)
    _print_timeline(narrator, events)
    write_report(report, story, weeks, events)
    narrator.say(f"{desk.tally.requests} requests, {desk.tally.failed} failed; the whole story is in {report}")
    _say_where(stack, narrator)


def _people(stack: Stack) -> People:
    return People(dana=_client(stack, "dana"), ravi=_client(stack, "ravi"))


def _client(stack: Stack, user: str) -> AirflowClient:
    return AirflowClient(stack.urls.airflow, user=user, password=stack.passwords[user])


def _winds(stack: Stack, clock: ReplayClock, narrator: Narrator, services: Services) -> Winds:
    spec = services.specs.get(winds.MODEL)
    stream = FlightStream(spec, ModelCode(services.specs.module_path(winds.MODEL)))
    desk = Desk(stack.urls.server, stream, clock)
    return Winds(spec, _people(stack), desk, clock, narrator, services.database)


def _mortgages(stack: Stack, narrator: Narrator, services: Services) -> Mortgages:
    code = services.specs.module_path(mortgages.MODEL)
    return Mortgages(
        stream=FlightStream(services.specs.get(mortgages.MODEL), ModelCode(code)),
        people={user: _client(stack, user) for user in ("dana", "ravi", "vera")},
        narrator=narrator,
        database=services.database,
        url=stack.urls.server,
        papers=code.parent / "documents",
    )


def _aftermath(story: Story, stream: FlightStream, narrator: Narrator) -> list[JsonObject]:
    versions = [story.facts["replaced"], story.facts["retrained"]]
    weeks = compare_weeks(wiring.services(), stream, versions, story.facts["after_from"], WEEKS_AFTER)
    table = Table("week from", "version", "AUC", "predicted", "late", "gap", "Brier")
    for row in weeks:
        numbers = [f"{row[key]:.3f}" for key in ("roc_auc", "predicted", "seen", "calibration_gap", "brier")]
        table.add_row(row["week"], f"v{row['version']}", *numbers)
    narrator.console.print(table)
    return weeks


def _verified(story: Story, narrator: Narrator) -> list[AuditEvent]:
    narrator.chapter("The ledger")
    found = verify_ledger(wiring.services(), actor="demo")
    narrator.say(f"{found['events']} events verified, the chain is whole")
    with wiring.services().database.begin() as tx:
        events = list(tx.events.read(model=MODEL))
    asked = story.facts["promoted_at"]
    served = serving_at(events, asked)
    if served is None:
        raise AssertionError("the ledger does not know who served")
    narrator.say(f"on {asked:%Y-%m-%d} {MODEL}@{served.version} served, approved by {', '.join(served.approved_by)}")
    return events


def _print_timeline(narrator: Narrator, events: list[AuditEvent]) -> None:
    narrator.console.print("\n[bold]Timeline[/bold]")
    for row in timeline(events):
        if row.event not in QUIET:
            version = (row.version or "").rpartition("@")[2]
            line = (
                f"  {row.at:%d %b %H:%M}  {row.event:<21} {version and 'v' + version:<4} {row.actor:<29} {row.reason}"
            )
            narrator.console.print(line, markup=False, no_wrap=True, overflow="ellipsis")


def _say_where(stack: Stack, narrator: Narrator) -> None:
    narrator.console.print(
        f"\n[bold]Look around[/bold] (everything stays up; `make stop` ends it, `make clean` removes it)\n"
        f"  Airflow       {stack.urls.airflow}   user ravi, password {stack.passwords['ravi']}\n"
        f"                (administrator: admin, {stack.passwords['admin']})\n"
        f"  MLflow        {stack.urls.mlflow}\n"
        f"  model server  {stack.urls.server}/v2/models/{MODEL}\n"
        f"  report        demo-report.html",
        highlight=False,
    )
