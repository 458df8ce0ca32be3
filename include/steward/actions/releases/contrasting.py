"""What became of the decisions of two versions, as differences of the same time, each from -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.rollout.analysis import Contrast
from steward.spec import OutcomeRule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Thresholds = tuple[float, float]
"""Of the canary and of the champion. In place of them None: scores and outcomes are numbers of classes."""
ROWS = 5  # labelled answers of the rarer version in a block: enough that little of the other's is wasted
_TAIL = 0.001


def contrast_of_arms(
    rule: OutcomeRule, scores: Floats, labels: pd.Series, is_canary: Flags, thresholds: Thresholds | None
) -> Contrast:
    """Of answers of both versions in their order. Two arms of one hour are compared, not two hours.

    Blocks are cut by whose answers they are and never by what became of them.
    """
    import numpy as np

    outcome = labels.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(outcome)
    scores, outcome, mine = scores[known], outcome[known], is_canary[known]
    losses = _losses(rule, scores, outcome, np.where(mine, *thresholds) if thresholds else None)
    low, high = _range(rule, losses[~mine])
    told = (np.clip(losses, low, high) - low) / (high - low)
    return Contrast(
        worse=_by_block(told, mine),
        scale=high - low,
        canary_rows=int(mine.sum()),
        champion_rows=int((~mine).sum()),
        canary_mean=_mean(rule, losses[mine]),
        champion_mean=_mean(rule, losses[~mine]),
    )


def contrast_of_pairs(rule: OutcomeRule, pairs: pd.DataFrame, thresholds: Thresholds | None) -> Contrast:
    """Of requests that both versions answered: each is compared with itself."""
    import numpy as np

    names = ("score_shadow", "score_champion", "label")
    mine, beside, outcome = (pairs[name].to_numpy(np.float64, na_value=np.nan) for name in names)
    known = np.isfinite(mine) & np.isfinite(beside) & np.isfinite(outcome)
    our_threshold, their_threshold = thresholds or (None, None)
    losses = _losses(rule, mine[known], outcome[known], our_threshold)
    others = _losses(rule, beside[known], outcome[known], their_threshold)
    low, high = _range(rule, others)
    worse = (np.clip(losses, low, high) - np.clip(others, low, high)) / (high - low)
    rows = int(known.sum())
    return Contrast(worse, high - low, rows, rows, _mean(rule, losses), _mean(rule, others))


def _losses(rule: OutcomeRule, scores: Floats, outcome: Floats, threshold: Floats | float | None) -> Floats:
    """More is worse, whatever the measure."""
    import numpy as np

    if rule.measure == "mean_outcome":
        return -outcome if rule.better == "higher" else outcome
    if rule.measure == "accuracy":
        wrong = scores != outcome if threshold is None else (scores >= threshold) != (outcome > 0.5)
        return np.asarray(wrong, np.float64)
    errors = scores - outcome
    return np.asarray(errors**2 if rule.measure == "brier" else np.abs(errors), np.float64)


def _range(rule: OutcomeRule, champion: Floats) -> tuple[float, float]:
    """Between which losses count; what lies outside counts as the end. Shares bring their own range; of measures
    without one it is all but the outermost thousandths of the champion's, which the canary cannot move.
    """
    import numpy as np

    if rule.measure in ("accuracy", "brier"):
        return 0.0, 1.0
    if not len(champion):
        return (-1.0, 1.0) if rule.measure == "mean_outcome" else (0.0, 1.0)
    if rule.measure == "mean_outcome" and set(np.unique(np.abs(champion)).tolist()) <= {0.0, 1.0}:
        return (-1.0, 0.0) if rule.better == "higher" else (0.0, 1.0)
    low, high = np.quantile(champion, (_TAIL, 1 - _TAIL))
    low = 0.0 if rule.measure == "absolute_error" else float(low)
    return low, max(float(high), low + 2 * rule.max_drop, low + 1e-9)


def _mean(rule: OutcomeRule, losses: Floats) -> float | None:
    if not len(losses):
        return None
    mean = float(losses.mean())
    if rule.measure == "accuracy":
        return 1 - mean
    return -mean if rule.better == "higher" else mean


def _by_block(losses: Floats, mine: Flags) -> Floats:
    """Mean of the canary less mean of the champion, in blocks that hold ROWS answers of the rarer of them."""
    import numpy as np

    rarer = mine if mine.sum() * 2 <= len(mine) else ~mine
    block = np.maximum(np.cumsum(rarer) - 1, 0) // ROWS
    length = int(block[-1]) + 1 if len(block) else 0
    mine_rows, mine_sum = _sums(block[mine], losses[mine], length)
    other_rows, other_sum = _sums(block[~mine], losses[~mine], length)
    both = (mine_rows > 0) & (other_rows > 0)
    return np.asarray(mine_sum[both] / mine_rows[both] - other_sum[both] / other_rows[both], np.float64)


def _sums(block: NDArray[np.int64], losses: Floats, length: int) -> tuple[Floats, Floats]:
    import numpy as np

    rows = np.bincount(block, minlength=length).astype(np.float64)
    return rows, np.bincount(block, losses, length).astype(np.float64)
