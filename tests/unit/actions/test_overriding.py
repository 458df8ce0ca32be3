"""Breaking the glass, and the review that must follow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.conftest import Life
from tests.unit.actions.test_approving import FREEZE, file_paper, policy_with
from tests.unit.actions.test_waiving import WEAK, waive

from steward import actions
from steward.errors import PolicyError, RequestError

WHY = "fraud wave tonight, the champion misses it"


def break_glass(life: Life, version: int = 1, by: str = "dana", reason: str = WHY) -> Any:
    return actions.break_glass(life.services, model="toy", version=version, by=by, via="test", reason=reason)


def ask(life: Life, trained: Any) -> Any:
    """Not asked for by dana, who is to break the glass."""
    return life.do("request_approval", trained["run"], "airflow:mo", version=trained["version"])


def review(life: Life, by: str) -> Any:
    return actions.review_model(life.services, model="toy", by=by, via="test", reason="looked at it all")


def incidents(life: Life) -> list[Any]:
    with life.services.database.begin() as tx:
        return tx.incidents.unresolved("toy")


@pytest.fixture
def broken(life: Life) -> Life:
    """Trained by mo, released by dana without anybody's approval."""
    trained = life.train(actor="airflow:mo")
    asked = ask(life, trained)
    assert break_glass(life)["request"] == asked["request"]
    life.release(trained)
    return life


def test_a_version_goes_out_without_approvals_and_a_review_is_due(broken: Life) -> None:
    assert broken.champion() == 1
    (event,) = broken.events("glass.broken")
    assert (event.actor, event.reason, event.body["role"]) == ("person:dana", WHY, "incident_commander")
    assert event.body["review_by"].startswith("2013-06-03T06:00")
    (due,) = incidents(broken)
    assert (due.cause, due.version, due.severity) == ("review_due", 1, "high")
    assert not broken.events("approval.answered")


def test_the_owner_and_all_who_may_review_are_told(broken: Life) -> None:
    ((to, _, body),) = broken.services.notifier.sent
    assert to[0] == "olga@example.com"
    assert {"ravi@example.com", "mo@example.com", "vera@example.com"} < set(to)
    assert WHY in body
    assert "2013-06-03 06:00 UTC: steward review toy" in body


def test_the_same_again_is_harmless(life: Life) -> None:
    life.train(actor="airflow:mo")
    assert break_glass(life) == break_glass(life)
    assert len(life.events("glass.broken")) == 1


def test_it_sets_a_freeze_aside(life: Life) -> None:
    policy_with(life, freeze=FREEZE)
    trained = life.train(actor="airflow:mo")
    life.answer(ask(life, trained), "ravi")
    assert life.do("start_rollout", trained["run"], version=1)["rollout"] is None
    break_glass(life)
    assert life.release(trained)["version"] == 1


def test_where_nobody_was_asked_it_makes_its_own_request(life: Life) -> None:
    trained = life.train(actor="airflow:mo")
    request = break_glass(life)["request"]
    assert life.release(trained)["version"] == 1
    assert life.events("version.promoted")[0].body["approval"] == request


def test_new_evidence_overtakes_it_too(life: Life) -> None:
    trained = life.train(actor="airflow:mo")
    break_glass(life)
    file_paper(life, "monitoring_plan")
    with pytest.raises(PolicyError, match="no valid approval"):
        life.do("start_rollout", trained["run"], version=1)
    break_glass(life)
    assert life.release(trained)["version"] == 1
    assert len(incidents(life)) == 1


@pytest.mark.parametrize(
    ("by", "author", "reason"),
    [
        ("ravi", "mo", "ravi has none of the roles incident_commander"),
        ("dana", "dana", "dana trained the version and asked for the approval and may not approve it"),
    ],
)
def test_who_may_not(life: Life, by: str, author: str, reason: str) -> None:
    life.train(actor=f"airflow:{author}")
    with pytest.raises(PolicyError, match=reason):
        break_glass(life, by=by)
    assert not incidents(life)
    assert life.events("release.refused")[-1].actor == f"person:{by}"


def test_never_what_its_gates_refused(life: Life) -> None:
    life.train(WEAK, actor="airflow:mo")
    with pytest.raises(PolicyError, match="toy@1 is rejected: only a challenger"):
        break_glass(life)
    waive(life)
    life.train(WEAK, actor="airflow:mo")
    with pytest.raises(PolicyError, match="the gates of toy@2 failed"):
        break_glass(life, version=2)


def test_a_reason_is_a_sentence(life: Life) -> None:
    with pytest.raises(RequestError, match="has 6 characters; 20 are the least"):
        break_glass(life, reason="urgent")


def test_an_artefact_that_was_swapped_stays_refused(life: Life) -> None:
    trained = life.train(actor="airflow:mo")
    break_glass(life)
    life.tracker.tampered.add("run-1")
    with pytest.raises(Exception, match="another digest"):
        life.do("start_rollout", trained["run"], version=1)


def test_while_the_review_is_overdue_nothing_more_is_released(broken: Life) -> None:
    trained = broken.train(actor="airflow:mo")
    broken.answer(ask(broken, trained), "ravi")
    broken.clock.advance(timedelta(days=2))
    with pytest.raises(PolicyError, match="its review was due 2013-06-03") as refused:
        broken.do("start_rollout", trained["run"], version=2)
    assert "steward review toy" in str(refused.value)
    with pytest.raises(PolicyError, match="its review was due"):
        break_glass(broken, version=2)
    review(broken, "vera")
    assert broken.release(trained)["version"] == 2


def test_a_review_ends_what_was_due_and_names_the_next(broken: Life) -> None:
    (due,) = incidents(broken)
    done = review(broken, "ravi")
    assert done["resolved"] == [due.id]
    assert not incidents(broken)
    (event,) = broken.events("model.reviewed")
    assert event.body["next_review_at"] == "2014-06-01T06:01:00Z"
    assert event.version == 1
    assert broken.events("incident.resolved")[-1].reason == "review_due: reviewed by ravi"


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("dana", "dana broke the glass: somebody else must review it"),
        ("olga", "olga has none of the roles approver, validator"),
        ("nobody", "nobody has none of the roles"),
    ],
)
def test_who_may_not_review(broken: Life, by: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        review(broken, by)
    assert len(incidents(broken)) == 1


def test_the_owner_does_not_review(broken: Life) -> None:
    people = broken.services.policy().model_dump(mode="json")["people"]
    policy_with(broken, people={**people, "olga": {"roles": ["validator"]}})
    with pytest.raises(PolicyError, match="olga owns the model and may not review it"):
        review(broken, "olga")


def test_a_judged_window_does_not_end_a_review(broken: Life) -> None:
    broken.clock.advance(timedelta(days=5))
    judged = broken.do("judge_window", "night1")
    assert judged["outcome"] != "INCONCLUSIVE", "an inconclusive window ends nothing anyway"
    broken.do("open_incident", "night1", evidence=judged["evidence"])
    assert "review_due" in [incident.cause for incident in incidents(broken)]
