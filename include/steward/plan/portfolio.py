"""Graphs that belong to no single model: the nightly audit, healing, and what people start for one model or another."""

from __future__ import annotations

from datetime import timedelta

from steward.plan.arguments import answer_of, field_of_run
from steward.plan.forms import maintenance_form, rehearsal_form, reproduction_form, retirement_form, rollback_form
from steward.plan.steps import DagPlan, Schedule, Step, StepKind, TriggerRule
from steward.types import JsonObject

OWNER, TAGS = "steward", ("steward", "portfolio")
AUDITING = """# Nightly audit

Verifies the ledger and sets a checkpoint; compares what is declared, registered, served, called and owned; puts moved
aliases right; lets go of champions whose rollback window is over. Findings are incidents, and owners are told of new
ones: a finding does not turn the run red, a fault does. `steward audit inventory` shows them all.
"""
HEALING = """# Heal

Every ten minutes, over all models: a champion that fails surely, by the test that judges canaries, gives way to the
version that still stands by (`monitoring.roll_back_on`); a server without its champion, behind its route or silent is
an incident; a training run that does not move any more is closed, and what it left half-way taken back; a monitor that
does not judge is an incident. Each is told once and ends by itself. `steward heal --dry-run` shows what it would do.
"""
REPORTING = """# Report

Every Monday, and by hand: all models as they are, and the measures of how they are delivered and looked after over
7, 30 and 90 days, by tier and team. *Report* on the task leads to the page; the digests of all files are on record.
"""
ROLLING_BACK = """# Roll back

Returns a model to the champion recorded before, or to a champion of the last while by its number. Trigger it and say
why. The second task asks every model server what it answers now; its verdict is in its log and in the ledger.
"""
REHEARSING = """# Rehearse the way back

Tries all that a rollback needs while nobody needs one: the change itself (undone), the stored bytes, every server's
answers to the smoke rows, and how long servers take to follow a route. No user's answer changes.
"""
MAINTAINING = """# Maintain the prediction log

Every hour, over all models: takes outcomes from tables, folds what the servers wrote into the tables, and deletes rows
that are kept no longer. At night it merges small files too. Reads never wait for it: they see what it has not folded
yet. A run that ended early is run again; nothing is folded twice.
"""
RETIRING = """# Retire a model

Tells every consumer, waits until each has confirmed and nobody has asked for the agreed time, closes the endpoint,
archives all that the model was, and sets a tombstone: nothing of it is trained, released or served again.

Until the endpoint is closed, `steward retirement call-off MODEL` ends it. A run that ended early is started anew with
the same form: it goes on where the ledger says it stopped.
"""
REPRODUCING = """# Reproduce a version

Trains a version again from its record: the same rows, code, parameters and seed. The verdict is in the log of the task
and in the ledger: bit-exact, within tolerance, or not reproducible, and why.
"""


def portfolio_plans(models: tuple[str, ...]) -> tuple[DagPlan, ...]:
    """`models` fill the choice of the forms. No model, nothing to roll back, retire or reproduce."""
    if not models:
        return (_audit(),)
    by_hand = (_rollback(models), _rehearse(models), _retire(models), _reproduce(models))
    return (_audit(), _heal(), _maintain(), _report(), *by_hand)


def _audit() -> DagPlan:
    verify = Step(
        "verify_ledger",
        "verify_ledger",
        "Recomputes the hash chain and sets a checkpoint; an altered event ends this run red.",
        timeout=timedelta(minutes=30),
    )
    audit = Step(
        "audit_inventory",
        "audit_inventory",
        "Compares specs, ledger, registry, servers, callers and people; what does not fit becomes incidents.",
        after=("verify_ledger",),
        timeout=timedelta(minutes=60),
    )
    reassert = Step(
        "reassert_aliases",
        "reassert_aliases",
        "Sets the registry's aliases to what the ledger says and reports any that were moved by hand.",
        after=("audit_inventory",),
        trigger=TriggerRule.ALL_SUCCESS,
    )
    release = Step(
        "release_standbys",
        "release_standbys",
        "Lets servers drop a champion of before whose rollback window is over.",
        after=("reassert_aliases",),
    )
    return _dag("audit_inventory", "nightly audit", AUDITING, (verify, audit, reassert, release), cron="30 2 * * *")


def _heal() -> DagPlan:
    step = Step(
        "heal",
        "heal",
        "Looks after champions, servers, runs and monitors; red when part of it could not be looked at.",
        kind=StepKind.CHECK,
        timeout=timedelta(minutes=9),
    )
    return _dag("heal", "heal", HEALING, (step,), cron="*/10 * * * *")


