"""The database of the record: reached, in its present form, guarded; and what waits in it to be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from steward.cli.doctor.finding import Finding, Level, fail, ok, skip, warn

if TYPE_CHECKING:
    from steward.actions.state import Database
    from steward.adapters.postgres.standing import Standing
    from steward.cli.doctor.around import Around

SKEW_NOTED, SKEW_TOO_MUCH = timedelta(seconds=2), timedelta(seconds=30)
MANY_WAIT = 100
UPGRADE = "make up (or `python -m steward.local.schema` with STEWARD_DATABASE_OWNER_URL set)"


def database(around: Around) -> Iterator[Finding]:
    """Nothing of it can be told when the first of these fails: its error is the finding."""
    if not around.has_stack:
        yield skip("STEWARD_DATABASE_URL is not set")
        return
    seen = around.standing()
    yield ok(f"PostgreSQL {seen.server} answers", about="reached")
    form = _form(seen)
    yield form
    if form.level is Level.FAIL:
        return
    opened = around.database()
    yield from _guards(opened)
    yield from _waiting(opened)


def _form(seen: Standing) -> Finding:
    if seen.found == seen.newest:
        return ok(f"the tables have their newest form, {seen.newest}", about="tables")
    if seen.found is None:
        return fail("it has no tables", UPGRADE, about="tables")
    if not seen.known:
        said = f"the tables have the form {seen.found}, of a newer release than this one ({seen.newest})"
        return fail(said, "install the release that made them; going back may lose data", about="tables")
    return fail(f"the tables have the form {seen.found}, this release needs {seen.newest}", UPGRADE, about="tables")


def _guards(opened: Database) -> Iterator[Finding]:
    with opened.begin() as tx:
        weaknesses = tx.events.weaknesses()
    for each in weaknesses:
        yield (fail if each.removed else warn)(each.what, each.remedy, about="rights")
    if not weaknesses:
        yield ok("the application may read and append to the record, and no more", about="rights")


def _waiting(opened: Database) -> Iterator[Finding]:
    from steward.actions.incidents.messaging import pending_effects

    waits = list(pending_effects(opened))
    if failing := [each for each in waits if each.error]:
        said = f"{len(failing)} of {len(waits)} effects outside the database failed, the first: {failing[0].error}"
        mend = "`steward notices waiting` names messages; MLflow's are tried again by each run of steward__heal"
        yield warn(said, mend, about="outbox")
    elif len(waits) > MANY_WAIT:
        mend = "see in Airflow whether steward__maintain and steward__heal run: they deliver"
        yield warn(f"{len(waits)} effects wait to be delivered", mend, about="outbox")
    else:
        yield ok(f"{len(waits)} effects wait to be delivered", about="outbox")


def clocks(around: Around) -> Iterator[Finding]:
    """This machine against the others: events are ordered by the database, tokens expire by Airflow's clock."""
    if not around.has_stack:
        yield skip("no database to compare with")
        return
    yield _skew("database", around.standing().now, around.wall())
    if there := around.ask(f"{around.settings.airflow_url}/api/v2/monitor/health").date:
        # A whole second is the header's grain.
        yield _skew("Airflow", there, around.wall(), grain=timedelta(seconds=1))
    if around.settings.clock_file:
        said = f"business time is read from {around.settings.clock_file}: this home replays the past"
        yield warn(said, "right for a demonstration; unset STEWARD_CLOCK_FILE in production", about="calendar")


def _skew(name: str, there: datetime, here: datetime, grain: timedelta = timedelta()) -> Finding:
    skew = max(abs(there - here) - grain, timedelta())
    said = f"{skew.total_seconds():.1f} s between it and this machine"
    mend = "set both by the same time server (timedatectl, chrony)"
    if skew > SKEW_TOO_MUCH:
        return fail(said, mend, about=name)
    return warn(said, mend, about=name) if skew > SKEW_NOTED else ok(said, about=name)
