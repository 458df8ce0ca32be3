"""Fakes of what is released to whom: versions, approvals, rollouts, routes."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

from steward.approval import Answer, ApprovalRequest, RequestState
from steward.clock import Clock
from steward.errors import ConflictError, NotFoundError
from steward.registry import ModelVersion, NewVersion, State, check_transition
from steward.rollout import Rollout, RolloutState, Route
from steward.types import VersionRef, to_json


class FakeVersionTable:
    def __init__(self, versions: dict[VersionRef, ModelVersion], clock: Clock) -> None:
        self._versions, self._clock = versions, clock

    def add(self, new: NewVersion) -> ModelVersion:
        if new.state is State.CHAMPION:
            self._require_no_champion(new.model)
        given = {field.name: getattr(new, field.name) for field in fields(NewVersion)}
        given |= {"evidence": to_json(new.evidence), "params": to_json(new.params)}
        number = len(self.all(new.model)) + 1
        version = ModelVersion(**given, number=number, created_at=self._clock.now())
        self._versions[version.ref] = version
        return copy.deepcopy(version)

    def get(self, ref: VersionRef) -> ModelVersion:
        if ref not in self._versions:
            raise NotFoundError(f"there is no version {ref}", hint=f"`steward history {ref.model}` lists them")
        found = self._versions[ref]
        return replace(found, evidence=dict(found.evidence), params=copy.deepcopy(found.params))

    def all(self, model: str) -> list[ModelVersion]:
        return [self.get(ref) for ref in sorted(self._versions) if ref.model == model]

    def everywhere(self) -> list[ModelVersion]:
        return [self.get(ref) for ref in sorted(self._versions)]

    def champion(self, model: str) -> ModelVersion | None:
        return next((version for version in self.all(model) if version.state is State.CHAMPION), None)

    def move(self, ref: VersionRef, expected: State, to: State) -> ModelVersion:
        version = self.get(ref)
        if version.state is not expected:
            raise ConflictError(
                f"{ref} is {version.state}, not {expected}",
                hint="somebody else moved it first: read it again",
            )
        check_transition(ref, expected, to)
        if to is State.CHAMPION:
            self._require_no_champion(ref.model)
        self._versions[ref] = replace(version, state=to)
        return self.get(ref)

    def _require_no_champion(self, model: str) -> None:
        if champion := self.champion(model):
            raise ConflictError(
                f"{champion.ref} is the champion of {model}",
                hint="move it to superseded in the same transaction, if it is still the one to replace",
            )


class FakeApprovalTable:
    def __init__(self, requests: dict[str, ApprovalRequest], answers: dict[tuple[str, str, str], Answer]) -> None:
        self._requests, self._answers = requests, answers

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        if request.id in self._requests:
            raise ConflictError(f"the request {request.id} was opened before", hint="give every request its own id")
        self._requests[request.id] = replace(request, policy=to_json(request.policy), door=to_json(request.door))
        return self.get(request.id)

    def get(self, request_id: str) -> ApprovalRequest:
        if request_id not in self._requests:
            raise NotFoundError(
                f"there is no request for approval {request_id!r}",
                hint="`steward status` lists the open ones",
            )
        found = self._requests[request_id]
        return replace(found, policy=copy.deepcopy(found.policy), door=copy.deepcopy(found.door))

    def find(
        self, model: str | None, version: int | None = None, state: RequestState | None = None
    ) -> list[ApprovalRequest]:
        found = [
            self.get(request.id)
            for request in self._requests.values()
            if model in (None, request.model) and version in (None, request.version) and state in (None, request.state)
        ]
        return sorted(found, key=lambda request: (request.requested_at, request.id))

    def answers(self, request_id: str) -> list[Answer]:
        given = [answer for answer in self._answers.values() if answer.request == request_id]
        return sorted(given, key=lambda answer: (answer.at, answer.by))

    def record(self, answer: Answer) -> None:
        self.get(answer.request)
        if (answer.request, answer.by, answer.evidence) in self._answers:
            raise ConflictError(
                f"{answer.by} has answered request {answer.request} already",
                hint="an answer stands; ask for a new approval to decide again",
            )
        self._answers[answer.request, answer.by, answer.evidence] = answer

    def rebind(self, request_id: str, evidence: str) -> ApprovalRequest:
        request = self.get(request_id)
        if request.state is not RequestState.OPEN:
            raise ConflictError(
                f"the request {request_id} is {request.state}: its evidence stands",
                hint="only an open request can be put on new evidence; ask for a new approval",
            )
        self._requests[request_id] = replace(request, evidence=evidence)
        return self.get(request_id)

    def close(self, request_id: str, state: RequestState) -> ApprovalRequest:
        request = self.get(request_id)
        if request.state is not RequestState.OPEN or state is RequestState.OPEN:
            raise ConflictError(
                f"the request {request_id} is {request.state} and cannot become {state}",
                hint="only an open request can be closed; ask for a new approval",
            )
        self._requests[request_id] = replace(request, state=state)
        return self.get(request_id)


class FakeRolloutTable:
    def __init__(self, rollouts: dict[str, Rollout]) -> None:
        self._rollouts = rollouts

    def start(self, rollout: Rollout) -> Rollout:
        if other := self.running(rollout.model):
            raise ConflictError(
                f"the rollout {other.id} of {rollout.model}@{other.version} is running",
                hint="wait until it ends, or roll it back",
            )
        if rollout.id in self._rollouts:
            raise ConflictError(f"the rollout {rollout.id} was started before", hint="give every rollout its own id")
        self._rollouts[rollout.id] = rollout
        return rollout

    def get(self, rollout_id: str) -> Rollout:
        if rollout_id not in self._rollouts:
            raise NotFoundError(f"there is no rollout {rollout_id!r}", hint="`steward status` shows what is running")
        return self._rollouts[rollout_id]

    def running(self, model: str) -> Rollout | None:
        going = (r for r in self._rollouts.values() if r.model == model and r.state is RolloutState.RUNNING)
        return next(going, None)

    def running_everywhere(self) -> list[Rollout]:
        going = (rollout for rollout in self._rollouts.values() if rollout.state is RolloutState.RUNNING)
        return sorted(going, key=lambda rollout: rollout.model)

    def save(self, rollout: Rollout, expected_epoch: int) -> Rollout:
        current = self.get(rollout.id)
        if current.epoch != expected_epoch or rollout.epoch < expected_epoch:
            raise ConflictError(
                f"the rollout {rollout.id} is at epoch {current.epoch}: epoch {expected_epoch} may not write "
                f"epoch {rollout.epoch}",
                hint="somebody else moved it on: read it again",
            )
        self._rollouts[rollout.id] = rollout
        return rollout


class FakeRouteTable:
    """`notices` receives the model of every route set."""

    def __init__(self, routes: dict[str, Route], notices: list[str]) -> None:
        self._routes, self._notices = routes, notices

    def get(self, model: str) -> Route | None:
        return self._routes.get(model)

    def all(self) -> list[Route]:
        return [self._routes[model] for model in sorted(self._routes)]

    def set(self, route: Route) -> Route:
        present = self._routes.get(route.model)
        if present and present.epoch >= route.epoch:
            raise ConflictError(
                f"the routing of {route.model} is not older than epoch {route.epoch}",
                hint="somebody else changed it: read it again",
            )
        self._routes[route.model] = route
        self._notices.append(route.model)
        return route
