"""A step as the prediction log shows it: whose rows count, in what order, and what is kept of each look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward.actions.releases.observing import BLOCK, observe
from steward.rollout import Rollout
from steward.rollout.analysis import Observation

RAILS = "{error_rate: {max: 0.02}, prediction_psi: {max: 0.25}}"


def a_rollout(
    folder: Path, percent: int, rails: str = RAILS, edit: tuple[str, str] = ("", "")
) -> tuple[Life, str, str]:
    """A second version at its first step."""
    yaml = MODEL_YAML.replace(RAILS, rails).replace(*edit)
    life = build_life(folder, yaml)
    for _ in range(2):
        trained = life.train()
        life.approve(trained)
        if life.champion() is None:
            _first(life, trained)
    rollout = life.do("start_rollout", trained["run"], version=2)["rollout"]
    life.do("shift_traffic", trained["run"], rollout=rollout, percent=percent)
    life.clock.advance(timedelta(seconds=30))
    return life, trained["run"], rollout


def _first(life: Life, trained: dict[str, Any]) -> None:
    """A first champion, put there without its steps."""
    from steward.registry import State
    from steward.rollout import Route
    from steward.types import VersionRef

    with life.services.database.begin() as tx:
        tx.versions.move(VersionRef("toy", trained["version"]), State.CHALLENGER, State.CHAMPION)
        tx.routes.set(Route("toy", trained["version"], None, 0, 1, life.clock.now()))


def going(life: Life) -> Rollout:
    with life.services.database.begin() as tx:
        found = tx.rollouts.running("toy")
    assert found is not None
    return found


def seen(life: Life) -> Observation:
    return observe(life.services, life.spec, going(life))


def log(life: Life, version: int, role: str, scores: Any, **more: Any) -> None:
    life.log(version, going(life).epoch, role, np.asarray(scores, float), **more)


def outcomes(life: Life, ids: list[str], labels: list[float]) -> None:
    now = life.clock.now()
    rows = {"decision_id": ids, "label": labels, "observed_at": [now] * len(ids), "recorded_at": [now] * len(ids)}
    instant = pa.timestamp("us", "UTC")
    types = [("decision_id", pa.string()), ("label", pa.float64()), ("observed_at", instant), ("recorded_at", instant)]
    life.predictions.append_outcomes("toy", pa.table(rows, schema=pa.schema(types)))


def test_only_the_two_arms_count(tmp_path: Path) -> None:
    """Testers, rows of an older epoch and of another version are nobody's evidence."""
    life, *_ = a_rollout(tmp_path, 20)
    log(life, 2, "canary", np.linspace(0, 1, 50))
    log(life, 1, "champion", np.linspace(0, 1, 200))
    for version, role in ((2, "tester"), (1, "tester"), (2, "champion"), (1, "canary"), (7, "canary"), (2, "shadow")):
        log(life, version, role, [0.5] * 10)
    life.log(2, going(life).epoch - 1, "canary", np.linspace(0, 1, 30))
    observed = seen(life)
    assert observed.canary.requests == 50
    assert observed.champion is not None
    assert observed.champion.requests == 200
    assert observed.percent == 20


def test_no_number_is_a_failure_of_its_own_kind(tmp_path: Path) -> None:
    life, *_ = a_rollout(tmp_path, 20)
    log(life, 1, "champion", np.linspace(0, 1, 100))
    log(life, 2, "canary", [0.5, np.nan, np.inf, -np.inf, 0.2, 0.3], errors=1)
    observed = seen(life)
    assert (observed.canary.requests, observed.canary.errors) == (6, 4)
    assert observed.canary.kinds == {"boom": 1, "no_number": 3}
    assert observed.answered == 2


def test_requests_stay_in_their_order_whatever_server_wrote_them(tmp_path: Path) -> None:
    """Two hundred sound ones, then forty that fail: the last block has the failures."""
    life, *_ = a_rollout(tmp_path, 20)
    start = life.clock.now()
    at = [start + timedelta(milliseconds=i) for i in range(240)]
    log(life, 2, "canary", np.full(120, 0.5), recorded_at=at[1::2], errors=0)
    log(life, 1, "champion", np.full(120, 0.5), recorded_at=at[::2])
    life.clock.advance(timedelta(seconds=9))
    log(life, 2, "canary", np.full(40, 0.5), errors=40)
    course = seen(life).in_order
    assert BLOCK == 100
    assert np.asarray(course.requests).tolist() == [50, 50, 60]
    assert np.asarray(course.champion_requests).tolist() == [50, 50, 20]
    assert np.asarray(course.errors).tolist() == [0, 0, 40]


def test_late_requests_are_counted_by_the_limit(tmp_path: Path) -> None:
    life, *_ = a_rollout(tmp_path, 20, "{p99_latency: {max: 250ms}}")
    log(life, 1, "champion", np.full(10, 0.5))
    log(life, 2, "canary", np.full(10, 0.5), latency_ms=[20.0] * 7 + [250.0, 251.0, 900.0])
    assert seen(life).canary.late == 2


def test_a_shadow_is_paired_with_the_champion_and_judged_by_both_thresholds(tmp_path: Path) -> None:
    rails = "{error_rate: {max: 0.02}, disagreement: {max: 0.1}, outcome: {measure: brier, min_rows: 10}}"
    life, *_ = a_rollout(tmp_path, 0, rails, ("steps: [20,", "steps: [0,"))
    ids = [f"d{i}" for i in range(40)]
    log(life, 1, "champion", [0.4] * 20 + [0.6] * 20, decision_id=ids)
    log(life, 2, "shadow", [0.45] * 10 + [0.55] * 10 + [0.9] * 20, decision_id=ids)
    log(life, 1, "champion", [0.4] * 500)
    outcomes(life, ids, [0.0] * 20 + [1.0] * 20)
    observed = seen(life)
    assert observed.pairs is not None
    assert (np.sum(observed.pairs.compared), np.sum(observed.pairs.differing)) == (40, 10)
    assert observed.contrast is not None
    assert (observed.contrast.canary_rows, observed.contrast.champion_rows) == (40, 40)
    expected = [0.45**2 - 0.4**2] * 10 + [0.55**2 - 0.4**2] * 10 + [0.1**2 - 0.4**2] * 20
    assert np.asarray(observed.contrast.worse) == pytest.approx(expected)


