"""Back to a champion of the last while, proved by every server; and the same tried while nobody needs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from steward import actions, wiring
from steward.actions.governance.verifying import differences
from steward.errors import ConflictError, NotFoundError, PolicyError, UnavailableError
from steward.inventory import ServedVersion
from steward.spec.deployment import Deployment
from steward.types import VersionRef

ONE, TWO = "http://one", "http://two"


@pytest.fixture
def served(life: Any) -> Any:
    """Versions 1, 2 and 3 were released one after the other, a day apart; 3 serves, on two servers."""
    for _ in range(3):
        trained = life.train()
        life.approve(trained)
        life.release(trained)
        life.clock.advance(timedelta(days=1))
    life.services.served.endpoints = (ONE, TWO)
    life.services.served.answer = lambda row: 0.9
    hold(life, {3: "champion", 2: "standby"})
    return life


def hold(life: Any, roles: dict[int, str]) -> None:
    """Both servers hold these versions, out of the registered bytes."""
    life.services.served.versions = [
        ServedVersion(endpoint, "toy", number, digest_of(life, number), role)
        for endpoint in (ONE, TWO)
        for number, role in roles.items()
    ]


def digest_of(life: Any, number: int) -> str:
    with life.services.database.begin() as tx:
        return tx.versions.get(VersionRef("toy", number)).artefact_digest


def route_of(life: Any) -> Any:
    with life.services.database.begin() as tx:
        return tx.routes.get("toy")


def back(life: Any, **given: Any) -> Any:
    return actions.roll_back(life.services, life.spec, actor="person:ravi", reason="complaints", **given)


def test_only_the_version_that_was_seen_goes(served: Any) -> None:
    with pytest.raises(ConflictError, match="toy@3 would go, not version 2: things moved on meanwhile"):
        back(served, version=2)
    assert (served.champion(), served.events("rollout.rolled_back")) == (3, [])
    assert back(served, version=3)["to"] == 2


def test_a_canary_that_began_meanwhile_is_not_ended_by_mistake(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=trained["version"])
    with pytest.raises(ConflictError, match="toy@4 would go, not version 3"):
        back(served, version=3)
    assert (back(served, version=4)["from"], served.champion()) == (4, 3)


def prove(life: Any, done: Any) -> Any:
    return actions.prove_rollback(life.services, life.spec, actor="person:ravi", to=done["to"], epoch=done["epoch"])


def rehearse(life: Any, **given: Any) -> Any:
    return actions.rehearse_rollback(life.services, life.spec, actor="person:ravi", **given)


def recorded_state_is_true(life: Any) -> bool:
    with life.services.database.begin() as tx:
        return differences(tx) == []


def test_a_champion_before_the_last_is_gone_back_to_by_its_number(served: Any) -> None:
    done = back(served, to=1)
    assert (done["from"], done["to"], served.champion()) == (3, 1, 1)
    assert [served.state(n) for n in (1, 2, 3)] == ["champion", "superseded", "rejected"]
    event = served.events("rollout.rolled_back")[-1]
    assert (event.version, event.body["to"], event.body["epoch"]) == (3, 1, route_of(served).epoch)
    assert recorded_state_is_true(served)


def test_after_the_window_only_the_recorded_champion_is_a_way_back(served: Any) -> None:
    served.clock.advance(timedelta(days=14))
    with pytest.raises(PolicyError, match="only a champion of the last 2w is gone back to without steps") as refused:
        back(served, to=1)
    assert "without a number, rollback goes to toy@2" in str(refused.value)
    assert served.champion() == 3
    assert back(served, to=2)["to"] == 2


def test_the_window_is_the_specs(served: Any) -> None:
    served.spec = served.spec.model_copy(
        update={"deployment": served.spec.deployment.model_copy(update={"rollback_window": timedelta(hours=1)})}
    )
    with pytest.raises(PolicyError, match="of the last 1h"):
        back(served, to=1)


def test_no_rollback_goes_to_what_serves_never_served_or_was_rejected(served: Any) -> None:
    served.train()
    weak = served.train({"C": 0})
    for number, why in ((3, "it serves already"), (4, "never the champion"), (weak["version"], "which is for good")):
        with pytest.raises(PolicyError, match=why):
            back(served, to=number)
    with pytest.raises(NotFoundError):
        back(served, to=99)
    assert served.champion() == 3
    assert len(served.events("release.refused")) == 4


def test_while_a_rollout_runs_the_way_back_is_the_champion_beside_it(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    started = served.do("start_rollout", trained["run"], version=trained["version"])
    served.do("shift_traffic", trained["run"], rollout=started["rollout"], percent=20)
    with pytest.raises(PolicyError, match="a rollout of toy@4 is running"):
        back(served, to=1)
    done = back(served, to=3)
    assert (done["from"], done["to"], served.state(3), served.state(4)) == (4, 3, "champion", "rejected")


def test_a_broken_spec_does_not_stand_in_the_way(served: Any) -> None:
    broken = type(served.spec).model_construct(model="toy", deployment=Deployment.model_construct())
    done = actions.roll_back(served.services, broken, actor="person:ravi", reason="complaints", to=1)
    assert done["to"] == 1


def test_every_server_proves_it(served: Any) -> None:
    done = back(served)
    hold(served, {2: "champion", 1: "standby"})
    proof = prove(served, done)
    assert (proof["outcome"], proof["reasons"]) == ("PASSED", [])
    assert [server["server"] for server in proof["servers"]] == [ONE, TWO]
    (event,) = served.events("rollback.proved")
    assert (event.version, event.body["outcome"], event.body["epoch"]) == (2, "PASSED", done["epoch"])
    with served.services.database.begin() as tx:
        evidence = tx.evidence.get(event.evidence).body
    assert [answer["scores"] for answer in evidence["answers"]] == [[0.9], [0.9]]
    assert recorded_state_is_true(served)


def test_a_server_that_does_not_answer_as_it_should_is_named_and_the_rollback_stands(served: Any) -> None:
    done = back(served)
    servers = served.services.served
    hold(served, {2: "champion"})
    right = list(servers.versions)

    servers.answer = lambda row: 0.1
    wrong = prove(served, done)
    assert wrong["outcome"] == "FAILED"
    assert wrong["reasons"][0].startswith(f"{ONE}: smoke row 0 scored 0.1, expected 0.6")

    servers.answer = lambda row: 0.9
    servers.versions = [right[0], replace(right[1], digest="f" * 64)]
    assert prove(served, done)["reasons"] == [
        f"{TWO}: it holds ffffffffffff… as toy@2, registered is {digest_of(served, 2)[:12]}…"
    ]
    servers.versions = [right[0], replace(right[1], role="standby")]
    assert prove(served, done)["reasons"] == [f"{TWO}: toy@2 is its standby, not its champion"]
    servers.versions = [right[0]]
    assert prove(served, done)["outcome"] == "FAILED"

    servers.versions, servers.epochs = right, {(TWO, "toy"): done["epoch"] - 1}
    late = prove(served, done)
    assert (late["outcome"], late["servers"][1]["followed"]) == ("INCONCLUSIVE", None)
    servers.away = True
    gone = prove(served, done)
    assert gone["outcome"] == "INCONCLUSIVE", "silence is neither yes nor no"
    assert served.champion() == 2
    assert [event.body["outcome"] for event in served.events("rollback.proved")].count("PASSED") == 0
    to, title, _ = served.services.notifier.sent[0]
    assert (to, title) == (("olga@example.com",), "toy went back to toy@2, and this is not proved")


def test_a_first_release_rolled_back_is_proved_by_its_absence(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.do("start_rollout", trained["run"], version=1)
    done = back(life)
    assert done["to"] is None
    assert prove(life, done)["outcome"] == "PASSED"


def test_the_registry_is_told_after_the_proof(served: Any) -> None:
    done = back(served, deliver_now=False)
    assert served.tracker.aliases["toy", "champion"] == 3
    hold(served, {2: "champion"})
    prove(served, done)
    assert served.tracker.aliases["toy", "champion"] == 2


def test_a_rehearsal_changes_no_answer_and_is_recorded(served: Any) -> None:
    before = route_of(served)
    answer = rehearse(served, run="drill")
    assert (answer["outcome"], answer["to"], answer["reasons"]) == ("PASSED", 2, [])
    assert set(answer["parts"]) == {"change", "answer", "propagation"}
    after = route_of(served)
    assert replace(after, epoch=before.epoch, updated_at=before.updated_at) == before
    assert after.epoch == before.epoch + 1
    assert [served.state(n) for n in (1, 2, 3)] == ["superseded", "superseded", "champion"]
    renewed, rehearsed = served.events("route.renewed", "rollback.rehearsed")
    assert renewed.body["epoch"] == after.epoch
    assert (rehearsed.version, rehearsed.body["outcome"]) == (2, "PASSED")
    assert rehearsed.body["seconds"] == pytest.approx(answer["seconds"])
    assert rehearse(served, run="drill") == answer, "the same run answers what it answered"
    assert len(served.events("rollback.rehearsed")) == 1
    assert recorded_state_is_true(served)


def test_what_was_rehearsed_then_works(served: Any) -> None:
    rehearse(served)
    assert back(served)["to"] == 2
    assert recorded_state_is_true(served)


def test_a_rehearsal_finds_what_would_hinder_a_rollback(served: Any) -> None:
    servers = served.services.served
    hold(served, {3: "champion"})
    assert "toy@2 is not loaded there" in rehearse(served)["reasons"][0]
    hold(served, {3: "champion", 2: "standby"})
    servers.answer = lambda row: 0.0
    assert "expected 0.6" in rehearse(served)["reasons"][0]
    servers.answer = lambda row: 0.9
    servers.epochs = {(ONE, "toy"): 0}
    slow = rehearse(served)
    assert (slow["outcome"], "does not say within" in slow["reasons"][0]) == ("INCONCLUSIVE", True)
    servers.epochs = {}
    assert {event.body["outcome"] for event in served.events("rollback.rehearsed")} == {"FAILED", "INCONCLUSIVE"}
    assert served.champion() == 3


def test_a_rehearsal_reads_the_stored_bytes(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served.tracker.tampered.add("run-2")
    altered = rehearse(served)
    assert (altered["outcome"], "is not as registered" in altered["reasons"][0]) == ("FAILED", True)

    def away(logged: Any) -> None:
        raise UnavailableError("the store does not answer")

    monkeypatch.setattr(served.tracker, "fetch", away)
    unknown = rehearse(served)
    assert (unknown["outcome"], "cannot be read now" in unknown["reasons"][0]) == ("INCONCLUSIVE", True)


def test_without_a_way_back_a_rehearsal_says_so(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    answer = rehearse(life)
    assert (answer["outcome"], answer["to"]) == ("INCONCLUSIVE", None)
    assert "no champion to go back to" in answer["reasons"][0]


def test_a_rehearsal_waits_for_the_end_of_a_rollout(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=4)
    epoch = route_of(served).epoch
    with pytest.raises(PolicyError, match="a rollout of toy@4 is running"):
        rehearse(served)
    assert route_of(served).epoch == epoch


def test_after_the_window_a_rehearsal_says_that_nobody_holds_the_version(served: Any) -> None:
    with served.services.database.begin() as tx:
        route = tx.routes.get("toy")
        tx.routes.set(replace(route, standby=None, epoch=route.epoch + 1))
    answer = rehearse(served)
    assert answer["outcome"] == "INCONCLUSIVE"
    assert "its rollback window is over" in answer["reasons"][0]


def test_the_run_is_told_that_a_server_took_the_canary_off_and_ends_by_itself(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=4)["rollout"]
    served.do("shift_traffic", trained["run"], rollout=rollout, percent=20)
    trip = {"version": 4, "reason": "3 errors among its last 3 requests", "actor": "model-server"}
    assert actions.trip_canary(served.services, served.spec, **trip)["to"] == 3
    seen = served.do("analyse_canary", trained["run"], rollout=rollout)
    assert (seen["outcome"], seen["final"]) == ("FAILED", True)
    assert seen["reasons"] == ["the canary was taken off traffic by model-server: 3 errors among its last 3 requests"]
    assert not served.do("settle_rollout", trained["run"], reason="; ".join(seen["reasons"]))["rolled_back"]
    assert not actions.trip_canary(served.services, served.spec, **trip)["rolled_back"], "a second server says the same"
    assert len(served.events("rollout.rolled_back")) == 1
    assert recorded_state_is_true(served)


def test_right_after_a_rollback_the_next_says_where_to(served: Any) -> None:
    """The breaker was faster than the person who heard of the bad version: the sound one must not go for it."""
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=4)["rollout"]
    served.do("shift_traffic", trained["run"], rollout=rollout, percent=20)
    actions.trip_canary(served.services, served.spec, version=4, reason="40 errors", actor="model-server")
    with pytest.raises(PolicyError, match=r"toy@4 was rolled back at .* by model-server: 40 errors") as refused:
        back(served)
    assert "`--to 2`" in str(refused.value)
    assert (served.champion(), served.state(3)) == (3, "champion")
    assert back(served, to=2)["to"] == 2
    served.clock.advance(timedelta(minutes=15))
    assert back(served)["to"] == 1


def test_a_proof_that_failed_is_asked_for_again_in_the_same_run(served: Any) -> None:
    done = back(served)
    hold(served, {2: "champion"})
    served.services.served.epochs = {(TWO, "toy"): 0}
    given = {"to": done["to"], "epoch": done["epoch"]}
    assert served.do("prove_rollback", "night", **given)["outcome"] == "INCONCLUSIVE"
    served.services.served.epochs = {}
    proved = served.do("prove_rollback", "night", **given)
    assert proved["outcome"] == "PASSED"
    assert served.do("prove_rollback", "night", **given) == proved
    assert len(served.events("rollback.proved")) == 2


def test_a_folder_that_is_gone_is_no_hindrance_for_a_model_that_serves(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment that went wrong took the file away; the servers go on, and so must the way back."""
    monkeypatch.setattr(wiring, "specs", lambda: served.services.specs)
    monkeypatch.setattr(wiring, "services", lambda: served.services)
    shutil.rmtree(served.services.specs.folder / "toy")
    spec = wiring.spec_to_go_back("toy")
    assert actions.roll_back(served.services, spec, actor="person:ravi", reason="complaints")["to"] == 2
    with pytest.raises(NotFoundError):
        wiring.spec_to_go_back("toys")


