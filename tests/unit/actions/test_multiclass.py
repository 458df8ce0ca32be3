"""A model of three classes goes the whole way: contract, gates, rollout, log, monitoring, retraining."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.actions.conftest import Life, build_life

from steward.data import PROBABILITIES
from steward.gates.classes import label_numbers
from steward.inventory import ServedVersion
from steward.types import JsonObject, VersionRef

CLASSES = ("small", "medium", "large")  # not in the order of the alphabet, which is an estimator's own
YAML = """
model: toy
title: How large?
purpose: To be tested.
owner: {team: tests, name: Olga, email: olga@example.com, user: olga}
risk_tier: medium
task: multiclass_classification
data:
  id: id
  time: at
  label: {column: size, arrives_after: 1d, classes: [small, medium, large]}
  features: {x: {type: number}, side: {type: category}}
  min_rows: 100
training: {window: {days: 20}, params: {C: 1.0}, seed: 3}
evaluation:
  holdout: {days: 5}
  metrics:
    macro_f1: {min: 0.6, not_worse_than_champion: 0.05}
    log_loss: {max: 0.9}
  slices: [side]
  slice_min_rows: 50
  bootstrap: 100
deployment:
  steps: [20, 50, 100]
  bake: {requests: 100, at_most: 10m}
  smoke: model:examples
  guardrails:
    error_rate: {max: 0.02}
    prediction_psi: {max: 0.25}
    outcome: {measure: accuracy, max_drop: 0.1, min_rows: 50}
monitoring:
  window: {days: 7}
  min_rows: 100
  performance: {accuracy: {max_drop: 0.05}, macro_f1: {max_drop: 0.1}}
  estimated: {accuracy: {max_drop: 0.2}}
  calibration: {max: 0.3}
  drift: {attribution: {min: 0.8}, domain_classifier: {max: 0.9}}
retraining: {when: {failed_windows: 1, of: 2}, cooldown: 3d, budget: {runs: 2, per: 30d}}
"""
CODE = """
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def load(start, end):
    hours = pd.date_range(start, end, freq="30min", inclusive="left", tz="UTC")
    draw = np.random.default_rng(int(start.timestamp()) % 2**32)
    x = draw.normal(size=len(hours))
    size = np.select([x + draw.normal(0, 0.4, len(x)) < -0.6, x > 0.6], ["small", "large"], "medium")
    side = draw.choice(["left", "right"], len(hours))
    return pd.DataFrame({"id": hours.strftime("%Y%m%d%H%M"), "at": hours, "x": x, "side": side, "size": size})

def build(params):
    if params["C"] == 0:
        return DummyClassifier()
    columns = ColumnTransformer([("side", OneHotEncoder(handle_unknown="ignore"), ["side"])], remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(**params))

def examples():
    return [
        {"row": {"x": 3.0, "side": "left"}, "expect": {"label": "large", "min": 0.6}},
        {"row": {"x": -3.0, "side": "left"}, "expect": {"label": "small"}},
    ]
"""


class LifeOfClasses(Life):
    """Answers are classes, a third of each unless `mix` says otherwise."""

    def serve_arms(self, count: int = 150, errors: int = 0, shift: float = 0.0) -> None:
        """`shift`: so much more of the canary's answers are large. Four of five of either are right."""
        with self.services.database.begin() as tx:
            route = tx.routes.get("toy")
        assert route is not None
        self.clock.advance(timedelta(seconds=30))
        if route.champion is not None and route.percent < 100:
            self.log(route.champion, route.epoch, "champion", np.arange(4 * count) % 3)
        if route.canary is not None:
            answers = np.arange(count) % 3
            answers[: int(shift * count)] = 2
            self.log(route.canary, route.epoch, "canary", answers, errors)

    def log(self, version: int, epoch: int, role: str, scores: Any, errors: int = 0, **more: Any) -> None:
        super().log(version, epoch, role, np.asarray(scores, float), errors, **more)
        rows = self.predictions.rows["toy"].pop()
        if "f_x" not in more:
            self.tell(rows["decision_id"], np.where(np.arange(len(scores)) % 5, scores, (np.asarray(scores) + 1) % 3))
        shares = np.where(np.arange(3) == np.asarray(scores)[:, None], 0.8, 0.1)
        listed = pa.array(shares.tolist(), pa.list_(pa.float64()))
        self.predictions.append("toy", rows.append_column(PROBABILITIES, listed))

    def tell(self, ids: Any, labels: Any) -> None:
        now = [self.clock.now()] * len(ids)
        told = {"decision_id": ids, "label": labels.astype(float), "observed_at": now, "recorded_at": now}
        self.predictions.append_outcomes("toy", pa.table(told))

    def serve_week(self, *, informative: bool = True, mix: tuple[float, ...] = (0.3, 0.4, 0.3)) -> None:
        """Seven days of answers; outcomes agree with four of five of them, or have nothing to do with them."""
        draw = np.random.default_rng(5)
        for _ in range(7):
            decided = draw.choice(3, 300, p=mix)
            x = (decided - 1) * 1.2 + draw.normal(0, 0.3, 300)
            self.log(1, 9, "champion", decided, f_x=x, f_side=["left", "right"] * 150)
            right = draw.random(300) < (0.9 if informative else 0.0)
            labels = np.where(right, decided, draw.integers(0, 3, 300)).astype(float)
            self.tell(self.predictions.rows["toy"][-1]["decision_id"], labels)
            self.clock.advance(timedelta(days=1))

    def evidence(self, digest: str) -> JsonObject:
        with self.services.database.begin() as tx:
            body: JsonObject = tx.evidence.get(digest).body
        return body


