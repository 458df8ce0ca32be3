"""What the inputs of a window say: broken against the contract (`data.…`), or moved against the profile (`drift.…`).

| gate | FAILED when | INCONCLUSIVE when |
|---|---|---|
| `data.column:x` | rows came without the column | never |
| `data.type:x` | values are not of its type | never |
| `data.missing:x` | its missing share is above `max_missing`, or all are missing and were not before | never |
| `data.range:x` | infinite values, or such outside `min`..`max`, above `max_out_of_range` | never |
| `data.levels:x` | levels that the contract does not list, above `max_out_of_range`; or no level is known | never |
| `drift.missing:x` | its missing share rose by more than `drift.missing`, beyond chance | chance may do as much |
| `drift.levels:x` | levels the reference never had, above `drift.unseen`, beyond chance | chance may do as much |
| `drift.psi:x` | PSI above its limit, beyond chance | chance may do as much; no value on a side |
| `drift.prediction_psi` | the same of the score, or of the classes | the same |

Of a text its length is judged here. A column that callers add and the contract does not name is left aside by the
server: neither the model nor the prediction log ever has it, so no check can speak of it. Features that `privacy` drops
or hashes are not judged. Drift is not judged by slice: a slice has fewer rows and multiplies the tests, and a shift
that matters within one shows in its performance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from steward.gates import Finding, Outcome
from steward.gates.counts import by_count_alone
from steward.monitoring.checks.shift import judge_shift
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.tallies import ColumnTally
from steward.monitoring.tallies.counting import counted_features
from steward.spec import FeatureType, ModelSpec
from steward.spec.model import Feature
from steward.spec.monitoring import Drift
from steward.types import JsonObject

TESTS_EACH = 3
"""Of a feature: its distribution, its missing share, its levels."""
_NAMED = 3  # strange levels that a reason names


@dataclass(frozen=True)
class _Column:
    """One feature in one window: what the contract allows, what the reference was, what came."""

    name: str
    contract: Feature
    reference: JsonObject | None
    came: ColumnTally
    limits: Drift
    alpha: float


def judge_inputs(reading: Reading) -> list[Finding]:
    """All findings on all logged features, and on the prediction."""
    findings = [finding for column in _columns(reading) for finding in _judge_column(column)]
    return [*findings, _judge_prediction(reading)]


def number_of_tests(spec: ModelSpec) -> int:
    """That chance may fail in one window: TESTS_EACH of every feature, and the prediction."""
    return TESTS_EACH * len(counted_features(spec)) + 1


def _columns(reading: Reading) -> Iterator[_Column]:
    """A column that was counted in no row is one that no row had."""
    spec, alpha = reading.spec, alpha_each(reading, number_of_tests(reading.spec))
    rows = reading.tally.rows
    for name in counted_features(spec):
        came = reading.tally.columns.get(name, ColumnTally(rows=rows, absent=rows))
        reference = reading.profile["features"].get(name)
        yield _Column(name, spec.data.features[name], reference, came, spec.monitoring.drift, alpha)


def _judge_column(column: _Column) -> list[Finding]:
    if not column.came.rows:
        return []
    if column.came.absent == column.came.rows:
        return [_gone(column)]
    return [
        *([_gone(column)] if column.came.absent else []),
        *([_retyped(column)] if column.came.broken else []),
        *_missing(column),
        *_range(column),
        *_listed(column),
        *_moved(column),
    ]


# --- broken against the contract ------------------------------------------------------------------


def _gone(column: _Column) -> Finding:
    came, name = column.came, column.name
    whole = came.absent == came.rows
    reason = f"{name} is gone from the window" if whole else f"{came.absent} of {came.rows} rows came without {name}"
    share = came.absent / came.rows
    return Finding(f"data.column:{name}", Outcome.FAILED, reason, share, 0.0, rows=came.rows)


def _retyped(column: _Column) -> Finding:
    came, name, kind = column.came, column.name, column.contract.type
    reason = f"{name} holds {came.broken} of {came.rows} values that are not of type {kind.value}"
    reason += f", such as {came.example!r}" if came.example is not None else ""
    return Finding(f"data.type:{name}", Outcome.FAILED, reason, came.broken / came.rows, 0.0, rows=came.rows)


def _missing(column: _Column) -> list[Finding]:
    """The contract's share is a limit; a rise within it is drift once it is large and beyond chance."""
    name, came, limit = column.name, column.came, column.contract.max_missing
    gate, share = f"data.missing:{name}", came.missing_share
    if share is None:
        return []
    rows, usual = came.rows - came.absent - came.broken, (column.reference or {}).get("missing")
    said = "" if usual is None else f" (usually {usual:.1%})"
    infinite = f", {came.infinite} of them infinite" if came.infinite else ""
    if share == 1 and usual is not None and usual < 1:
        reason = f"{name} is missing in all {rows} rows{infinite}{said}"
        return [Finding(gate, Outcome.FAILED, reason, share, limit, rows=rows)]
    if share > limit:
        reason = f"{name} is missing in {share:.1%} of rows{infinite}, above the contract's {limit:.1%}{said}"
        return [Finding(gate, Outcome.FAILED, reason, share, limit, rows=rows)]
    reason = f"{name} is missing in {share:.1%} of rows{infinite}, within the contract's {limit:.1%}"
    return [Finding(gate, Outcome.PASSED, reason, share, limit, rows=rows), *_more_missing(column)]


