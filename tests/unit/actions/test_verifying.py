"""Rows written past the actions are found; a whole life through the actions leaves nothing to find."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.actions import test_retiring as retirement
from tests.unit.actions.conftest import build_life
from tests.unit.actions.test_retiring import YAML as RETIRABLE

from steward import actions
from steward.actions.governance.verifying import altered_evidence, differences, exported, require_genuine
from steward.approval import Answer, RequestState
from steward.errors import IntegrityError
from steward.ledger import EventType, Extent, Weakness, approval_is_recorded, link_of
from steward.registry import State
from steward.rollout import Rollout, RolloutState
from steward.testing.record import FakeEventLog
from steward.types import VersionRef


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Two releases, a rejected candidate, one that waits, and a canary half-way."""
    life = build_life(tmp_path_factory.mktemp("life"))
    life.approve(first := life.train())
    life.release(first)
    life.clock.advance(timedelta(days=1))
    life.approve(second := life.train({"C": 0.5}))
    life.release(second)
    life.answer(life.ask(life.train()), "ravi", approved=False)
    life.clock.advance(timedelta(days=1))
    life.waiting = life.ask(life.train({"C": 0.3}))
    life.approve(third := life.train({"C": 0.7}))
    life.predecessor = third
    started = life.do("start_rollout", third["run"], version=third["version"])
    life.bake(started["rollout"], third["run"], 20)
    return life


@pytest.fixture
def lived(told):
    """The same life for every test, as it was when it had been told."""
    database, now = told.services.database, told.clock.now()
    before = copy.deepcopy(database._state)
    yield told
    database._state = before
    told.clock.set(now)


def found(life):
    with life.services.database.begin() as tx:
        return [str(each) for each in differences(tx)]


def table(life, name):
    return getattr(life.services.database._state, name)


def test_a_whole_life_differs_nowhere(lived):
    assert found(lived) == []
    actions.roll_back(lived.services, lived.spec, actor="cli:mo", reason="to see")
    assert found(lived) == []
    actions.roll_back(lived.services, lived.spec, actor="cli:mo", reason="once more", to=1)
    assert (found(lived), lived.champion()) == ([], 1)


def test_expired_requests_differ_nowhere(lived):
    lived.clock.advance(timedelta(days=30))
    actions.expire_approval(lived.services, request=lived.waiting["request"], actor="airflow:x")
    assert found(lived) == []


def champion_by_hand(state):
    ref = VersionRef("toy", 3)
    state.versions[VersionRef("toy", 2)] = replace(state.versions[VersionRef("toy", 2)], state=State.SUPERSEDED)
    state.versions[ref] = replace(state.versions[ref], state=State.CHAMPION)


def challenger_again(state):
    state.versions[VersionRef("toy", 3)] = replace(state.versions[VersionRef("toy", 3)], state=State.CHALLENGER)


def another_artefact(state):
    state.versions[VersionRef("toy", 2)] = replace(state.versions[VersionRef("toy", 2)], artefact_digest="f" * 64)


def another_author(state):
    state.versions[VersionRef("toy", 2)] = replace(state.versions[VersionRef("toy", 2)], author="airflow:mallory")


def invented_version(state):
    ref = VersionRef("toy", 9)
    state.versions[ref] = replace(state.versions[VersionRef("toy", 2)], number=9, state=State.CHALLENGER)


def deleted_version(state):
    del state.versions[VersionRef("toy", 1)]


def routed_by_hand(state):
    state.routes["toy"] = replace(state.routes["toy"], champion=1, epoch=state.routes["toy"].epoch + 1)


def canary_widened(state):
    state.routes["toy"] = replace(state.routes["toy"], percent=90)


def mirrored_by_hand(state):
    state.routes["toy"] = replace(state.routes["toy"], shadow=4)


def kept_in_reach_by_hand(state):
    state.routes["toy"] = replace(state.routes["toy"], standby=3)


def unknown_route(state):
    state.routes["other"] = replace(state.routes["toy"], model="other")


def approved_by_hand(state):
    request = next(r for r in state.requests.values() if r.state is RequestState.OPEN)
    state.requests[request.id] = replace(request, state=RequestState.APPROVED)


