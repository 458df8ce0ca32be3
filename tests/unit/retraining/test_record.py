"""What events say about trainings of before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.retraining.situations import DAY, NOW, POLICY

from steward.ledger import AuditEvent, EventType
from steward.retraining import RetrainingHistory
from steward.retraining.record import Record, history_of, refused_in_a_row

HOUR = timedelta(hours=1)
E = EventType


class Told:
    """Events in the order they are told, at the instants given."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def __call__(self, kind: EventType, at: datetime, *, version: int | None = None, **body: Any) -> AuditEvent:
        seq = len(self.events) + 1
        event = AuditEvent(seq, at, at, kind, "flight_delays", "airflow", f"{kind}", version, None, body, "", "")
        self.events.append(event)
        return event

    def history(self, **changes: Any) -> RetrainingHistory:
        trained = [event for event in self.events if event.type is E.MODEL_TRAINED]
        manual = frozenset(e.body["run"] for e in self.events if e.body.get("trigger") == "manual")
        declined = [event for event in self.events if event.type is E.RETRAINING_DECLINED]
        record = Record(self.events, declined, trained, self.events, manual)
        return history_of(POLICY, record, NOW, open_for=DAY, **changes)


@pytest.fixture
def told() -> Told:
    return Told()


def test_nothing_happened(told: Told) -> None:
    assert told.history() == RetrainingHistory()


def test_runs_that_began_by_themselves_are_counted_once_and_those_of_persons_never(told: Told) -> None:
    told(E.RETRAINING_REQUESTED, NOW - 31 * DAY, run="night")
    told(E.RETRAINING_REQUESTED, NOW - 20 * DAY, run="night")
    told(E.RETRAINING_ADMITTED, NOW - 20 * DAY, run="r1", trigger="request", requests=[2])
    told(E.RETRAINING_ADMITTED, NOW - 10 * DAY, run="r2", trigger="schedule", requests=[])
    told(E.RETRAINING_ADMITTED, NOW - 9 * DAY, run="r3", trigger="manual", requests=[])
    history = told.history()
    assert history.runs_in_period == 2
    assert history.last_requested_at == NOW - 10 * DAY


def test_the_budget_period_is_half_open(told: Told) -> None:
    told(E.RETRAINING_REQUESTED, NOW - 30 * DAY, run="night")
    assert told.history().runs_in_period == 0
    told(E.RETRAINING_REQUESTED, NOW - 30 * DAY + timedelta(seconds=1), run="night")
    assert told.history().runs_in_period == 1


def test_cpu_hours_are_those_of_every_training_and_the_next_may_cost_what_the_dearest_did(told: Told) -> None:
    told(E.MODEL_TRAINED, NOW - 40 * DAY, run="r1", cpu_seconds=7200)
    told(E.MODEL_TRAINED, NOW - 5 * DAY, run="r2", cpu_seconds=1800)
    told(E.MODEL_TRAINED, NOW - 4 * DAY, run="r3", cpu_seconds=1800)
    history = told.history()
    assert (history.cpu_hours_in_period, history.dearest_run) == (1.0, 2.0)
    assert history.last_trained_at == NOW - 4 * DAY


def test_a_request_is_open_until_a_run_answers_it(told: Told) -> None:
    told(E.RETRAINING_REQUESTED, NOW - HOUR, run="night")
    assert "the request of 2013-04-10 23:00 (event 1) has not been answered" in str(told.history().open_work)
    assert told.history(answering=[1]).open_work is None
    told(E.RETRAINING_DECLINED, NOW, run="r1", requests=[1])
    assert told.history().open_work is None


def test_a_run_is_open_until_it_closes_and_not_in_its_own_way(told: Told) -> None:
    told(E.RETRAINING_ADMITTED, NOW - HOUR, run="r1", trigger="manual", requests=[])
    assert "(event 1) and has not ended" in str(told.history().open_work)
    assert told.history(run="r1").open_work is None
    told(E.SNAPSHOT_TAKEN, NOW - HOUR, run="r1")
    told(E.RUN_CLOSED, NOW - HOUR, run="another")
    assert "(event 2) and has not ended" in str(told.history().open_work)
    told(E.RUN_CLOSED, NOW, run="r1")
    assert told.history().open_work is None


def test_a_run_that_never_ended_is_given_up(told: Told) -> None:
    told(E.RETRAINING_ADMITTED, NOW - DAY, run="r1", trigger="manual", requests=[])
    assert told.history().open_work is None
    told(E.SNAPSHOT_TAKEN, NOW - DAY + HOUR, run="r1")
    assert told.history().open_work


def test_the_end_of_a_run_that_was_not_let_in_closes_no_other(told: Told) -> None:
    told(E.RETRAINING_ADMITTED, NOW - HOUR, run="r1", trigger="manual", requests=[])
    told(E.RETRAINING_DECLINED, NOW - HOUR, run="r2", requests=[])
    told(E.RUN_CLOSED, NOW - HOUR, run="r2")
    assert told.history().open_work


def made(told: Told, version: int, run: str, *, rejected: bool = False) -> None:
    told(E.VERSION_REJECTED if rejected else E.VERSION_REGISTERED, NOW - 9 * DAY, version=version, run=run)


def refused(told: Told) -> list[int]:
    return [each.version for each in told.history().refused]


def test_candidates_that_gates_people_or_rollouts_refused_count_once_each(told: Told) -> None:
    told(E.VERSION_PROMOTED, NOW - 10 * DAY, version=1)
    made(told, 2, "r2", rejected=True)
    made(told, 3, "r3")
    told(E.APPROVAL_ANSWERED, NOW, version=3, state="open", approved=True)
    told(E.APPROVAL_ANSWERED, NOW, version=3, state="rejected", approved=False)
    made(told, 4, "r4")
    told(E.APPROVAL_CLOSED, NOW, version=4, state="expired")
    made(told, 5, "r5")
    told(E.ROLLOUT_ROLLED_BACK, NOW, version=5, to=1)
    told(E.VERSION_REJECTED, NOW, version=5)
    assert refused(told) == [2, 3, 4, 5]
    assert [each.seq for each in told.history().refused] == [2, 5, 7, 9]


@pytest.mark.parametrize("kind", [E.VERSION_PROMOTED, E.RETRAINING_ALLOWED])
def test_a_promotion_or_a_persons_word_begins_the_count_anew(told: Told, kind: EventType) -> None:
    made(told, 2, "r2", rejected=True)
    told(kind, NOW, version=3 if kind is E.VERSION_PROMOTED else None)
    assert refused(told) == []
    made(told, 4, "r4", rejected=True)
    assert refused(told) == [4]


def test_what_persons_try_by_hand_does_not_count(told: Told) -> None:
    told(E.RETRAINING_ADMITTED, NOW, run="r2", trigger="manual", requests=[])
    made(told, 2, "r2", rejected=True)
    made(told, 3, "r3", rejected=True)
    assert refused(told) == [3]
    assert list(refused_in_a_row(Record())) == []


def test_a_request_of_before_runs_were_let_in_was_answered_by_the_next_snapshot(told: Told) -> None:
    """Its event names no trigger, and no run cites it."""
    told(E.RETRAINING_REQUESTED, NOW - 5 * HOUR, run="night", detail={})
    assert "has not been answered" in (told.history().open_work or "")
    told(E.SNAPSHOT_TAKEN, NOW - 4 * HOUR, run="r1")
    told(E.RUN_CLOSED, NOW - 3 * HOUR, run="r1")
    assert told.history().open_work is None
