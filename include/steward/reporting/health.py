"""How a model does: one word, and why in sentences short enough for the cell of a table. Told the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from steward.gates import Outcome

DRIFT = "drift"
UNWATCHED = "no folder declares it: nothing judges it"
ALTERED = "the evidence of its newest window was altered: steward audit verify"
LOST = "the evidence of its newest window is not on record"
_SEVERITIES = ("high", "medium", "low")


def not_since(version: int, since: datetime) -> str:
    """Of a champion that came back: what was found in its former reign is no news."""
    return f"no window judged since @{version} came back on {since:%Y-%m-%d %H:%M}"


class Health(StrEnum):
    """Worst first. `state_of` says the five that windows and incidents tell; the others are said by the inventory."""

    RED = "red"
    BROKEN = "broken"  # its spec: nothing judges it
    NOT_JUDGED = "not judged"  # no check came to a verdict, or not lately
    WATCHED = "watched"  # drift alone: it wakes nobody
    GREEN = "green"
    NOT_SERVING = "not serving"
    ELSEWHERE = "elsewhere"
    RETIRED = "retired"

    @property
    def place(self) -> int:
        return list(Health).index(self)


@dataclass(frozen=True)
class Trouble:
    """An incident that is not resolved; `since` is the end of its first bad window."""

    cause: str
    severity: str
    since: datetime


@dataclass(frozen=True)
class Signs:
    """What health is told from. `outcomes` of the champion's newest window by cause, None while none was judged;
    `overdue` says that another should have been judged since, `unread` why its evidence does not bear them out."""

    serves: bool
    troubles: Sequence[Trouble] = ()
    outcomes: Mapping[str, str] | None = None
    overdue: str | None = None
    unread: str | None = None

    @property
    def told_lately(self) -> bool:
        """The newest window was judged, on time, and its evidence is there."""
        return self.outcomes is not None and self.overdue is None and self.unread is None

    def of_outcome(self, outcome: Outcome) -> list[str]:
        return [cause for cause, each in (self.outcomes or {}).items() if each == outcome]


def state_of(signs: Signs, standing: Health | None = None) -> Health:
    """`standing` is what the inventory says before any window is asked: nothing but a trouble is worse.

    Nothing is green, or drifts without a loss, of which no check came to a verdict, or not lately; and what the latest
    window failed on counts, also where a person has ended its incident.
    """
    wrong = {each.cause for each in signs.troubles} | {*signs.of_outcome(Outcome.FAILED)}
    if wrong - {DRIFT} and standing is not Health.ELSEWHERE:
        return Health.RED
    return standing or _without_loss(signs, drifts=bool(wrong))


def _without_loss(signs: Signs, *, drifts: bool) -> Health:
    if signs.serves and not signs.told_lately:
        return Health.NOT_JUDGED
    if drifts:
        return Health.WATCHED
    if not signs.serves:
        return Health.NOT_SERVING
    return Health.GREEN if signs.of_outcome(Outcome.PASSED) else Health.NOT_JUDGED


def why(signs: Signs) -> list[str]:
    """What is wrong, the most urgent first, and what is not known. Empty when all is well and told."""
    return [*_wrong(signs), *(_untold(signs) if signs.serves else ())]


def _wrong(signs: Signs) -> Iterator[str]:
    for each in sorted(signs.troubles, key=lambda each: (_urgency(each.severity), each.since)):
        yield f"{_words(each.cause)} since {each.since:%Y-%m-%d} ({each.severity})"
    known = {each.cause for each in signs.troubles}
    if left := [cause for cause in signs.of_outcome(Outcome.FAILED) if cause not in known]:
        yield f"the newest window failed: {_listed(left)}"


def _untold(signs: Signs) -> Iterator[str]:
    if signs.outcomes is None:
        yield "no window judged yet"
    elif not signs.outcomes:
        yield "no check of the newest window came to a verdict"
    yield from filter(None, (signs.unread, signs.overdue))
    if unclear := signs.of_outcome(Outcome.INCONCLUSIVE):
        yield f"could not be judged: {_listed(unclear)}"


def _urgency(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else 0


def _listed(causes: Sequence[str]) -> str:
    return ", ".join(map(_words, causes))


def _words(cause: str) -> str:
    return cause.replace("_", " ")
