"""Do the groups of a protected column fare alike? Measures, their uncertainty, and the rule of a gate on them.

Every share keeps its denominator and a 95 % Wilson interval. A measure compares the two extreme groups: the interval of
a ratio is by MOVER (Donner and Zou 2012), of a difference by Newcombe (1998), both from the Wilson limits; `p` is that
of the pooled two-proportion z-test between those two groups, two-sided. The extremes are picked after the fact, so with
many groups the intervals are a little too narrow and `p` a little too small; what counts as proven allows for it.
Where an answer is rare, `p` is too small as well: a gap is proven there when Fisher's exact test says so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import erfc, sqrt
from statistics import NormalDist
from typing import NamedTuple

from steward.gates.counts import apart_by_chance
from steward.gates.verdict import Finding, Outcome
from steward.types import JsonObject, to_json

SIGNIFICANT = 0.05
SMALL_GROUP = "fairness.rows"  # gate of a group with too few rows to judge: named, never dropped
_Z = 1.959963984540054  # of a two-sided 95 % interval
_ROUNDING = 1e-12  # 0.48 over 0.6 is four fifths
_FEWEST_EXPECTED = 10  # of either answer in either group: with fewer the z-test calls alike groups apart too often


@dataclass(frozen=True)
class Share:
    """`count` of `rows`; no value without rows."""

    count: int
    rows: int

    @property
    def value(self) -> float | None:
        return _value_of(self) if self.rows else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 1927, 95 %; the whole of 0 to 1 without rows."""
        return self.interval_at(_Z)

    def interval_at(self, z: float) -> tuple[float, float]:
        """The same at another quantile of the normal distribution."""
        if not self.rows:
            return 0.0, 1.0
        p, n, z2 = self.count / self.rows, self.rows, z**2
        centre, half = p + z2 / (2 * n), z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
        return (0.0 if self.count == 0 else low), (1.0 if self.count == n else high)

    def to_json(self) -> JsonObject:
        lower, upper = self.interval
        return {"value": self.value, "lower": lower, "upper": upper, "count": self.count, "rows": self.rows}


@dataclass(frozen=True)
class Group:
    """How one group fared. Everything is told from the favourable side: a true positive is a deserved yes."""

    name: str
    selected: Share  # favourable decisions
    true_positive: Share  # of those with the favourable outcome
    false_positive: Share  # of those with the other one
    accurate: Share

    @property
    def rows(self) -> int:
        return self.selected.rows

    @property
    def refused(self) -> Share:
        return Share(self.selected.rows - self.selected.count, self.selected.rows)

    def to_json(self) -> JsonObject:
        shares = ("selected", "refused", "true_positive", "false_positive", "accurate")
        return {"group": self.name, "rows": self.rows, **{name: getattr(self, name).to_json() for name in shares}}


class Named(NamedTuple):
    """One group's share of the kind a measure compares; `of` is how many rows the whole group has."""

    group: str
    share: Share
    of: int


@dataclass(frozen=True)
class Disparity:
    """A measure over the groups of one column; `value` is None exactly when `problem` is set.

    `lower` and `upper` are its 95 % interval, `p` says how easily chance makes two equal groups differ so. `proven` is
    the widest gap among pairs that differ significantly, between `proven_groups`: most often the extremes themselves.
    `small` are groups (and their rows) with too few to be compared, `unknown` large ones without any such share.
    """

    metric: str
    value: float | None
    problem: str | None = None
    lower: float | None = None
    upper: float | None = None
    lowest: str | None = None
    highest: str | None = None
    p: float | None = None
    rows: int | None = None
    proven: float | None = None
    proven_groups: tuple[str, ...] = ()
    small: tuple[tuple[str, int], ...] = ()
    unknown: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


def z_test(one: Share, other: Share) -> tuple[float, float]:
    """→ (z, p) of the pooled two-proportion test, two-sided; (0, 1) when all or none of both were counted."""
    pooled = (one.count + other.count) / (one.rows + other.rows)
    error = sqrt(pooled * (1 - pooled) * (1 / one.rows + 1 / other.rows))
    if error == 0:
        return 0.0, 1.0
    z = (one.count / one.rows - other.count / other.rows) / error
    return z, erfc(abs(z) / sqrt(2))


