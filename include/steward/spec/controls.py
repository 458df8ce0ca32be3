"""What weakens each control of a spec. A path without a rule is no control: changing it weakens nothing.

A rule is asked only when the value changed, and sees it as JSON: durations as `3d`. None stands for "not given", which
for a limit means no limit. It answers with a sentence when the change weakens the control, else with None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from steward.spec.fields import PRESETS, parse_duration

Weakening = Callable[[Any, Any], str | None]


def rises(sentence: str) -> Weakening:
    """Weaker when it grows; not given is endless."""
    return lambda old, new: sentence if _size(new, math.inf) > _size(old, math.inf) else None


def falls(sentence: str, absent: float = -math.inf) -> Weakening:
    """Weaker when it shrinks; not given counts as `absent`."""
    return lambda old, new: sentence if _size(new, absent) < _size(old, absent) else None


def loses(sentence: str) -> Weakening:
    """Weaker when members of a list are gone; `{}` in the sentence names them."""

    def rule(old: Any, new: Any) -> str | None:
        lost = [str(each) for each in old or () if each not in (new or ())]
        return sentence.format(", ".join(lost)) if lost else None

    return rule


def removed(sentence: str) -> Weakening:
    return lambda old, new: sentence if old is not None and new is None else None


def descends(order: tuple[str, ...], sentence: str) -> Weakening:
    """Weaker when it moves towards the end of `order`."""
    return lambda old, new: sentence if order.index(new) > order.index(old) else None


def _size(value: Any, absent: float) -> float:
    if value is None:
        return absent
    if isinstance(value, Mapping):  # a Limit, given or taken away as a whole
        return _size(value.get("max"), absent)
    return parse_duration(value).total_seconds() if isinstance(value, str) else float(value)


def _levels(old: Any, new: Any) -> str | None:
    if old is None:
        return None
    if new is None:
        return "any level is accepted"
    added = [level for level in new if level not in old]
    return f"more levels are accepted: {', '.join(added)}" if added else None


def _steps(old: Any, new: Any) -> str | None:
    if len(new) < len(old):
        return "the canary has fewer steps"
    if new and old and (new[0] > old[0] or _largest_jump(new) > _largest_jump(old)):
        return "the canary takes larger steps"
    return None


def _largest_jump(steps: Any) -> int:
    return max((after - before for before, after in zip((0, *steps), steps, strict=False)), default=0)


def _rarer(sentence: str) -> Weakening:
    return lambda old, new: sentence if runs_per_year(new) < runs_per_year(old) else None


def runs_per_year(schedule: str | None) -> float:
    """How often five cron fields or a preset fire, by counting; never is 0."""
    if schedule is None:
        return 0.0
    if schedule in PRESETS:
        return PRESETS[schedule]
    minute, hour, day, month, weekday = schedule.split()
    days = 365.25 * _share(month, 12)
    either = (_share(day, 30.4), _share(weekday, 7))
    days *= min(1.0, sum(either)) if "*" not in (day[0], weekday[0]) else min(either)
    return days * _share(hour, 24) * 24 * _share(minute, 60) * 60


def _share(field: str, size: float) -> float:
    return min(1.0, sum(_count(part, size) for part in field.split(",")) / size)


def _count(part: str, size: float) -> float:
    """How many values one part of a cron field names: `*`, `*/5`, `1-5`, `1-20/2`, `MON`, `3`."""
    span, _, step = part.partition("/")
    first, dash, last = span.partition("-")
    stride = int(step) if step.isdigit() and int(step) else 1
    if span in ("*", "?"):
        return max(1.0, size / stride)
    if dash and first.isdigit() and last.isdigit():
        return max(1.0, math.ceil((int(last) - int(first) + 1) / stride))
    return 5.0 if dash else 1.0  # a span of names, MON-FRI; or a single value


def _floor(sentence: str) -> Weakening:
    """Like `falls`, for a Floor that is given or taken away as a whole."""

    def size(value: Any) -> float:
        return -math.inf if value is None else float(value["min"] if isinstance(value, Mapping) else value)

    return lambda old, new: sentence if size(new) < size(old) else None


def _unknown_consumers(old: Any, new: Any) -> str | None:
    kept = {each["name"] for each in new or ()}
    lost = [each["name"] for each in old or () if each["name"] not in kept]
    return f"{', '.join(lost)} would no longer be told before it goes" if lost else None


CONTROLS: dict[str, Weakening] = {
    "risk_tier": descends(("high", "medium", "low"), "the risk tier is lower, and the policy with it"),
    "frameworks": loses("the requirements of {} no longer apply"),
    "data.features.*": removed("its data contract is gone"),
    "data.features.*.type": lambda old, new: (
        "the type is wider" if new == "text" or (old, new) == ("integer", "number") else None
    ),
    "data.features.*.min": falls("smaller values are in range"),
    "data.features.*.max": rises("larger values are in range"),
    "data.features.*.levels": _levels,
    "data.features.*.max_missing": rises("more values may be missing"),
    "data.features.*.max_out_of_range": rises("more values may be out of range"),
    "data.label.arrives_after": rises("outcomes are awaited longer, so lost performance is seen later"),
    "data.protected": loses("{} is no longer watched for fairness"),
    "data.freshness": rises("older data is accepted"),
    "data.min_rows": falls("a smaller window is trained on"),
    "data.subject": removed("nobody's predictions can be found and erased any more"),
    "data.log_keep": rises("predictions are kept longer"),
    "training.threshold.parity": falls("the threshold keeps the groups less close together", absent=0),
    "training.time_limit": rises("a training may run longer"),
    "evaluation.holdout.days": falls("fewer days are held out for judging"),
    "evaluation.metrics.*": removed("the gate is gone"),
    "evaluation.metrics.*.min": falls("a smaller value passes"),
    "evaluation.metrics.*.max": rises("a larger value passes"),
    "evaluation.metrics.*.not_worse_than_champion": rises("a candidate may be worse than the champion by more"),
    "evaluation.slices": loses("{} is no longer judged by itself"),
    "evaluation.fairness": removed("the groups are no longer judged"),
    "evaluation.fairness.demographic_parity_ratio": _floor("a lower parity ratio passes"),
    "evaluation.fairness.demographic_parity_difference": rises("a larger gap between groups passes"),
    "evaluation.fairness.equalized_odds_difference": rises("a larger gap in error rates passes"),
    "evaluation.fairness.adverse_action_rate": rises("a group may be refused more often"),
    "evaluation.fairness.accuracy_difference": rises("a larger gap in accuracy passes"),
    "evaluation.fairness.min_rows": rises("more groups are too small to be judged"),
    "evaluation.fairness.intersections": lambda old, new: (
        "crossed groups are no longer judged" if old and not new else None
    ),
    "evaluation.slice_min_rows": rises("more slices are too small to be judged"),
    "evaluation.bootstrap": falls("the comparison rests on fewer resamples"),
    "approval.approvers": falls("fewer people must approve", absent=0),
    "approval.expires_after": rises("a request stays open longer"),
    "deployment.strategy": descends(
        ("canary", "ab_test", "shadow", "blue_green", "direct"), "all traffic moves after less has been seen"
    ),
    "deployment.steps": _steps,
    "deployment.smoke": removed("no rows are tried before traffic"),
    "deployment.bake": removed("steps are no longer watched"),
    "deployment.bake.requests": falls("a step is judged on fewer requests"),
    "deployment.bake.at_least": falls("a step may be shorter"),
    "deployment.bake.at_most": rises("an undecided canary keeps its traffic longer"),
    "deployment.guardrails.error_rate": rises("the canary may fail more often"),
    "deployment.guardrails.p99_latency": rises("the canary may be slower"),
    "deployment.guardrails.prediction_psi": rises("the canary's scores may differ more"),
    "deployment.guardrails.disagreement": rises("the canary may decide otherwise more often"),
    "deployment.guardrails.outcome": removed("what became of its decisions is no longer judged"),
    "deployment.guardrails.outcome.max_drop": rises("the canary's outcomes may be worse by more"),
    "deployment.guardrails.outcome.min_rows": rises("outcomes are judged later"),
    "deployment.bake.finds": rises("only a higher error rate is found in time"),
    "deployment.max_in_flight": rises("a server answers more at once before it says no"),
    "monitoring.schedule": _rarer("the model is checked less often"),
    "monitoring.window.days": rises("a longer window shows trouble later"),
    "monitoring.min_rows": rises("more windows are too small to be judged"),
    "monitoring.drift.psi": rises("more drift is tolerated"),
    "monitoring.drift.missing": rises("a larger rise of missing values is tolerated"),
    "monitoring.drift.unseen": rises("more levels the reference never had are tolerated"),
    "monitoring.drift.confidence": rises("a larger change of confidence is tolerated"),
    "monitoring.drift.domain_classifier": rises("more drift of the features together is tolerated"),
    "monitoring.drift.attribution": _floor("a larger change of what drives the answers is tolerated"),
    "monitoring.estimated.*": removed("its performance is no longer estimated before labels come"),
    "monitoring.estimated.*.max_drop": rises("a larger estimated loss is tolerated"),
    "monitoring.estimated.*.max_rise": rises("a larger estimated loss is tolerated"),
    "monitoring.estimated.*.max": rises("a larger estimate is tolerated"),
    "monitoring.estimated.*.min": falls("a smaller estimate is tolerated"),
    "monitoring.calibration": rises("worse calibration is tolerated"),
    "monitoring.fairness": removed("the groups are no longer judged in service"),
    "monitoring.fairness.demographic_parity_ratio": _floor("a lower parity ratio passes in service"),
    "monitoring.fairness.demographic_parity_difference": rises("a larger gap between groups passes in service"),
    "monitoring.fairness.equalized_odds_difference": rises("a larger gap in error rates passes in service"),
    "monitoring.fairness.adverse_action_rate": rises("a group may be refused more often in service"),
    "monitoring.fairness.accuracy_difference": rises("a larger gap in accuracy passes in service"),
    "monitoring.fairness.min_rows": rises("more groups are too small to be judged in service"),
    "monitoring.fairness.intersections": lambda old, new: (
        "crossed groups are no longer judged in service" if old and not new else None
    ),
    "monitoring.business": removed("whether its answers pay is no longer watched"),
    "monitoring.business.correlation": _floor("answers that go less well with the value pass"),
    "monitoring.throughput": removed("its load is no longer watched"),
    "monitoring.throughput.max": rises("a busier endpoint is tolerated"),
    "monitoring.throughput.capacity": rises("a busier endpoint is tolerated"),
    "monitoring.completeness": _floor("more hours without a request are tolerated"),
    "monitoring.quiet_windows": rises("a monitor that sees too little is reported later"),
    "monitoring.resolve_after": falls("an incident ends after fewer sound windows"),
    "monitoring.roll_back_on": loses("{} failures no longer bring back the champion before"),
    "monitoring.p50_latency": rises("slower answers are tolerated"),
    "monitoring.p95_latency": rises("slower answers are tolerated"),
    "monitoring.performance.*": removed("its performance is no longer watched"),
    "monitoring.performance.*.max_drop": rises("a larger loss is tolerated"),
    "monitoring.performance.*.max_rise": rises("a larger loss is tolerated"),
    "monitoring.performance.*.max": rises("a larger value is tolerated"),
    "monitoring.performance.*.min": falls("a smaller value is tolerated"),
    "monitoring.error_rate": rises("more failed requests are tolerated"),
    "monitoring.p99_latency": rises("slower answers are tolerated"),
    "retraining.when.failed_windows": rises("more windows must fail before it retrains"),
    "retraining.when.of": falls("fewer windows are looked at"),
    "retraining.at_once.*": removed("a sharp loss no longer starts it at once"),
    "retraining.at_once.*.max_drop": rises("only a larger loss starts it at once"),
    "retraining.at_once.*.max_rise": rises("only a larger loss starts it at once"),
    "retraining.at_once.*.max": rises("only a larger value starts it at once"),
    "retraining.at_once.*.min": falls("only a smaller value starts it at once"),
    "retraining.new_labels": rises("it takes more new outcomes to start it"),
    "retraining.min_new_labels": falls("it may retrain on fewer new outcomes"),
    "retraining.stop_after_refusals": rises("it goes on retraining after more refused candidates"),
    "retraining.cooldown": falls("it may retrain again sooner"),
    "retraining.budget.runs": rises("it may retrain more often by itself"),
    "retraining.budget.per": falls("the budget renews sooner"),
    "retraining.budget.cpu_hours": rises("retraining may cost more"),
    "retraining.schedule": _rarer("it is retrained on the clock less often"),
    "retirement.review_after": rises("the owner confirms it less often"),
    "retirement.idle_after": rises("a model that nobody calls is reported later"),
    "retirement.quiet": falls("it may be switched off sooner after the last request"),
    "retirement.keep": falls("its artefacts and data are kept for a shorter time"),
    "consumers": _unknown_consumers,
    "upstream": loses("{} may be retired under it"),
}
