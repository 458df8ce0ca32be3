"""What the page of a model tells of a whole life, and in every corner of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions import test_multiclass, test_retiring
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.actions.test_watching import DAY, Watched

from steward import actions
from steward.actions.telling.explaining import Rules, explain
from steward.actions.telling.model_page import tell_model
from steward.errors import NotFoundError
from steward.reporting.pages import model_fragment, model_page
from steward.types import JsonObject


def told(life: Life) -> JsonObject:
    """The page as data; drawn both ways, so that no state of it breaks a template."""
    view = tell_model(life.services, "toy")
    everything = {**view, "may": dict.fromkeys(view["may"], True), "links": {"mlflow": "m", "server": "s"}}
    assert model_page(view).startswith("<!doctype html>")
    assert model_fragment(everything, live=True)
    return view


def heads(view: JsonObject) -> list[str]:
    return [one["head"] for day in view["timeline"] for one in day["entries"]]


def a_night(watched: Watched, run: str, **served: Any) -> str:
    """A day is served and its window judged, as the monitor's run does it. → the evidence"""
    watched.serve(1, **served)
    life = watched.life
    evidence: str = watched.judge(run)["evidence"]
    life.do("open_incident", run, "airflow:monitor", evidence=evidence)
    life.do("decide_retraining", run, "airflow:monitor", evidence=evidence)
    return evidence


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Refused, approved, released, watched, drifted and lost, retrained, put in a canary, promoted, rolled back: the
    page at each turn."""
    life = build_life(tmp_path_factory.mktemp("life"))
    pages: dict[str, Any] = {"declared": told(life)}
    life.train({"C": 0})
    pages["refused"] = told(life)
    trained = life.train()
    life.ask(trained)
    pages["asked"] = told(life)
    life.approve(trained)
    life.release(trained)
    life.do("close_run", trained["run"])
    pages["released"] = told(life)
    life.clock.advance(4 * DAY)
    watched = Watched(life)
    watched.serve(6, version=2)
    pages["quiet night"] = a_night(watched, "n1", version=2), told(life)
    for night in ("n2", "n3", "n4"):
        evidence = a_night(watched, night, version=2, move=3)
    pages["drifted"] = evidence, told(life)
    again = life.train()
    life.approve(again)
    rollout = life.do("start_rollout", again["run"], version=3)["rollout"]
    life.bake(rollout, again["run"], 20)
    life.do("shift_traffic", again["run"], rollout=rollout, percent=50)
    pages["canary"] = told(life)
    life.serve_arms()
    life.do("analyse_canary", again["run"], rollout=rollout)
    life.do("complete_rollout", again["run"], rollout=rollout)
    pages["promoted"] = told(life)
    actions.roll_back(life.services, life.spec, actor="person:ravi", reason="complaints of the desk")
    pages["rolled back"], pages["life"] = told(life), life
    return pages


def test_before_its_first_version_there_is_nothing_to_judge(lived: dict[str, Any]) -> None:
    view = lived["declared"]
    assert (view["health"]["state"], view["versions"], view["metrics"], view["drift"]) == ("not serving", [], [], None)
    assert view["dags"] == ["toy__train", "toy__monitor"]


def test_the_gates_of_a_refused_candidate_are_shown(lived: dict[str, Any]) -> None:
    (judged,) = lived["refused"]["gates"]
    assert (judged["version"], judged["state"], judged["outcome"]) == (1, "rejected", "FAILED")
    assert "@1 was refused" in heads(lived["refused"])


def test_people_see_what_they_decide_on_and_which_evidence_it_binds(lived: dict[str, Any]) -> None:
    (asked,) = lived["asked"]["waiting"]
    life = lived["life"]
    with life.services.database.begin() as tx:
        request = tx.approvals.get(asked["request"])
    assert asked["evidence"] == request.evidence
    assert asked["gates"]["outcome"] == "PASSED"
    assert (asked["author"], asked["policy"]["quorum"], asked["about"]["missing"]) == ("dana", 1, [])
    assert asked["about"]["rows"] > 0


def test_health_says_what_why_says(lived: dict[str, Any]) -> None:
    life, view = lived["life"], lived["rolled back"]
    rules = Rules(life.spec, life.clock.now(), life.services.policy, life.services.stages)
    with life.services.database.begin() as tx:
        why = explain(tx, "toy", rules)
    assert view["health"]["state"] == why["state"]
    assert view["health"]["in_the_way"] == why["blocks"]
    assert [r["incident"] for r in view["health"]["reasons"] if r["incident"]] == [e["incident"] for e in why["red"]]


def test_a_window_is_a_point_of_the_metric_and_a_column_of_the_map(lived: dict[str, Any]) -> None:
    evidence, view = lived["quiet night"]
    body = Watched(lived["life"]).body(evidence)
    judged = {finding["gate"]: finding for finding in body["verdict"]["findings"]}
    (cell,) = next(row["cells"] for row in view["drift"]["rows"] if row["feature"] == "x")
    assert (cell["value"], cell["outcome"]) == (judged["drift.psi:x"]["value"], judged["drift.psi:x"]["outcome"])
    ((metric,), (point,)) = view["metrics"], view["metrics"][0]["points"]
    assert (metric["metric"], point["value"]) == ("roc_auc", body["performance"]["metrics"]["roc_auc"]["value"])
    assert point["limits"] == [pytest.approx(point["baseline"] - 0.05)]


def test_drift_opens_an_incident_which_the_page_tells_with_its_event(lived: dict[str, Any]) -> None:
    _, view = lived["drifted"]
    causes = {each["cause"] for each in view["incidents"]}
    assert "drift" in causes
    reason = next(each for each in view["health"]["reasons"] if each["incident"])
    assert (reason["events"][0]["event"], reason["state"]) == ("incident.opened", "open")
    assert reason["next"]
    assert (view["health"]["state"], reason["bad"]) == ("watched", False)
    assert view["drift"]["rows"][1]["cells"][-1]["outcome"] == "FAILED"
    assert "Incident opened" in heads(view)


def test_a_canary_is_told_step_by_step_with_both_arms(lived: dict[str, Any]) -> None:
    rollout = lived["canary"]["rollout"]
    assert [(step["percent"], step["state"]) for step in rollout["steps"]] == [
        (20, "passed"),
        (50, "running"),
    ]
    arms = rollout["steps"][0]["seen"]["arms"]
    assert (arms["canary"]["requests"], arms["champion"]["requests"]) == (150, 600)
    assert rollout["steps"][1]["seen"] is None
    assert (lived["canary"]["serving"]["canary"], lived["canary"]["serving"]["percent"]) == (3, 50)
    assert [judged["version"] for judged in lived["canary"]["gates"]] == [3, 2]


def test_a_release_and_the_way_back_are_marks_in_time(lived: dict[str, Any]) -> None:
    assert lived["promoted"]["rollout"] is None
    assert lived["promoted"]["last_rollout"]["ended"]["how"] == "promoted"
    assert lived["promoted"]["serving"]["back"] == [2]
    after = lived["rolled back"]
    assert [(mark["version"], mark["back"]) for mark in after["marks"]] == [(2, False), (3, False), (2, True)]
    assert "@3 was rolled back" in heads(after)
    assert after["serving"]["champion"] == 2
    told_last = after["last_rollout"]
    assert (told_last["ended"]["how"], told_last["undone"]["reason"]) == ("promoted", "complaints of the desk")


def test_a_name_that_nobody_knows_is_an_error(life: Life) -> None:
    with pytest.raises(NotFoundError, match="there is no model 'tyo'"):
        tell_model(life.services, "tyo")


def test_a_spec_that_broke_since_hides_nothing_of_the_record(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    path = life.services.specs.folder / "toy" / "model.yaml"
    path.write_text(MODEL_YAML.replace("title:", "tittle:"))
    view = told(life)
    assert any("tittle" in line for line in view["faults"])
    assert (view["health"]["state"], view["title"], view["declared"]) == ("broken", "A toy", False)
    assert view["serving"]["champion"] == 1
    path.unlink()
    path.parent.joinpath("model.py").unlink()
    path.parent.rmdir()
    gone = told(life)
    assert (gone["faults"], gone["declared"], gone["title"]) == ([], False, "A toy")


def test_a_request_is_shown_also_where_the_policy_cannot_be_read(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward.errors import PolicyError

    def broken() -> Any:
        raise PolicyError("policy.yaml cannot be read")

    life.ask(life.train())
    object.__setattr__(life.services, "policy", broken)
    (asked,) = told(life)["waiting"]
    assert asked["about"] is None


def test_a_retired_model(tmp_path: Path) -> None:
    life = build_life(tmp_path, test_retiring.YAML)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(8 * DAY)
    test_retiring.retire(life)
    view = told(life)
    assert view["health"]["state"] == "retired"
    assert view["governance"]["retired"]["reason"]
    assert heads(view)[0] == "Retired for good"


def test_tables_scored_in_batches_have_no_canary(tmp_path: Path) -> None:
    life = test_multiclass.batch_of_classes(tmp_path)
    view = told(life)
    assert (view["batch"], view["rollout"], view["last_rollout"]["steps"]) == (True, None, [])
    assert view["dags"] == ["toy__train", "toy__score", "toy__monitor"]
    assert view["task"] == "multiclass_classification"


def test_several_classes_are_followed_by_their_metrics(tmp_path: Path) -> None:
    life = test_multiclass.life_of(tmp_path)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(DAY)
    life.serve_week()
    life.do("judge_window", "n1")
    view = told(life)
    newest = {metric["metric"]: metric["points"][-1] for metric in view["metrics"]}
    assert newest["accuracy"]["value"] == pytest.approx(0.93, abs=0.02)
    assert all(point["value"] is not None or point["reason"] for point in newest.values())