class Meanwhile:
    """A database in which something happens between the first transaction of an action and its next."""

    def __init__(self, database: Any, happens: Callable[[], object]) -> None:
        self.database, self.happens = database, happens
        self.left = 1

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with self.database.begin() as tx:
            yield tx
        if self.left:
            self.left = 0
            self.happens()


@pytest.mark.parametrize("late", ["settle", "trip"])
@pytest.mark.parametrize("ends", ["rolled back", "completed"])
def test_whoever_comes_late_to_end_a_rollout_takes_no_sound_champion_down(served: Any, late: str, ends: str) -> None:
    """A breaker and a task's verdict fall at about the same moment, and a task Airflow replaced may still run."""
    trained = served.train()
    served.approve(trained)
    run, version = trained["run"], trained["version"]
    rollout = served.do("start_rollout", run, version=version)["rollout"]
    for percent in served.spec.deployment.judged_steps:
        served.bake(rollout, run, percent)
    first = {
        "rolled back": lambda: back(served),
        "completed": lambda: served.do("complete_rollout", run, rollout=rollout),
    }[ends]
    services = replace(served.services, database=Meanwhile(served.services.database, first))
    if late == "settle":
        said = actions.settle_rollout(services, served.spec, run=run, actor="airflow:dana", reason="it failed")
    else:
        said = actions.trip_canary(services, served.spec, version=version, reason="errors", actor="model-server")
    assert not said["rolled_back"]
    assert (served.champion(), served.state(3)) == ((3, "champion") if ends == "rolled back" else (4, "superseded"))
    assert len(served.events("rollout.rolled_back")) == (ends == "rolled back")
    assert recorded_state_is_true(served)