def reopened_by_hand(state):
    request = next(r for r in state.requests.values() if r.state is RequestState.REJECTED)
    state.requests[request.id] = replace(request, state=RequestState.OPEN)


def answered_by_hand(state):
    request = next(r for r in state.requests.values() if r.state is RequestState.OPEN)
    answer = Answer(request.id, "vera", True, "of course", request.evidence, request.requested_at, "sql")
    state.answers[request.id, "vera", request.evidence] = answer


def answer_removed(state):
    del state.answers[next(key for key, answer in state.answers.items() if answer.approved)]


def rollout_ended_by_hand(state):
    going = next(r for r in state.rollouts.values() if r.state is RolloutState.RUNNING)
    state.rollouts[going.id] = replace(going, state=RolloutState.COMPLETED)


def rollout_invented(state):
    rollout_ended_by_hand(state)
    known: Rollout = next(iter(state.rollouts.values()))
    state.rollouts["forged"] = replace(known, id="forged", state=RolloutState.RUNNING)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (champion_by_hand, "the state of toy@2 is superseded, the events say champion (event "),
        (challenger_again, "the state of toy@3 is challenger, the events say rejected (event "),
        (another_artefact, f"artefact_digest of toy@2 is {'f' * 64}, the events say "),
        (another_author, "author of toy@2 is airflow:mallory, the events say "),
        (invented_version, "the state of toy@9 is challenger, the events say missing"),
        (deleted_version, "the state of toy@1 is missing, the events say superseded (event "),
        (routed_by_hand, "the champion routed to is 1, the events say 2 (event "),
        (canary_widened, "the share routed to is 90, the events say 20 (event "),
        (mirrored_by_hand, "the shadow routed to is 4, the events say missing (event "),
        (kept_in_reach_by_hand, "the standby routed to is 3, the events say 1 (event "),
        (unknown_route, "the route is (2, 5, 20, "),
        (approved_by_hand, "is approved, the events say not approved"),
        (reopened_by_hand, "is open, the events say closed"),
        (answered_by_hand, "the yes of vera to request"),
        (answer_removed, "is not in the table, the events say in the events"),
        (rollout_ended_by_hand, "the running rollout is missing, the events say "),
        (rollout_invented, "the running rollout is forged, the events say "),
    ],
)
def test_a_row_changed_by_hand_is_found_first(lived, attack, said):
    attack(lived.services.database._state)
    assert said in found(lived)[0]


def test_evidence_is_whole_after_a_life(lived):
    with lived.services.database.begin() as tx:
        assert altered_evidence(tx) is None


def named_by(life, kind):
    event = life.events(kind)[0]
    return event.seq, event.evidence


def test_altered_evidence_is_found_at_the_first_event_that_names_it(lived):
    seq, digest = named_by(lived, "model.evaluated")
    table(lived, "evidence")[digest].body["verdict"] = {"findings": []}
    with lived.services.database.begin() as tx:
        broken = altered_evidence(tx)
    assert broken.seq == seq
    assert f"its evidence {digest[:12]}… was altered" in broken.what


def test_deleted_evidence_is_found_at_the_first_event_that_names_it(lived):
    seq, digest = named_by(lived, "model.trained")
    del table(lived, "evidence")[digest]
    with lived.services.database.begin() as tx:
        assert (altered_evidence(tx).seq, altered_evidence(tx).what) == (seq, f"its evidence {digest[:12]}… is gone")


def test_an_approval_is_recorded_by_its_answers_alone(lived):
    with lived.services.database.begin() as tx:
        events = tx.events.read(model="toy")
        for request in tx.approvals.find("toy"):
            said = approval_is_recorded(events, request.id, request.evidence)
            assert said is (request.state is RequestState.APPROVED)
            assert not approval_is_recorded(events, request.id, "e" * 64)
            closed = [e for e in events if e.type is not EventType.APPROVAL_ANSWERED]
            assert not approval_is_recorded(closed, request.id, request.evidence)


def test_an_event_that_the_key_did_not_sign_is_refused(lived):
    with lived.services.database.begin() as tx:
        events = tx.events.read(model="toy")
        assert require_genuine(tx, events) == events
        forged = replace(events[7], actor="person:vera")
        with pytest.raises(IntegrityError, match=f"event {forged.seq} was not signed with this ledger's key"):
            require_genuine(tx, [*events, forged])


