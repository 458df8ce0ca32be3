"""What stands in the way of a training, one function each. All are looked at every time; who asks says which bind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from steward.gates import Outcome
from steward.retraining.diagnosis import diagnoses
from steward.retraining.situation import DATA, Judged, Situation, Trigger, is_broken
from steward.spec.fields import format_duration
from steward.types import JsonObject, format_instant

LATE = timedelta(days=1)  # how much later than its window's length a look at the data may be


@dataclass(frozen=True)
class Safeguard:
    """What one of them says. `advice` is the next step where it refuses."""

    passed: bool
    sentence: str
    advice: str = ""
    numbers: JsonObject = field(default_factory=dict)


def single_flight(situation: Situation) -> Safeguard:
    if situation.history.rollout is None:
        return Safeguard(True, "nothing is being rolled out")
    advice = f"wait for it, or end it: steward rollback {situation.model} --reason …"
    return Safeguard(False, f"one at a time: {situation.history.rollout}", advice)


def nothing_open(situation: Situation) -> Safeguard:
    if situation.history.open_work is None:
        return Safeguard(True, "no run and no request is open")
    advice = "answer or end it first; `steward heal` closes a run that does not move any more"
    return Safeguard(False, f"one at a time: {situation.history.open_work}", advice)


def same_champion(situation: Situation) -> Safeguard:
    """Of a request: whether the version it was about still serves."""
    if situation.request == situation.champion:
        return Safeguard(True, "the champion is still the one it was asked for")
    said = f"it was asked for version {situation.request}, which no longer serves"
    return Safeguard(False, said, "nothing is to be done: the next window judges the present champion")


def data_quality(situation: Situation) -> Safeguard:
    """Absence is no consent: data that nobody could judge lately is not known to be sound."""
    if situation.champion is None:
        return Safeguard(True, "nothing serves yet: the data contract judges what a first version learns from")
    latest = situation.latest
    if latest is None:
        said = f"no window of version {situation.champion} has been judged: whether its data is sound is not known"
        return Safeguard(False, said, f"let {situation.model}__monitor run")
    if trouble := _untrusted(situation, latest):
        return trouble
    return Safeguard(True, f"the data of the latest window ({latest.window}) kept its contract")


def _untrusted(situation: Situation, latest: Judged) -> Safeguard | None:
    if is_broken(latest):
        said = f"the data of the latest window ({latest.window}) is broken: mend it first, never train on it"
        return Safeguard(False, said, "mend the source; the next window that passes opens the way")
    if situation.now - latest.window.end > latest.window.length + LATE:
        said = f"the latest judged window ended {format_instant(latest.window.end)}: what came since is not known"
        return Safeguard(False, said, f"see why {situation.model}__monitor does not run")
    if not _was_judged(situation, latest):
        said = (
            f"the data of the latest window ({latest.window}) could not be judged: too little is known to train on it"
        )
        return Safeguard(False, said, "see the window's evidence for what was lacking: rows, or the log itself")
    return None


def _was_judged(situation: Situation, latest: Judged) -> bool:
    """Some of its checks came to a verdict. A window from before outcomes were kept by cause has its own only."""
    if not latest.outcomes:
        return latest.outcome is not Outcome.INCONCLUSIVE
    if latest.outcomes.get(DATA) is Outcome.INCONCLUSIVE:
        return any(f.gate.startswith(f"{DATA}.") and f.outcome is Outcome.PASSED for f in situation.findings)
    return DATA in latest.outcomes


def cooldown(situation: Situation) -> Safeguard:
    """From the last request, training or promotion, whichever is last; also when the clock was set back."""
    history, length = situation.history, situation.policy.cooldown
    past = {
        "the last request": history.last_requested_at,
        "the last training": history.last_trained_at,
        "the last promotion": history.last_promoted_at,
    }
    known = [(at, what) for what, at in past.items() if at is not None]
    if not known:
        return Safeguard(True, "nothing was trained or released before")
    at, what = max(known)
    ends = at + length
    numbers: JsonObject = {"since": format_instant(at), "ends": format_instant(ends)}
    if situation.now >= ends:
        return Safeguard(
            True, f"{what} was at {format_instant(at)}, {format_duration(length)} have passed", "", numbers
        )
    said = f"cooldown: {what} was at {format_instant(at)}, wait {format_duration(length)}, until {format_instant(ends)}"
    return Safeguard(False, said, "nothing is to be done: it is asked again after the next window", numbers)


def budget_of_runs(situation: Situation) -> Safeguard:
    budget, used = situation.policy.budget, situation.history.runs_in_period
    numbers: JsonObject = {"used": used, "budget": budget.runs}
    said = f"{used} of {budget.runs} runs within {format_duration(budget.per)} are used"
    if used < budget.runs:
        return Safeguard(True, said, "", numbers)
    if budget.runs == 0:
        advice = "the spec switches retraining off (retraining.budget.runs: 0)"
    else:
        advice = f"wait, or start one by hand: steward retrain {situation.model} --reason …"
    return Safeguard(False, f"budget: {said}", advice, numbers)


def budget_of_cpu(situation: Situation) -> Safeguard:
    """What the next training may cost is set aside first, so that the budget holds in any period of its length."""
    budget, used, next_one = (
        situation.policy.budget,
        situation.history.cpu_hours_in_period,
        situation.history.dearest_run,
    )
    if budget.cpu_hours is None:
        return Safeguard(True, f"{used:.2f} CPU hours are used, no limit is set", "", {"used": round(used, 3)})
    numbers: JsonObject = {"used": round(used, 3), "next": round(next_one, 3), "budget": budget.cpu_hours}
    said = f"{used:.2f} of {budget.cpu_hours:g} CPU hours within {format_duration(budget.per)} are used"
    if used >= budget.cpu_hours:
        return Safeguard(False, f"budget: {said}", _cheaper(situation), numbers)
    if used + next_one > budget.cpu_hours:
        said = f"budget: {said}, and a training takes up to {next_one:.2f}"
        return Safeguard(False, said, _cheaper(situation), numbers)
    return Safeguard(True, said, "", numbers)


def _cheaper(situation: Situation) -> str:
    return (
        f"wait, make a training cheaper, or start one by hand: steward retrain {situation.model} --reason …; "
        "what it costs is counted"
    )


def enough_new_labels(situation: Situation) -> Safeguard:
    needed, found = situation.policy.min_new_labels, situation.labels.since_champion
    numbers: JsonObject = {"new_labels": found, "needed": needed}
    if not needed or situation.champion is None:
        return Safeguard(True, "no least number of new outcomes is asked for", "", numbers)
    if found is None:
        said = f"{needed} new outcomes are needed, and nobody has counted any"
        return Safeguard(False, said, "send outcomes to the server or the table; the monitor counts them", numbers)
    said = f"{found} outcomes came that version {situation.champion} was not trained on, {needed} are needed"
    advice = "wait for outcomes; it is asked again after every window"
    return Safeguard(found >= needed, said, "" if found >= needed else advice, numbers)


def breaker(situation: Situation) -> Safeguard:
    refused, limit = situation.history.refused, situation.policy.stop_after_refusals
    numbers: JsonObject = {
        "refused": [each.version for each in refused],
        "events": [each.seq for each in refused],
        "limit": limit,
    }
    if not refused:
        return Safeguard(True, "no candidate was refused since the last promotion", "", numbers)
    named = ", ".join(f"{situation.model}@{each.version}" for each in refused)
    said = f"{len(refused)} in a row refused since the last promotion ({named})"
    if len(refused) < limit:
        return Safeguard(True, f"{said}, {limit} would stop it", "", numbers)
    advice = f"look at why ({refused[-1].reason}), then: steward retrain allow {situation.model} --reason …"
    return Safeguard(False, f"stopped: {said}; a person must let it go on", advice, numbers)


def may_help(situation: Situation) -> Safeguard:
    found = list(diagnoses(situation))
    if not found:
        return Safeguard(True, "nothing on record says that a training would not mend it")
    said = "; ".join(each.sentence for each in found)
    numbers: JsonObject = {"diagnoses": [each.to_json() for each in found]}
    return Safeguard(False, f"retraining will not help: {said}", found[0].advice, numbers)


LOSS = frozenset({Trigger.WINDOWS, Trigger.AT_ONCE})
BY_ITSELF = LOSS | {Trigger.NEW_LABELS, Trigger.SCHEDULE}
REQUEST = frozenset({Trigger.REQUEST})
EVERY = frozenset(Trigger)


@dataclass(frozen=True)
class Rule:
    """`binds` for whom a no is a no; of everybody else it is told, and put on record. `of`: who is looked at at all."""

    name: str
    look: Callable[[Situation], Safeguard]
    binds: frozenset[Trigger]
    of: frozenset[Trigger] = EVERY


SAFEGUARDS: tuple[Rule, ...] = (
    Rule("single_flight", single_flight, EVERY),
    Rule("nothing_open", nothing_open, BY_ITSELF),
    Rule("same_champion", same_champion, REQUEST, of=REQUEST),
    Rule("data_quality", data_quality, BY_ITSELF | REQUEST),
    Rule("cooldown", cooldown, BY_ITSELF),
    Rule("budget_of_runs", budget_of_runs, BY_ITSELF),
    Rule("budget_of_cpu", budget_of_cpu, BY_ITSELF),
    Rule("enough_new_labels", enough_new_labels, BY_ITSELF),
    Rule("breaker", breaker, BY_ITSELF),
    Rule("may_help", may_help, LOSS),
)
"""A person may go beyond every one but the first, with a reason; a request was judged when it was made."""
