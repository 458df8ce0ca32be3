"""Any transaction's versions, approvals, rollouts and routes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from steward.approval import RequestState
from steward.errors import ConflictError, NotFoundError
from steward.registry import State
from steward.rollout import RolloutState
from steward.testing.builders import MODEL, NOON, a_new_version, a_request, a_rollout, a_route, an_answer
from steward.types import VersionRef

ONE, TWO = VersionRef(MODEL, 1), VersionRef(MODEL, 2)


def add_versions(database, count=2):
    with database.begin() as tx:
        return [tx.versions.add(a_new_version(run_id=f"run-{n}")) for n in range(count)]


def promote(tx, ref, replaces=None):
    if replaces:
        tx.versions.move(replaces, State.CHAMPION, State.SUPERSEDED)
    return tx.versions.move(ref, State.CHALLENGER, State.CHAMPION)


class TestVersions:
    def test_numbers_rise_by_one_per_model(self, database):
        with database.begin() as tx:
            added = [tx.versions.add(a_new_version(model=model)) for model in (MODEL, MODEL, "other", MODEL)]
        assert [str(version.ref) for version in added] == [
            f"{MODEL}@1",
            f"{MODEL}@2",
            "other@1",
            f"{MODEL}@3",
        ]

    def test_a_version_is_read_back_as_it_was_added(self, database, clock):
        new = a_new_version(params={"rate": 0.1, "layers": (3, 2), "name": "é"}, profile=None)
        with database.begin() as tx:
            added = tx.versions.add(new)
        with database.begin() as tx:
            read = tx.versions.get(ONE)
        assert read == added
        assert read.params == {"rate": 0.1, "layers": [3, 2], "name": "é"}
        assert (read.training_window, read.evidence) == (new.training_window, new.evidence)
        assert (read.created_at, read.profile, read.state) == (clock.now(), None, State.CHALLENGER)

    def test_all_lists_one_model_by_number(self, database):
        add_versions(database, 3)
        with database.begin() as tx:
            tx.versions.add(a_new_version(model="other"))
            assert [version.number for version in tx.versions.all(MODEL)] == [1, 2, 3]

    def test_an_unknown_version_is_not_found(self, database):
        with database.begin() as tx, pytest.raises(NotFoundError, match=f"no version {MODEL}@9"):
            tx.versions.get(VersionRef(MODEL, 9))

    def test_promotion_makes_the_champion(self, database):
        add_versions(database)
        with database.begin() as tx:
            assert tx.versions.champion(MODEL) is None
            promote(tx, ONE)
        with database.begin() as tx:
            promote(tx, TWO, replaces=ONE)
        with database.begin() as tx:
            assert tx.versions.champion(MODEL).ref == TWO
            assert tx.versions.get(ONE).state is State.SUPERSEDED

    def test_a_second_champion_is_refused_and_the_first_stays(self, database):
        add_versions(database)
        with database.begin() as tx:
            promote(tx, ONE)
        with database.begin() as tx:
            with pytest.raises(ConflictError, match=f"{MODEL}@1 is the champion"):
                promote(tx, TWO)
            with pytest.raises(ConflictError, match=f"{MODEL}@1 is the champion"):
                tx.versions.add(a_new_version(state=State.CHAMPION))
        with database.begin() as tx:
            assert tx.versions.champion(MODEL).ref == ONE

    def test_a_move_from_a_state_it_is_not_in_is_refused(self, database):
        add_versions(database)
        with database.begin() as tx, pytest.raises(ConflictError, match="is challenger, not champion"):
            tx.versions.move(ONE, State.CHAMPION, State.SUPERSEDED)

    def test_a_move_outside_the_table_of_transitions_is_refused(self, database):
        add_versions(database)
        with database.begin() as tx, pytest.raises(ConflictError, match="cannot become superseded"):
            tx.versions.move(ONE, State.CHALLENGER, State.SUPERSEDED)

    def test_an_error_rolls_back_every_table(self, database):
        def change_and_fail():
            with database.begin() as tx:
                tx.versions.add(a_new_version())
                tx.routes.set(a_route())
                raise ConflictError("somebody was quicker")

        with pytest.raises(ConflictError, match="quicker"):
            change_and_fail()
        with database.begin() as tx:
            assert tx.versions.all(MODEL) == []
            assert tx.routes.all() == []

    def test_what_was_read_is_not_a_way_to_change_what_is_stored(self, database):
        add_versions(database, 1)
        with database.begin() as tx:
            tx.versions.get(ONE).params["depth"] = 99
            assert tx.versions.get(ONE).params["depth"] == 3


class TestApprovals:
    def test_a_request_is_read_back_as_it_was_opened(self, database):
        with database.begin() as tx:
            assert tx.approvals.open(a_request()) == a_request()
        with database.begin() as tx:
            assert tx.approvals.get("request-1") == a_request()
            assert tx.approvals.open(a_request(id="request-2", door=None)).door is None

    def test_the_same_id_twice_is_refused(self, database):
        with database.begin() as tx:
            tx.approvals.open(a_request())
            with pytest.raises(ConflictError, match="was opened before"):
                tx.approvals.open(a_request())

    def test_an_unknown_request_is_not_found(self, database):
        with database.begin() as tx:
            for look_up in (tx.approvals.get, lambda i: tx.approvals.record(an_answer(request=i))):
                with pytest.raises(NotFoundError, match="no request for approval 'nobody'"):
                    look_up("nobody")

    def test_find_by_model_version_and_state_oldest_first(self, database):
        with database.begin() as tx:
            tx.approvals.open(a_request(id="late", requested_at=NOON + timedelta(hours=1)))
            tx.approvals.open(a_request(id="early"))
            tx.approvals.open(a_request(id="second", version=2))
            tx.approvals.open(a_request(id="other", model="other"))
            tx.approvals.close("late", RequestState.EXPIRED)
            assert [r.id for r in tx.approvals.find(MODEL)] == ["early", "second", "late"]
            assert [r.id for r in tx.approvals.find(MODEL, 1)] == ["early", "late"]
            assert [r.id for r in tx.approvals.find(MODEL, state=RequestState.EXPIRED)] == ["late"]

    def test_every_person_answers_once(self, database):
        second = an_answer(by="cora", approved=False, at=NOON + timedelta(hours=1))
        with database.begin() as tx:
            tx.approvals.open(a_request())
            tx.approvals.record(second)
            tx.approvals.record(an_answer())
        with database.begin() as tx:
            with pytest.raises(ConflictError, match="bert has answered request request-1 already"):
                tx.approvals.record(an_answer(approved=False))
            assert tx.approvals.answers("request-1") == [an_answer(), second]

    def test_a_request_is_closed_once(self, database):
        with database.begin() as tx:
            tx.approvals.open(a_request())
            assert tx.approvals.close("request-1", RequestState.APPROVED).state is RequestState.APPROVED
            with pytest.raises(ConflictError, match="is approved and cannot become rejected"):
                tx.approvals.close("request-1", RequestState.REJECTED)

    def test_closing_into_open_is_refused(self, database):
        with database.begin() as tx:
            tx.approvals.open(a_request())
            with pytest.raises(ConflictError, match="cannot become open"):
                tx.approvals.close("request-1", RequestState.OPEN)


class TestRollouts:
    def test_a_rollout_is_read_back_as_it_was_started(self, database):
        with database.begin() as tx:
            assert tx.rollouts.start(a_rollout(previous=None)) == a_rollout(previous=None)
        with database.begin() as tx:
            assert tx.rollouts.get("rollout-1") == tx.rollouts.running(MODEL) == a_rollout(previous=None)
            assert tx.rollouts.running("other") is None

    def test_one_rollout_of_a_model_runs_at_a_time(self, database):
        with database.begin() as tx:
            tx.rollouts.start(a_rollout())
            tx.rollouts.start(a_rollout(id="elsewhere", model="other"))
            with pytest.raises(ConflictError, match="the rollout rollout-1 of flight_delays@2 is running"):
                tx.rollouts.start(a_rollout(id="rollout-2", version=3))
            tx.rollouts.save(a_rollout(state=RolloutState.COMPLETED, epoch=1, ended_at=NOON), 0)
            tx.rollouts.start(a_rollout(id="rollout-2", version=3))
            assert tx.rollouts.running(MODEL).id == "rollout-2"

    def test_the_same_id_twice_is_refused(self, database):
        with database.begin() as tx:
            tx.rollouts.start(a_rollout(state=RolloutState.COMPLETED))
            with pytest.raises(ConflictError, match="was started before"):
                tx.rollouts.start(a_rollout())

    def test_an_unknown_rollout_is_not_found(self, database):
        with database.begin() as tx:
            with pytest.raises(NotFoundError, match="no rollout 'nobody'"):
                tx.rollouts.get("nobody")
            with pytest.raises(NotFoundError, match="no rollout 'nobody'"):
                tx.rollouts.save(a_rollout(id="nobody"), 0)

    def test_an_older_epoch_may_not_write(self, database):
        with database.begin() as tx:
            tx.rollouts.start(a_rollout())
            tx.rollouts.save(a_rollout(epoch=1, percent=5), 0)
        with database.begin() as tx:
            with pytest.raises(ConflictError, match="is at epoch 1: epoch 0 may not write"):
                tx.rollouts.save(a_rollout(epoch=1, percent=25), 0)
            with pytest.raises(ConflictError, match="epoch 1 may not write epoch 0"):
                tx.rollouts.save(a_rollout(epoch=0, percent=25), 1)
            assert tx.rollouts.get("rollout-1").percent == 5


class TestRoutes:
    def test_a_route_is_set_and_replaced_by_a_newer_one(self, database):
        newer = a_route(epoch=2, percent=0, canary=None, champion=2)
        with database.begin() as tx:
            assert tx.routes.get(MODEL) is None
            assert tx.routes.set(a_route()) == a_route()
            tx.routes.set(newer)
        with database.begin() as tx:
            assert tx.routes.get(MODEL) == newer

    def test_those_beside_the_champion_are_read_back_and_gone_when_they_are_left_out(self, database):
        beside = a_route(canary=None, percent=0, shadow=3, standby=2)
        with database.begin() as tx:
            assert tx.routes.set(beside) == beside
        with database.begin() as tx:
            assert tx.routes.all() == [beside]
            assert tx.routes.get(MODEL).versions == (1, 3, 2)
            alone = tx.routes.set(replace(beside, shadow=None, standby=None, epoch=2))
        with database.begin() as tx:
            assert tx.routes.get(MODEL) == alone
            assert alone.versions == (1,)

    @pytest.mark.parametrize("epoch", [0, 1])
    def test_the_epoch_must_rise(self, database, epoch):
        with database.begin() as tx:
            tx.routes.set(a_route(epoch=1))
        with database.begin() as tx:
            with pytest.raises(ConflictError, match="is not older than"):
                tx.routes.set(a_route(epoch=epoch, percent=50))
            assert tx.routes.get(MODEL).percent == 5

    def test_all_are_listed_by_model(self, database):
        with database.begin() as tx:
            for model in ("b", "a", "c"):
                tx.routes.set(replace(a_route(), model=model))
            assert [route.model for route in tx.routes.all()] == ["a", "b", "c"]
