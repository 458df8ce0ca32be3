"""The verbs in their order, and every door that must stay shut."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from steward import actions
from steward.actions.incidents.changing import save_incident
from steward.errors import ConflictError, IntegrityError, PolicyError
from steward.ledger import EventType
from steward.testing.builders import an_incident


@pytest.fixture
def served(life: Any) -> Any:
    """A first version approved, released and serving."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return life


def test_a_version_goes_all_the_way_round(life: Any) -> None:
    first = life.train()
    assert first["outcome"] == "PASSED"
    assert first["proceed"]
    life.approve(first)
    assert life.release(first)["replaced"] is None
    second = life.train()
    life.approve(second)
    assert life.release(second)["replaced"] == 1
    assert (life.champion(), life.state(1), life.state(2)) == (2, "superseded", "champion")
    assert life.tracker.aliases["toy", "champion"] == 2


def test_every_action_writes_exactly_one_event_beside_the_stages_it_enters(life: Any) -> None:
    trained = life.train()
    kinds = [event.type.value for event in life.events() if event.type != "stage.entered"]
    assert kinds == ["snapshot.taken", "data.validated", "model.trained", "model.evaluated", "version.registered"]
    life.approve(trained)
    life.release(trained)
    kinds = [event.type.value for event in life.events() if event.type != "stage.entered"][5:]
    step = ["rollout.advanced", "rollout.analysed"]
    assert kinds == ["approval.requested", "approval.answered", "rollout.started", *step, *step, "version.promoted"]


def test_the_same_run_answers_what_it_answered(life: Any) -> None:
    trained = life.train()
    digests = {key: trained[key] for key in ("validation", "training", "evaluation")}
    again = life.do("register", trained["run"], **digests)
    assert again["version"] == trained["version"]
    assert len(life.events("version.registered")) == 1
    with pytest.raises(ConflictError):
        life.do("take_snapshot", trained["run"], window_days=3)


def test_a_weak_candidate_is_rejected_with_its_reason(life: Any) -> None:
    refused = life.train({"C": 0})
    assert refused["outcome"] == "FAILED"
    assert not refused["proceed"]
    assert "ROC curve is 0.5, below the limit 0.7" in refused["reasons"][0]
    assert life.state(refused["version"]) == "rejected"
    with pytest.raises(PolicyError):
        life.ask(refused)


def test_evidence_of_two_runs_does_not_mix(life: Any) -> None:
    first = life.train()
    life.clock.advance(timedelta(days=1))
    second = life.train()
    mixed = {"validation": first["validation"], "training": second["training"], "evaluation": second["evaluation"]}
    with pytest.raises(PolicyError, match="does not belong together"):
        life.do("register", "run9", **mixed)


def test_broken_data_registers_nothing(life: Any) -> None:
    life.spec = life.spec.model_copy(update={"data": life.spec.data.model_copy(update={"min_rows": 10_000})})
    with pytest.raises(PolicyError, match="broke its contract"):
        life.train()
    assert not life.events("version.registered", "version.rejected")


@pytest.mark.parametrize("who", ["dana", "olga", "nobody"])
def test_author_owner_and_strangers_do_not_approve(life: Any, who: str) -> None:
    asked = life.ask(life.train())
    said = life.answer(asked, who)
    assert not said["counted"]
    assert said["state"] == "open"
    assert life.events("approval.refused")
    with pytest.raises(PolicyError, match="no valid approval"):
        life.do("start_rollout", "run1", version=1)


def test_an_answer_to_other_evidence_does_not_count(life: Any) -> None:
    asked = life.ask(life.train())
    assert not life.answer(asked, "ravi", evidence="f" * 64)["counted"]


def test_no_answer_in_time_is_a_no(life: Any) -> None:
    asked = life.ask(life.train())
    assert actions.expire_approval(life.services, request=asked["request"], actor="airflow")["state"] == "expired"
    assert life.state(1) == "rejected"
    assert not life.answer(asked, "ravi")["counted"]