def life_of(folder: Path, code: str = CODE, yaml: str = YAML) -> LifeOfClasses:
    made = build_life(folder, yaml, code)
    return LifeOfClasses(made.services, made.spec, made.clock, made.tracker, made.predictions)


def batch_of_classes(folder: Path) -> LifeOfClasses:
    """A champion that scores tables."""
    start, end = YAML.index("deployment:"), YAML.index("monitoring:")
    batch = "deployment: {target: batch, strategy: direct, steps: [100], smoke: model:examples}\n"
    life = life_of(folder, yaml=YAML[:start] + batch + YAML[end:])
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=1)
    life.do("complete_rollout", trained["run"], rollout=started["rollout"])
    return life


@pytest.fixture
def life(tmp_path: Path) -> LifeOfClasses:
    return life_of(tmp_path)


@pytest.fixture
def served(life: LifeOfClasses) -> LifeOfClasses:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return life


def test_a_version_is_judged_released_and_followed(life: LifeOfClasses) -> None:
    first = life.train()
    assert (first["outcome"], first["proceed"]) == ("PASSED", True), first["reasons"]
    life.approve(first)
    life.release(first)
    second = life.train()
    assert second["outcome"] == "PASSED"
    beside = life.evidence(second["evaluation"])["beside"]
    assert beside["comparison"]["macro_f1"]["difference"] == 0.0  # the same fit on the same rows
    life.approve(second)
    assert life.release(second)["replaced"] == 1


def test_the_profile_counts_classes_in_the_order_of_the_spec(life: LifeOfClasses) -> None:
    body = life.evidence(life.train()["evaluation"])
    profile = life.evidence(body["profile"])
    with life.services.database.begin() as tx:
        version = tx.versions.get(VersionRef("toy", 1))
    model = life.services.models.load(
        type("Logged", (), {"run_id": version.run_id, "uri": version.artefact_uri, "digest": version.artefact_digest})()
    )
    assert [str(name) for name in model.classes_] == ["large", "medium", "small"]
    assert profile["score"]["bins"]["cuts"] == [0.0, 1.0, 2.0]
    assert set(profile["performance"]) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
    assert {part["slice"] for part in body["slices"]} == {"side = left", "side = right"}
    assert body["importance"]["features"]["x"] > 0.2
    assert abs(body["importance"]["features"]["side"]) < 0.05
    assert profile["attribution"]["features"] == ["x", "side"]
    assert body["fairness"] is None


def test_a_weak_candidate_is_rejected(life: LifeOfClasses) -> None:
    refused = life.train({"C": 0})
    assert (refused["outcome"], refused["proceed"]) == ("FAILED", False)
    assert any("Mean F1" in reason for reason in refused["reasons"])


def test_a_label_that_is_no_class_breaks_the_contract_and_its_rows_are_named(tmp_path: Path) -> None:
    misspelt = CODE.replace("    side = draw", '    size[[5, 9]] = "Large"\n    side = draw')
    life = life_of(tmp_path, misspelt)
    taken = life.do("take_snapshot", "run1")["snapshot"]
    judged = life.do("validate_data", "run1", snapshot=taken)
    assert judged["outcome"] == "FAILED"
    said = "size is none of the classes in 2 of 913 rows: 201305120230 (Large), 201305120430 (Large)"
    assert judged["reasons"] == [said]


def test_a_class_without_rows_is_named_and_a_person_decides(tmp_path: Path) -> None:
    without = CODE.replace('x > 0.6], ["small", "large"]', 'x > 99], ["small", "large"]')
    life = life_of(tmp_path, without.replace('"label": "large", "min": 0.6', '"label": "medium"'))
    trained = life.train()
    assert (trained["outcome"], trained["proceed"]) == ("INCONCLUSIVE", True)
    assert "no row it learned from is large: it never decides for what it was not shown" in trained["reasons"]


def test_a_canary_with_another_mix_of_classes_is_taken_back(served: LifeOfClasses) -> None:
    trained = served.train()
    served.approve(trained)
    rollout = served.do("start_rollout", trained["run"], version=2)["rollout"]
    verdict = served.bake(rollout, trained["run"], 20, count=400, shift=0.6)
    assert (verdict["outcome"], verdict["final"]) == ("FAILED", True), verdict
    assert any("PSI of the canary's answers" in reason for reason in verdict["reasons"])