def parity_ratio(groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Disparity:
    """Lowest share of favourable decisions over the highest. `level`: how small p must be, of this and of each measure
    below, for a gap to be proven."""
    shares = [Named(g.name, g.selected, g.rows) for g in groups]
    if {g.selected.count for g in groups if g.rows >= min_rows} == {0}:
        return _none(_RATIO, shares, min_rows, "nobody got the favourable decision: there is no ratio")
    return _compare(_RATIO, shares, min_rows, level)


def parity_difference(groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Disparity:
    """Highest share of favourable decisions less the lowest."""
    shares = [Named(g.name, g.selected, g.rows) for g in groups]
    return _compare("demographic_parity_difference", shares, min_rows, level)


def accuracy_difference(groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Disparity:
    return _compare("accuracy_difference", [Named(g.name, g.accurate, g.rows) for g in groups], min_rows, level)


def odds_difference(groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Disparity:
    """The larger of the gaps in true and in false positive rates, each among the groups that have one."""
    metric = "equalized_odds_difference"
    true = _compare(metric, [Named(g.name, g.true_positive, g.rows) for g in groups], min_rows, level)
    false = _compare(metric, [Named(g.name, g.false_positive, g.rows) for g in groups], min_rows, level)
    small, unknown = tuple(sorted({*true.small, *false.small})), tuple(sorted({*true.unknown, *false.unknown}))
    if true.value is None or false.value is None:
        kind, gap = ("true", true) if true.value is None else ("false", false)
        return Disparity(metric, None, f"{kind} positive rates: {gap.problem}", small=small, unknown=unknown)
    widest = true if true.value >= false.value else false
    proven = max((true, false), key=lambda gap: gap.proven or 0.0)
    return replace(widest, proven=proven.proven, proven_groups=proven.proven_groups, small=small, unknown=unknown)


def highest_refusal(groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Disparity:
    """The group refused most. The interval is of its own share; `proven` is the highest lower end of any group."""
    metric, small = "adverse_action_rate", tuple((g.name, g.rows) for g in groups if g.rows < min_rows)
    judged = [g for g in groups if g.rows >= min_rows]
    if not judged:
        return Disparity(metric, None, f"no group has {min_rows} rows", small=small)
    worst = max(judged, key=lambda g: (g.refused.value or 0.0, g.name))
    z = NormalDist().inv_cdf(1 - level / max(2, len(judged)))  # of as many groups one is refused often by chance
    surest = max(judged, key=lambda g: g.refused.interval_at(z)[0])
    lower, upper = worst.refused.interval
    return Disparity(
        metric, worst.refused.value, None, lower, upper, highest=worst.name, rows=worst.rows,
        proven=surest.refused.interval_at(z)[0], proven_groups=(surest.name,), small=small,
    )  # fmt: skip


_RATIO = "demographic_parity_ratio"


def _none(metric: str, shares: Sequence[Named], min_rows: int, problem: str) -> Disparity:
    return Disparity(metric, None, problem, small=_small(shares, min_rows), unknown=_unknown(shares, min_rows))


def _small(shares: Sequence[Named], min_rows: int) -> tuple[tuple[str, int], ...]:
    unknown = _unknown(shares, min_rows)
    return tuple((s.group, s.share.rows) for s in shares if s.share.rows < min_rows and s.group not in unknown)


def _unknown(shares: Sequence[Named], min_rows: int) -> tuple[str, ...]:
    return tuple(s.group for s in shares if s.of >= min_rows and not s.share.rows)


def _compare(metric: str, shares: Sequence[Named], min_rows: int, level: float) -> Disparity:
    judged = [each for each in shares if each.share.rows >= max(min_rows, 1)]
    if len(judged) < 2:
        who = f"only {judged[0].group} has" if judged else "no group has"
        return _none(metric, shares, min_rows, f"{who} {min_rows} rows or more, and it takes two groups to compare")
    ordered = sorted(judged, key=lambda each: (_value_of(each.share), each.group))
    low, high = ordered[0], ordered[-1]
    proven = _widest_proven(metric, ordered, level)
    between = _ratio_interval if metric == _RATIO else _difference_interval
    lower, upper = between(low.share, high.share)
    return Disparity(
        metric, _gap(metric, low, high), None, lower, upper, low.group, high.group,
        p=z_test(low.share, high.share)[1], rows=low.share.rows + high.share.rows,
        proven=None if proven is None else _gap(metric, *proven),
        proven_groups=() if proven is None else (proven[0].group, proven[1].group),
        small=_small(shares, min_rows), unknown=_unknown(shares, min_rows),
    )  # fmt: skip


def _value_of(share: Share) -> float:
    return share.count / share.rows


def _gap(metric: str, low: Named, high: Named) -> float:
    if metric == _RATIO:
        return _value_of(low.share) / _value_of(high.share)
    return _value_of(high.share) - _value_of(low.share)


def _widest_proven(metric: str, ordered: Sequence[Named], level: float) -> tuple[Named, Named] | None:
    """A small group may be the extreme by chance and hide a large one that is nearly as far off, surely."""
    every = list(combinations(ordered, 2))
    each = level / len(every)  # Bonferroni: looked at ten alike groups, two of them differ by chance
    pairs = [pair for pair in every if _by_chance(pair[0].share, pair[1].share) < each]
    sign = -1 if metric == _RATIO else 1
    return max(pairs, key=lambda pair: sign * _gap(metric, *pair), default=None)


def _by_chance(low: Share, high: Share) -> float:
    """p of the z-test; where an answer is rare, not below that of Fisher's exact test."""
    p, rows = z_test(low, high)[1], low.rows + high.rows
    counted = low.count + high.count
    if min(counted, rows - counted) * min(low.rows, high.rows) / rows >= _FEWEST_EXPECTED:
        return p
    return max(p, apart_by_chance(low.count, low.rows, high.count, high.rows))


def _difference_interval(low: Share, high: Share) -> tuple[float, float]:
    """Newcombe 1998, method 10."""
    (l1, u1), (l2, u2) = high.interval, low.interval
    p1, p2 = _value_of(high), _value_of(low)
    return p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2), p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)


def _ratio_interval(low: Share, high: Share) -> tuple[float, float]:
    """Donner and Zou 2012, from both Wilson intervals; nothing is divided by zero as the lower share may be 0."""
    (l1, u1), (l2, u2) = low.interval, high.interval
    p1, p2 = low.count / low.rows, high.count / high.rows
    product = p1 * p2
    under = sqrt(max(0.0, product**2 - l1 * u2 * (2 * p1 - l1) * (2 * p2 - u2)))
    over = sqrt(max(0.0, product**2 - u1 * l2 * (2 * p1 - u1) * (2 * p2 - l2)))
    return _over(product - under, u2 * (2 * p2 - u2)), _over(product + over, l2 * (2 * p2 - l2))


def _over(above: float, below: float) -> float:
    return above / below if below else float("nan")


# --- the rule ------------------------------------------------------------------------------------

TITLES = {
    "demographic_parity_ratio": "Demographic parity ratio",
    "demographic_parity_difference": "Demographic parity difference",
    "equalized_odds_difference": "Equalized odds difference",
    "adverse_action_rate": "Adverse-action rate",
    "accuracy_difference": "Accuracy difference",
}


def judge_disparity(found: Disparity, limit: float, by: str) -> Finding:
    """Beyond the limit and not by chance FAILED, beyond it by what may be chance INCONCLUSIVE, within it PASSED.

    A group without any such share is never taken as like the others.
    """
    gate, title = f"fairness.{found.metric}", f"{TITLES[found.metric]} by {by}"
    if found.value is None:
        reason = f"{title} could not be computed: {found.problem}"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, None, limit, by)
    beyond = _is_beyond(found.metric, found.value, limit)
    proven = found.proven is not None and _is_beyond(found.metric, found.proven, limit)
    outcome = _outcome(beyond, proven, bool(found.unknown))
    relation = "within" if not beyond else "below" if found.metric == _RATIO else "above"
    reason = f"{title} is {_said(found)}, {relation} the limit {limit:.4g}{_remark(found, beyond, proven)}"
    return Finding(gate, outcome, reason, found.value, limit, by, found.rows)


def _is_beyond(metric: str, value: float, limit: float) -> bool:
    """More is better of the ratio alone."""
    return value < limit - _ROUNDING if metric == _RATIO else value > limit + _ROUNDING


def _outcome(beyond: bool, proven: bool, incomplete: bool) -> Outcome:
    if beyond:
        return Outcome.FAILED if proven else Outcome.INCONCLUSIVE
    return Outcome.INCONCLUSIVE if incomplete else Outcome.PASSED


def _said(found: Disparity) -> str:
    groups = found.highest if found.lowest is None else f"{found.lowest} to {found.highest}"
    chance = "" if found.p is None else f", p = {found.p:.2g}"
    return f"{found.value:.4g} ({groups}, 95 % interval {found.lower:.3g} to {found.upper:.3g}{chance})"


def _remark(found: Disparity, beyond: bool, proven: bool) -> str:
    if beyond and not proven:
        return ", which may be chance: more rows would tell"
    if beyond:
        extremes = {found.lowest, found.highest}
        return "" if set(found.proven_groups) <= extremes else f", surely so for {' to '.join(found.proven_groups)}"
    if found.unknown:
        return f", but {', '.join(found.unknown)} had no rows to take such a rate from"
    return f"; {warning(found)}" if warning(found) else ""


def warning(found: Disparity) -> str | None:
    """For a gap that is within every limit and still no chance."""
    if found.p is None or found.proven is None:
        return None
    return f"yet {' and '.join(found.proven_groups)} differ by more than chance"


def judge_rows(group: str, rows: int, min_rows: int, by: str) -> Finding:
    """Of a group that is too small to be compared: named, never dropped."""
    where = f"{by} = {group}"
    reason = f"{where} has {rows} rows to take a rate from, {min_rows} are needed: not compared"
    return Finding(SMALL_GROUP, Outcome.INCONCLUSIVE, reason, rows, min_rows, where, rows)
