"""What a step has shown so far, from the prediction log. Of each answer it reads six columns, never a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.releases.contrasting import Thresholds, contrast_of_arms, contrast_of_pairs
from steward.actions.state import Services
from steward.gates.alarms import EVERYTHING, SHADOW, alpha_each, requests_needed
from steward.monitoring.statistics.score_shift import Shift, shift_of, shift_of_classes
from steward.rollout import Rollout
from steward.rollout.analysis import Arm, Contrast, Course, Observation, Pairs
from steward.spec import ModelSpec, Task
from steward.types import Role, VersionRef

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

BLOCK = 100  # requests of both arms: where a fault may begin, for the proof
NO_NUMBER = "no_number"  # answered, but with a score that is not finite
_SPREAD = 0.1  # of the champion's standard deviation: what a regression may differ by and still agree


def observe(services: Services, spec: ModelSpec, going: Rollout) -> Observation:
    """Both arms since the present step began, whatever server answered; a first release has only one.

    At 100 % too: what the champion answers there is only what the version could not.
    """
    role = Role.SHADOW if going.percent == SHADOW and going.previous is not None else Role.CANARY
    rows = services.predictions.arm(spec.model, going.epoch, going.step_wall_at, (Role.CHAMPION, role))
    mine = ((rows["version"] == going.version) & (rows["role"] == role)).to_numpy(bool)
    beside = ((rows["version"] == going.previous) & (rows["role"] == Role.CHAMPION)).to_numpy(bool)
    alone = going.previous is None or going.percent == EVERYTHING
    seen = _Rows(rows, spec, mine, beside & (not alone))
    pairs = services.predictions.pairs(spec.model, going.epoch, going.step_wall_at) if role is Role.SHADOW else None
    shift = Shift.unknown() if alone else seen.shift()
    return Observation(
        canary=seen.arm(mine),
        champion=None if alone else seen.arm(seen.beside),
        psi=shift.psi,
        psi_noise=shift.by_chance,
        baked=services.wall() - going.step_wall_at,
        percent=going.percent,
        psi_proof=shift.proof,
        course=seen.course(),
        pairs=None if pairs is None else _compared(services, spec, going, pairs),
        contrast=None if alone else _contrast(services, spec, going, seen, pairs),
    )


def observe_alone(services: Services, spec: ModelSpec, version: int, epoch: int, since: datetime) -> Observation:
    """What a champion answered since then, recorded by the clock on the wall; nothing answers beside it."""
    rows = services.predictions.arm(spec.model, epoch, since, (Role.CHAMPION,))
    mine = ((rows["version"] == version) & (rows["role"] == Role.CHAMPION)).to_numpy(bool)
    seen = _Rows(rows, spec, mine, mine & False)
    baked = services.wall() - since
    return Observation(seen.arm(mine), None, None, 0.0, baked, EVERYTHING, course=seen.course())


class _Rows:
    """Answers of both arms in the order they were recorded; `mine` and `beside` mark whose they are."""

    def __init__(self, rows: pd.DataFrame, spec: ModelSpec, mine: Flags, beside: Flags) -> None:
        import numpy as np

        self.rows, self.deployment, self.mine, self.beside = rows, spec.deployment, mine, beside
        self.classes = len(spec.data.label.classes or ())
        self.scores = rows["score"].to_numpy(np.float64, na_value=np.nan)
        self.seconds = rows["latency_ms"].to_numpy(np.float64, na_value=np.nan) / 1000
        self.failed = rows["error"].notna().to_numpy(bool)
        self.faulty = self.failed | ~np.isfinite(self.scores)
        limit = spec.deployment.guardrails.p99_latency
        self.late = self.seconds > (limit.max.total_seconds() if limit else np.inf)

    def arm(self, whose: Flags) -> Arm:
        import numpy as np

        times = self.seconds[whose & ~self.failed & np.isfinite(self.seconds)]
        return Arm(
            requests=int(whose.sum()),
            errors=int((whose & self.faulty).sum()),
            p99=float(np.quantile(times, 0.99)) if len(times) else None,
            late=int((whose & self.late).sum()),
            kinds=self._kinds(whose),
        )

    def _kinds(self, whose: Flags) -> dict[str, int]:
        counted = self.rows["error"][whose & self.failed].value_counts()
        kinds = {str(kind): int(count) for kind, count in counted.items()}
        silent = int((whose & self.faulty & ~self.failed).sum())
        return {**kinds, NO_NUMBER: silent} if silent else kinds

    def course(self) -> Course:
        kept = self.mine | self.beside
        mine, beside = self.mine[kept], self.beside[kept]
        faulty, late = self.faulty[kept], self.late[kept]
        return Course(*map(_in_blocks, (mine, mine & faulty, mine & late, beside, beside & faulty)))

    def shift(self) -> Shift:
        limit = self.deployment.guardrails.prediction_psi
        if limit is None:
            return Shift.unknown()
        current, reference = self.scores[self.mine & ~self.faulty], self.scores[self.beside & ~self.faulty]
        terms = limit.max, alpha_each(self.deployment), requests_needed(self.deployment)
        if self.classes:
            return shift_of_classes(current, reference, self.classes, *terms)
        return shift_of(current, reference, *terms)


def _in_blocks(flags: Flags) -> NDArray[np.int64]:
    import numpy as np

    if not len(flags):
        return np.zeros(0, np.int64)
    return np.add.reduceat(flags.astype(np.int64), np.arange(0, len(flags), BLOCK))


def _compared(services: Services, spec: ModelSpec, going: Rollout, pairs: pd.DataFrame) -> Pairs:
    """Yes-or-no models by each version's own threshold, those of several classes by the class; others by value, within
    a tenth of the champion's spread."""
    import numpy as np

    both = pairs[pairs["version_shadow"] == going.version]
    shadow, champion = (both[name].to_numpy(np.float64, na_value=np.nan) for name in ("score_shadow", "score_champion"))
    known = np.isfinite(shadow) & np.isfinite(champion)
    shadow, champion = shadow[known], champion[known]
    if spec.task is Task.BINARY:
        differing = (shadow >= _threshold(services, spec, going.version)) != (
            champion >= _threshold(services, spec, going.previous)
        )
    elif spec.task is Task.MULTICLASS:
        differing = shadow != champion
    else:
        differing = np.abs(shadow - champion) > _SPREAD * (champion.std() if len(champion) else 0.0)
    return Pairs(_in_blocks(np.ones(len(shadow), bool)), _in_blocks(differing))


def _threshold(services: Services, spec: ModelSpec, number: int | None) -> float:
    """At which score a version decides yes, as its training recorded it."""
    if number is None:
        return 0.5
    with services.database.begin() as tx:
        version = tx.versions.get(VersionRef(spec.model, number))
        chosen = tx.evidence.get(version.evidence["training"]).body.get("threshold")
    return float(chosen["value"]) if chosen else 0.5


def _contrast(
    services: Services, spec: ModelSpec, going: Rollout, seen: _Rows, pairs: pd.DataFrame | None
) -> Contrast | None:
    rule = spec.deployment.guardrails.outcome
    if rule is None:
        return None
    thresholds: Thresholds | None = (0.5, 0.5) if spec.task is not Task.MULTICLASS else None
    if rule.measure == "accuracy" and thresholds:
        thresholds = _threshold(services, spec, going.version), _threshold(services, spec, going.previous)
    if pairs is not None:
        return contrast_of_pairs(rule, pairs[pairs["version_shadow"] == going.version], thresholds)
    told = ~seen.faulty & (seen.mine | seen.beside)
    return contrast_of_arms(rule, seen.scores[told], seen.rows["label"][told], seen.mine[told], thresholds)