def _maintain() -> DagPlan:
    step = Step(
        "maintain_log",
        "maintain_log",
        "Takes outcomes from tables, folds segments, deletes what is kept no longer, merges small files at night.",
        arguments={"compact": field_of_run("compact")},
        timeout=timedelta(hours=2),
    )
    return _dag(
        "maintain", "maintain the prediction log", MAINTAINING, (step,), params=maintenance_form(), cron="17 * * * *"
    )


def _report() -> DagPlan:
    step = Step(
        "write_portfolio_report",
        "write_portfolio_report",
        "Writes the portfolio and its measures as pages for people and JSON for programs.",
        timeout=timedelta(minutes=20),
    )
    return DagPlan(
        id="steward__report",
        title="Steward · report",
        doc=REPORTING,
        schedule=Schedule(cron="30 6 * * 1"),
        params={},
        tags=TAGS,
        owner=OWNER,
        owner_link=None,
        steps=(step,),
    )


def _rollback(models: tuple[str, ...]) -> DagPlan:
    model = field_of_run("model")
    back = Step(
        "roll_back",
        "roll_back",
        "Puts the recorded previous champion back on all traffic.",
        model=model,
        arguments={"reason": field_of_run("reason"), "to": field_of_run("to")},
    )
    prove = Step(
        "prove_rollback",
        "prove_rollback",
        "Asks every model server: it follows, and the champion answers its smoke rows.",
        model=model,
        arguments={"to": answer_of("roll_back", "to"), "epoch": answer_of("roll_back", "epoch")},
        after=("roll_back",),
        kind=StepKind.CHECK,
    )
    return _dag("rollback", "roll back", ROLLING_BACK, (back, prove), params=rollback_form(models))


def _rehearse(models: tuple[str, ...]) -> DagPlan:
    step = Step(
        "rehearse_rollback",
        "rehearse_rollback",
        "Goes the way back without going: verdict, and the seconds it would take.",
        model=field_of_run("model"),
        kind=StepKind.CHECK,
    )
    return _dag("rehearse", "rehearse the way back", REHEARSING, (step,), params=rehearsal_form(models), at_once=4)


def _retire(models: tuple[str, ...]) -> DagPlan:
    """The waits last weeks: they come back now and then, hold no worker, and several models may wait together."""
    return _dag("retire", "retire", RETIRING, _retirement_steps(), params=retirement_form(models), at_once=16)


def _retirement_steps() -> tuple[Step, ...]:
    model = field_of_run("model")
    given = {name: field_of_run(name) for name in ("reason", "replacement", "quiet")}
    ending = (
        Step(
            "close_endpoint",
            "close_endpoint",
            "Withdraws the route for good: servers answer 410 from here on.",
            model,
            after=("await_quiet",),
        ),
        Step(
            "archive",
            "archive_model",
            "Copies artefacts, rows, evidence and events to the archive and reads every file again.",
            model,
            {"accept_missing": field_of_run("accept_missing")},
            after=("close_endpoint",),
            timeout=timedelta(hours=2),
        ),
        Step(
            "bury",
            "bury",
            "Sets the tombstone, once no server holds the model any more.",
            model,
            after=("archive",),
            retries=5,
        ),
    )
    last = tuple(step.id for step in ending)
    return (
        Step(
            "start", "start_retirement", "Checks that nothing still needs the model, and tells consumers.", model, given
        ),
        _wait("await_consumers", "Waits until every consumer has confirmed, or the replacement serves.", "start", last),
        _wait("await_quiet", "Waits until nobody has asked for the agreed time.", "await_consumers", last),
        *ending,
    )


def _wait(action: str, doc: str, after: str, last: tuple[str, ...]) -> Step:
    return Step(
        action,
        action,
        doc,
        field_of_run("model"),
        after=(after,),
        kind=StepKind.SENSOR,
        skips=("await_quiet", *last) if action == "await_consumers" else last,
        poll=timedelta(minutes=5),
        wait=timedelta(days=365),
    )


def _reproduce(models: tuple[str, ...]) -> DagPlan:
    step = Step(
        "reproduce",
        "reproduce",
        "Trains the version again from its record and compares the two.",
        model=field_of_run("model"),
        arguments={"version": field_of_run("version")},
        timeout=timedelta(hours=3),
    )
    return _dag("reproduce", "reproduce", REPRODUCING, (step,), params=reproduction_form(models), at_once=4)


def _dag(
    name: str,
    title: str,
    doc: str,
    steps: tuple[Step, ...],
    *,
    params: JsonObject | None = None,
    cron: str | None = None,
    at_once: int = 1,
) -> DagPlan:
    """Without a `cron` it runs when somebody starts it."""
    return DagPlan(
        id=f"steward__{name}",
        title=f"Steward · {title}",
        doc=doc,
        schedule=Schedule(cron=cron),
        params=params or {},
        tags=TAGS,
        owner=OWNER,
        owner_link=None,
        steps=steps,
        at_once=at_once,
    )
