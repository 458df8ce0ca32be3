"""Rules between sections. Each runs as soon as the sections it reads are sound, whatever else is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from steward.spec.faults import nearest
from steward.spec.fields import Contradiction
from steward.spec.metrics import METRICS, metrics_of

if TYPE_CHECKING:
    from steward.spec.deployment import Deployment
    from steward.spec.model import Data, Evaluation, Task, Training
    from steward.spec.monitoring import Monitoring, PerformanceRule
    from steward.spec.retraining import Retraining

Key = tuple[str | int, ...]


class Rule(NamedTuple):
    sections: tuple[str, ...]
    find: Callable[..., Iterator[Contradiction]]


def disagreements(sections: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Apply every rule whose sections are present."""
    for rule in RULES:
        if all(name in sections for name in rule.sections):
            yield from rule.find(*(sections[name] for name in rule.sections))


def _holdout_inside_window(training: Training, evaluation: Evaluation) -> Iterator[Contradiction]:
    if evaluation.holdout.days >= training.window.days:
        sentence = f"the hold-out must be shorter than training.window ({training.window.days} days)"
        yield Contradiction(("evaluation", "holdout", "days"), sentence)


def _labels_in_time(data: Data, evaluation: Evaluation) -> Iterator[Contradiction]:
    """The hold-out is the end of the window: labels that arrive later than it is long leave it without any."""
    if data.label.arrives_after >= evaluation.holdout.length:
        sentence = f"labels arrive after the whole hold-out ({evaluation.holdout.days} days): none would be known"
        yield Contradiction(("data", "label", "arrives_after"), sentence)


def _labels_in_window(data: Data, monitoring: Monitoring) -> Iterator[Contradiction]:
    if (monitoring.performance or monitoring.calibration) and data.label.arrives_after >= monitoring.window.length:
        sentence = f"no label is known within monitoring.window ({monitoring.window.days} days): give a longer window"
        yield Contradiction(("data", "label", "arrives_after"), sentence)


def _columns_known(data: Data) -> Iterator[Contradiction]:
    known = data.columns
    named: list[tuple[Key, str]] = [(("protected", i), column) for i, column in enumerate(data.protected)]
    named += [(("privacy", column), column) for column in data.privacy]
    for key, column in named:
        if column not in known:
            yield _unknown_column(("data", *key), column, known)


def _slices_known(data: Data, evaluation: Evaluation) -> Iterator[Contradiction]:
    """Slices that are one bare column; conditions are read by `steward.gates.slices`."""
    for place, text in enumerate(evaluation.slices):
        if re.fullmatch(r"\w+", text) and text not in data.columns:
            yield _unknown_column(("evaluation", "slices", place), text, data.columns)


def _unknown_column(key: Key, column: str, known: tuple[str, ...]) -> Contradiction:
    sentence = f"{column} is neither a feature nor listed in data.other_columns"
    return Contradiction(key, sentence, nearest(column, known))


def _gates_known(task: Task, evaluation: Evaluation) -> Iterator[Contradiction]:
    yield from _metrics_known(task, ("evaluation", "metrics"), evaluation.metrics)


def _performance_known(task: Task, monitoring: Monitoring) -> Iterator[Contradiction]:
    yield from _rules_fit(task, ("monitoring", "performance"), monitoring.performance)
    yield from _rules_fit(task, ("monitoring", "estimated"), monitoring.estimated)


def _losses_known(task: Task, retraining: Retraining) -> Iterator[Contradiction]:
    yield from _rules_fit(task, ("retraining", "at_once"), retraining.at_once)


def _rules_fit(task: Task, key: Key, rules: Mapping[str, PerformanceRule]) -> Iterator[Contradiction]:
    yield from _metrics_known(task, key, rules)
    for name, rule in rules.items():
        if name in METRICS and not METRICS[name].rises and rule.max_drop is not None:
            yield Contradiction((*key, name, "max_drop"), f"less {name} is better: give max_rise or max")
        if name in METRICS and METRICS[name].rises and rule.max_rise is not None:
            yield Contradiction((*key, name, "max_rise"), f"more {name} is better: give max_drop or min")


def _metrics_known(task: Task, key: Key, names: Iterable[str]) -> Iterator[Contradiction]:
    known = metrics_of(task)
    for name in names:
        if name not in known:
            choice = f"one of {', '.join(known)}" if known else "none is known for it yet"
            yield Contradiction((*key, name), f"no metric for {task}; {choice}", nearest(name, known))


