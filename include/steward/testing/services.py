"""Services in memory: real rooms and actions, fakes behind every Protocol."""

from __future__ import annotations

from pathlib import Path

from steward.actions.state import Services
from steward.approval.policy import Policy
from steward.clock import Clock
from steward.inventory.stages import StageCatalogue
from steward.spec import SpecFolder
from steward.testing.catalogue import asks_nothing
from steward.testing.data_stores import FakePredictionLog, FakeSnapshotStore
from steward.testing.data_validator import FakeDataValidator
from steward.testing.database import FakeDatabase
from steward.testing.estate import FakeArchive, FakeNotifier, FakeServedEstate
from steward.testing.tracking import FakeReporter, FakeTracker, FakeTwins


def services_in_memory(
    specs: SpecFolder, policy: Policy, clock: Clock, folder: Path, stages: StageCatalogue | None = None
) -> Services:
    """`folder` takes reports and checkpoints. The fakes are reached through the fields of what is returned.

    Without `stages`, no stage asks for anything.
    """
    tracker, catalogue = FakeTracker(), stages or asks_nothing()
    return Services(
        database=FakeDatabase(clock),
        clock=clock,
        specs=specs,
        policy=lambda: policy,
        stages=lambda: catalogue,
        snapshots=FakeSnapshotStore(),
        predictions=FakePredictionLog(),
        validator=FakeDataValidator(),
        tracker=tracker,
        twins=FakeTwins(),
        models=tracker,
        mirror=tracker,
        reporter=FakeReporter(),
        reports_dir=folder / "reports",
        checkpoints=folder / "checkpoints.jsonl",
        served=FakeServedEstate(),
        archive=FakeArchive(),
        notifier=FakeNotifier(),
        wall=clock.now,
    )