def test_outcomes_of_both_halves_are_compared_block_by_block(tmp_path: Path) -> None:
    rails = "{outcome: {measure: accuracy, min_rows: 10, max_drop: 0.1}}"
    life, *_ = a_rollout(tmp_path, 50, rails, ("steps: [20", "strategy: ab_test\n  steps: [20"))
    start = life.clock.now()
    ids = [f"d{i}" for i in range(100)]
    at = [start + timedelta(milliseconds=i) for i in range(100)]
    for version, role, place in ((1, "champion", 0), (2, "canary", 1)):
        log(life, version, role, np.full(50, 0.9), decision_id=ids[place::2], recorded_at=at[place::2])
    # The champion is always right. The canary is wrong about its first ten, and two answers have no outcome yet.
    outcomes(life, ids[:98], [0.0 if i % 2 and i < 20 else 1.0 for i in range(98)])
    contrast = seen(life).contrast
    assert contrast is not None
    assert (contrast.canary_rows, contrast.champion_rows) == (49, 49)
    assert contrast.canary_mean == pytest.approx(39 / 49)
    assert contrast.champion_mean == 1.0
    assert np.asarray(contrast.worse)[:3].tolist() == [1.0, 1.0, 0.0]
    assert np.asarray(contrast.worse).sum() == pytest.approx(2.0)


def test_at_everything_nobody_answers_beside(tmp_path: Path) -> None:
    """What the champion answers there is only what the version could not."""
    life, *_ = a_rollout(tmp_path, 20)
    log(life, 2, "canary", np.linspace(0, 1, 50))
    log(life, 1, "champion", np.linspace(0, 1, 3))
    observed = observe(life.services, life.spec, replace(going(life), percent=100))
    assert observed.champion is None
    assert np.sum(observed.in_order.champion_requests) == 0


def test_the_course_of_a_step_is_kept(tmp_path: Path) -> None:
    """Each look at which a finding changed is evidence; looks that say the same again leave nothing."""
    life, run, rollout = a_rollout(tmp_path, 20)

    def look() -> dict[str, Any]:
        return life.do("analyse_canary", run, rollout=rollout)

    assert not look()["final"]
    look()
    log(life, 1, "champion", np.linspace(0, 1, 400))
    log(life, 2, "canary", np.linspace(0, 1, 40))
    assert not look()["final"]
    assert not look()["final"]
    watched = life.events("rollout.watched")
    assert len(watched) == 2
    with life.services.database.begin() as tx:
        kept = tx.evidence.get(watched[1].evidence)
    assert not life.events("rollout.analysed")
    assert kept.body["verdict"]["outcome"] == "INCONCLUSIVE"
    assert watched[1].body["outcomes"]["canary.requests"] == "INCONCLUSIVE"
    life.clock.advance(timedelta(seconds=5))
    log(life, 2, "canary", np.linspace(0, 1, 80))
    done = look()
    assert (done["final"], done["outcome"]) == (True, "PASSED")
    assert look() == done
    assert len(life.events("rollout.watched")) == 2
    assert [finding["outcome"] for finding in done["findings"]] == ["PASSED"] * 4


def test_the_reason_of_a_no_is_what_failed(tmp_path: Path) -> None:
    life, run, rollout = a_rollout(tmp_path, 20)
    log(life, 1, "champion", np.linspace(0, 1, 200))
    log(life, 2, "canary", np.linspace(0, 1, 50), errors=20)
    done = life.do("analyse_canary", run, rollout=rollout)
    assert (done["final"], done["outcome"]) == (True, "FAILED")
    assert done["reasons"][0] == "error rate is 0.4 (20 boom), above the limit 0.02"
    assert not [reason for reason in done["reasons"] if "answered" in reason]
    assert life.events("rollout.analysed")[-1].reason.startswith("error rate is 0.4")


def test_a_look_is_no_pass(tmp_path: Path) -> None:
    """A step that holds every guardrail before its time is watched, not passed: nothing can move on it."""
    from steward.errors import PolicyError

    life, run, rollout = a_rollout(tmp_path, 20, edit=("at_most", "at_least: 5m, at_most"))
    log(life, 1, "champion", np.linspace(0, 1, 400))
    log(life, 2, "canary", np.linspace(0, 1, 140))
    early = life.do("analyse_canary", run, rollout=rollout)
    assert (early["outcome"], early["final"]) == ("PASSED", False)
    with pytest.raises(PolicyError, match="has not passed"):
        life.do("shift_traffic", run, rollout=rollout, percent=50)


def test_a_finding_that_wavers_is_told_often_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steward.actions.releases.analysing.MOST_CHANGES", 3)
    life, run, rollout = a_rollout(tmp_path, 20)
    observed = seen(life)
    for look in range(8):
        arm = replace(observed.canary, requests=50 + look, errors=3 * (look % 2))
        wavering = replace(observed, canary=arm, course=None)
        monkeypatch.setattr("steward.actions.releases.observing.observe", _answering(wavering))
        life.do("analyse_canary", run, rollout=rollout)
    assert len(life.events("rollout.watched")) == 3


def _answering(observation: Observation) -> Callable[..., Observation]:
    return lambda *_: observation
