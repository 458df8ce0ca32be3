"""What the control plane tells Prometheus: every figure by name, and the figures of one moment.

Names and labels are for good: dashboards and alert rules ask for them. Labels take few values each (`check` is a gate's
name without the feature behind it), so that five hundred models stay a small scrape. No feature, person or reason is a
label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from steward.gates import Finding, Outcome


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Figure:
    """A counter's name ends in `_total`."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()


_ARM = ("model", "version")

FIGURES: tuple[Figure, ...] = (
    Figure("steward_champion_version", Kind.GAUGE, "Number of the version that serves", ("model",)),
    Figure("steward_window_outcome", Kind.GAUGE, "1 for the outcome of a cause in the newest judged window, else 0",
           (*_ARM, "cause", "outcome")),
    Figure("steward_window_rows", Kind.GAUGE, "Rows of the newest judged window", _ARM),
    Figure("steward_window_end_timestamp_seconds", Kind.GAUGE, "Where it ends, business time", _ARM),
    Figure("steward_window_judged_timestamp_seconds", Kind.GAUGE, "When it was judged, business time", _ARM),
    Figure("steward_monitor_overdue", Kind.GAUGE, "1 while a served model was not judged when it was due", ("model",)),
    Figure("steward_check_value", Kind.GAUGE, "Value of a check in that window; of many, the one nearest to failing",
           (*_ARM, "check")),
    Figure("steward_check_limit", Kind.GAUGE, "Limit beside that value", (*_ARM, "check")),
    Figure("steward_check_findings", Kind.GAUGE, "How many findings of a check came out so, over features and slices",
           (*_ARM, "check", "outcome")),
    Figure("steward_incidents", Kind.GAUGE, "Incidents that are not resolved", ("model", "cause", "severity", "state")),
    Figure("steward_incident_oldest_timestamp_seconds", Kind.GAUGE, "When the oldest of them was opened", ("model",)),
    Figure("steward_notices_waiting", Kind.GAUGE, "Messages and other effects that are not delivered yet"),
    Figure("steward_approvals_waiting", Kind.GAUGE, "Approval requests that are open", ("model",)),
    Figure("steward_rollouts_running", Kind.GAUGE, "1 while a canary answers some, or a shadow copies", ("model",)),
    Figure("steward_measure_ratio", Kind.GAUGE, "Share by measure; absent without enough data",
           ("measure", "days")),
    Figure("steward_measure_seconds", Kind.GAUGE, "Median length of time by measure; absent without enough data",
           ("measure", "days")),
    Figure("steward_measure_average", Kind.GAUGE, "How many for every one, by measure; absent without enough data",
           ("measure", "days")),
    Figure("steward_measure_sample", Kind.GAUGE, "How many facts that figure is taken over; 0 without any",
           ("measure", "days")),
    Figure("steward_events_total", Kind.COUNTER, "Audit events by type", ("model", "type")),
    Figure("steward_ledger_sequence", Kind.GAUGE, "Sequence of the newest audit event that was read"),
)  # fmt: skip
BY_NAME = {figure.name: figure for figure in FIGURES}


@dataclass
class Figures:
    """Of one moment: by figure and label values, in the order of its labels."""

    values: dict[str, dict[tuple[str, ...], float]] = field(default_factory=lambda: {f.name: {} for f in FIGURES})

    def set(self, name: str, value: float, *labels: object) -> None:
        """Raises KeyError for a figure nobody declared, ValueError for another number of labels."""
        figure, told = BY_NAME[name], tuple(map(str, labels))
        if len(told) != len(figure.labels):
            raise ValueError(f"{name} has the labels {', '.join(figure.labels)}, {len(told)} were given")
        self.values[name][told] = value


def check_of(gate: str) -> str:
    """`drift.psi` of `drift.psi:temp`."""
    return gate.partition(":")[0]


@dataclass(frozen=True)
class CheckFigures:
    """All findings of one check in one window."""

    check: str
    value: float | None
    limit: float | None
    outcomes: dict[Outcome, int]


def check_figures(findings: Iterable[Finding]) -> Iterator[CheckFigures]:
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(check_of(finding.gate), []).append(finding)
    for check, found in sorted(by_check.items()):
        nearest = max((f for f in found if f.value is not None), key=nearness, default=None)
        outcomes = {outcome: sum(f.outcome is outcome for f in found) for outcome in Outcome}
        yield CheckFigures(check, nearest.value if nearest else None, nearest.limit if nearest else None, outcomes)


def nearness(finding: Finding) -> tuple[bool, float]:
    """A failed one first, then by how much of its limit is used up."""
    value, limit = finding.value or 0.0, finding.limit
    return finding.outcome is Outcome.FAILED, abs(value / limit) if limit else abs(value)