def test_an_approval_that_aged_releases_nothing(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.clock.advance(timedelta(days=60))
    with pytest.raises(PolicyError, match="no valid approval"):
        life.do("start_rollout", "run1", version=1)


def test_a_step_marked_done_by_hand_moves_nothing(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=2)["rollout"]
    served.do("shift_traffic", trained["run"], rollout=rollout, percent=20)
    with pytest.raises(PolicyError, match="has not passed"):
        served.do("shift_traffic", trained["run"], rollout=rollout, percent=50)
    with pytest.raises(PolicyError, match="not every step was taken: 50 % did not run"):
        served.do("complete_rollout", trained["run"], rollout=rollout)
    assert served.champion() == 1


def test_an_artefact_swapped_after_approval_is_not_released(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.tracker.tampered.add("run-1")
    with pytest.raises(IntegrityError):
        life.do("start_rollout", "run1", version=1)


@pytest.mark.parametrize("fault", [{"shift": 0.4}, {"errors": 40}])
def test_a_bad_canary_is_rolled_back_to_the_recorded_champion(served: Any, fault: dict[str, Any]) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=2)["rollout"]
    verdict = served.bake(rollout, trained["run"], 20, **fault)
    assert verdict["outcome"] == "FAILED"
    assert verdict["final"]
    settled = served.do("settle_rollout", trained["run"], reason="analysis failed")
    assert settled["rolled_back"]
    assert settled["to"] == 1
    assert (served.champion(), served.state(2)) == (1, "rejected")
    assert served.tracker.aliases["toy", "champion"] == 1
    with pytest.raises(PolicyError, match="rolled_back"):
        served.do("shift_traffic", trained["run"], rollout=rollout, percent=50)


def test_too_few_requests_hold_and_then_give_up(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=2)["rollout"]
    verdict = served.bake(rollout, trained["run"], 20, count=20)
    assert verdict["outcome"] == "INCONCLUSIVE"
    assert not verdict["final"]
    served.clock.advance(timedelta(minutes=11))
    verdict = served.do("analyse_canary", trained["run"], rollout=rollout)
    assert verdict["outcome"] == "INCONCLUSIVE"
    assert verdict["final"]
    assert served.do("settle_rollout", trained["run"], reason="gave up")["rolled_back"]


def test_settling_leaves_a_completed_release_alone(served: Any) -> None:
    assert not served.do("settle_rollout", "run1", reason="")["rolled_back"]
    assert served.champion() == 1


def test_a_second_champion_is_refused(served: Any) -> None:
    """Two candidates start from the same champion; the second to finish is told."""
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=2)
    other = served.train()
    served.approve(other)
    with pytest.raises(ConflictError):
        served.do("start_rollout", other["run"], version=3)


