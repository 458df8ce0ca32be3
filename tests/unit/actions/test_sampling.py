"""Checks that need rows, through a whole life: a model that reads a text and two numbers, its days sampled, judged by
the rows, and a person who is forgotten in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.actions.windows import tallying
from steward.data.privacy import keyed_hash
from steward.gates import Outcome
from steward.monitoring.profiles.samples import merge_samples, sampled_rows

DAY = timedelta(days=1)
KEY = b"k" * 32
YAML = MODEL_YAML.replace(
    "features: {x: {type: number}}",
    "features: {x: {type: number}, z: {type: number}, note: {type: text}}",
).replace(
    "monitoring:\n",
    "monitoring:\n  drift: {psi: {max: 0.25}, domain_classifier: {max: 0.65}, attribution: {min: 0.9}}\n",
    1,
)
CODE = """
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

GOOD, BAD, PLAIN = ["warm", "kind", "quick"], ["cold", "rude", "slow"], [f"word{n}" for n in range(60)]

def rows(draw, count, x_with_z=0.7, plain=PLAIN):
    liked = draw.random(count) < 0.5
    x = draw.normal(size=count)
    z = x_with_z * x + np.sqrt(1 - x_with_z**2) * draw.normal(size=count)
    note = [" ".join([draw.choice(GOOD if like else BAD), *draw.choice(plain, 7)]) for like in liked]
    p = 1 / (1 + np.exp(-(2 * x + np.where(liked, 1.5, -1.5))))
    return pd.DataFrame({"x": x, "z": z, "note": note, "y": (draw.random(count) < p).astype(float)})

def load(start, end):
    hours = pd.date_range(start, end, freq="30min", inclusive="left", tz="UTC")
    frame = rows(np.random.default_rng(int(start.timestamp()) % 2**32), len(hours))
    return frame.assign(id=hours.strftime("%Y%m%d%H%M"), at=hours)

def build(params):
    read = make_column_transformer((TfidfVectorizer(), "note"), ("passthrough", ["x", "z"]))
    return make_pipeline(read, LogisticRegression(**params))

def examples():
    return [{"row": {"x": 2.0, "z": 1.0, "note": "warm word1"}, "expect": {"min": 0.5}}]
"""
made: dict[str, Any] = {}
exec(CODE, made)


class Texted:
    def __init__(self, life: Life, model: Any) -> None:
        self.life, self.model, self.draw = life, model, np.random.default_rng(9)

    def serve(self, days: int = 7, people: int = 40, **drift: Any) -> None:
        for _ in range(days):
            frame = made["rows"](self.draw, 300, **drift)
            scores = self.model.predict_proba(frame[["x", "z", "note"]])[:, 1]
            who = [keyed_hash(KEY, "toy", f"person {n % people}") for n in range(len(frame))]
            rows = {"f_x": frame["x"], "f_z": frame["z"], "f_note": frame["note"]}
            self.life.log(1, 9, "champion", scores, subject=who, **rows)
            self.life.clock.advance(DAY)

    def judge(self, run: str = "monitor") -> dict[str, Any]:
        """Findings by gate."""
        answer = self.life.do("judge_window", run)
        with self.life.services.database.begin() as tx:
            found = tx.evidence.get(answer["evidence"]).verdict.findings
        return {finding.gate: finding for finding in found}

    def samples(self) -> list[bytes]:
        today = self.life.clock.now().date()
        with self.life.services.database.begin() as tx:
            days = tx.tallies.days("toy", 1, today - timedelta(days=30), today)
        return [day.sample for day in days if day.sample is not None]

    def forget(self, who: str) -> Any:
        said = "asked us to, ticket 90210"
        return actions.forget_subject(
            self.life.services, self.life.spec, run=None, actor="cli:ravi", subject=who, reason=said
        )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("life")
    life = build_life(folder, YAML)
    (folder / "models" / "toy" / "model.py").write_text(CODE)
    life.services = replace(life.services, log_key=KEY)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    declared = folder / "models" / "toy" / "model.yaml"
    declared.write_text(YAML.replace("data:\n", "data:\n  subject: customer\n", 1))
    life.spec = life.services.specs.get("toy")
    frame = made["load"](life.clock.now() - timedelta(days=20), life.clock.now())
    return life, made["build"]({"C": 1.0}).fit(frame[["x", "z", "note"]], frame["y"])


@pytest.fixture
def texted(released: Any) -> Iterator[Texted]:
    """A champion since yesterday; afterwards everything is as it was before."""
    life, model = released
    log, database = life.predictions, life.services.database
    before = (life.clock.now(), database._state, dict(log.rows))
    log.rows["toy"] = []
    life.clock.advance(DAY)
    yield Texted(life, model)
    instant, database._state, rows = before
    life.clock.set(instant)
    log.rows.update(rows)


ROWS = ("drift.domain_classifier", "drift.attribution", "drift.unseen_words:note", "drift.words:note")


def test_an_ordinary_week_passes(texted: Texted) -> None:
    texted.serve()
    found = texted.judge()
    assert {gate: found[gate].outcome for gate in ROWS} == dict.fromkeys(ROWS, Outcome.PASSED)


def test_columns_that_part_are_found_by_the_domain_classifier_alone(texted: Texted) -> None:
    texted.serve(x_with_z=-0.7)
    found = texted.judge()
    assert found["drift.domain_classifier"].outcome is Outcome.FAILED
    assert "by x (" in found["drift.domain_classifier"].reason or "by z (" in found["drift.domain_classifier"].reason
    assert {found[gate].outcome for gate in ("drift.psi:x", "drift.psi:z", "drift.psi:note")} == {Outcome.PASSED}


def test_other_words_are_found(texted: Texted) -> None:
    texted.serve(plain=[f"other{n}" for n in range(60)])
    found = texted.judge()
    named = {gate for gate in ROWS if found[gate].outcome is Outcome.FAILED}
    assert named >= {"drift.domain_classifier", "drift.unseen_words:note", "drift.words:note"}
    assert "by note (" in found["drift.domain_classifier"].reason


def test_a_forgotten_person_leaves_the_samples_too(texted: Texted) -> None:
    texted.serve(days=3)
    texted.judge()
    before = sum(map(sampled_rows, texted.samples()))
    told = texted.forget("person 7")
    assert told["sampled"] == 3 * 8
    assert sum(map(sampled_rows, texted.samples())) == before - 24
    assert texted.life.events("subject.forgotten")[-1].body["sampled"] == 24
    assert texted.forget("person 7")["sampled"] == 0


def test_one_who_is_forgotten_while_the_day_is_counted_does_not_come_back(
    texted: Texted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were read, the person was forgotten, and only then the sample is recorded."""
    texted.serve(days=1)
    keep = tallying._keep

    def late(services: Any, spec: Any, counted: Any) -> None:
        if sampled_rows(counted.sample) == 300:
            texted.forget("person 7")
        keep(services, spec, counted)

    monkeypatch.setattr(tallying, "_keep", late)
    texted.judge()
    assert sum(map(sampled_rows, texted.samples())) == 300 - 8
    assert len(merge_samples(texted.samples())) == 300 - 8
