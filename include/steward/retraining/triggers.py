"""What may ask for a training, one function each. A trigger only asks; `steward.retraining.safeguards` may refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from steward.retraining.situation import DRIFT, Loss, Situation, Trigger
from steward.spec.monitoring import PerformanceRule
from steward.types import JsonObject

NO_WINDOW = "no window of the present champion has been judged"


@dataclass(frozen=True)
class Asking:
    """Whether one trigger asks, in a sentence with its numbers."""

    trigger: Trigger
    fired: bool
    sentence: str
    numbers: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {"name": self.trigger.value, "fired": self.fired, "sentence": self.sentence, **self.numbers}


def enough_windows(situation: Situation) -> Asking:
    """N of the last M windows of the present champion lost performance. An estimate without outcomes is no loss."""
    rule, considered, lost = situation.policy.when, situation.considered, situation.lost
    numbers: JsonObject = {"lost": len(lost), "of": len(considered), "needed": rule.failed_windows}
    if not considered:
        return Asking(Trigger.WINDOWS, False, NO_WINDOW, numbers)
    seen = f"performance was lost in {len(lost)} of the last {len(considered)} windows"
    if len(lost) >= rule.failed_windows:
        return Asking(Trigger.WINDOWS, True, f"{seen} of version {considered[-1].version}", numbers)
    drifted = "; inputs drifted without loss: watch" if DRIFT in considered[-1].causes and not lost else ""
    said = f"{seen}, {rule.failed_windows} of {rule.of} are needed{drifted}"
    return Asking(Trigger.WINDOWS, False, said, numbers)


def at_once(situation: Situation) -> Asking:
    """A loss in the latest window alone, beyond `retraining.at_once`, that its check did not put down to chance."""
    rules = situation.policy.at_once
    if not rules:
        return Asking(Trigger.AT_ONCE, False, "no loss is set that one window is enough for")
    latest = situation.latest
    if latest is None or latest not in situation.lost:
        return Asking(Trigger.AT_ONCE, False, "the latest window lost no performance")
    beyond = [loss for loss in situation.losses if loss.metric in rules and _is_beyond(rules[loss.metric], loss)]
    if not beyond:
        return Asking(Trigger.AT_ONCE, False, "the latest window's loss is within what more windows are waited for")
    said = "; ".join(loss.reason for loss in beyond)
    return Asking(Trigger.AT_ONCE, True, f"one window is enough: {said}", {"metrics": [loss.metric for loss in beyond]})


def _is_beyond(rule: PerformanceRule, loss: Loss) -> bool:
    fallen = [limit for limit in (rule.max_drop, rule.max_rise) if limit is not None]
    return (
        (loss.drop is not None and any(loss.drop > limit for limit in fallen))
        or (loss.value is not None and rule.max is not None and loss.value > rule.max)
        or (loss.value is not None and rule.min is not None and loss.value < rule.min)
    )


def new_labels(situation: Situation) -> Asking:
    """So many outcomes came that the champion was not trained on."""
    wanted, found = situation.policy.new_labels, situation.labels.since_champion
    if wanted is None:
        return Asking(Trigger.NEW_LABELS, False, "no number of new outcomes is set that would be enough")
    numbers: JsonObject = {"new_labels": found, "needed": wanted}
    if situation.champion is None or found is None:
        return Asking(
            Trigger.NEW_LABELS, False, "outcomes since the champion's training have not been counted", numbers
        )
    said = f"{found} outcomes came that version {situation.champion} was not trained on"
    if found >= wanted:
        return Asking(Trigger.NEW_LABELS, True, f"{said}, {wanted} are reason enough", numbers)
    return Asking(Trigger.NEW_LABELS, False, f"{said}, {wanted} would be reason enough", numbers)


def by_schedule(situation: Situation) -> Asking:
    return Asking(Trigger.SCHEDULE, True, f"the clock asks (retraining.schedule {situation.policy.schedule})")


def by_person(situation: Situation) -> Asking:
    return Asking(Trigger.MANUAL, True, f"asked for by hand: {situation.said or 'no reason given'}")


def by_request(situation: Situation) -> Asking:
    return Asking(Trigger.REQUEST, True, f"asked for earlier: {situation.said}")


FROM_WINDOWS: tuple[Callable[[Situation], Asking], ...] = (enough_windows, at_once, new_labels)
"""Asked every time a window was judged; the first that fires is the reason."""

FROM_OUTSIDE: dict[Trigger, Callable[[Situation], Asking]] = {
    Trigger.SCHEDULE: by_schedule,
    Trigger.MANUAL: by_person,
    Trigger.REQUEST: by_request,
}


def asking(situation: Situation) -> list[Asking]:
    """Every trigger that was looked at, the decisive one first."""
    if situation.asked is not None:
        return [FROM_OUTSIDE[situation.asked](situation)]
    return sorted((look(situation) for look in FROM_WINDOWS), key=lambda found: not found.fired)
