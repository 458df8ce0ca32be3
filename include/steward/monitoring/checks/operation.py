"""How the answers of a window were given: errors, latency, load, answers without a score.

- `operation.unscored` is FAILED with a single answer that carries no finite score;
- `operation.error_rate` is FAILED above its limit and beyond chance, INCONCLUSIVE above it by what may be chance;
- `operation.error_rate:source=<who>` names a caller whose requests surely fail more often than the limit;
- `operation.p50_latency` `p95` `p99`: as the error rate is, of the share of answers that took longer than the limit;
- `operation.throughput` is FAILED when the busiest hour used more of the capacity than it may. It is a measured load,
  not an estimate: chance has no part in it.

Chance is that of independent requests (exact binomial). Errors come in bursts, so limits should leave room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from steward.gates import Finding, Outcome, at_most
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.tallies import OperationTally
from steward.monitoring.tallies.operation import NO_SOURCE, latency_cell
from steward.spec.monitoring import Monitoring

_HOUR = 3600.0
_KINDS = 3  # of errors, by name
_QUANTILES = {"p50_latency": 0.5, "p95_latency": 0.95, "p99_latency": 0.99}


@dataclass(frozen=True)
class _Beyond:
    """So many rows of all that went wrong, where `allowed` is the share that may."""

    rows: int
    wrong: int
    allowed: float

    @property
    def chance(self) -> float:
        """Of so many or more, were the share just the one allowed."""
        from scipy.special import bdtrc

        if self.wrong == 0 or self.allowed >= 1:
            return 1.0
        return float(bdtrc(self.wrong - 1, self.rows, self.allowed))


def judge_operation(reading: Reading) -> list[Finding]:
    """A limit that the spec does not set is not judged."""
    limits, operation = reading.spec.monitoring, reading.tally.operation
    level = alpha_each(reading, _tests(limits, operation))
    return [
        _unscored(reading),
        *_errors(limits, operation, level),
        *_latencies(limits, operation, level),
        *_throughput(reading),
    ]


def utilisation(reading: Reading) -> float | None:
    """Share of the declared capacity that the busiest hour of the window used; None where neither is known.

    Rows are counted, so a request with ten rows counts as ten.
    """
    declared, hours = reading.spec.monitoring.throughput, reading.tally.operation.hours
    return max(hours.values()) / _HOUR / declared.capacity if declared and hours else None


def _tests(limits: Monitoring, operation: OperationTally) -> int:
    latencies = sum(getattr(limits, name) is not None for name in _QUANTILES)
    return latencies + (1 + len(_callers(operation)) if limits.error_rate else 0)


def _callers(operation: OperationTally) -> list[str]:
    """Who can be told from the whole; one alone is the whole."""
    return sorted(operation.asked) if len(operation.asked) > 1 else []


def _unscored(reading: Reading) -> Finding:
    """An answer that is no error must carry a finite score."""
    answers = reading.tally.answers
    share = answers.unscored / answers.rows if answers.rows else None
    said = "Share of answers without a finite score"
    return at_most("operation.unscored", share, 0.0, said, rows=answers.rows)


# --- errors ---------------------------------------------------------------------------------------


def _errors(limits: Monitoring, operation: OperationTally, level: float) -> Iterator[Finding]:
    if limits.error_rate is None:
        return
    failed, limit = sum(operation.errors.values()), limits.error_rate.max
    yield _judge_errors("operation.error_rate", "", _Beyond(operation.rows, failed, limit), operation.errors, level)
    for caller in _callers(operation):
        theirs = _Beyond(operation.asked[caller], operation.failed.get(caller, 0), limit)
        found = _judge_errors(f"operation.error_rate:source={caller}", f" of {_named(caller)}", theirs, {}, level)
        if found.outcome is Outcome.FAILED:
            yield found


def _named(caller: str) -> str:
    return "callers who name no source" if caller == NO_SOURCE else caller


def _judge_errors(gate: str, whose: str, found: _Beyond, kinds: Mapping[str, int], level: float) -> Finding:
    if not found.rows:
        return Finding(
            gate, Outcome.INCONCLUSIVE, "nothing was asked: there is no error rate", limit=found.allowed, rows=0
        )
    rate = found.wrong / found.rows
    said = (
        f"{found.wrong} of {found.rows} requests{whose} failed ({rate:.3g}), {found.allowed:g} is allowed{_most(kinds)}"
    )
    outcome, said = _judged(rate > found.allowed, found, level, said)
    return Finding(gate, outcome, said, rate, found.allowed, rows=found.rows)


def _most(kinds: Mapping[str, int]) -> str:
    if not kinds:
        return ""
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    more = f" and {len(ordered) - _KINDS} more kinds" if len(ordered) > _KINDS else ""
    return f": {', '.join(f'{kind} {count}' for kind, count in ordered[:_KINDS])}{more}"


def _judged(above: bool, found: _Beyond, level: float, said: str) -> tuple[Outcome, str]:
    if not above:
        return Outcome.PASSED, said
    if found.chance < level:
        return Outcome.FAILED, said
    return Outcome.INCONCLUSIVE, f"{said}; so few rows that it may be chance"


# --- latency --------------------------------------------------------------------------------------


def _latencies(limits: Monitoring, operation: OperationTally, level: float) -> Iterator[Finding]:
    for name, q in _QUANTILES.items():
        if (limit := getattr(limits, name)) is not None:
            yield _judge_latency(name, q, limit.max.total_seconds() * 1000, operation, level)


def _judge_latency(name: str, q: float, limit: float, operation: OperationTally, level: float) -> Finding:
    """By ranks: the quantile is above the limit for sure when surely more than 1 − q of all answers are."""
    gate, value, rows = f"operation.{name}", operation.latency_quantile(q), sum(operation.latency.values())
    if value is None:
        reason = "no answer has a latency: nobody waited for one"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, limit=limit, rows=0)
    slow = sum(count for cell, count in operation.latency.items() if cell > latency_cell(limit))
    said = (
        f"{q:.0%} of answers came within {value:.4g} ms, {limit:g} ms is allowed; "
        f"{slow} of {rows} took longer, {1 - q:.0%} may"
    )
    found = _Beyond(rows, slow, 1 - q)
    outcome, said = _judged(slow / rows > 1 - q, found, level, said)
    return Finding(gate, outcome, said, value, limit, rows=rows)


# --- load -----------------------------------------------------------------------------------------


def _throughput(reading: Reading) -> Iterator[Finding]:
    declared, used, hours = reading.spec.monitoring.throughput, utilisation(reading), reading.tally.operation.hours
    if declared is None:
        return
    gate, limit = "operation.throughput", declared.max
    if used is None:
        yield Finding(gate, Outcome.INCONCLUSIVE, "nothing was asked: there is no load", limit=limit, rows=0)
        return
    busiest = max(hours, key=lambda hour: (hours[hour], hour))
    reason = (
        f"in the hour from {busiest} UTC {hours[busiest] / _HOUR:.3g} rows a second were answered: "
        f"{used:.0%} of the capacity of {declared.capacity:g}, {limit:.0%} may be used"
    )
    outcome = Outcome.FAILED if used > limit else Outcome.PASSED
    yield Finding(gate, outcome, reason, used, limit, rows=reading.tally.rows)
