"""What people read beside a graph, in Markdown: who owns the model, and what its gates demand, in words."""

from __future__ import annotations

from collections.abc import Iterator

from steward.spec.deployment import Deployment, Guardrails, Strategy
from steward.spec.model import MetricGate, ModelSpec, format_duration
from steward.types import RiskTier


def needs_people(spec: ModelSpec) -> bool:
    """A low tier ships on passed gates, unless its spec asks for approvers all the same."""
    return spec.risk_tier is not RiskTier.LOW or spec.approval.approvers is not None


def training_document(spec: ModelSpec) -> str:
    return _document(spec, "Trains a candidate, judges it and releases it in steps.", _list(_training_gates(spec)))


def monitoring_document(spec: ModelSpec) -> str:
    return _document(spec, "Judges what was served and acts on it.", _list(_monitoring_gates(spec)))


def scoring_document(spec: ModelSpec) -> str:
    what = (
        "Scores a window of the source with the champion, into the prediction table: all of it, or nothing. The same "
        "window again changes nothing; a window that was missed is scored by a run with its date, or by a backfill."
    )
    return _document(spec, what, _list(_scoring_gates(spec)))


def _document(spec: ModelSpec, what: str, gates: str) -> str:
    owner = f"{spec.owner.name}, {spec.owner.team}, [{spec.owner.email}](mailto:{spec.owner.email})"
    return (
        f"# {spec.title}\n\n{spec.purpose}\n\n{what}\n\n"
        "| | |\n|---|---|\n"
        f"| Model | `{spec.model}` |\n| Owner | {owner} |\n| Risk tier | {spec.risk_tier} |\n"
        f"| Spec | `{spec.digest}` |\n| Reports | [all](steward/reports/{spec.model}) |\n\n"
        f"## Gates\n\n{gates}"
    )


def _list(lines: Iterator[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _training_gates(spec: ModelSpec) -> Iterator[str]:
    yield (
        f"**Data**: at least {spec.data.min_rows} rows, "
        f"no older than {format_duration(spec.data.freshness)}, "
        f"and {len(spec.data.features)} features within their contract"
    )
    for name, gate in spec.evaluation.metrics.items():
        yield f"**Evaluation**: {name} {_metric(gate)}"
    if spec.evaluation.slices:
        names = ", ".join(spec.evaluation.slices)
        yield f"**Slices** of at least {spec.evaluation.slice_min_rows} rows: {names}"
    if needs_people(spec):
        yield f"**Approval**: {_approval(spec)}"
    yield f"**Rollout**: {_rollout(spec)}"


def _metric(gate: MetricGate) -> str:
    parts = []
    if gate.min is not None:
        parts.append(f"at least {gate.min:g}")
    if gate.max is not None:
        parts.append(f"at most {gate.max:g}")
    if gate.not_worse_than_champion is not None:
        parts.append(f"not worse than the champion by more than {gate.not_worse_than_champion:g}")
    return ", ".join(parts)


def _approval(spec: ModelSpec) -> str:
    people = f", {spec.approval.approvers} people" if spec.approval.approvers else ""
    expiry = f", within {format_duration(spec.approval.expires_after)}" if spec.approval.expires_after else ""
    return f"as the {spec.risk_tier} tier demands{people}{expiry}; never the author, and no answer is a no"


def _rollout(spec: ModelSpec) -> str:
    if spec.deployment.strategy is Strategy.DIRECT:
        return "at once, after the smoke rows"
    return f"{_steps(spec.deployment)}; {_guardrails(spec.deployment.guardrails)}"


def _steps(deployment: Deployment) -> str:
    match deployment.strategy:
        case Strategy.SHADOW:
            return "as a shadow that answers copies of requests, then everything"
        case Strategy.BLUE_GREEN:
            return "blue/green, all requests at once while the version before stays loaded"
        case Strategy.AB_TEST:
            return "A/B test, half of the request keys each until the outcome is settled"
    shares = ", ".join(f"{step} %" for step in deployment.steps if step)
    return f"{'a shadow of copied requests, then ' if 0 in deployment.steps else ''}canary at {shares}"


def _guardrails(limits: Guardrails) -> str:
    parts = []
    if limits.error_rate:
        parts.append(f"errors at most {limits.error_rate.max:.2%}")
    if limits.p99_latency:
        parts.append(f"p99 latency at most {format_duration(limits.p99_latency.max)}")
    if limits.prediction_psi:
        parts.append(f"PSI of the prediction at most {limits.prediction_psi.max:g}")
    if limits.disagreement:
        parts.append(f"decisions that differ from the champion's at most {limits.disagreement.max:.2%}")
    if limits.outcome:
        parts.append(f"{limits.outcome.measure.replace('_', ' ')} {_outcome(limits.outcome.max_drop)}")
    return ", ".join(parts)


def _scoring_gates(spec: ModelSpec) -> Iterator[str]:
    days = spec.deployment.scoring.window.days
    yield (
        f"**Data** of {days} {'day' if days == 1 else 'days'}: no older than {format_duration(spec.data.freshness)}, "
        f"no id twice, and {len(spec.data.features)} features within their contract; else an incident, and no scores"
    )


def _outcome(max_drop: float) -> str:
    return f"worse by {max_drop:g} at most" if max_drop else "no worse"


def _monitoring_gates(spec: ModelSpec) -> Iterator[str]:
    rules = spec.monitoring
    yield f"**Enough data**: at least {rules.min_rows} answers in {rules.window.days} days, else inconclusive"
    yield f"**Drift**: PSI of every feature and of the prediction at most {rules.drift.psi.max:g}"
    for name, rule in rules.performance.items():
        limits = [
            f"{words} {limit:g}"
            for words, limit in (
                ("may fall by", rule.max_drop),
                ("may rise by", rule.max_rise),
                ("at most", rule.max),
                ("at least", rule.min),
            )
            if limit is not None
        ]
        yield f"**Performance**: {name} {', '.join(limits)}"
    if rules.error_rate:
        yield f"**Operation**: errors at most {rules.error_rate.max:.2%}"
    if rules.p99_latency:
        yield f"**Operation**: p99 latency at most {format_duration(rules.p99_latency.max)}"
    yield f"**Retraining**: {_retraining(spec)}"


def _retraining(spec: ModelSpec) -> str:
    rule = spec.retraining
    return (
        f"{_retraining_triggers(spec)}; not within {format_duration(rule.cooldown)} of the last one; "
        f"at most {rule.budget.runs} in {format_duration(rule.budget.per)}{_retraining_limits(spec)}; "
        f"never on broken data; {rule.stop_after_refusals} candidates refused in a row end it until a person says"
    )


def _retraining_triggers(spec: ModelSpec) -> str:
    rule = spec.retraining
    asked = [f"after {rule.when.failed_windows} of {rule.when.of} windows failed on performance"]
    asked += [f"after one that lost more {name} than it may" for name in rule.at_once]
    asked += [f"after {rule.new_labels} outcomes the champion was not trained on"] if rule.new_labels else []
    asked += [f"on the clock (`{rule.schedule}`)"] if rule.schedule else []
    return ", ".join(asked)


def _retraining_limits(spec: ModelSpec) -> str:
    rule = spec.retraining
    hours = f" and {rule.budget.cpu_hours:g} CPU hours" if rule.budget.cpu_hours else ""
    least = f", with at least {rule.min_new_labels} new outcomes" if rule.min_new_labels else ""
    return hours + least
