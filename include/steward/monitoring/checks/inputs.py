"""What the inputs of a window say.

Broken against the contract (`data.…`), or moved against the profile (`drift.…`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steward.errors import DataError
from steward.gates import Finding, Outcome
from steward.monitoring.bins import Bins, Vector, is_known, read_column
from steward.monitoring.checks.shift import judge_shift
from steward.monitoring.psi import ALPHA, normal_quantile
from steward.spec.model import Feature, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

MISSING_RISE = 0.10  # change of the missing share, inside what the contract allows, that counts as drift
UNSEEN_SHARE = 0.01  # share of levels the reference never had that counts as drift


@dataclass(frozen=True)
class _Column:
    """One feature in one window: what the contract allows, what the reference was, what came."""

    name: str
    contract: Feature
    reference: JsonObject
    values: Vector
    known: Vector
    checks: int

    @property
    def missing(self) -> float:
        return 1 - len(self.known) / len(self.values)


def judge_inputs(spec: ModelSpec, profile: JsonObject, features: pd.DataFrame) -> list[Finding]:
    """All findings on all logged features. A column gone, retyped or empty is a finding, never an exception."""
    return [finding for name in logged(spec) for finding in _judge_feature(spec, profile, features, name)]


def logged(spec: ModelSpec) -> list[str]:
    """Features that the prediction log holds as they came: `privacy` may drop or hash others."""
    return [name for name in spec.data.features if spec.data.privacy.get(name, "keep") == "keep"]


def looked_at_together(spec: ModelSpec) -> int:
    """The m that false alarms are shared out over: every feature and the prediction."""
    return len(logged(spec)) + 1


def _judge_feature(spec: ModelSpec, profile: JsonObject, features: pd.DataFrame, name: str) -> list[Finding]:
    contract, reference, rows = spec.data.features[name], profile["features"].get(name), len(features)
    if name not in features.columns:
        return [Finding(f"data.column:{name}", Outcome.FAILED, f"{name} is gone from the window", rows=rows)]
    try:
        values = read_column(features[name], contract.type)
    except DataError as error:
        return [Finding(f"data.type:{name}", Outcome.FAILED, f"{name} {error.what}", rows=rows)]
    if reference is None:
        reason = f"{name} is not in the version's profile: there is nothing to compare with"
        return [Finding(f"drift.psi:{name}", Outcome.INCONCLUSIVE, reason, rows=rows)]
    column = _Column(name, contract, reference, values, values[is_known(values)], looked_at_together(spec))
    return [
        *_missing(column),
        *_range(column),
        *_unseen(column),
        _moved(column, spec.monitoring.drift.psi.max),
    ]


def _missing(column: _Column) -> list[Finding]:
    """The contract's share is a limit; a change within it is drift once it is large and beyond chance."""
    name, share, usual = column.name, column.missing, column.reference["missing"]
    rows, limit = len(column.values), column.contract.max_missing
    gate = f"data.missing:{name}"
    if not len(column.known) and usual < 1:
        reason = f"{name} is missing in all {rows} rows (usually {usual:.1%})"
        return [Finding(gate, Outcome.FAILED, reason, share, limit, rows=rows)]
    if share > limit:
        above = f"above the contract's {limit:.1%} (usually {usual:.1%})"
        reason = f"{name} is missing in {share:.1%} of rows, {above}"
        return [Finding(gate, Outcome.FAILED, reason, share, limit, rows=rows)]
    reason = f"{name} is missing in {share:.1%} of rows, within the contract's {limit:.1%}"
    kept = Finding(gate, Outcome.PASSED, reason, share, limit, rows=rows)
    chance = normal_quantile(1 - ALPHA / column.checks) * np.sqrt(usual * (1 - usual) / rows)
    moved = share - usual > max(MISSING_RISE, chance)
    said = "more often than usual" if moved else "about as often as usual"
    reason = f"{name} is missing {said}: {share:.1%} of rows, {usual:.1%} in the reference"
    outcome = Outcome.FAILED if moved else Outcome.PASSED
    return [kept, Finding(f"drift.missing:{name}", outcome, reason, share, usual + MISSING_RISE, rows=rows)]


def _range(column: _Column) -> list[Finding]:
    low, high = column.contract.min, column.contract.max
    if (low is None and high is None) or not len(column.known):
        return []
    outside = np.zeros(len(column.known), dtype=bool)
    if low is not None:
        outside |= column.known < low
    if high is not None:
        outside |= column.known > high
    share, limit, rows = float(outside.mean()), column.contract.max_out_of_range, len(column.known)
    between = f"{'…' if low is None else format(low, 'g')} to {'…' if high is None else format(high, 'g')}"
    reason = f"{column.name} is outside {between} in {share:.2%} of values, the contract allows {limit:.2%}"
    if outside.any():
        worst = column.known[outside]
        reason += f" (seen: {worst.min():g} to {worst.max():g})"
    outcome = Outcome.FAILED if share > limit else Outcome.PASSED
    return [Finding(f"data.range:{column.name}", outcome, reason, share, limit, rows=rows)]


def _unseen(column: _Column) -> list[Finding]:
    """Levels the contract does not list are broken data.

    Levels the reference never had are drift, unless all are.
    """
    import pandas as pd

    bins = Bins.from_json(column.reference["bins"])
    if bins.kind != "levels" or not len(column.known):
        return []
    listed = column.contract.levels
    if listed is None and not bins.complete:
        return []
    found = pd.Series(column.known, dtype=object).value_counts()
    strange = found[~found.index.isin(listed if listed is not None else bins.cuts)]
    share, rows = float(strange.sum() / len(column.known)), len(column.known)
    limit = (
        column.contract.max_out_of_range if listed is not None else max(UNSEEN_SHARE, column.contract.max_out_of_range)
    )
    broken = listed is not None or share == 1
    where = "the contract's levels" if listed is not None else "the levels of the reference"
    reason = f"{column.name} is outside {where} in {share:.2%} of values, {limit:.2%} is allowed"
    if len(strange):
        reason += f" (for example {', '.join(map(repr, strange.index[:3]))})"
    outcome = Outcome.FAILED if share > limit else Outcome.PASSED
    return [Finding(f"{'data' if broken else 'drift'}.levels:{column.name}", outcome, reason, share, limit, rows=rows)]


def _moved(column: _Column, limit: float) -> Finding:
    bins = Bins.from_json(column.reference["bins"])
    return judge_shift(f"drift.psi:{column.name}", column.name, bins, column.known, limit=limit, checks=column.checks)
