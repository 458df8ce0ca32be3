"""Small readers, each of one kind of fact. Each is told every event that it asks for, in the order of the ledger.

What an older event does not say is not known here: no measure takes that for good news.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from steward.ledger import ALL_MODELS, AuditEvent, EventType
from steward.reporting.measures.record import (
    Audited,
    Deployment,
    InService,
    Judged,
    Moment,
    Record,
    Retraining,
    Trouble,
    WayBack,
    Whose,
)
from steward.types import JsonObject, Window, parse_instant

RUNNING_CAUSES = frozenset(
    {"data", "drift", "performance", "fairness", "operation", "monitor", "serving", "scoring", "run"}
)
"""What goes wrong with a model in service. Any other cause is a finding of an audit, or a review that is due."""
REVIEW_DUE = "review_due"
DRIFT = "drift"

Read = Callable[[AuditEvent], None]


class Version(NamedTuple):
    model: str
    number: int | None

    @classmethod
    def of(cls, event: AuditEvent) -> Version:
        return cls(event.model, event.version)


class Owners:
    """The living models; team and tier by the spec a version was registered under, a refused one too."""

    def __init__(self) -> None:
        self.alive: dict[str, Whose] = {}
        self._by_version: dict[Version, Whose] = {}
        self._retired: set[str] = set()

    def reads(self) -> Mapping[EventType, Read]:
        return {
            EventType.STAGE_ENTERED: self.seen,
            EventType.VERSION_REGISTERED: self._registered,
            EventType.VERSION_REJECTED: self._registered,
            EventType.MODEL_RETIRED: self._buried,
        }

    def seen(self, event: AuditEvent) -> None:
        if event.model not in self.alive and event.model != ALL_MODELS and event.model not in self._retired:
            self.alive[event.model] = Whose(event.model)

    def _registered(self, event: AuditEvent) -> None:
        if spec := event.body.get("spec"):
            whose = Whose(event.model, str(spec["owner"]["team"]), str(spec["risk_tier"]))
            self._by_version[Version.of(event)] = self.alive[event.model] = whose

    def _buried(self, event: AuditEvent) -> None:
        self._retired.add(event.model)
        self.alive.pop(event.model, None)

    def whose(self, model: str, version: int | None = None) -> Whose:
        """By the version's own spec; else by the newest that was registered before."""
        return self._by_version.get(Version(model, version)) or self.alive.get(model) or Whose(model)