def _range(column: _Column) -> list[Finding]:
    """An infinite number is beyond every range, declared or not."""
    name, came, contract = column.name, column.came, column.contract
    numbers = came.known + came.infinite
    if not numbers or contract.type not in (FeatureType.NUMBER, FeatureType.INTEGER):
        return []
    if contract.min is None and contract.max is None and not came.infinite:
        return []
    share, limit = (came.outside + came.infinite) / numbers, contract.max_out_of_range
    reason = f"{name} is outside {_between(contract)} in {share:.2%} of values, the contract allows {limit:.2%}"
    if came.outside:
        reason += f" (seen: {came.moments.low:g} to {came.moments.high:g})"
    reason += f", {came.infinite} of them infinite" if came.infinite else ""
    outcome = Outcome.FAILED if share > limit else Outcome.PASSED
    return [Finding(f"data.range:{name}", outcome, reason, share, limit, rows=numbers)]


def _between(contract: Feature) -> str:
    if contract.min is None and contract.max is None:
        return "the finite numbers"
    low, high = ("…" if bound is None else format(bound, "g") for bound in (contract.min, contract.max))
    return f"{low} to {high}"


def _listed(column: _Column) -> list[Finding]:
    """Levels the contract does not list are broken data. Levels the reference never had are drift, unless all are."""
    came, listed = column.came, column.contract.levels
    if column.contract.type is not FeatureType.CATEGORY or not came.known:
        return []
    if listed is not None:
        limit = column.contract.max_out_of_range
        return [_strange(column, "data", came.outside, "the contract's levels", limit)]
    bins = (column.reference or {}).get("bins")
    if not bins or not bins["complete"] or not sum(bins["counts"]):
        return []
    limit = max(column.limits.unseen.max, column.contract.max_out_of_range)
    kind = "data" if came.counts[-1] == came.known else "drift"
    found = _strange(column, kind, came.counts[-1], "the levels of the reference", limit)
    return [found if kind == "data" else _beyond_chance(column, found, came.counts[-1], _seen_once(bins))]


def _strange(column: _Column, kind: str, strange: int, where: str, limit: float) -> Finding:
    known, share = column.came.known, strange / column.came.known
    reason = f"{column.name} is outside {where} in {share:.2%} of values, {limit:.2%} is allowed"
    if column.came.strange and strange:
        often = sorted(column.came.strange.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
        reason += f" (for example {', '.join(repr(level) for level, _ in often)})"
    outcome = Outcome.FAILED if share > limit else Outcome.PASSED
    return Finding(f"{kind}.levels:{column.name}", outcome, reason, share, limit, rows=known)


# --- moved against the profile --------------------------------------------------------------------


def _moved(column: _Column) -> list[Finding]:
    gate, name, reference = f"drift.psi:{column.name}", column.name, column.reference
    if reference is None:
        reason = f"{name} is not in the version's profile: there is nothing to compare with"
        return [Finding(gate, Outcome.INCONCLUSIVE, reason, rows=column.came.known)]
    limit = column.limits.features.get(name, column.limits.psi).max
    what = f"the length of {name}" if column.contract.type is FeatureType.TEXT else name
    return [judge_shift(gate, what, reference, column.came.counts, limit=limit, alpha=column.alpha)]


def _more_missing(column: _Column) -> list[Finding]:
    reference, came, limit = column.reference, column.came, column.limits.missing.max
    if reference is None or reference["missing"] is None:
        return []
    usual, share = reference["missing"], came.missing_share or 0.0
    known = reference["rows"]
    missing = round(known * usual / (1 - usual)) if usual < 1 else 0
    said = "more often than usual" if share - usual > limit else "about as often as usual"
    reason = f"{column.name} is missing {said}: {share:.1%} of rows, {usual:.1%} in the reference"
    outcome = Outcome.FAILED if share - usual > limit else Outcome.PASSED
    rows = came.rows - came.absent - came.broken
    found = Finding(f"drift.missing:{column.name}", outcome, reason, share, usual + limit, rows=rows)
    return [_beyond_chance(column, found, came.missing + came.infinite, missing, known + missing)]


def _seen_once(bins: JsonObject) -> int:
    """Levels of one reference row: as many rows of a window of that size would be of levels never seen (Good 1953)."""
    return sum(count == 1 for count in bins["counts"][:-1])


def _beyond_chance(
    column: _Column, found: Finding, hits: int, reference_hits: int, reference_rows: int | None = None
) -> Finding:
    """A share above its limit that chance alone may give at these counts decides nothing."""
    if found.outcome is Outcome.PASSED:
        return found
    before = reference_rows if reference_rows is not None else (column.reference or {})["rows"]
    if by_count_alone(hits, found.rows or 0, reference_hits, before) < column.alpha:
        return found
    reason = f"{found.reason}; chance may do as much at {found.rows} rows"
    return Finding(found.gate, Outcome.INCONCLUSIVE, reason, found.value, found.limit, rows=found.rows)


def _judge_prediction(reading: Reading) -> Finding:
    spec, counts = reading.spec, reading.tally.answers.counts
    limit, alpha = spec.monitoring.drift.psi.max, alpha_each(reading, number_of_tests(spec))
    return judge_shift(
        "drift.prediction_psi", "the prediction", reading.profile["score"], counts, limit=limit, alpha=alpha
    )
