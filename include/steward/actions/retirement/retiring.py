"""The end of a model: consumers are told, traffic dies down, the endpoint closes, the archive is made, a stone is set.

Each step reads what came before from the ledger and may be repeated. Until the endpoint is closed the retirement can
be called off; from then on nothing of the model is trained, released or served again.
"""

from __future__ import annotations

import re
from datetime import timedelta

from steward.actions.effects import want_aliases, want_notice
from steward.actions.governance.stages import enter_stage, missing_for
from steward.actions.incidents.changing import resolve_incident
from steward.actions.operation import Operation, person
from steward.actions.retirement.draining import consumers_waited_for, retirement_in, retirement_under_way, traffic_of
from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.data import Traffic
from steward.errors import ConflictError, PolicyError, RequestError, SpecError
from steward.inventory.retirement import Retirement, waiting_for_quiet
from steward.ledger import EventType, tombstone_of
from steward.ledger.governance import TOMBSTONE_EVENTS
from steward.registry import State
from steward.rollout import Route
from steward.spec import SPEC_FILE, ModelSpec, format_duration
from steward.spec.fields import parse_duration
from steward.types import JsonObject, Stage, format_instant

_TO_END = (State.CHALLENGER, State.SUPERSEDED, State.CHAMPION)


def start_retirement(
    services: Services,
    spec: ModelSpec,
    *,
    run: str,
    actor: str,
    reason: str,
    replacement: str | None = None,
    quiet: str | None = None,
) -> JsonObject:
    """Ask for everything that the last step will ask for, so that nothing is half retired; tell every consumer.

    Continues a retirement that is under way. `quiet` may be longer than the spec's, never shorter.
    """
    inputs = {"reason": reason, "replacement": replacement, "quiet": quiet}
    op = Operation.begin(services, "start_retirement", spec.model, run, actor, **inputs)
    if done := op.earlier():
        return done
    with op.refusals_recorded():
        length = _quiet(spec, quiet)
        _require_unused(services, spec.model)
        _require_replacement(services, spec.model, replacement)

    def write(tx: Transaction) -> JsonObject:
        if known := retirement_in(tx, spec.model):
            return _continued(known, replacement, length if quiet else None)
        _require_right_to_retire(services, spec, person(actor))
        _require_nothing_under_way(services, spec, tx)
        tx.events.append(
            op.event(
                EventType.RETIREMENT_STARTED,
                reason,
                owner=spec.owner.email,
                replacement=replacement,
                consumers=[consumer.model_dump() for consumer in spec.consumers],
                quiet=length,
                keep=spec.retirement.keep,
            )
        )
        begun = retirement_in(tx, spec.model)
        assert begun is not None
        _tell_of_start(tx, begun)
        return _continued(begun, replacement, None)

    return op.commit(write)


def _continued(known: Retirement, replacement: str | None, quiet: timedelta | None) -> JsonObject:
    """Raises ConflictError when it was begun with other terms."""
    other = (replacement and replacement != known.replacement) or (quiet and quiet != known.quiet)
    if other:
        raise ConflictError(
            f"{known.model} is being retired already, with other terms, since {known.started_at:%Y-%m-%d}",
            where=f"replacement {known.replacement or 'none'}, quiet {format_duration(known.quiet)}",
            hint="leave both empty to go on with it, or call it off first",
        )
    return {
        "started_at": format_instant(known.started_at),
        "consumers": list(known.consumers),
        "replacement": known.replacement,
        "quiet": format_duration(known.quiet),
    }


def _quiet(spec: ModelSpec, given: str | None) -> timedelta:
    if not given:
        return spec.retirement.quiet
    try:
        length = parse_duration(given)
    except ValueError as error:
        raise RequestError(f"quiet is {given!r}: {error}", where=spec.model) from error
    if length < spec.retirement.quiet:
        least = format_duration(spec.retirement.quiet)
        raise PolicyError(
            f"{given} of quiet is shorter than the {least} its spec asks for",
            where=spec.model,
            hint=f"give {least} or more, or nothing",
        )
    return length