class Releases:
    """Deployments, the ways back from them, and who serves since when."""

    def __init__(self, record: Record, owners: Owners) -> None:
        self.deployments: dict[Version, Deployment] = {}
        self._record, self._owners = record, owners
        self._registered: dict[Version, AuditEvent] = {}
        self._committed: dict[str, datetime] = {}  # by digest of the training evidence
        self._released: dict[str, set[datetime]] = {}  # the commits that reached users, by model
        self._approved: dict[str, Moment] = {}  # by request
        self._glass: dict[Version, Moment] = {}
        self._started: dict[Version, AuditEvent] = {}
        self._failed: dict[Version, Moment] = {}
        self._serving: dict[str, tuple[int, InService]] = {}

    def reads(self) -> Mapping[EventType, Read]:
        return {
            EventType.MODEL_TRAINED: self._trained,
            EventType.VERSION_REGISTERED: lambda e: self._registered.__setitem__(Version.of(e), e),
            EventType.APPROVAL_ANSWERED: self._answered,
            EventType.GLASS_BROKEN: lambda e: self._glass.__setitem__(Version.of(e), Moment.of(e)),
            EventType.ROLLOUT_STARTED: lambda e: self._started.__setitem__(Version.of(e), e),
            EventType.ROLLOUT_ADVANCED: self._advanced,
            EventType.ROLLOUT_ANALYSED: self._analysed,
            EventType.ROLLOUT_ROLLED_BACK: self._rolled_back,
            EventType.VERSION_PROMOTED: self._promoted,
            EventType.ENDPOINT_CLOSED: lambda e: self._serve(e, None),
        }

    def _trained(self, event: AuditEvent) -> None:
        if event.evidence and (committed := event.body.get("committed_at")):
            self._committed[event.evidence] = parse_instant(committed)

    def _answered(self, event: AuditEvent) -> None:
        """The answer that made the request approved; those before it did not let anything out."""
        if event.body.get("state") == "approved":
            self._approved[str(event.body.get("request"))] = Moment.of(event)

    def _advanced(self, event: AuditEvent) -> None:
        """A shadow answers nobody: 0 % is no deployment."""
        if event.body.get("percent"):
            self._deployed(event)

    def _analysed(self, event: AuditEvent) -> None:
        if event.body.get("outcome") == "FAILED":
            self._failed.setdefault(Version.of(event), Moment.of(event))

    def _promoted(self, event: AuditEvent) -> None:
        deployment = self._deployed(event)
        deployment.complete = deployment.complete or Moment.of(event)
        self._serve(event, event.version)

    def _deployed(self, event: AuditEvent) -> Deployment:
        """The first time alone: a version that serves again after a rollback was deployed before."""
        version = Version.of(event)
        if version not in self.deployments:
            self.deployments[version] = self._new(version, event)
            self._record.deployments.append(self.deployments[version])
        return self.deployments[version]

    def _new(self, version: Version, event: AuditEvent) -> Deployment:
        started, registered = self._started.get(version), self._registered.get(version)
        request = (started or event).body.get("approval")
        committed = self._committed.get(str(registered.body.get("training"))) if registered else None
        released = self._released.setdefault(version.model, set())
        same_code = committed in released
        if committed is not None:
            released.add(committed)
        return Deployment(
            self._owners.whose(*version),
            Moment.of(event),
            version.number,
            registered=Moment.of(registered) if registered else None,
            started=Moment.of(started) if started else None,
            asks=request is not None,
            approved=self._approved.get(str(request)),
            glass=self._glass.get(version),
            committed_at=committed,
            same_code=same_code,
        )

    def _rolled_back(self, event: AuditEvent) -> None:
        """Of a version that never answered users, nothing has to be taken back."""
        if deployment := self.deployments.get(Version.of(event)):
            deployment.back = Moment.of(event)
            detected, to, seconds = self._detected(deployment), event.body.get("to"), event.body.get("seconds")
            self._record.ways_back.append(
                WayBack(deployment.whose, deployment.back, event.version, to, detected, seconds)
            )
        if "to" in event.body:
            self._serve(event, event.body["to"])

    def _detected(self, deployment: Deployment) -> Moment | None:
        """The failed analysis of a step, or the first incident that was not over; drift alone is watched."""
        seen = [each.began for each in deployment.incidents if each.resolved is None and each.cause != DRIFT]
        failed = self._failed.get(Version(deployment.whose.model, deployment.version))
        return min([*seen, *([failed] if failed else [])], default=None)

    def _serve(self, event: AuditEvent, version: int | None) -> None:
        before = self._serving.pop(event.model, None)
        if before is not None and before[0] == version:
            self._serving[event.model] = before
            return
        if before is not None:
            before[1].ended = Moment.of(event)
        if version is not None:
            began = InService(self._owners.whose(event.model, version), Moment.of(event))
            self._serving[event.model] = (version, began)
            self._record.in_service.append(began)


class Troubles:
    """Incidents about models in service, and the findings of audits."""

    def __init__(self, record: Record, owners: Owners, deployments: Mapping[Version, Deployment]) -> None:
        self._record, self._owners, self._deployments = record, owners, deployments
        self._open: dict[str, Trouble] = {}
        self._findings: dict[str, dict[str, int]] = {}

    def reads(self) -> Mapping[EventType, Read]:
        return {
            EventType.INCIDENT_OPENED: self._opened,
            EventType.INCIDENT_RESOLVED: self._resolved,
            EventType.INVENTORY_AUDITED: self._audited,
        }

    def _opened(self, event: AuditEvent) -> None:
        incident, cause = str(event.body["incident"]), str(event.body["cause"])
        if cause in RUNNING_CAUSES:
            self._broke(event, incident, cause)
        elif cause != REVIEW_DUE:
            self._findings.setdefault(event.model, {})[incident] = event.seq

    def _broke(self, event: AuditEvent, incident: str, cause: str) -> None:
        outside, whose = not event.body.get("windows"), self._owners.whose(event.model, event.version)
        since = _bad_since(event.body.get("first_bad"), outside)
        trouble = Trouble(whose, Moment.of(event), event.version, cause, since, outside)
        self._open[incident] = trouble
        self._record.troubles.append(trouble)
        if deployment := self._deployments.get(Version.of(event)):
            deployment.incidents.append(trouble)

    def _resolved(self, event: AuditEvent) -> None:
        incident = str(event.body["incident"])
        if trouble := self._open.pop(incident, None):
            trouble.resolved = Moment.of(event)
        self._findings.get(event.model, {}).pop(incident, None)

    def _audited(self, event: AuditEvent) -> None:
        """Every living model, by the findings of it that are open when the audit ends. What it could not ask it did not
        find sound."""
        night, sound = Moment.of(event), None if self._findings.get(ALL_MODELS) else True
        for model, whose in self._owners.alive.items():
            found = tuple(self._findings.get(model, {}).values())
            self._record.audits.append(Audited(whose, night, False if found else sound, found))


