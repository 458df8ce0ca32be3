"""Names that measures share with other rooms, which none of them may import."""

from __future__ import annotations

from tests.unit.reporting.measures.ledger import AT, OFFERS, Line, event_of, incident, span

from steward.actions.approvals.overriding import REVIEW_DUE as DUE
from steward.actions.healing.stuck_runs import ABANDONED
from steward.actions.incidents.from_outside import RUN, SERVING
from steward.actions.incidents.from_scoring import SCORING
from steward.inventory.rules import RULE_NAMES
from steward.inventory.zombies import ESTATE_UNKNOWN
from steward.ledger import ALL_MODELS
from steward.monitoring.windows import MONITORED
from steward.reporting.measures.readers import REVIEW_DUE, RUNNING_CAUSES
from steward.reporting.measures.reading import MEASURED_EVENTS, read_record
from steward.types import JsonObject


def test_causes_of_incidents_are_those_that_are_opened() -> None:
    assert {*MONITORED, SERVING, SCORING, RUN} == RUNNING_CAUSES
    assert DUE == REVIEW_DUE
    assert not RUNNING_CAUSES & RULE_NAMES
    assert ESTATE_UNKNOWN in RULE_NAMES
    assert ABANDONED == "abandoned"
    assert len(set(MEASURED_EVENTS)) == len(MEASURED_EVENTS)


def test_a_retired_model_is_audited_no_more_and_serves_nobody() -> None:
    lines: list[Line] = [
        (9, 1, "version.registered", "offers", 1, {"run": "o1", "spec": OFFERS}),
        (9, 2, "version.promoted", "offers", 1, {"run": "o1"}),
        (8, 3, "inventory.audited", ALL_MODELS, None, {}),
        (7, 4, "endpoint.closed", "offers", 1, {}),
        (6, 5, "model.retired", "offers", None, {}),
        (6, 6, "run.closed", "offers", None, {"run": "r"}),
        (5, 7, "inventory.audited", ALL_MODELS, None, {}),
    ]
    record = read_record([event_of(seq, line) for seq, line in enumerate(lines, start=1)], AT)
    assert [each.began.seq for each in record.audits] == [3]
    assert [each.ended and each.ended.seq for each in record.in_service] == [4]


def test_a_version_past_all_actions_did_not_come_through_the_pipeline() -> None:
    """Promoted without a registration, a rollout or an approval on record."""
    lines: list[Line] = [(3, 1, "version.promoted", "offers", 9, {"approval": None})]
    (made,) = read_record([event_of(1, lines[0])], AT).deployments
    assert not made.through_pipeline
    assert made.whose.team == "not recorded"


def test_an_approval_that_nobody_gave_is_none() -> None:
    """The rollout names a request, and no answer on record approved it."""
    body: JsonObject = {"rollout": "o", "approval": "request"}
    lines: list[Line] = [
        (3, 1, "version.registered", "offers", 1, {"run": "o1", "spec": OFFERS}),
        (3, 2, "rollout.started", "offers", 1, body),
        (3, 3, "version.promoted", "offers", 1, body),
    ]
    (made,) = read_record([event_of(seq, line) for seq, line in enumerate(lines, start=1)], AT).deployments
    assert not made.through_pipeline


def test_incidents_about_no_version_are_counted_and_fail_no_deployment() -> None:
    lines: list[Line] = [
        (3, 1, "version.registered", "offers", 1, {"run": "o1", "spec": OFFERS}),
        (3, 2, "version.promoted", "offers", 1, {}),
        (2, 3, "incident.opened", "offers", None, incident("stuck", "run", span(3, 2), 0)),
    ]
    record = read_record([event_of(seq, line) for seq, line in enumerate(lines, start=1)], AT)
    assert [each.whose.team for each in record.troubles] == ["growth"]
    assert not record.deployments[0].failed
