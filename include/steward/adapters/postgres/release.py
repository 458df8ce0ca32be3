"""What is released to whom: versions, approvals, rollouts and routes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from steward.adapters.postgres import tables
from steward.adapters.postgres.connection import Work
from steward.approval import Answer, ApprovalRequest, RequestState
from steward.clock import Clock
from steward.errors import ConflictError, NotFoundError
from steward.registry import ModelVersion, NewVersion, State, check_transition
from steward.rollout import Rollout, RolloutState, Route
from steward.types import VersionRef, Window

ROUTES_CHANNEL = "steward_routes"


class PostgresVersionTable:
    def __init__(self, work: Work, clock: Clock) -> None:
        self._work, self._clock = work, clock

    def add(self, new: NewVersion) -> ModelVersion:
        self._work.claim()
        if new.state is State.CHAMPION:
            self._require_no_champion(new.model)
        columns = tables.versions.c
        last = self._work.row(select(func.max(columns.number)).where(columns.model == new.model))
        row = asdict(new) | {
            "number": ((last and last[0]) or 0) + 1,
            "created_at": self._clock.now(),
            "window_start": new.training_window.start,
            "window_end": new.training_window.end,
        }
        del row["training_window"]
        added = self._work.write(insert(tables.versions).values(row).returning(tables.versions))
        return _version(added.one())

    def get(self, ref: VersionRef) -> ModelVersion:
        row = self._work.row(_version_named(ref))
        if row is None:
            raise NotFoundError(f"there is no version {ref}", hint=f"`steward history {ref.model}` lists them")
        return _version(row)

    def all(self, model: str) -> list[ModelVersion]:
        columns = tables.versions.c
        rows = self._work.rows(select(tables.versions).where(columns.model == model).order_by(columns.number))
        return [_version(row) for row in rows]

    def everywhere(self) -> list[ModelVersion]:
        columns = tables.versions.c
        rows = self._work.rows(select(tables.versions).order_by(columns.model, columns.number))
        return [_version(row) for row in rows]

    def champion(self, model: str) -> ModelVersion | None:
        columns = tables.versions.c
        row = self._work.row(
            select(tables.versions).where(columns.model == model, columns.state == State.CHAMPION.value)
        )
        return _version(row) if row else None

    def move(self, ref: VersionRef, expected: State, to: State) -> ModelVersion:
        self._work.claim()
        current = self.get(ref).state
        if current is not expected:
            raise ConflictError(
                f"{ref} is {current}, not {expected}", hint="somebody else moved it first: read it again"
            )
        check_transition(ref, current, to)
        if to is State.CHAMPION:
            self._require_no_champion(ref.model)
        columns = tables.versions.c
        moved = self._work.write(
            update(tables.versions)
            .where(columns.model == ref.model, columns.number == ref.number, columns.state == expected.value)
            .values(state=to.value)
            .returning(tables.versions)
        )
        return _version(moved.one())

    def _require_no_champion(self, model: str) -> None:
        if champion := self.champion(model):
            raise ConflictError(
                f"{champion.ref} is the champion of {model}",
                hint="move it to superseded in the same transaction, if it is still the one to replace",
            )


def _version_named(ref: VersionRef) -> Select[Any]:
    columns = tables.versions.c
    return select(tables.versions).where(columns.model == ref.model, columns.number == ref.number)


def _version(row: Row[Any]) -> ModelVersion:
    fields = dict(row._mapping)
    window = Window(fields.pop("window_start"), fields.pop("window_end"))
    return ModelVersion(**{**fields, "state": State(row.state)}, training_window=window)


class PostgresApprovalTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        row = asdict(request) | {"state": request.state.value}
        if not self._work.changes(upsert(tables.approval_requests).values(row).on_conflict_do_nothing()):
            raise ConflictError(f"the request {request.id} was opened before", hint="give every request its own id")
        return self.get(request.id)

    def get(self, request_id: str) -> ApprovalRequest:
        row = self._work.row(select(tables.approval_requests).where(tables.approval_requests.c.id == request_id))
        if row is None:
            raise NotFoundError(
                f"there is no request for approval {request_id!r}",
                hint="`steward status` lists the open ones",
            )
        return _request(row)

    def find(
        self, model: str | None, version: int | None = None, state: RequestState | None = None
    ) -> list[ApprovalRequest]:
        columns = tables.approval_requests.c
        wanted = select(tables.approval_requests)
        if model is not None:
            wanted = wanted.where(columns.model == model)
        if version is not None:
            wanted = wanted.where(columns.version == version)
        if state is not None:
            wanted = wanted.where(columns.state == state.value)
        return [_request(row) for row in self._work.rows(wanted.order_by(columns.requested_at, columns.id))]

    def answers(self, request_id: str) -> list[Answer]:
        """Oldest first."""
        columns = tables.approval_answers.c
        wanted = select(tables.approval_answers).where(columns.request == request_id)
        rows = self._work.rows(wanted.order_by(columns.at, columns.by))
        return [Answer(**row._mapping) for row in rows]

    def record(self, answer: Answer) -> None:
        self._work.claim()
        self.get(answer.request)
        added = upsert(tables.approval_answers).values(asdict(answer)).on_conflict_do_nothing()
        if not self._work.changes(added):
            raise ConflictError(
                f"{answer.by} has answered request {answer.request} already",
                hint="an answer stands; ask for a new approval to decide again",
            )

    def rebind(self, request_id: str, evidence: str) -> ApprovalRequest:
        self._work.claim()
        current = self.get(request_id).state
        if current is not RequestState.OPEN:
            raise ConflictError(
                f"the request {request_id} is {current}: its evidence stands",
                hint="only an open request can be put on new evidence; ask for a new approval",
            )
        columns = tables.approval_requests.c
        self._work.write(update(tables.approval_requests).where(columns.id == request_id).values(evidence=evidence))
        return self.get(request_id)

    def close(self, request_id: str, state: RequestState) -> ApprovalRequest:
        self._work.claim()
        current = self.get(request_id).state
        if current is not RequestState.OPEN or state is RequestState.OPEN:
            raise ConflictError(
                f"the request {request_id} is {current} and cannot become {state}",
                hint="only an open request can be closed; ask for a new approval",
            )
        columns = tables.approval_requests.c
        self._work.write(update(tables.approval_requests).where(columns.id == request_id).values(state=state.value))
        return self.get(request_id)


def _request(row: Row[Any]) -> ApprovalRequest:
    return ApprovalRequest(**{**row._mapping, "state": RequestState(row.state)})


class PostgresRolloutTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def start(self, rollout: Rollout) -> Rollout:
        self._work.claim()
        if other := self.running(rollout.model):
            raise ConflictError(
                f"the rollout {other.id} of {rollout.model}@{other.version} is running",
                hint="wait until it ends, or roll it back",
            )
        row = asdict(rollout) | {"state": rollout.state.value}
        if not self._work.changes(upsert(tables.rollouts).values(row).on_conflict_do_nothing()):
            raise ConflictError(f"the rollout {rollout.id} was started before", hint="give every rollout its own id")
        return rollout

    def get(self, rollout_id: str) -> Rollout:
        row = self._work.row(select(tables.rollouts).where(tables.rollouts.c.id == rollout_id))
        if row is None:
            raise NotFoundError(f"there is no rollout {rollout_id!r}", hint="`steward status` shows what is running")
        return _rollout(row)

    def running(self, model: str) -> Rollout | None:
        columns = tables.rollouts.c
        row = self._work.row(
            select(tables.rollouts).where(columns.model == model, columns.state == RolloutState.RUNNING.value)
        )
        return _rollout(row) if row else None

    def running_everywhere(self) -> list[Rollout]:
        columns = tables.rollouts.c
        going = select(tables.rollouts).where(columns.state == RolloutState.RUNNING.value)
        return [_rollout(row) for row in self._work.rows(going.order_by(columns.model))]

    def save(self, rollout: Rollout, expected_epoch: int) -> Rollout:
        self._work.claim()
        current = self.get(rollout.id)
        if current.epoch != expected_epoch or rollout.epoch < expected_epoch:
            raise ConflictError(
                f"the rollout {rollout.id} is at epoch {current.epoch}: epoch {expected_epoch} may not write "
                f"epoch {rollout.epoch}",
                hint="somebody else moved it on: read it again",
            )
        row = asdict(rollout) | {"state": rollout.state.value}
        self._work.write(update(tables.rollouts).where(tables.rollouts.c.id == rollout.id).values(row))
        return rollout


def _rollout(row: Row[Any]) -> Rollout:
    return Rollout(**{**row._mapping, "state": RolloutState(row.state)})


class PostgresRouteTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, model: str) -> Route | None:
        row = self._work.row(select(tables.routes).where(tables.routes.c.model == model))
        return Route(**row._mapping) if row else None

    def all(self) -> list[Route]:
        """By model."""
        rows = self._work.rows(select(tables.routes).order_by(tables.routes.c.model))
        return [Route(**row._mapping) for row in rows]

    def set(self, route: Route) -> Route:
        """Servers are told when the transaction commits, never before."""
        row = asdict(route)
        added = upsert(tables.routes).values(row)
        newer = added.on_conflict_do_update(
            index_elements=["model"], set_=row, where=tables.routes.c.epoch < added.excluded.epoch
        )
        if not self._work.changes(newer):
            raise ConflictError(
                f"the routing of {route.model} is not older than epoch {route.epoch}",
                hint="somebody else changed it: read it again",
            )
        self._work.write(select(func.pg_notify(ROUTES_CHANNEL, route.model)))
        return route
