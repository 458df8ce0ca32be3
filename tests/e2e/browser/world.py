"""A small bank's models, each in another state of its life, told to a real PostgreSQL by the real actions.

Only what surrounds the record is a fake: the tracker, the stores and the prediction log. What a page shows was judged,
decided and signed the way it always is.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tests.unit.actions.conftest import Life

from steward.actions.state import Database, Services
from steward.approval.policy import load_policy
from steward.inventory.stages import load_stages
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory

PROJECT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 400  # answers a day
REMEMBERED = 14  # days of answers the log keeps; older days are counted already

MODEL_YAML = """
model: {model}
title: {title}
purpose: {purpose}
owner: {{team: {team}, name: {owner}, email: {user}@example.com, user: {user}}}
risk_tier: {tier}
task: binary_classification
data:
  id: id
  time: at
  label: {{column: y, arrives_after: 1d}}
  features: {{{features}}}
  min_rows: 100
training: {{window: {{days: 20}}, params: {{C: 1.0}}, seed: 3}}
evaluation:
  holdout: {{days: 5}}
  metrics: {{roc_auc: {{min: 0.7, not_worse_than_champion: 0.05}}}}
deployment:
  steps: [20, 50, 100]
  bake: {{requests: 100, at_most: 10m}}
  smoke: model:examples
  guardrails: {{error_rate: {{max: 0.02}}, prediction_psi: {{max: 1.0}}}}
monitoring:
  window: {{days: 7}}
  min_rows: 100
  drift: {{psi: {{max: 0.25}}}}
  performance: {{roc_auc: {{max_drop: 0.08}}}}
retraining: {{when: {{failed_windows: 2, of: 3}}, cooldown: 7d, budget: {{runs: 4, per: 30d}}}}
retirement: {{quiet: 7d, review_after: 365d}}
"""
MODEL_PY = """
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

FEATURES = {features!r}