def _require_unused(services: Services, model: str) -> None:
    """Raises PolicyError while a living model reads this one's answers. A file that cannot be read may say so too."""
    specs, broken = services.specs.all()
    with services.database.begin() as tx:
        readers = [s.model for s in specs.values() if model in s.upstream and not _is_retired(tx, s.model)]
    readers += [
        f"{each.id} on {each.runs_on}" for each in services.external().external_models if model in each.upstream
    ]
    if readers:
        raise PolicyError(
            f"{model} is upstream of {', '.join(readers)}",
            where="start_retirement",
            hint="retire them first, or take it off their `upstream`",
        )
    named = [name for name in broken if name != model and _names(services, name, model)]
    if named:
        raise SpecError(
            f"whether {', '.join(named)} reads {model} cannot be told: the file names it and is broken",
            hint="mend it first; see `steward check`",
        )


def _names(services: Services, reader: str, model: str) -> bool:
    content = (services.specs.folder / reader / SPEC_FILE).read_text(encoding="utf-8", errors="replace")
    return re.search(rf"\b{model}\b", content) is not None


def _require_replacement(services: Services, model: str, replacement: str | None) -> None:
    if replacement is None:
        return
    if replacement == model:
        raise RequestError("a model cannot replace itself", where=model)
    if replacement in {each.id for each in services.external().external_models}:
        return
    services.specs.module_path(replacement)
    with services.database.begin() as tx:
        if _is_retired(tx, replacement):
            raise PolicyError(f"{replacement} is retired itself", where=model, hint="name a model that lives")


def _is_retired(tx: Transaction, model: str) -> bool:
    return tombstone_of(tx.events.read(model=model, types=TOMBSTONE_EVENTS)) is not None


def _require_right_to_retire(services: Services, spec: ModelSpec, who: str) -> None:
    """The owner, or anybody of the policy who is still there: what follows asks many others before it acts."""
    if who == spec.owner.user or services.policy().roles_of(who, services.clock.now().date()):
        return
    raise PolicyError(
        f"{who} may not retire {spec.model}",
        where="start_retirement",
        hint=f"ask {spec.owner.name} <{spec.owner.email}>, who owns it, or somebody with a role in the policy",
    )


def _require_nothing_under_way(services: Services, spec: ModelSpec, tx: Transaction) -> None:
    if going := tx.rollouts.running(spec.model):
        raise PolicyError(
            f"version {going.version} is being rolled out",
            where=spec.model,
            hint="let the rollout end, or roll it back",
        )
    if missing := missing_for(services, spec, tx, Stage.RETIRED):
        raise PolicyError(
            f"{spec.model} cannot be retired yet; missing: {'; '.join(missing)}",
            where=f"{spec.model}, tier {spec.risk_tier}",
            hint="file what is missing, then start again",
        )


def _tell_of_start(tx: Transaction, begun: Retirement) -> None:
    instead = f"Ask {begun.replacement} instead." if begun.replacement else "Nothing replaces it."
    quiet = format_duration(begun.quiet)
    lines = [
        f"{begun.by} began to retire the model {begun.model}: {begun.reason}.",
        instead,
        f"It is switched off after {quiet} without a request, once every consumer has confirmed:",
        *(f"  steward retirement confirm {begun.model} --consumer {name}" for name in begun.consumers),
    ]
    want_notice(tx, begun.contacts, f"{begun.model} will be switched off", "\n".join(lines))


