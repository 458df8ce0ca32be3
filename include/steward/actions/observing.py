"""What a canary step has shown so far, from the prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.state import Services
from steward.rollout import Rollout
from steward.rollout.analysis import ALPHA, Arm, Observation
from steward.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


def observe(services: Services, spec: ModelSpec, going: Rollout) -> Observation:
    """Both arms since the present share was set; a first release has only one."""
    rows = services.predictions.arm(spec.model, going.epoch, going.step_wall_at)
    canary = rows[rows["version"] == going.version]
    champion = rows[rows["version"] == going.previous] if going.previous is not None else None
    psi, noise = _shift(canary, champion)
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


def _shift(canary: pd.DataFrame, champion: pd.DataFrame | None) -> tuple[float | None, float]:
    """PSI of the canary's scores and what chance alone may reach; None when either side is empty."""
    from steward.monitoring.bins import Bins
    from steward.monitoring.psi import psi, psi_by_chance

    if champion is None:
        return None, 0.0
    scores, beside = canary["score"].dropna().to_numpy(), champion["score"].dropna().to_numpy()
    if not len(scores) or not len(beside):
        return None, 0.0
    bins = Bins.of(beside)
    counts = bins.count(scores)
    value = psi([n / bins.rows for n in bins.counts], counts / len(scores))
    return value, psi_by_chance(len(counts), bins.rows, len(scores), checks=1, alpha=ALPHA)