def _bad_since(first: JsonObject | None, outside: bool) -> datetime | None:
    """A window can be judged at its end; what somebody found from outside went on since its start."""
    if first is None:
        return None
    window = Window.from_json(first)
    return window.start if outside else window.end


class Retrainings:
    """Training runs, from being let in to what became of them."""

    def __init__(self, record: Record, owners: Owners) -> None:
        self._record, self._owners = record, owners
        self._runs: dict[tuple[str, str], Retraining] = {}
        self._made: dict[Version, Retraining] = {}

    def reads(self) -> Mapping[EventType, Read]:
        return {
            EventType.RETRAINING_ADMITTED: self._admitted,
            EventType.VERSION_REGISTERED: self._registered,
            EventType.VERSION_REJECTED: self._rejected,
            EventType.APPROVAL_ANSWERED: self._answered,
            EventType.APPROVAL_CLOSED: self._answered,
            EventType.ROLLOUT_ROLLED_BACK: lambda e: self._ended(e, "rolled back"),
            EventType.VERSION_PROMOTED: lambda e: self._ended(e, "released"),
            EventType.RUN_CLOSED: self._closed,
        }

    def _admitted(self, event: AuditEvent) -> None:
        """A first training, without a champion, retrains nothing."""
        if (champion := event.body.get("champion")) is not None:
            began = Retraining(self._owners.whose(event.model, champion), Moment.of(event))
            self._runs[_run_of(event)] = began
            self._record.retrainings.append(began)

    def _registered(self, event: AuditEvent) -> None:
        if run := self._runs.get(_run_of(event)):
            self._made[Version.of(event)] = run

    def _rejected(self, event: AuditEvent) -> None:
        """By its gates, which is how it gets its number, or later."""
        self._registered(event)
        self._ended(event, "refused")

    def _answered(self, event: AuditEvent) -> None:
        if event.body.get("state") in ("rejected", "expired"):
            self._ended(event, "refused")

    def _ended(self, event: AuditEvent, outcome: str) -> None:
        """What comes of a version after its release is no matter of the run any more."""
        run = self._made.get(Version.of(event))
        if run is not None and run.outcome != "released":
            run.outcome, run.ended = outcome, Moment.of(event)

    def _closed(self, event: AuditEvent) -> None:
        run = self._runs.get(_run_of(event))
        if run is not None and run.outcome is None:
            run.outcome = "abandoned" if event.body.get("outcome") == "abandoned" else "no version"
            run.ended = Moment.of(event)


def _run_of(event: AuditEvent) -> tuple[str, str]:
    return event.model, str(event.body.get("run"))


class Windows:
    """Judged windows. Judged again, one counts once, as it came out last."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self.judged: dict[tuple[Version, str], Judged] = {}

    def reads(self) -> Mapping[EventType, Read]:
        return {EventType.WINDOW_JUDGED: self._judged}

    def _judged(self, event: AuditEvent) -> None:
        """Without a version nothing served."""
        body = event.body
        if event.version is not None and "window" in body:
            whose = self._owners.whose(event.model, event.version)
            window = f"{body['window']['start']}/{body['window']['end']}"
            drifted, utilisation = _drifted(body), body.get("utilisation")
            self.judged[Version.of(event), window] = Judged(whose, Moment.of(event), drifted, utilisation)


def _drifted(body: JsonObject) -> bool | None:
    """Events from before outcomes were told by cause: a window that came to a verdict is taken as judged for drift."""
    if DRIFT in body.get("causes", ()):
        return True
    said = body["outcomes"].get(DRIFT) if "outcomes" in body else body.get("outcome")
    return False if said in ("PASSED", "FAILED") else None
