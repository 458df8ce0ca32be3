"""The page of a model asks the database as often after three years as after a month, and the same of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from tests.unit.actions.conftest import MODEL_PY, MODEL_YAML

from steward.actions.telling.model_page import EVENTS_READ, WINDOWS_READ, tell_model
from steward.approval.policy import load_policy
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import State
from steward.spec import SpecFolder
from steward.testing.builders import NOON, a_new_version, an_incident
from steward.testing.services import services_in_memory
from steward.types import VersionRef, Window, to_json

DAY = timedelta(days=1)


@pytest.fixture
def services(tmp_path: Path, database: Any, clock: Any) -> Any:
    """Of the toy, on the fake and on PostgreSQL."""
    folder = tmp_path / "models" / "toy"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL_YAML)
    (folder / "model.py").write_text(MODEL_PY)
    policy = load_policy(Path(__file__).parents[2] / "include" / "policy.yaml")
    made = services_in_memory(SpecFolder(folder.parent), policy, clock, tmp_path)
    object.__setattr__(made, "database", database)
    return made


def begin(services: Any) -> None:
    with services.database.begin() as tx:
        tx.versions.add(a_new_version(model="toy"))
        tx.versions.move(VersionRef("toy", 1), State.CHALLENGER, State.CHAMPION)
        body = {"replaced": None, "rollout": "r1"}
        tx.events.append(EventDraft(EventType.VERSION_PROMOTED, "toy", "person:dana", "first", 1, None, body))


def live_on(services: Any, nights: range) -> None:
    with services.database.begin() as tx:
        for night in nights:
            window = Window.ending(NOON + night * DAY, 7 * DAY)
            verdict = Verdict.of([Finding("drift.psi:x", Outcome.PASSED, "steady", 0.01 + night / 1e5, 0.25)])
            digest = tx.evidence.put(Evidence("window", "toy", {"verdict": verdict.to_json(), "night": night}))
            outcomes = {Cause.DRIFT: Outcome.PASSED}
            tx.windows.record(JudgedWindow("toy", 1, window, Outcome.PASSED, (), digest, window.end, outcomes))
            told = {"window": window.to_json(), "outcome": "PASSED", "causes": []}
            tx.events.append(EventDraft(EventType.WINDOW_JUDGED, "toy", "steward", "held", 1, digest, told))
            tx.events.append(EventDraft(EventType.RETRAINING_DECLINED, "toy", "steward", "nothing lost", 1, None, {}))


@contextmanager
def asked() -> Iterator[list[str]]:
    """Every statement that any PostgreSQL of this process is sent meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def counted(tell: Callable[[], Any]) -> int:
    with asked() as statements:
        tell()
    return len(statements)


def test_as_many_questions_after_years_as_after_a_month(services: Any) -> None:
    begin(services)
    live_on(services, range(30))
    month = counted(lambda: tell_model(services, "toy"))
    live_on(services, range(30, 400))
    years = counted(lambda: tell_model(services, "toy"))
    assert years == month
    assert month < 60
    view = tell_model(services, "toy")
    assert (view["windows"], len(view["drift"]["windows"])) == (WINDOWS_READ, 30)
    assert view["told_since"] is not None or EVENTS_READ > 400
    newest = view["drift"]["rows"][-1]["cells"][-1]
    assert newest["value"] == 0.01 + 399 / 1e5


def test_an_incident_and_its_links_come_back_as_they_were_put(services: Any) -> None:
    begin(services)
    with services.database.begin() as tx:
        kept = tx.incidents.save(an_incident(model="toy", version=1))
    (found,) = tell_model(services, "toy")["incidents"]
    assert (found["id"], found["state"], found["links"]) == (kept.id, kept.state.value, list(kept.links))
    assert to_json(found)
