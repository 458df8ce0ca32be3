"""Every strategy: what each step routes, what passes, what fails, what gives up, and what nobody can skip."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.actions.governance.verifying import differences
from steward.errors import ConflictError, IntegrityError, PolicyError
from steward.rollout import RolloutState
from steward.spec import ModelSpec

CANARY = "steps: [20, 50, 100]"
GUARDRAILS = "guardrails: {error_rate: {max: 0.02}, prediction_psi: {max: 0.25}}"
STRATEGIES = {
    "canary": "steps: [20, 50, 100]",
    "canary_after_shadow": "steps: [0, 20, 100]",
    "shadow": "strategy: shadow",
    "blue_green": "strategy: blue_green",
    "direct": "strategy: direct",
}


def a_life(folder: Path, strategy: str, **changes: str) -> Life:
    yaml = MODEL_YAML.replace(CANARY, STRATEGIES[strategy])
    for old, new in changes.items():
        yaml = yaml.replace(old, new)
    return build_life(folder, yaml)


def served(life: Life) -> Life:
    """With a first champion, released as the spec says."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return life


def begun(life: Life) -> tuple[str, str]:
    """A second version on its way: run and rollout."""
    trained = life.train()
    life.approve(trained)
    return trained["run"], life.do("start_rollout", trained["run"], version=trained["version"])["rollout"]


def routed(life: Life) -> tuple[Any, ...]:
    """champion, canary, percent, shadow, standby"""
    with life.services.database.begin() as tx:
        route = tx.routes.get("toy")
        assert not differences(tx), "the events do not tell what the tables say"
    assert route is not None
    return (*astuple(route)[1:4], route.shadow, route.standby)


@pytest.mark.parametrize(
    ("strategy", "at_start", "at_steps"),
    [
        ("canary", (1, None, 0, None, None), [(1, 2, 20, None, None), (1, 2, 50, None, None)]),
        ("canary_after_shadow", (1, None, 0, None, None), [(1, None, 0, 2, None), (1, 2, 20, None, None)]),
        ("shadow", (1, None, 0, None, None), [(1, None, 0, 2, None)]),
        ("blue_green", (1, None, 0, None, 2), [(1, 2, 100, None, None)]),
        ("direct", (1, None, 0, None, None), []),
    ],
)
def test_what_each_step_routes(tmp_path: Path, strategy: str, at_start: Any, at_steps: list[Any]) -> None:
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    assert routed(life) == at_start
    for percent, expected in zip(life.spec.deployment.judged_steps, at_steps, strict=True):
        verdict = life.bake(rollout, run, percent)
        assert routed(life) == expected
        assert verdict["outcome"] == "PASSED", verdict
        assert verdict["final"]
    done = life.do("complete_rollout", run, rollout=rollout)
    assert done["replaced"] == 1
    assert routed(life) == (2, None, 0, None, 1)


@pytest.mark.parametrize("strategy", ["canary", "canary_after_shadow", "shadow", "blue_green"])
def test_a_first_release_answers_everything_at_every_step(tmp_path: Path, strategy: str) -> None:
    life = a_life(tmp_path, strategy)
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=1)
    assert started["first"]
    for percent in life.spec.deployment.judged_steps:
        said = life.do("shift_traffic", trained["run"], rollout=started["rollout"], percent=percent)
        assert "first release" in said["said"]
        assert routed(life) == (None, 1, 100, None, None)
        life.serve_arms()
        assert life.do("analyse_canary", trained["run"], rollout=started["rollout"])["outcome"] == "PASSED"
    life.do("complete_rollout", trained["run"], rollout=started["rollout"])
    assert routed(life) == (1, None, 0, None, None)


@pytest.mark.parametrize("strategy", ["canary", "canary_after_shadow", "shadow", "blue_green"])
def test_a_version_that_fails_its_first_step_is_taken_back(tmp_path: Path, strategy: str) -> None:
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    verdict = life.bake(rollout, run, life.spec.deployment.judged_steps[0], errors=40)
    assert (verdict["outcome"], verdict["final"]) == ("FAILED", True)
    with pytest.raises(PolicyError):
        life.do("complete_rollout", run, rollout=rollout)
    assert life.do("settle_rollout", run, reason="the analysis said no")["to"] == 1
    assert (life.champion(), life.state(2)) == (1, "rejected")
    assert routed(life) == (1, None, 0, None, None)