def test_rolling_back_by_hand_restores_the_champion_before(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    done = actions.roll_back(served.services, served.spec, actor="person:ravi", reason="complaints")
    assert (done["from"], done["to"], served.champion()) == (2, 1, 1)
    with pytest.raises(PolicyError, match="no recorded champion"):
        actions.roll_back(served.services, served.spec, actor="person:ravi", reason="again")


def test_a_registry_that_is_away_delays_only_its_shadow(life: Any) -> None:
    life.tracker.away = True
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    assert life.champion() == 1
    assert ("toy", "champion") not in life.tracker.aliases
    life.tracker.away = False
    assert actions.reassert_aliases(life.services, actor="nightly")["waiting"] == 0
    assert life.tracker.aliases["toy", "champion"] == 1


def test_an_alias_moved_by_hand_is_set_back_and_reported(served: Any) -> None:
    served.tracker.aliases["toy", "champion"] = 7
    changed = actions.reassert_aliases(served.services, actor="nightly")["changed"]
    assert changed == {"toy:champion": {"found": 7, "set": 1}}
    assert len(served.events("alias.reasserted")) == 1


def serve_week(life: Any, *, informative: bool) -> None:
    """Seven days of answers whose outcomes agree with the scores, or have nothing to do with them."""
    import pyarrow as pa

    draw = np.random.default_rng(5)
    for _ in range(7):
        x = draw.normal(size=200)
        scores = 1 / (1 + np.exp(-2 * x))
        life.log(1, 9, "champion", scores, f_x=x)
        rows = life.predictions.rows["toy"][-1]
        labels = (draw.random(200) < (scores if informative else 0.5)).astype(float)
        now = [life.clock.now()] * 200
        outcomes = {"decision_id": rows["decision_id"], "label": labels, "observed_at": now, "recorded_at": now}
        life.predictions.append_outcomes("toy", pa.table(outcomes))
        life.clock.advance(timedelta(days=1))


def test_lost_performance_asks_for_retraining_once(served: Any) -> None:
    served.clock.advance(timedelta(days=5))
    serve_week(served, informative=False)
    judged = served.do("judge_window", "night1")
    assert judged["outcome"] == "FAILED"
    assert "performance" in judged["causes"], judged["reasons"]
    opened = served.do("open_incident", "night1", evidence=judged["evidence"])
    assert opened["incidents"]
    report = served.do("write_report", "night1", evidence=judged["evidence"])
    assert served.services.reporter.written == [served.services.reports_dir / report["report"]]
    decision = served.do("decide_retraining", "night1", evidence=judged["evidence"])
    assert decision["requested"], decision["reason"]
    judged = served.do("judge_window", "night2")
    second = served.do("open_incident", "night2", evidence=judged["evidence"])
    assert second["incidents"] == opened["incidents"]
    again = served.do("write_report", "night2", evidence=judged["evidence"])
    assert again == {"report": None, "reason": "the last one is not a week old, and no trouble is new"}
    assert served.do("write_report", "by hand", evidence=judged["evidence"], asked=True)["report"]
    refused = served.do("decide_retraining", "night2", evidence=judged["evidence"])
    assert not refused["requested"]
    assert refused["reason"]
    assert len(served.events("retraining.requested")) == len(served.events("retraining.declined")) == 1


def test_good_windows_resolve_the_incident(served: Any) -> None:
    served.clock.advance(timedelta(days=5))
    serve_week(served, informative=False)
    bad = served.do("judge_window", "night1")
    served.do("open_incident", "night1", evidence=bad["evidence"])
    served.clock.advance(timedelta(days=1))
    serve_week(served, informative=True)
    good = served.do("judge_window", "night2")
    assert "performance" not in good["causes"], good["reasons"]
    assert good["caught_up"] == 7, "nights that nobody judged: the last of them passed too"
    resolved = served.do("open_incident", "night2", evidence=good["evidence"])["resolved"]
    assert len(resolved) == len(served.events("incident.resolved")) >= 1


def test_a_rollback_ends_the_troubles_of_the_version_and_they_say_so(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    with served.services.database.begin() as tx:
        old, new = an_incident(id="old", model="toy"), an_incident(id="new", model="toy", version=2)
        save_incident(tx, EventType.INCIDENT_OPENED, new, "airflow:m", "drift: it moved")
        save_incident(tx, EventType.INCIDENT_OPENED, old, "airflow:m", "drift: it moved")
    actions.roll_back(served.services, served.spec, actor="person:dana", reason="complaints")
    with served.services.database.begin() as tx:
        known = {incident.id: incident for incident in tx.incidents.all("toy")}
    (back,) = served.events("rollout.rolled_back")
    assert known["old"].unresolved
    assert not known["new"].unresolved
    assert (known["new"].links[-1]["kind"], known["new"].links[-1]["ref"]) == ("rollback", str(back.seq))
    assert served.events("incident.resolved")[-1].reason == "drift: version 2 was rolled back"


def test_a_release_ends_the_troubles_of_the_version_it_replaces(served: Any) -> None:
    with served.services.database.begin() as tx:
        save_incident(tx, EventType.INCIDENT_OPENED, an_incident(id="i", model="toy"), "airflow:m", "drift: it moved")
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    with served.services.database.begin() as tx:
        (known,) = tx.incidents.all("toy")
    assert (known.unresolved, known.links[-1]["kind"]) == (False, "rollout")
    assert served.events("incident.resolved")[-1].reason == "drift: version 1 was replaced by 2"


def test_a_night_without_traffic_is_inconclusive_and_starts_nothing(served: Any) -> None:
    served.clock.advance(timedelta(days=40))
    judged = served.do("judge_window", "night1")
    assert judged["outcome"] == "INCONCLUSIVE"
    decision = served.do("decide_retraining", "night1", evidence=judged["evidence"])
    assert not decision["requested"]


def test_the_ledger_of_a_life_verifies(served: Any) -> None:
    found = actions.verify_ledger(served.services, actor="nightly")
    assert found["intact"]
    assert found["events"] == len(served.events())
    assert served.services.checkpoints.read_text().count("\n") == 1


def test_closing_a_run_sums_it_up(life: Any) -> None:
    trained = life.train()
    closed = life.do("close_run", trained["run"])
    assert closed["version"] == 1
    assert "version.registered" in closed["summary"]


def test_a_canary_the_server_took_off_is_rolled_back_everywhere(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=2)["rollout"]
    served.do("shift_traffic", trained["run"], rollout=rollout, percent=20)
    report = {"version": 2, "reason": "5 errors in 20 requests", "actor": "model-server"}
    assert actions.trip_canary(served.services, served.spec, **report)["to"] == 1
    assert not actions.trip_canary(served.services, served.spec, **report)["rolled_back"]
    verdict = served.do("analyse_canary", trained["run"], rollout=rollout)
    assert verdict["outcome"] == "FAILED"
    assert verdict["final"]
    assert (served.champion(), served.state(2)) == (1, "rejected")


def test_a_twin_that_was_compared_is_kept_with_the_model_and_shown_in_the_evidence(life: Any) -> None:
    without = life.train()
    assert life.tracker.files["run-1"] == {}
    assert twin_in(life, without)["reason"] == "nothing is converted in memory"
    life.services.twins.model = Anyone(life)
    trained = life.train()
    assert life.tracker.files["run-2"] == {"model.onnx": b"a twin"}
    assert twin_in(life, trained)["serves"]
    assert trained["proceed"]


def test_a_required_twin_that_is_not_there_stops_the_candidate(life: Any) -> None:
    deployment = life.spec.deployment.model_copy(update={"onnx": "required"})
    life.spec = life.spec.model_copy(update={"deployment": deployment})
    stopped = life.train()
    assert not stopped["proceed"]
    assert "the spec requires an ONNX twin: nothing is converted in memory" in stopped["reasons"]


def twin_in(life: Any, trained: Any) -> Any:
    with life.services.database.begin() as tx:
        kinds = (tx.evidence.get(trained[kind]).body["twin"] for kind in ("training", "evaluation"))
        training, evaluation = kinds
    assert training == evaluation
    return training


class Anyone:
    """Answers as the model that was fitted first: every fit of these tests gives the same."""

    def __init__(self, life: Any) -> None:
        self.life = life

    def predict_proba(self, rows: Any) -> Any:
        return self.life.tracker.models["run-1"].predict_proba(rows)
