"""What an action may read and change in one transaction, and the services around it.

Adapters (and fakes) implement these; `steward.wiring` builds `Services` and hands it to every action.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from steward.approval import ApprovalTable
from steward.clock import Clock
from steward.data import DataValidator, PredictionLog, SnapshotStore
from steward.gates import Evidence, Finding
from steward.inventory import ArchiveStore, ServedEstate
from steward.inventory.external import ExternalModels
from steward.ledger import (
    AuditEvent,
    Checkpoint,
    EventLog,
    Extent,
    FindEvidence,
    Link,
    Verification,
    Weakness,
)
from steward.ledger.outbox import PendingEffect
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel, Notifications
from steward.monitoring.tallies import TallyTable
from steward.monitoring.windows import IncidentTable, WindowTable
from steward.registry import VersionTable
from steward.reporting.packs import PackCatalogue, shipped_packs
from steward.rollout import RolloutTable, RouteTable
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.approval.policy import Policy
    from steward.inventory.stages import StageCatalogue
    from steward.spec import SpecFolder
    from steward.training import ExperimentTracker, ModelStore, RegistryMirror
    from steward.training.twins import TwinMaker


class EvidenceStore(Protocol):
    def put(self, evidence: Evidence) -> str:
        """Store by digest (idempotent) and return the digest."""
        ...

    def get(self, digest: str) -> Evidence:
        """Raises NotFoundError; IntegrityError when the content does not match the digest."""
        ...

    def get_all(self, digests: Collection[str]) -> dict[str, Evidence]:
        """By digest, those that are there. Raises IntegrityError as `get` does."""
        ...

    def contents(self) -> Iterator[tuple[str, Evidence]]:
        """All there is, unchecked, with the digest it goes by; read in batches, not held in memory."""
        ...


class SignedLog(EventLog, Protocol):
    """The event log with what proves it whole."""

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Verification:
        """Recompute the chain, and compare it with checkpoints exported earlier."""
        ...

    def checkpoint(self) -> Checkpoint:
        """Of the last event. Raises NotFoundError while there is none."""
        ...

    def links(self) -> Iterator[Link]:
        """The whole chain as it is stored, in order, without holding it in memory."""
        ...

    def export(self, extent: Extent, find: FindEvidence, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, bytes]:
        """The files of an export by name, signed. Raises NotFoundError when there is nothing to hand out."""
        ...

    def is_genuine(self, event: AuditEvent) -> bool:
        """Whether the event, as it was read, carries this ledger's signature. `read` itself does not ask."""
        ...

    def weaknesses(self) -> list[Weakness]:
        """What does not keep this process, or somebody else, from changing the record. Empty is good."""
        ...


class OperationTable(Protocol):
    """Idempotency: what an action answered for a key."""

    def find(self, key: str, inputs: str) -> JsonObject | None:
        """The earlier answer, or None. Raises ConflictError when the key was used with other inputs."""
        ...

    def record(self, key: str, inputs: str, answer: JsonObject) -> None: ...


class Outbox(Protocol):
    """Effects to do outside the database, committed with the change that wants them and delivered at least once."""

    def put(self, kind: str, body: JsonObject) -> None: ...

    def pending(self, limit: int = 100, after: int = 0) -> list[PendingEffect]:
        """In the order they were wanted, those with an id above `after`."""
        ...

    def take(self, effect_id: int, now: datetime, until: datetime) -> bool:
        """Begin a delivery: nobody else begins one before `until`. False when somebody has, or it is delivered."""
        ...

    def failed(self, effect_id: int, error: str, retry_at: datetime) -> None: ...

    def delivered(self, effect_id: int) -> None: ...


class Transaction(Protocol):
    """All tables under one commit. Closing without an error commits; an error rolls everything back."""

    def claim(self) -> None:
        """Become the only writer until the end: what is read after it is still so when it is written on."""
        ...

    @property
    def events(self) -> SignedLog: ...

    @property
    def evidence(self) -> EvidenceStore: ...

    @property
    def versions(self) -> VersionTable: ...

    @property
    def approvals(self) -> ApprovalTable: ...

    @property
    def rollouts(self) -> RolloutTable: ...

    @property
    def routes(self) -> RouteTable: ...

    @property
    def windows(self) -> WindowTable: ...

    @property
    def tallies(self) -> TallyTable:
        """Evidence that can be counted again, no state: nothing in the ledger speaks of it."""
        ...

    @property
    def incidents(self) -> IncidentTable: ...

    @property
    def operations(self) -> OperationTable: ...

    @property
    def outbox(self) -> Outbox: ...


class Database(Protocol):
    def begin(self) -> AbstractContextManager[Transaction]:
        """Raises UnavailableError when the database cannot be reached."""
        ...


class DriftReporter(Protocol):
    """Writes an HTML report for people (Evidently behind it)."""

    def write(
        self,
        reference: Any,
        current: Any,
        columns: Mapping[str, str],
        path: Path,
        title: str,
        findings: Sequence[Finding],
    ) -> None:
        """`findings` of the window: the report shows their numbers, and no others of the same name."""
        ...


class Notifier(Protocol):
    """Tells people, channel by channel."""

    def reaches(self, name: str, channel: Channel | None) -> bool:
        """Whether this process can deliver to the channel; some only a task of Airflow can."""
        ...

    def notify(self, name: str, channel: Channel | None, message: Message) -> None:
        """No channel: the file of notices. Raises UnavailableError when it could not be handed on, without a secret
        in its words; the outbox tries again."""
        ...


class RunStates(Protocol):
    """What the scheduler knows of training runs."""

    def is_over(self, model: str, run: str) -> bool | None:
        """Whether it has ended the run, well or badly; None where it cannot be asked, or does not know the run."""
        ...


class UnknownRuns:
    """Nobody can be asked: time alone tells."""

    def is_over(self, model: str, run: str) -> bool | None:
        return None


@dataclass(frozen=True)
class Services:
    """Everything an action needs from outside the domain."""

    database: Database
    clock: Clock
    specs: SpecFolder
    policy: Callable[[], Policy]  # read when asked for: a broken policy must not stand in the way of a rollback
    stages: Callable[[], StageCatalogue]
    snapshots: SnapshotStore
    predictions: PredictionLog
    validator: DataValidator
    tracker: ExperimentTracker
    twins: TwinMaker
    models: ModelStore
    mirror: RegistryMirror
    reporter: DriftReporter
    reports_dir: Path
    checkpoints: Path
    served: ServedEstate
    archive: ArchiveStore
    notifier: Notifier
    wall: Callable[[], datetime]
    log_key: bytes = b""  # of the hashes in the prediction log
    external: Callable[[], ExternalModels] = ExternalModels  # none are declared
    notifications: Callable[[], Notifications] = Notifications  # no channel but the file of notices
    packs: Callable[[], PackCatalogue] = shipped_packs
    runs: RunStates = UnknownRuns()  # noqa: RUF009, it holds nothing
