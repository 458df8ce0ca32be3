"""What a canary step has shown so far, from the prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.state import Services
from steward.rollout import Rollout
from steward.rollout.analysis import ALPHA, Arm, Observation
from steward.spec import ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd


def observe(services: Services, spec: ModelSpec, going: Rollout, profile: JsonObject) -> Observation:
    """Both arms since the present share was set. Without a champion, answers are compared with the stored profile."""
    rows = services.predictions.arm(spec.model, going.epoch, going.step_wall_at)
    canary = rows[rows["version"] == going.version]
    champion = rows[rows["version"] == going.previous] if going.previous is not None else None
    psi, noise = _shift(canary, champion, profile)
    return Observation(
        canary=_arm(canary),
        champion=_arm(champion) if champion is not None else None,
        psi=psi,
        psi_noise=noise,
        baked=services.wall() - going.step_wall_at,
    )


def _arm(rows: pd.DataFrame) -> Arm:
    answered = rows[rows["error"].isna()]
    p99 = float(answered["latency_ms"].quantile(0.99)) / 1000 if len(answered) else None
    return Arm(len(rows), int(rows["error"].notna().sum()), p99)


def _shift(canary: pd.DataFrame, champion: pd.DataFrame | None, profile: JsonObject) -> tuple[float | None, float]:
    """PSI of the canary's scores and what chance alone may reach; None when either side is empty."""
    from steward.monitoring.bins import Bins
    from steward.monitoring.psi import psi, psi_by_chance

    scores = canary["score"].dropna().to_numpy()
    beside = champion["score"].dropna().to_numpy() if champion is not None else None
    if not len(scores) or (beside is not None and not len(beside)):
        return None, 0.0
    bins = Bins.from_json(profile["score"]["bins"]) if beside is None else Bins.of(beside)
    counts = bins.count(scores)
    value = psi([n / bins.rows for n in bins.counts], counts / len(scores))
    return value, psi_by_chance(len(counts), bins.rows, len(scores), checks=1, alpha=ALPHA)