def close_endpoint(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """Withdraw the route, for good. Looks at consumers and traffic once more: a task marked done proves nothing."""
    model = spec.model
    op = Operation.begin(services, "close_endpoint", model, run, actor)
    if done := op.earlier():
        return done
    with op.refusals_recorded(), services.database.begin() as tx:
        asked_for = retirement_under_way(tx, model)
    asked = traffic_of(services, spec, asked_for)

    def write(tx: Transaction) -> JsonObject:
        known = retirement_under_way(tx, model)
        if known.closed_at:
            return {"closed_at": format_instant(known.closed_at), "version": None}
        _require_unneeded(tx, known, asked)
        champion, now = tx.versions.champion(model), services.clock.now()
        requests = _withdraw(services, tx, model)
        instead = f"; ask {known.replacement}" if known.replacement else ""
        tx.events.append(
            op.event(
                EventType.ENDPOINT_CLOSED,
                f"{known.reason}{instead}",
                version=champion.number if champion else None,
                replacement=known.replacement,
                requests_closed=requests,
            )
        )
        return {"closed_at": format_instant(now), "version": champion.number if champion else None}

    return op.commit(write)


def _require_unneeded(tx: Transaction, known: Retirement, asked: Traffic) -> None:
    waiting = [*consumers_waited_for(tx, known), *waiting_for_quiet(known, asked)]
    if going := tx.rollouts.running(known.model):
        waiting.append(f"version {going.version} is being rolled out")
    if waiting:
        raise PolicyError(
            f"the endpoint of {known.model} is still needed: {'; '.join(waiting)}",
            where="close_endpoint",
            hint="clear the steps that wait, so that they wait again",
        )


def _withdraw(services: Services, tx: Transaction, model: str) -> list[str]:
    """Nobody is routed anywhere, nobody can be approved any more; the ids of the requests closed."""
    if route := tx.routes.get(model):
        tx.routes.set(Route(model, None, None, 0, route.epoch + 1, services.clock.now()))
    if champion := tx.versions.champion(model):
        tx.versions.move(champion.ref, State.CHAMPION, State.RETIRED)
    requests = [request.id for request in tx.approvals.find(model, None, RequestState.OPEN)]
    for request in requests:
        tx.approvals.close(request, RequestState.EXPIRED)
    want_aliases(tx, model)
    return requests


def bury(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """Set the tombstone, once the archive is made and no server holds the model any more: until then PolicyError."""
    model = spec.model
    op = Operation.begin(services, "bury", model, run, actor)
    if done := op.earlier():
        return done
    with op.refusals_recorded():
        _require_unserved(services, model)

    def write(tx: Transaction) -> JsonObject:
        known = retirement_under_way(tx, model)
        if known.archived is None or known.closed_at is None:
            raise PolicyError(
                f"{model} is not archived yet", where="bury", hint="close its endpoint and archive it first"
            )
        enter_stage(services, spec, tx, op, Stage.RETIRED)
        ended = _end_versions(tx, model)
        _resolve_incidents(services, tx, op)
        want_aliases(tx, model)
        tx.events.append(
            op.event(
                EventType.MODEL_RETIRED,
                known.reason,
                evidence=known.archived.manifest,
                keep_until=known.archived.keep_until,
                archive=known.archived.address,
                replacement=known.replacement,
                started_by=known.by,
                versions=ended,
            )
        )
        kept = f"kept until {known.archived.keep_until:%Y-%m-%d} at {known.archived.address}"
        want_notice(tx, known.contacts, f"{model} is retired", f"{model} is retired: {known.reason}. It is {kept}.")
        return {
            "keep_until": format_instant(known.archived.keep_until),
            "archive": known.archived.address,
            "versions": ended,
        }

    return op.commit(write)


def _require_unserved(services: Services, model: str) -> None:
    """Raises ConflictError while a server still holds the model, UnavailableError when one does not say.

    Of a model that never took traffic no server need be asked.
    """
    with services.database.begin() as tx:
        if tx.routes.get(model) is None:
            return
    if still := sorted(
        {f"{each.endpoint} ({model}@{each.version})" for each in services.served.served() if each.model == model}
    ):
        raise ConflictError(
            f"{model} is still served by {', '.join(still)}",
            where="bury",
            hint="servers follow a closed route within seconds; look at the server's log if one does not",
        )


def _end_versions(tx: Transaction, model: str) -> list[int]:
    living = [version for version in tx.versions.all(model) if version.state in _TO_END]
    for version in living:
        tx.versions.move(version.ref, version.state, State.RETIRED)
    return [version.number for version in tx.versions.all(model) if version.state is State.RETIRED]


def _resolve_incidents(services: Services, tx: Transaction, op: Operation) -> None:
    for incident in tx.incidents.unresolved(op.model):
        resolve_incident(tx, incident, op.actor, "the model is retired", services.clock.now(), op.run, told=False)
