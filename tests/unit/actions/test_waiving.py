"""A gate's no set aside: by whom, for how long, and what stays on record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.conftest import Life
from tests.unit.actions.test_approving import policy_with, present

from steward import actions
from steward.errors import NotFoundError, PolicyError, RequestError

WEAK = {"C": 0}


def waive(life: Life, **changes: Any) -> Any:
    given = {"gate": "metric.roc_auc", "until": "2013-07-01", "by": "vera", "via": "test", "reason": "labels are late"}
    return actions.grant_waiver(life.services, model="toy", **{**given, **changes})


def test_a_waived_gate_does_not_stop_and_its_verdict_stays(life: Life) -> None:
    assert not life.train(WEAK)["proceed"]
    waiver = waive(life)
    trained = life.train(WEAK)
    assert (trained["outcome"], trained["proceed"]) == ("FAILED", True)
    assert trained["reasons"][0] == "metric.roc_auc waived by vera until 2013-07-01"
    (event,) = life.events("version.registered")
    assert [(each["id"], each["gate"]) for each in event.body["waivers"]] == [(waiver["waiver"], "metric.roc_auc")]
    assert event.body["outcome"] == "FAILED"
    with life.services.database.begin() as tx:
        assert tx.evidence.get(trained["evaluation"]).verdict.outcome == "FAILED"
    asked = life.ask(trained)
    assert "metric.roc_auc: set aside by vera until 2013-07-01" in asked["body"]
    assert "labels are late" in asked["body"]


def test_a_waiver_that_ended_has_no_effect(life: Life) -> None:
    life.train(WEAK)
    waive(life, until="2013-06-03")
    life.clock.advance(timedelta(days=2))
    assert not life.train(WEAK)["proceed"]


def test_what_passed_under_a_waiver_is_not_released_after_it(life: Life) -> None:
    life.train(WEAK)
    granted = waive(life)
    trained = life.train(WEAK)
    life.approve(trained)
    revoked = {"model": "toy", "waiver": granted["waiver"], "by": "vera", "via": "test", "reason": "was a mistake"}
    assert actions.revoke_waiver(life.services, **revoked)["ended"]
    assert actions.revoke_waiver(life.services, **revoked)["ended"]
    assert len(life.events("waiver.revoked")) == 1
    with pytest.raises(PolicyError, match=r"the waiver of metric\.roc_auc ended"):
        life.do("start_rollout", trained["run"], version=2)
    life.answer(life.ask(trained), "ravi")
    with pytest.raises(PolicyError, match=r"passed under a waiver of metric\.roc_auc that has ended"):
        life.do("start_rollout", trained["run"], version=2)


def test_a_waiver_that_runs_out_while_people_think_changes_what_they_answer_on(life: Life) -> None:
    life.train(WEAK)
    waive(life, until="2013-06-03")
    asked = life.ask(life.train(WEAK))
    life.clock.advance(timedelta(days=2))
    assert not life.answer(asked, "ravi")["counted"]
    assert "Waivers" not in present(life, asked)["body"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"by": "ravi"}, "ravi has none of the roles risk_officer"),
        ({"by": "nobody"}, "nobody has none of the roles risk_officer"),
        ({"until": "2013-10-01"}, "lasts 90d at most: until 2013-08-30"),
        ({"until": "2013-05-01"}, "which is past"),
        ({"gate": "slice.rows"}, r"nobody may waive slice\.\*"),
        ({"gate": "champion.roc_auc"}, r"nobody may waive champion\.\*"),
        ({"gate": "champ*"}, r"nobody may waive champion\.\*"),
        ({"gate": "*"}, "nobody may waive"),
        ({"version": 1}, "toy@1 is rejected: a waiver cannot bring it back"),
    ],
)
def test_a_waiver_that_policy_refuses(life: Life, changes: dict[str, Any], reason: str) -> None:
    life.train(WEAK)
    with pytest.raises(PolicyError, match=reason):
        waive(life, **changes)
    assert not life.events("waiver.granted")
    refused = life.events("release.refused")[-1]
    assert (refused.body["step"], refused.actor) == ("grant_waiver", f"person:{changes.get('by', 'vera')}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gate": "metric.roc_acu"}, "did you mean metric.roc_auc"),
        ({"slice": "nights"}, "has no slice 'nights'"),
        ({"until": "soon"}, "'soon' is not a date"),
        ({"reason": "  "}, "the reason is empty"),
    ],
)
def test_a_waiver_of_nothing_is_a_mistake(life: Life, changes: dict[str, Any], reason: str) -> None:
    life.train(WEAK)
    with pytest.raises(RequestError) as refused:
        waive(life, **changes)
    assert reason in str(refused.value)


def test_nobody_waives_for_their_own_work(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.train(WEAK, actor="airflow:vera")
    with pytest.raises(PolicyError, match="vera owns, trained or changed toy"):
        waive(life)
    monkeypatch.setenv("STEWARD_CODE_EDITOR", "vera@example.com")
    life.train(WEAK)
    with pytest.raises(PolicyError, match="vera owns, trained or changed toy"):
        waive(life)


def test_a_waiver_signed_in_advance_does_not_cover_ones_own_candidate(life: Life) -> None:
    life.train(WEAK)
    waive(life)
    assert not life.train(WEAK, actor="airflow:vera")["proceed"]


def test_what_the_policy_forbids_since_is_waived_no_more(life: Life) -> None:
    life.train(WEAK)
    waive(life)
    policy_with(life, waivers={"roles": ["risk_officer"], "never": ["metric.*"]})
    assert not life.train(WEAK)["proceed"]


def test_the_same_waiver_twice_is_one_and_the_next_version_may_be_named(life: Life) -> None:
    life.train(WEAK)
    assert waive(life, version=2) == waive(life, version=2)
    assert len(life.events("waiver.granted")) == 1
    assert life.train(WEAK)["proceed"]
    assert not life.train(WEAK)["proceed"], "it was for version 2 only"


def test_an_unknown_waiver_is_not_found(life: Life) -> None:
    with pytest.raises(NotFoundError, match="no waiver 'x'"):
        actions.revoke_waiver(life.services, model="toy", waiver="x", by="vera", via="test", reason="because")