@pytest.mark.parametrize("strategy", ["canary", "canary_after_shadow", "shadow", "blue_green"])
def test_a_step_without_enough_requests_holds_gives_up_and_is_taken_back(tmp_path: Path, strategy: str) -> None:
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    verdict = life.bake(rollout, run, life.spec.deployment.judged_steps[0], count=20)
    assert (verdict["outcome"], verdict["final"]) == ("INCONCLUSIVE", False)
    life.clock.advance(timedelta(minutes=11))
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert (verdict["outcome"], verdict["final"]) == ("INCONCLUSIVE", True)
    with pytest.raises(PolicyError, match=r"has not passed|not every step"):
        life.do("complete_rollout", run, rollout=rollout)
    assert life.do("settle_rollout", run, reason="gave up")["rolled_back"]
    assert routed(life) == (1, None, 0, None, None)


def test_a_shadow_that_nobody_mirrored_to_never_passes(tmp_path: Path) -> None:
    """The champion answered its users; the shadow saw nothing."""
    life = served(a_life(tmp_path, "shadow"))
    run, rollout = begun(life)
    epoch = life.do("shift_traffic", run, rollout=rollout, percent=0)["epoch"]
    life.log(1, epoch, "champion", [0.5] * 1000)
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert verdict["outcome"] == "INCONCLUSIVE"


@pytest.mark.parametrize("strategy", ["canary", "canary_after_shadow", "shadow", "blue_green"])
def test_no_step_is_skipped_by_marking_tasks(tmp_path: Path, strategy: str) -> None:
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    planned = life.spec.deployment.judged_steps
    with pytest.raises(PolicyError, match="not every step was taken"):
        life.do("complete_rollout", run, rollout=rollout)
    for wrong in {0, 20, 50, 70, 100} - {planned[0]}:
        with pytest.raises(PolicyError, match="is not due"):
            life.do("shift_traffic", run, rollout=rollout, percent=wrong)
    life.do("shift_traffic", run, rollout=rollout, percent=planned[0])
    with pytest.raises(PolicyError, match=r"has not passed|not every step was taken"):
        life.do("complete_rollout", run, rollout=rollout)
    assert life.champion() == 1
    refused = [event.reason for event in life.events("release.refused")]
    assert len(refused) == 6, "every refusal is on record"


def test_a_spec_that_changes_meanwhile_takes_no_step_away(tmp_path: Path) -> None:
    life = served(a_life(tmp_path, "canary"))
    run, rollout = begun(life)
    life.spec = life.spec.model_copy(
        update={"deployment": life.spec.deployment.model_copy(update={"strategy": "direct"})}
    )
    with pytest.raises(PolicyError, match="20 %, 50 % did not run"):
        life.do("complete_rollout", run, rollout=rollout)


@pytest.mark.parametrize(
    "loosened",
    [
        {"guardrails": {"p99_latency": {"max": "1h"}}},
        {"bake": {"requests": 1, "at_most": "10m"}},
    ],
)
def test_a_spec_that_changes_meanwhile_loosens_nothing(tmp_path: Path, loosened: dict[str, Any]) -> None:
    """What people approved and the rollout began under is what its steps are judged by."""
    life = served(a_life(tmp_path, "canary"))
    run, rollout = begun(life)
    life.spec = a_loosened(life, loosened)
    weak = {"count": 50} if "bake" in loosened else {"errors": 40}
    assert life.bake(rollout, run, 20, **weak)["outcome"] != "PASSED"


