"""What the judged windows of a version say about one trouble: since when, how often, and whether it is over.

Told from the windows themselves and never from counters, so a window judged twice counts once, and one that is judged
late, or with a clock that went back, takes its own place and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple

from steward.gates import Outcome
from steward.monitoring.windows import Incident, JudgedWindow
from steward.types import Window


@dataclass(frozen=True)
class Episode:
    """`first_bad` to `last_bad` with `failed` failed windows, each in `bad`; the last `passed` in a row were sound."""

    first_bad: Window
    last_bad: JudgedWindow
    failed: int = 1
    passed: int = 0
    bad: tuple[JudgedWindow, ...] = field(default=(), compare=False, repr=False)

    def is_over(self, sound: int) -> bool:
        return self.passed >= sound


Recovered = Callable[[Sequence[JudgedWindow], JudgedWindow], bool]
"""Whether all that failed in these windows is sound in the last one, though something else of it could not be told."""


def _never(bad: Sequence[JudgedWindow], judged: JudgedWindow) -> bool:
    return False


def latest_episode(
    windows: Iterable[JudgedWindow],
    cause: str,
    sound: int,
    before: Episode | None = None,
    recovered: Recovered = _never,
) -> Episode | None:
    """The last trouble of this cause, over or not; None when no window failed.

    `windows` are of one version, oldest first. `sound` passed windows in a row end an episode. A window that could not
    be judged for the cause neither counts nor interrupts: absence of evidence ends no trouble and starts none. One in
    which only checks that never failed could not decide counts as passed, if `recovered` says so. `before` is what went
    on when the first of them was judged.
    """
    episode = before
    for judged in windows:
        outcome = outcome_of(judged, cause)
        if outcome is Outcome.FAILED:
            going_on = episode is not None and not episode.is_over(sound)
            episode = _once_more(episode, judged) if episode and going_on else _begun(judged)
        elif episode is not None and (
            outcome is Outcome.PASSED or (outcome is Outcome.INCONCLUSIVE and recovered(episode.bad, judged))
        ):
            episode = replace(episode, passed=episode.passed + 1)
    return episode


def _begun(judged: JudgedWindow) -> Episode:
    return Episode(judged.window, judged, bad=(judged,))


def _once_more(episode: Episode, judged: JudgedWindow) -> Episode:
    return replace(episode, last_bad=judged, failed=episode.failed + 1, passed=0, bad=(*episode.bad, judged))


def outcome_of(judged: JudgedWindow, cause: str) -> Outcome:
    """Of one cause. Windows recorded before outcomes were kept by cause say only which causes failed."""
    said = {each.value: outcome for each, outcome in judged.outcomes.items()}
    if cause in {each.value for each in judged.causes}:
        return Outcome.FAILED
    if said:
        return said.get(cause, Outcome.INCONCLUSIVE)
    return Outcome.INCONCLUSIVE if judged.outcome is Outcome.INCONCLUSIVE else Outcome.PASSED


def settled_to(incidents: Iterable[Incident], version: int, cause: str) -> datetime | None:
    """Windows up to here belong to an incident that was resolved: judged again or late, they open no other."""
    ended = [i for i in incidents if (i.version, i.cause) == (version, cause) and not i.unresolved]
    return max((i.judged_to or i.resolved_at or i.opened_at for i in ended), default=None)


class Step(NamedTuple):
    """What one judged window did to the trouble: it began, went on, or was over with it."""

    judged: JudgedWindow
    episode: Episode
    kind: Literal["began", "went_on", "ended"]


def retold(windows: Sequence[JudgedWindow], cause: str, sound: int, recovered: Recovered = _never) -> Iterator[Step]:
    """The troubles of one version, as they would have been followed night by night. `windows` oldest first."""
    settled, under_way = 0, False
    for place, judged in enumerate(windows, 1):
        episode = latest_episode(windows[settled:place], cause, sound, recovered=recovered)
        if episode is None:
            continue
        if episode.is_over(sound):
            settled = place
            if under_way:
                yield Step(judged, episode, "ended")
            under_way = False
        else:
            yield Step(judged, episode, "went_on" if under_way else "began")
            under_way = True