def test_wrong_smoke_answers_release_nothing(tmp_path: Path) -> None:
    life = life_of(tmp_path, CODE.replace('"label": "small"', '"label": "medium"'))
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=1)
    assert started.get("rollout") is None
    assert "smoke row 1 is small" in life.events("version.rejected")[-1].reason


def test_a_healthy_week_passes(served: LifeOfClasses) -> None:
    served.clock.advance(timedelta(days=5))
    served.serve_week()
    judged = served.do("judge_window", "night1")
    assert "performance" not in judged["causes"], judged["reasons"]
    figures = served.evidence(judged["evidence"])["performance"]
    assert figures, "measured from counts alone"
    found = served.evidence(judged["evidence"])["verdict"]["findings"]
    told = {each["gate"]: each["outcome"] for each in found}
    wanted = ("performance.accuracy", "performance.macro_f1", "performance.calibration", "drift.estimated:accuracy")
    assert {gate: told.get(gate) for gate in wanted} == dict.fromkeys(wanted, "PASSED"), found
    assert told["drift.prediction_psi"] == "INCONCLUSIVE"  # of a hold-out of 193 rows chance alone reaches the limit
    assert "FAILED" not in {told[gate] for gate in told if gate.startswith("drift.attribution")}


def test_lost_performance_asks_for_retraining(served: LifeOfClasses) -> None:
    served.clock.advance(timedelta(days=5))
    served.serve_week(informative=False)
    judged = served.do("judge_window", "night1")
    assert (judged["outcome"], "performance" in judged["causes"]) == ("FAILED", True), judged["reasons"]
    opened = served.do("open_incident", "night1", evidence=judged["evidence"])
    assert opened["incidents"]
    decision = served.do("decide_retraining", "night1", evidence=judged["evidence"])
    assert decision["requested"], decision["reason"]


def test_another_mix_of_classes_is_drift_of_the_answers(served: LifeOfClasses) -> None:
    served.clock.advance(timedelta(days=5))
    served.serve_week(mix=(0.05, 0.15, 0.8))
    judged = served.do("judge_window", "night1")
    findings = served.evidence(judged["evidence"])["verdict"]["findings"]
    failed = {each["gate"] for each in findings if each["outcome"] == "FAILED"}
    assert {"drift.prediction_psi", "drift.psi:x"} <= failed


def test_servers_prove_a_way_back_by_classes(served: LifeOfClasses) -> None:
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    with served.services.database.begin() as tx:
        first = tx.versions.get(VersionRef("toy", 1))
    served.services.served.versions = [ServedVersion("http://fake", "toy", 1, first.artefact_digest, "champion")]
    served.services.served.answer = lambda row: dict(zip(CLASSES, (0.1, 0.1, 0.8), strict=True))
    proved = served.do("prove_rollback", "run9", to=1, epoch=99)
    assert proved["outcome"] == "FAILED"  # the second row is a small one
    assert "smoke row 1 is large (0.8), expected small (0.1)" in proved["reasons"][0]


def test_a_version_is_reproduced_by_its_probabilities(served: LifeOfClasses) -> None:
    found = served.do("reproduce", "run5", version=1)
    assert found["verdict"] == "bit-exact", found["reasons"]


def test_a_batch_is_scored_with_probabilities_and_told_what_became_of_it(tmp_path: Path) -> None:
    life = batch_of_classes(tmp_path)
    scored = life.do("score_window", "run7", window_days=2)
    assert (scored["outcome"], scored["rows"]) == ("PASSED", 96), scored
    table = life.predictions.rows["toy"][-1]
    shares = np.array(table[PROBABILITIES].to_pylist())
    assert shares.shape == (96, 3)
    assert np.allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == table["score"].to_numpy()).all()
    life.clock.advance(timedelta(days=1))
    assert life.do("record_outcomes", "run8", window_days=2)["recorded"] == 96
    told = life.predictions.outcomes["toy"][-1].to_pandas().merge(table.to_pandas(), on="decision_id")
    assert (told["label"] == told["score"]).mean() > 0.7


def test_mirrored_answers_disagree_where_the_class_is_another(served: LifeOfClasses) -> None:
    from steward.actions.releases.observing import _compared
    from steward.testing.builders import a_rollout

    pairs = pd.DataFrame(
        {"version_shadow": [2] * 3, "score_shadow": [0.0, 1.0, 2.0], "score_champion": [0.0, 2.0, 2.0]}
    )
    found = _compared(served.services, served.spec, a_rollout(model="toy", version=2), pairs)
    assert (sum(found.compared), sum(found.differing)) == (3, 1)


def test_labels_in_numbers_are_the_places_of_the_spec() -> None:
    found = label_numbers(pd.Series(["large", None, "small"]).to_numpy(), CLASSES)
    assert found.tolist()[::2] == [2.0, 0.0]
    assert np.isnan(found[1])
