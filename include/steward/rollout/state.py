"""A rollout, its steps and the routing table that model servers follow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class RolloutState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Rollout:
    """`epoch` rises with every routing change of the model: an older epoch's write is refused (fencing).

    `previous` is the champion recorded at the start: where a rollback goes. None on a model's first release.
    `*_at` are business time except `step_wall_at`, the wall clock when the present share was set.
    """

    id: str
    model: str
    version: int
    previous: int | None
    state: RolloutState
    percent: int
    epoch: int
    started_at: datetime
    step_at: datetime
    step_wall_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Route:
    """What answers requests for a model. `percent` of request keys go to the canary, the rest to the champion.

    `shadow` answers copies of requests, unseen. `standby` is loaded and reached by testers only: the champion to go
    back to, or a version that waits for its turn.
    """

    model: str
    champion: int | None
    canary: int | None
    percent: int
    epoch: int
    updated_at: datetime
    shadow: int | None = None
    standby: int | None = None

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version it names, once each, the champion first."""
        named = (self.champion, self.canary, self.shadow, self.standby)
        return tuple(dict.fromkeys(number for number in named if number is not None))


class RolloutTable(Protocol):
    """Rollouts and routes inside a transaction."""

    def start(self, rollout: Rollout) -> Rollout:
        """Raises ConflictError while another rollout of the model is running."""
        ...

    def get(self, rollout_id: str) -> Rollout:
        """Raises NotFoundError."""
        ...

    def running(self, model: str) -> Rollout | None: ...

    def running_everywhere(self) -> list[Rollout]:
        """Of every model, by model."""
        ...

    def save(self, rollout: Rollout, expected_epoch: int) -> Rollout:
        """Compare and set on the epoch. Raises ConflictError when somebody else moved it."""
        ...


class RouteTable(Protocol):
    def get(self, model: str) -> Route | None: ...

    def all(self) -> list[Route]: ...

    def set(self, route: Route) -> Route:
        """Write and notify servers (channel `steward_routes`). Raises ConflictError unless the epoch rises."""
        ...