def load(start, end):
    hours = pd.date_range(start, end, freq="30min", inclusive="left", tz="UTC")
    draw = np.random.default_rng(int(start.timestamp()) % 2**32)
    x = draw.normal(size=(len(hours), len(FEATURES)))
    y = (draw.random(len(hours)) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    ids = hours.strftime("%Y%m%d%H%M")
    return pd.DataFrame({{"id": ids, "at": hours, **dict(zip(FEATURES, x.T)), "y": y}})

def build(params):
    return LogisticRegression(**params)

def examples():
    return [{{"row": {{**dict.fromkeys(FEATURES, 0.0), FEATURES[0]: 2.0}}, "expect": {{"min": 0.6}}}}]
"""


@dataclass(frozen=True)
class Named:
    """What a person reads of a model. Its first feature is the one that matters."""

    model: str
    title: str
    purpose: str
    team: str
    owner: str
    features: tuple[str, ...]
    tier: str = "medium"

    def write(self, models: Path) -> None:
        folder = models / self.model
        folder.mkdir(parents=True)
        columns = ", ".join(f"{name}: {{type: number}}" for name in self.features)
        about = {name: getattr(self, name) for name in ("model", "title", "purpose", "team", "owner", "tier")}
        user = self.owner.split()[0].lower()
        (folder / "model.yaml").write_text(MODEL_YAML.format(features=columns, user=user, **about))
        (folder / "model.py").write_text(MODEL_PY.format(features=list(self.features)))


HEALTHY = Named(
    "card_fraud",
    "Is this card payment somebody else's?",
    "Payments above the limit wait for a call-back.",
    "payments",
    "Olga Novak",
    ("amount", "merchant_age", "distance_from_home", "hour", "attempts"),
)
DRIFTED = Named(
    "late_payment",
    "Will this invoice be paid late?",
    "The collections desk writes to customers before the date.",
    "collections",
    "Dana Okafor",
    ("days_since_order", "invoice_total", "earlier_delays", "customer_age", "discount"),
)
WAITING = Named(
    "churn",
    "Will this customer leave within 60 days?",
    "The service team calls those who may.",
    "customers",
    "Olga Novak",
    ("calls_last_month", "tariff_age", "complaints", "usage_trend"),
)
CANARY = Named(
    "basket_offer",
    "Does an offer beside the basket help?",
    "The shop shows one offer or none.",
    "web-shop",
    "Olga Novak",
    ("basket_value", "visits", "minutes_on_site"),
)
RETIRED = Named(
    "branch_queue",
    "Will the queue be long at noon?",
    "Branches plan their counters.",
    "branches",
    "Olga Novak",
    ("visitors", "weekday", "staff"),
)
YOUNG = Named(
    "parcel_arrival",
    "Will the parcel come on the promised day?",
    "The shop promises a day of delivery.",
    "logistics",
    "Olga Novak",
    ("distance", "carrier_load"),
)
BROKEN = "credit_limit"


@dataclass
class World:
    """The models folder and the record of the bank. `lives` drives one model each."""

    models: Path
    services: Services
    clock: FrozenClock
    lives: dict[str, Lived] = field(default_factory=dict)

    def live(self, named: Named) -> Lived:
        """A model of which only the files are there yet."""
        spec = self.services.specs.get(named.model)
        log, tracker = self.services.predictions, self.services.tracker
        life = Lived(self.services, spec, self.clock, tracker, log, named=named)  # type: ignore[arg-type]
        self.lives[named.model] = life
        return life


@dataclass
class Lived(Life):
    """A life that is also watched, night by night."""

    named: Named = HEALTHY
    nights: int = 0

    @property
    def draw(self) -> np.random.Generator:
        return np.random.default_rng([self.nights, len(self.spec.model)])

    def releases(self, **how: Any) -> int:
        """Trained, approved by ravi, and all the way through its canary."""
        trained = self.train(**how)
        asked = self.ask(trained)
        self.clock.advance(timedelta(minutes=95))
        self.answer(asked, "ravi")
        self.release(trained)
        self.do("close_run", trained["run"])
        return int(trained["version"])

    def log(self, version: int, epoch: int, role: str, scores: Any, *args: Any, **more: Any) -> None:
        """Every answer is logged with the features it was given."""
        drawn = {f"f_{name}": self.draw.normal(size=len(scores)) for name in self.named.features}
        super().log(version, epoch, role, scores, *args, **{**drawn, **more})

    def serve_day(self, moved: Mapping[str, float], lost: float) -> None:
        """A day of answers with their outcomes. `moved`: features, by how much; `lost`: of what was known, 0 to 1."""
        names = self.named.features
        x = {name: self.draw.normal(moved.get(name, 0.0), size=ROWS) for name in names}
        first = x[names[0]] - moved.get(names[0], 0.0)
        scores = 1 / (1 + np.exp(-2 * first))
        champion = self.champion()
        assert champion is not None
        with self.services.database.begin() as tx:
            route = tx.routes.get(self.spec.model)
        assert route is not None
        columns = {f"f_{name}": values for name, values in x.items()}
        self.log(champion, route.epoch, "champion", scores, **columns)
        answers = self.predictions.rows[self.spec.model][-1]
        known = (1 - lost) * scores + lost * scores.mean()
        labels = (self.draw.random(ROWS) < known).astype(float)
        told = [self.clock.now()] * ROWS
        outcomes = {"decision_id": answers["decision_id"], "label": labels, "observed_at": told, "recorded_at": told}
        self.predictions.append_outcomes(self.spec.model, pa.table(outcomes))

    def night(self) -> None:
        """What the monitor run does: judge, follow with incidents, and ask the controller where it failed."""
        self.nights += 1
        for kept in (self.predictions.rows[self.spec.model], self.predictions.outcomes[self.spec.model]):
            del kept[:-REMEMBERED]
        run, actor = f"night{self.nights}", f"airflow:{self.spec.model}__monitor"
        judged = self.do("judge_window", run, actor)
        self.do("open_incident", run, actor, evidence=judged["evidence"])
        if judged["outcome"] == "FAILED":
            self.do("decide_retraining", run, actor, evidence=judged["evidence"])

    def watched(self, days: int, moved: Mapping[str, float] | None = None, lost: float = 0.0) -> None:
        """So many days served, each judged in the night after it; `moved` and `lost` grow day by day."""
        for day in range(days):
            share = (day + 1) / days
            self.serve_day({name: by * share for name, by in (moved or {}).items()}, lost * share)
            self.clock.advance(DAY)
            self.night()


def tell(folder: Path, database: Database, clock: FrozenClock) -> World:
    """Everything, up to this morning."""
    world = found(folder, database, clock)
    for part in (healthy, drifted, waiting, young, canary, retired):
        part(world)
    clock.set(NOW)
    return world


def write_models(models: Path) -> None:
    for named in (HEALTHY, DRIFTED, WAITING, CANARY, RETIRED, YOUNG):
        named.write(models)
    break_one(models)


def found(folder: Path, database: Database, clock: FrozenClock) -> World:
    """The bank before its first day: policy, models, and an empty record."""
    policy = load_policy(PROJECT / "include" / "policy.yaml")
    stages = load_stages(PROJECT / "include" / "stages.yaml")
    in_memory = services_in_memory(SpecFolder(folder / "models"), policy, clock, folder, stages)
    return World(folder / "models", replace(in_memory, database=database), clock)


def healthy(world: World) -> None:
    """Three versions in seven weeks, the last window sound."""
    world.clock.set(NOW - 49 * DAY - timedelta(hours=7))
    life = world.live(HEALTHY)
    life.releases()
    life.watched(16)
    life.releases()
    life.watched(16)
    life.releases()
    life.watched(17)


def drifted(world: World) -> None:
    """Its second version slid away: an incident is open, and the controller has asked for a training."""
    world.clock.set(NOW - 30 * DAY - timedelta(hours=7))
    life = world.live(DRIFTED)
    life.releases()
    life.watched(9)
    life.releases()
    life.watched(9)
    life.watched(12, moved={"days_since_order": 1.6, "invoice_total": 0.9}, lost=0.8)


def waiting(world: World) -> None:
    """dana trained a second version; nobody has answered yet."""
    world.clock.set(NOW - 10 * DAY - timedelta(hours=7))
    life = world.live(WAITING)
    life.releases()
    life.watched(10)
    world.clock.set(NOW - timedelta(hours=1))
    life.ask(life.train(actor="person:dana"))


def young(world: World) -> None:
    """Its very first version waits for people."""
    world.clock.set(NOW - timedelta(hours=5))
    life = world.live(YOUNG)
    life.ask(life.train())


def canary(world: World) -> None:
    """The second version takes half of the traffic."""
    world.clock.set(NOW - 10 * DAY - timedelta(hours=7))
    life = world.live(CANARY)
    life.releases()
    life.watched(10)
    world.clock.set(NOW - timedelta(minutes=30))
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=trained["version"])
    life.bake(started["rollout"], trained["run"], 20)
    life.do("shift_traffic", trained["run"], rollout=started["rollout"], percent=50)
    life.serve_arms()


def retired(world: World) -> None:
    world.clock.set(NOW - 40 * DAY)
    life = world.live(RETIRED)
    life.releases()
    world.clock.advance(8 * DAY)
    life.do("start_retirement", "end", "airflow:olga", reason="the branches plan with an app of the vendor now")
    world.clock.advance(8 * DAY)
    for step in ("await_quiet", "close_endpoint", "archive_model", "bury"):
        life.do(step, "end")
    shutil.rmtree(world.models / RETIRED.model)


def break_one(models: Path) -> None:
    """A spec that somebody mistyped this morning."""
    named = replace(YOUNG, model=BROKEN, title="How much credit may this customer have?", team="lending")
    named.write(models)
    path = models / BROKEN / "model.yaml"
    path.write_text(path.read_text().replace("risk_tier: medium", "risk_teir: medium"))
