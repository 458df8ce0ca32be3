"""Who served at a past moment, from events alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from steward.ledger import EventType, serving_at, serving_periods, timeline
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, NOON, a_draft

DAY = timedelta(days=1)


class Story:
    """Writes one event a day, the first on NOON."""

    def __init__(self) -> None:
        self.database = FakeDatabase()
        self.database.clock.set(NOON)

    def tell(self, kind, **changes):
        with self.database.begin() as tx:
            tx.events.append(a_draft(kind, **changes))
        self.database.clock.advance(DAY)
        return self

    def release(self, version, replaced, by="bert"):
        run, request = f"run-{version}", f"request-{version}"
        self.tell(EventType.SNAPSHOT_TAKEN, evidence=f"s{version}", body={"run": run, "snapshot": {"version": version}})
        about = {"run": run, "code_commit": f"c{version}", "artefact": f"a{version}"}
        self.tell(EventType.MODEL_TRAINED, evidence=f"t{version}", actor=f"trainer-{version}", body=about)
        judged = {"run": run, "validation": f"v{version}", "training": f"t{version}", "evaluation": f"e{version}"}
        self.tell(EventType.VERSION_REGISTERED, version=version, evidence=f"e{version}", body=judged)
        said = {"request": request, "approved": True, "reason": "better", "via": "cli"}
        self.tell(EventType.APPROVAL_ANSWERED, version=version, actor=f"person:{by}", evidence=f"e{version}", body=said)
        return self.tell(EventType.VERSION_PROMOTED, version=version, body={"replaced": replaced, "approval": request})

    @property
    def events(self):
        with self.database.begin() as tx:
            return tx.events.read(model=MODEL)


@pytest.fixture
def story():
    """1 serves from day 4, 2 from day 9, and 1 again from day 10."""
    told = Story().release(1, None).release(2, 1, by="cora")
    return told.tell(EventType.ROLLOUT_ROLLED_BACK, version=2, reason="too many errors", body={"to": 1})


@pytest.mark.parametrize(
    ("day", "version"), [(0, None), (3.9, None), (4, 1), (8.9, 1), (9, 2), (9.9, 2), (10, 1), (99, 1)]
)
def test_the_version_that_served(story, day, version):
    serving = serving_at(story.events, NOON + day * DAY)
    assert (serving.version if serving else None) == version


def test_everything_about_why_it_served(story):
    serving = serving_at(story.events, NOON + 9.5 * DAY)
    assert (serving.since, serving.until) == (NOON + 9 * DAY, NOON + 10 * DAY)
    assert serving.approved_by == ("cora",)
    (answer,) = serving.answers
    assert (answer.reason, answer.evidence, answer.via, answer.request) == ("better", "e2", "cli", "request-2")
    made = serving.provenance
    assert made.evidence == {"validation": "v2", "training": "t2", "evaluation": "e2", "snapshot": "s2"}
    assert (made.trained_by, made.code_commit, made.artefact) == ("trainer-2", "c2", "a2")
    assert made.data == {"version": 2}


def test_after_a_rollback_the_older_version_keeps_its_own_approval(story):
    serving = serving_at(story.events, NOON + 11 * DAY)
    assert (serving.rolled_back_to, serving.reason, serving.until) == (True, "too many errors", None)
    assert serving.approved_by == ("bert",)
    assert serving.provenance.trained_by == "trainer-1"
    assert serving.to_json()["answers"][0]["by"] == "bert"


def test_answers_to_another_request_or_given_later_do_not_count(story):
    said = {"request": "request-2b", "approved": True}
    story.tell(EventType.APPROVAL_ANSWERED, version=2, actor="person:dora", body=said)
    assert serving_at(story.events, NOON + 9.5 * DAY).approved_by == ("cora",)


def test_a_no_is_an_answer_but_no_approval():
    story = Story().tell(
        EventType.APPROVAL_ANSWERED, version=1, actor="person:bert", body={"request": "r", "approved": False}
    )
    story.tell(EventType.VERSION_PROMOTED, version=1, body={"replaced": None})
    serving = serving_at(story.events, NOON + 5 * DAY)
    assert ([answer.by for answer in serving.answers], serving.approved_by) == (["bert"], ())


def test_a_first_release_rolled_back_leaves_nothing_serving():
    story = Story().tell(EventType.VERSION_PROMOTED, version=1, body={"replaced": None})
    story.tell(EventType.ROLLOUT_ROLLED_BACK, version=1, body={"to": None})
    assert serving_at(story.events, NOON + 9 * DAY) is None
    assert [period.version for period in serving_periods(story.events)] == [1, None]


def test_a_canary_rolled_back_does_not_begin_a_new_period():
    story = Story().tell(EventType.VERSION_PROMOTED, version=1, body={"replaced": None})
    story.tell(EventType.ROLLOUT_ROLLED_BACK, version=2, body={"to": 1})
    (period,) = serving_periods(story.events)
    assert (period.version, period.until) == (1, None)


def test_what_was_not_recorded_is_not_guessed():
    story = Story().tell(EventType.VERSION_PROMOTED, version=1)
    made = serving_at(story.events, NOON).provenance
    assert (made.evidence, made.data, made.trained_by, made.code_commit) == ({}, None, None, None)


def test_a_timeline_row_is_for_people(story):
    last = timeline(story.events)[-1].to_json()
    assert last == {
        "seq": 11,
        "at": "2013-06-11T12:00:00Z",
        "event": "rollout.rolled_back",
        "version": "flight_delays@2",
        "actor": "person:anna",
        "reason": "too many errors",
        "evidence": None,
    }