@pytest.mark.parametrize(
    "loosened",
    [
        {"strategy": "direct"},
        {"steps": [50, 100]},
        {"guardrails": {"prediction_psi": {"max": 0.25}}},
        {"bake": {"requests": 1, "at_most": "10m"}},
    ],
)
def test_a_spec_loosened_after_the_approval_starts_no_rollout(tmp_path: Path, loosened: dict[str, Any]) -> None:
    """People approved a version that was to be judged step by step."""
    life = served(a_life(tmp_path, "canary"))
    trained = life.train()
    life.approve(trained)
    strict, life.spec = life.spec, a_loosened(life, loosened)
    with pytest.raises(PolicyError, match="was registered under a stricter rollout: deployment"):
        life.do("start_rollout", trained["run"], version=2)
    assert routed(life) == (1, None, 0, None, None)
    life.spec = strict
    life.spec = a_loosened(life, {"steps": [5, 20, 50, 100], "bake": {"requests": 100, "at_most": "1h"}})
    assert life.do("start_rollout", trained["run"], version=2)["steps"] == [5, 20, 50]


def test_a_version_whose_terms_cannot_be_read_starts_no_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade whose rules refuse the spec it was registered under."""
    life = served(a_life(tmp_path, "canary"))
    trained = life.train()
    life.approve(trained)

    def refused(given: Any) -> ModelSpec:
        return ModelSpec.model_validate({"model": "not a spec any more"})

    monkeypatch.setattr("steward.actions.releases.releasing.ModelSpec", SimpleNamespace(model_validate=refused))
    with pytest.raises(PolicyError, match="registered under is not on record, or today's rules refuse it"):
        life.do("start_rollout", trained["run"], version=2)
    assert routed(life) == (1, None, 0, None, None)


def a_loosened(life: Life, loosened: dict[str, Any]) -> ModelSpec:
    given = life.spec.model_dump(mode="json")
    return ModelSpec.model_validate({**given, "deployment": {**given["deployment"], **loosened}})


def test_a_rollout_that_nobody_started_is_not_completed(tmp_path: Path) -> None:
    """A row written past the actions has no steps that it could have left out."""
    life = served(a_life(tmp_path, "canary"))
    run, rollout = begun(life)
    with life.services.database.begin() as tx:
        going = tx.rollouts.get(rollout)
        tx.rollouts.save(replace(going, state=RolloutState.ROLLED_BACK, epoch=going.epoch + 1), going.epoch)
        tx.rollouts.start(replace(going, id="forged"))
    with pytest.raises(IntegrityError, match="no event says that rollout forged was started"):
        life.do("complete_rollout", run, rollout="forged")
    assert life.champion() == 1


def test_an_analysis_cleared_after_its_rollout_ended_lets_its_run_end_as_it_did(tmp_path: Path) -> None:
    life = served(a_life(tmp_path, "canary"))
    run, rollout = begun(life)
    for percent in life.spec.deployment.judged_steps:
        life.bake(rollout, run, percent)
    done = life.do("complete_rollout", run, rollout=rollout)
    before = len(life.events())
    life.clock.advance(timedelta(hours=1))
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert (verdict["outcome"], verdict["final"]) == ("PASSED", True)
    assert life.do("complete_rollout", run, rollout=rollout) == done
    assert not life.do("settle_rollout", run, reason="")["rolled_back"]
    assert len(life.events()) == before


@pytest.mark.parametrize("strategy", ["canary_after_shadow", "blue_green"])
def test_the_same_run_moves_the_route_once(tmp_path: Path, strategy: str) -> None:
    """A task that Airflow runs again after its worker died finds its own answer."""
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    assert life.do("start_rollout", run, version=2)["rollout"] == rollout
    step = life.spec.deployment.judged_steps[0]
    once = life.do("shift_traffic", run, rollout=rollout, percent=step)
    assert life.do("shift_traffic", run, rollout=rollout, percent=step) == once
    life.serve_arms()
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert life.do("analyse_canary", run, rollout=rollout) == verdict
    assert len(life.events("rollout.advanced", "rollout.analysed")) == 2 * len(life.spec.deployment.judged_steps) + 2
    routed(life)


@pytest.mark.parametrize("strategy", ["canary", "shadow", "blue_green"])
def test_a_crash_inside_a_step_leaves_the_route_of_before(tmp_path: Path, strategy: str, monkeypatch: Any) -> None:
    """The event cannot be written: neither is the route, nor the answer; the next try does it all."""
    life = served(a_life(tmp_path, strategy))
    run, rollout = begun(life)
    before, step = routed(life), life.spec.deployment.judged_steps[0]

    def dies(*args: Any, **kwargs: Any) -> str:
        raise RuntimeError("the worker was killed")

    with monkeypatch.context() as patch:
        patch.setattr("steward.actions.releases.advancing.in_words", dies)
        with pytest.raises(RuntimeError):
            life.do("shift_traffic", run, rollout=rollout, percent=step)
    assert routed(life) == before
    assert life.bake(rollout, run, step)["outcome"] == "PASSED"


@pytest.mark.parametrize("strategy", ["shadow", "blue_green"])
def test_two_releases_at_once_are_refused(tmp_path: Path, strategy: str) -> None:
    life = served(a_life(tmp_path, strategy))
    begun(life)
    other = life.train()
    life.approve(other)
    with pytest.raises(ConflictError):
        life.do("start_rollout", other["run"], version=3)
    assert routed(life)[0] == 1


def test_a_green_that_stands_by_is_let_go_when_its_run_ends(tmp_path: Path) -> None:
    life = served(a_life(tmp_path, "blue_green"))
    run, _ = begun(life)
    assert routed(life) == (1, None, 0, None, 2)
    life.do("settle_rollout", run, reason="the run was stopped")
    assert routed(life) == (1, None, 0, None, None)


def third_release(life: Life, *, after: timedelta) -> tuple[str, str]:
    served(life)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    assert routed(life) == (2, None, 0, None, 1)
    life.clock.advance(after)
    return begun(life)


def test_the_champion_before_stays_loaded_through_the_next_rollout_and_its_rollback(tmp_path: Path) -> None:
    life = a_life(tmp_path, "canary_after_shadow")
    run, rollout = third_release(life, after=timedelta(hours=1))
    life.do("shift_traffic", run, rollout=rollout, percent=0)
    assert routed(life) == (2, None, 0, 3, 1)
    actions.roll_back(life.services, life.spec, actor="person:ravi", reason="complaints")
    assert routed(life) == (2, None, 0, None, 1)
    actions.roll_back(life.services, life.spec, actor="person:ravi", reason="more complaints", to=1)
    assert routed(life) == (1, None, 0, None, None)


def test_a_champion_of_long_ago_does_not_come_back_into_memory(tmp_path: Path) -> None:
    life = a_life(tmp_path, "canary_after_shadow")
    run, rollout = third_release(life, after=timedelta(days=15))
    life.do("shift_traffic", run, rollout=rollout, percent=0)
    assert routed(life) == (2, None, 0, 3, None)


def test_a_spec_without_a_rollback_window_keeps_nobody(tmp_path: Path) -> None:
    life = served(a_life(tmp_path, "direct", **{"  smoke": "  rollback_window: 0s\n  smoke"}))
    run, rollout = begun(life)
    life.do("complete_rollout", run, rollout=rollout)
    assert routed(life) == (2, None, 0, None, None)


def test_a_release_begun_under_an_older_release_of_the_software_keeps_its_steps(tmp_path: Path) -> None:
    """Its start did not say which: the spec does."""
    life = served(a_life(tmp_path, "canary"))
    run, rollout = begun(life)
    started = life.events("rollout.started")[-1]
    started.body.pop("steps")
    with pytest.raises(PolicyError, match="50 % is not due: the next step is 20 %"):
        life.do("shift_traffic", run, rollout=rollout, percent=50)


def test_a_champion_whose_window_is_over_is_let_go_by_the_nightly_work(tmp_path: Path) -> None:
    life = a_life(tmp_path, "direct")
    served(life)
    run, rollout = begun(life)
    life.do("complete_rollout", run, rollout=rollout)
    nothing: dict[str, Any] = {"released": {}, "unknown": {}}
    life.clock.advance(timedelta(days=13, hours=23))
    assert actions.release_standbys(life.services, actor="nightly") == nothing
    life.clock.advance(timedelta(hours=1))
    assert actions.release_standbys(life.services, actor="nightly")["released"] == {"toy": 1}
    assert actions.release_standbys(life.services, actor="nightly") == nothing
    assert routed(life) == (2, None, 0, None, None)
    (told,) = life.events("standby.released")
    assert (told.version, told.reason) == (1, "its rollback window of 2w is over")


def test_the_nightly_work_leaves_a_running_rollout_and_a_broken_spec_alone(tmp_path: Path) -> None:
    life = a_life(tmp_path, "blue_green")
    served(life)
    begun(life)
    assert actions.release_standbys(life.services, actor="nightly")["released"] == {}
    assert routed(life)[4] == 2
    (life.services.specs.folder / "toy" / "model.yaml").write_text("model: [")
    assert list(actions.release_standbys(life.services, actor="nightly")["unknown"]) == ["toy"]
    assert routed(life)[4] == 2


AB_TEST = {
    CANARY: "strategy: ab_test",
    "bake: {requests: 100, at_most: 10m}": "bake: {requests: 100, at_most: 4d}",
    GUARDRAILS: "guardrails: {error_rate: {max: 0.02}, outcome: {measure: accuracy, max_drop: 0.1}}",
}


def an_ab_test(folder: Path) -> Life:
    yaml = MODEL_YAML
    for old, new in AB_TEST.items():
        assert old in yaml
        yaml = yaml.replace(old, new)
    return build_life(folder, yaml)


def answer_halves(life: Life, *, right: float, portions: int = 150) -> None:
    """Both versions answer ten a portion; the champion is right 80 times in 100, the other as often as said."""
    with life.services.database.begin() as tx:
        route = tx.routes.get("toy")
    assert route is not None
    draw = np.random.default_rng(11)
    for _ in range(portions):
        life.clock.advance(timedelta(minutes=5))
        for version, role, share in ((route.champion, "champion", 0.8), (route.canary, "canary", right)):
            if version is not None:
                labels = np.where(draw.random(10) < share, 1.0, 0.0)
                life.log(version, route.epoch, role, np.full(10, 0.9))
                learn(life, life.predictions.rows["toy"][-1]["decision_id"], labels)


def learn(life: Life, decisions: Any, labels: Any) -> None:
    now = [life.clock.now()] * len(labels)
    known = {"decision_id": decisions, "label": labels, "observed_at": now, "recorded_at": now}
    life.predictions.append_outcomes("toy", pa.table(known))


@pytest.mark.parametrize(("right", "outcome"), [(0.8, "PASSED"), (0.4, "FAILED")])
def test_an_ab_test_is_decided_by_what_became_of_the_decisions(tmp_path: Path, right: float, outcome: str) -> None:
    life = served_without_labels(an_ab_test(tmp_path))
    run, rollout = begun(life)
    life.do("shift_traffic", run, rollout=rollout, percent=50)
    assert routed(life) == (1, 2, 50, None, None)
    answer_halves(life, right=right)
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert (verdict["outcome"], verdict["final"]) == (outcome, True), verdict
    if outcome == "PASSED":
        assert life.do("complete_rollout", run, rollout=rollout)["replaced"] == 1
        assert routed(life) == (2, None, 0, None, 1)
    else:
        life.do("settle_rollout", run, reason="worse")
        assert routed(life) == (1, None, 0, None, None)


def test_an_ab_test_whose_outcomes_never_come_gives_up(tmp_path: Path) -> None:
    life = served_without_labels(an_ab_test(tmp_path))
    run, rollout = begun(life)
    verdict = life.bake(rollout, run, 50, count=500)
    assert (verdict["outcome"], verdict["final"]) == ("INCONCLUSIVE", False)
    life.clock.advance(timedelta(days=5))
    verdict = life.do("analyse_canary", run, rollout=rollout)
    assert (verdict["outcome"], verdict["final"]) == ("INCONCLUSIVE", True)
    assert life.do("settle_rollout", run, reason="gave up")["rolled_back"]


def served_without_labels(life: Life) -> Life:
    """The first release has nobody to be compared with: an A/B test judges it by its errors and times alone."""
    served(life)
    assert routed(life) == (1, None, 0, None, None)
    return life