def _groups_to_judge(task: Task, data: Data, training: Training, evaluation: Evaluation) -> Iterator[Contradiction]:
    """Fairness and a fair threshold are about decisions, and about groups."""
    wanted: list[tuple[Key, bool]] = [
        (("evaluation", "fairness"), evaluation.fairness is not None),
        (("training", "threshold", "parity"), training.threshold.parity is not None),
    ]
    for key in (key for key, asked in wanted if asked):
        if task != "binary_classification":
            yield Contradiction(key, f"a {task} model makes no yes-or-no decision to judge")
        elif not data.protected:
            yield Contradiction(key, "there is no group to judge: name columns in data.protected")


def _watched_groups(task: Task, data: Data, monitoring: Monitoring) -> Iterator[Contradiction]:
    if monitoring.fairness is not None and task != "binary_classification":
        yield Contradiction(("monitoring", "fairness"), f"a {task} model makes no yes-or-no decision to judge")
    elif monitoring.fairness is not None and not data.protected:
        yield Contradiction(("monitoring", "fairness"), "there is no group to judge: name columns in data.protected")


def _limits_of_features(data: Data, monitoring: Monitoring) -> Iterator[Contradiction]:
    for name in monitoring.drift.features:
        if name not in data.features:
            sentence = f"{name} is no feature: its drift is not looked at"
            yield Contradiction(("monitoring", "drift", "features", name), sentence, nearest(name, data.features))


def _classes_named(task: Task, data: Data) -> Iterator[Contradiction]:
    if (task == "multiclass_classification") != (data.label.classes is not None):
        sentence = f"a {task} model has no list of classes" if data.label.classes else "name the classes it tells apart"
        yield Contradiction(("data", "label", "classes"), sentence)


def _a_class_is_no_score(task: Task, monitoring: Monitoring) -> Iterator[Contradiction]:
    if task == "multiclass_classification" and monitoring.business is not None:
        sentence = "a class is no score that could rise with a value: give a limit on a metric"
        yield Contradiction(("monitoring", "business"), sentence)


def _threshold_of_a_score(task: Task, training: Training) -> Iterator[Contradiction]:
    if task != "binary_classification" and training.threshold.at not in (None, 0.5):
        yield Contradiction(("training", "threshold", "at"), f"a {task} model decides at no threshold: leave it out")


def _nobody_waits_for_a_batch(deployment: Deployment, monitoring: Monitoring) -> Iterator[Contradiction]:
    for name in ("p50_latency", "p95_latency", "p99_latency"):
        if deployment.target == "batch" and getattr(monitoring, name) is not None:
            sentence = "nobody waits for the answers of a batch target: there is no latency to judge"
            yield Contradiction(("monitoring", name), sentence)


def _not_its_own_upstream(model: str, upstream: tuple[str, ...]) -> Iterator[Contradiction]:
    for place, name in enumerate(upstream):
        if name == model:
            yield Contradiction(("upstream", place), "a model cannot read its own answers")


_OUTCOMES = {
    "mean_outcome": ("binary_classification", "regression"),
    "accuracy": ("binary_classification", "multiclass_classification"),
    "brier": ("binary_classification",),
    "absolute_error": ("regression",),
}


def _outcome_fits(task: Task, deployment: Deployment) -> Iterator[Contradiction]:
    rule = deployment.guardrails.outcome
    if rule is not None and task not in _OUTCOMES[rule.measure]:
        sentence = f"{rule.measure} does not measure a {task} model"
        yield Contradiction(("deployment", "guardrails", "outcome", "measure"), sentence)


RULES: tuple[Rule, ...] = (
    Rule(("training", "evaluation"), _holdout_inside_window),
    Rule(("data", "evaluation"), _labels_in_time),
    Rule(("data", "monitoring"), _labels_in_window),
    Rule(("data",), _columns_known),
    Rule(("data", "evaluation"), _slices_known),
    Rule(("task", "evaluation"), _gates_known),
    Rule(("task", "monitoring"), _performance_known),
    Rule(("task", "retraining"), _losses_known),
    Rule(("task", "data", "monitoring"), _watched_groups),
    Rule(("data", "monitoring"), _limits_of_features),
    Rule(("task", "data"), _classes_named),
    Rule(("task", "monitoring"), _a_class_is_no_score),
    Rule(("task", "training"), _threshold_of_a_score),
    Rule(("task", "data", "training", "evaluation"), _groups_to_judge),
    Rule(("deployment", "monitoring"), _nobody_waits_for_a_batch),
    Rule(("model", "upstream"), _not_its_own_upstream),
    Rule(("task", "deployment"), _outcome_fits),
)