def test_an_export_of_altered_evidence_is_refused(lived):
    _, digest = named_by(lived, "model.evaluated")
    table(lived, "evidence")[digest].body["verdict"] = {}
    with lived.services.database.begin() as tx, pytest.raises(IntegrityError, match="was altered"):
        exported(tx, Extent("toy"))


def test_the_nightly_verification_stops_at_a_row_changed_by_hand(lived):
    assert actions.verify_ledger(lived.services, actor="nightly")["weaknesses"] == []
    routed_by_hand(lived.services.database._state)
    with pytest.raises(IntegrityError, match=r"the champion routed to is 1, the events say 2 \(event \d+\)"):
        actions.verify_ledger(lived.services, actor="nightly")


def test_the_nightly_verification_stops_at_altered_evidence(lived):
    seq, digest = named_by(lived, "model.evaluated")
    table(lived, "evidence")[digest].body["verdict"] = {"findings": []}
    with pytest.raises(IntegrityError, match=f"event {seq} cannot be trusted: its evidence"):
        actions.verify_ledger(lived.services, actor="nightly")


@pytest.mark.parametrize("removed", [True, False])
def test_the_nightly_verification_stops_at_a_removed_guard_and_reports_a_wide_right(lived, monkeypatch, removed):
    weakness = Weakness("the trigger is off", "switch it on", removed)
    monkeypatch.setattr(FakeEventLog, "weaknesses", lambda _: [weakness])
    if removed:
        with pytest.raises(IntegrityError, match="the trigger is off"):
            actions.verify_ledger(lived.services, actor="nightly")
    else:
        assert actions.verify_ledger(lived.services, actor="nightly")["weaknesses"] == [weakness.to_json()]


def test_a_request_approved_in_the_table_alone_releases_nothing(lived):
    lived.do("settle_rollout", lived.predecessor["run"], reason="make room")
    approved_by_hand(lived.services.database._state)
    with lived.services.database.begin() as tx:
        (asked,) = tx.approvals.find("toy", 4)
    assert asked.state is RequestState.APPROVED
    before = len(lived.events("rollout.started"))
    with pytest.raises(IntegrityError, match=f"request {asked.id} is approved, and the ledger holds no such approval"):
        lived.do("start_rollout", "run4", version=4)
    assert lived.events()[-1].type is EventType.RELEASE_REFUSED
    assert len(lived.events("rollout.started")) == before


def test_an_answer_written_into_the_events_by_hand_releases_nothing(lived):
    """A forged event has the right shape and a hash somebody made up: only the key could sign it."""
    lived.do("settle_rollout", lived.predecessor["run"], reason="make room")
    real = next(e for e in lived.events("approval.answered") if e.body["state"] == "approved")
    request = lived.waiting["request"]
    body, state = {**real.body, "request": request}, lived.services.database._state
    approved_by_hand(state)
    forged = replace(
        real, seq=len(state.links) + 1, version=4, evidence=lived.waiting["evidence"], body=body, actor="person:vera"
    )
    state.links.append(link_of(forged))
    with pytest.raises(IntegrityError, match=f"event {forged.seq} was not signed with this ledger's key"):
        lived.do("start_rollout", "run4", version=4)


def test_a_retired_model_differs_nowhere(tmp_path):
    life = build_life(tmp_path, RETIRABLE)
    for params in (None, {"C": 2.0}):
        life.approve(released := life.train(params))
        life.release(released)
    life.ask(life.train({"C": 0.5}))
    life.clock.advance(timedelta(days=8))
    with life.services.database.begin() as tx:
        assert tx.routes.get("toy").versions == (2, 1), "the first one stands by"
    retirement.start(life)
    retirement.confirm_all(life)
    life.do("close_endpoint", "end")
    assert found(life) == []
    with life.services.database.begin() as tx:
        assert tx.routes.get("toy").versions == ()
    life.do("archive_model", "end")
    life.do("bury", "end")
    assert (found(life), [life.state(n) for n in (1, 2, 3)]) == ([], ["retired"] * 3)
