"""The measures, one small definition each.

Shares and rates are counts of counts, lengths of time are medians with the mean beside them. A fact is counted in the
days in which it began. Days are told by the calendar of the models (`at`); how long machines and people took is told
by the clock on the wall (`recorded_at`), which a replayed calendar does not stretch or squeeze.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from steward.errors import NotFoundError
from steward.reporting.measures.measured import Measured, Part, per, share, typical
from steward.reporting.measures.record import Deployment, Fact, Record, Trouble
from steward.types import JsonObject


class Unit(StrEnum):
    SHARE = "share"  # 0 to 1
    SECONDS = "seconds"
    EACH = "each"  # how many for every one of something


class Topic(StrEnum):
    RELEASES = "Releases"
    TROUBLE = "Trouble"
    CARE = "Care"


@dataclass(frozen=True)
class Measure:
    """`rises`: whether more is better; None where neither is. `source` names the events it is read from."""

    id: str
    topic: Topic
    title: str
    unit: Unit
    rises: bool | None
    says: str
    source: str
    tell: Callable[[Record], Measured]

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "topic": self.topic.value,
            "title": self.title,
            "unit": self.unit.value,
            "better": None if self.rises is None else "more" if self.rises else "less",
            "definition": self.says,
            "source": self.source,
        }


NO_DEPLOYMENT = "no version first answered users in these days"
NOT_COMPLETE = "no version that first answered users in these days has reached all of them"


def _pipeline_share(seen: Record) -> Measured:
    through = [each for each in seen.deployments if each.through_pipeline]
    glass = sum(each.glass is not None for each in seen.deployments)
    return share(len(through), seen.deployments, NO_DEPLOYMENT, glass_broken=glass)


def _lead_time(seen: Record) -> Measured:
    complete, parts = _complete(seen)
    seconds = [d.approved.until(d.complete) for d in complete if d.approved and d.complete]
    parts["not_approved"] = len(complete) - len(seconds)
    why_not = "no release of these days waited for an approval" if complete else NOT_COMPLETE
    return typical(seconds, complete, why_not, **parts)


def _lead_time_from_commit(seen: Record) -> Measured:
    complete, parts = _complete(seen)
    changed = [each for each in complete if not each.same_code]
    took = [(d.complete.recorded_at - d.committed_at) for d in changed if d.complete and d.committed_at]
    parts |= {"same_code": len(complete) - len(changed), "not_recorded": len(changed) - len(took)}
    why_not = "no release of these days brings a commit whose time is recorded" if complete else NOT_COMPLETE
    return typical([max(0.0, each.total_seconds()) for each in took], changed, why_not, **parts)


def _complete(seen: Record) -> tuple[list[Deployment], dict[str, Part]]:
    complete = [each for each in seen.deployments if each.complete]
    return complete, {"not_complete": len(seen.deployments) - len(complete)}


def _deployment_success(seen: Record) -> Measured:
    ended = [each for each in seen.deployments if each.complete or each.back]
    under_way = len(seen.deployments) - len(ended)
    why_not = "the only rollouts of these days go on" if under_way else NO_DEPLOYMENT
    return share(sum(each.complete is not None for each in ended), ended, why_not, under_way=under_way)


def _change_failure(seen: Record) -> Measured:
    made = seen.deployments
    back, troubled = sum(d.back is not None for d in made), sum(bool(d.incidents) for d in made)
    failed = sum(each.failed for each in made)
    return share(failed, made, NO_DEPLOYMENT, _incidents(made), rolled_back=back, with_incident=troubled)


def _incidents(made: Sequence[Deployment]) -> list[Trouble]:
    return [incident for each in made for incident in each.incidents]


def _time_to_roll_back(seen: Record) -> Measured:
    seconds = [took for each in seen.ways_back if (took := each.seconds_to_good) is not None]
    nowhere = sum(each.to is None for each in seen.ways_back)
    why_not = "no earlier champion was there to go back to" if seen.ways_back else "nothing was rolled back"
    return typical(seconds, seen.ways_back, why_not, to_no_version=nowhere)


def _deployment_frequency(seen: Record) -> Measured:
    models = {each.whose.model for each in seen.in_service} | {each.whose.model for each in seen.deployments}
    facts: list[Fact] = [*seen.deployments, *seen.in_service]
    return per(len(seen.deployments), len(models), facts, "no model was in service in these days")


def _time_to_detect(seen: Record) -> Measured:
    """By the calendar alone: bad data have no other clock."""
    known = [(each.began.at - each.bad_since).total_seconds() for each in seen.troubles if each.bad_since]
    return typical([max(0.0, seconds) for seconds in known], seen.troubles, "no incident was opened in these days")


def _time_to_restore(seen: Record) -> Measured:
    seconds = [took for each in seen.troubles if (took := each.seconds_open) is not None]
    why_not = "no incident of these days is over" if seen.troubles else "no incident was opened in these days"
    return typical(seconds, seen.troubles, why_not, not_over=len(seen.troubles) - len(seconds))


def _retraining_success(seen: Record) -> Measured:
    ended = [each for each in seen.retrainings if each.outcome is not None]
    counts = {name: _ended_as(ended, said) for name, said in _OUTCOMES.items()}
    under_way = len(seen.retrainings) - len(ended)
    why_not = "no retraining of these days has ended" if under_way else "no retraining was let in in these days"
    return share(_ended_as(ended, "released"), ended, why_not, under_way=under_way, **counts)


_OUTCOMES = {"refused": "refused", "rolled_back": "rolled back", "no_version": "no version", "abandoned": "abandoned"}


def _ended_as(ended: Sequence[object], outcome: str) -> int:
    return sum(getattr(each, "outcome", None) == outcome for each in ended)


def _audit_pass(seen: Record) -> Measured:
    asked = [each for each in seen.audits if each.passed is not None]
    unasked = len(seen.audits) - len(asked)
    why_not = "the audits of these days could not ask the servers" if unasked else "no audit ran in these days"
    return share(sum(bool(each.passed) for each in asked), asked, why_not, not_judged=unasked)


def _drift_rate(seen: Record) -> Measured:
    judged = [each for each in seen.windows if each.drifted is not None]
    unjudged = len(seen.windows) - len(judged)
    why_not = "no window of these days was judged for drift" if unjudged else "no window was judged in these days"
    return share(sum(bool(each.drifted) for each in judged), judged, why_not, not_judged=unjudged)


def _incidents_per_deployment(seen: Record) -> Measured:
    made, found = seen.deployments, _incidents(seen.deployments)
    return per(len(found), len(made), [*made, *found], NO_DEPLOYMENT)


def _utilisation(seen: Record) -> Measured:
    known = [each for each in seen.windows if each.utilisation is not None]
    used = [each.utilisation for each in known if each.utilisation is not None]
    why_not = "no judged window of these days says how much of a declared capacity was used"
    return typical(used, known, why_not, not_known=len(seen.windows) - len(known))


MEASURES: tuple[Measure, ...] = (
    Measure(
        "pipeline_share", Topic.RELEASES, "Deployments through the pipeline", Unit.SHARE, True,
        "Of the versions that first answered users: those that were registered with their evidence, started by a "
        "rollout, and approved where an approval is asked for. Broken glass is no way through the pipeline.",
        "version.registered, rollout.started, approval.answered, glass.broken", _pipeline_share,
    ),
    Measure(
        "lead_time", Topic.RELEASES, "Approval to production", Unit.SECONDS, False,
        "From the answer that approved a version until it answers all users. Median; releases that nobody had to "
        "approve, or that glass was broken for, have none.",
        "approval.answered, version.promoted", _lead_time,
    ),
    Measure(
        "lead_time_from_commit", Topic.RELEASES, "Commit to production", Unit.SECONDS, False,
        "From the last commit of the model's folder until the first version trained from it answers all users. Median; "
        "a version that only learned from newer data brings no commit, and code outside a repository has none.",
        "model.trained, version.promoted", _lead_time_from_commit,
    ),
    Measure(
        "deployment_success", Topic.RELEASES, "Deployments that reach all users", Unit.SHARE, True,
        "Of the deployments whose rollout has ended: those that reached 100 % of users.",
        "rollout.advanced, version.promoted, rollout.rolled_back", _deployment_success,
    ),
    Measure(
        "change_failure", Topic.RELEASES, "Change failure rate", Unit.SHARE, False,
        "Of all deployments: those that ended in a rollback, at once or later, or whose version an incident is about. "
        "Every cause counts, drift and the source's data too; the newest deployments have had the least time to fail.",
        "rollout.advanced, version.promoted, rollout.rolled_back, incident.opened", _change_failure,
    ),
    Measure(
        "deployment_frequency", Topic.RELEASES, "Deployments per model", Unit.EACH, None,
        "Versions that first answered users, for each model that was in service at some time in these days. The figure "
        "to compare is the one of 90 days.",
        "rollout.advanced, version.promoted, endpoint.closed", _deployment_frequency,
    ),
    Measure(
        "incidents_per_deployment", Topic.RELEASES, "Incidents per deployment", Unit.EACH, False,
        "Incidents about the versions that were deployed in these days, for each of them, whenever they were opened.",
        "rollout.advanced, version.promoted, incident.opened", _incidents_per_deployment,
    ),
    Measure(
        "time_to_roll_back", Topic.TROUBLE, "Time to roll back", Unit.SECONDS, False,
        "From the event that first said a version fails (a failed canary analysis, an incident other than drift) until "
        "the route sends all users to the champion before it; without such an event, from the call to the change. "
        "Median. Rehearsals do not count, nor what had no earlier champion to go back to.",
        "rollout.analysed, incident.opened, rollout.rolled_back", _time_to_roll_back,
    ),
    Measure(
        "time_to_detect", Topic.TROUBLE, "Time to detect", Unit.SECONDS, False,
        "From the end of the first bad window (from its beginning, for what somebody found from outside) until the "
        "incident was opened, by the calendar of the models. Median.",
        "incident.opened", _time_to_detect,
    ),
    Measure(
        "time_to_restore", Topic.TROUBLE, "Time to restore", Unit.SECONDS, False,
        "From opening an incident until it is resolved: by the calendar where windows judge it, by the wall where "
        "somebody looked from outside. Median of those that are over; the others are counted beside it.",
        "incident.opened, incident.resolved", _time_to_restore,
    ),
    Measure(
        "drift_rate", Topic.TROUBLE, "Windows that drifted", Unit.SHARE, False,
        "Of the windows that were judged for drift: those that failed. One that was judged again counts once.",
        "window.judged", _drift_rate,
    ),
    Measure(
        "retraining_success", Topic.CARE, "Retrainings that are released", Unit.SHARE, True,
        "Of the training runs that were let in while a champion served and have ended: those whose version reached all "
        "users. A candidate that its gates refuse is a sound decision, and no success.",
        "retraining.admitted, version.promoted, version.rejected, run.closed", _retraining_success,
    ),
    Measure(
        "audit_pass", Topic.CARE, "Audits passed", Unit.SHARE, True,
        "Of every model in every nightly audit: those without an open finding when the audit ended. A night that could "
        "not ask every server judges no model to be sound.",
        "inventory.audited, incident.opened, incident.resolved", _audit_pass,
    ),
    Measure(
        "serving_utilisation", Topic.CARE, "Serving utilisation", Unit.SHARE, None,
        "How much of the declared capacity the busiest hour of a judged window used. Median over windows, where the "
        "spec declares `monitoring.throughput`.",
        "window.judged", _utilisation,
    ),
)  # fmt: skip
BY_ID = {measure.id: measure for measure in MEASURES}


def measure_named(name: str) -> Measure:
    """Raises NotFoundError with all there are."""
    if name not in BY_ID:
        raise NotFoundError(f"there is no measure {name!r}", hint=f"one of {', '.join(BY_ID)}")
    return BY_ID[name]
