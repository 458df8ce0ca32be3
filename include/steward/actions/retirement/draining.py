"""Until nobody needs a model any more: its consumers confirm, its traffic dies down, or it is to stay after all."""

from __future__ import annotations

from steward.actions.effects import want_notice
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.approval.policy import Policy
from steward.data import Traffic
from steward.errors import NotFoundError, PolicyError, RequestError
from steward.gates import Outcome
from steward.inventory.retirement import (
    RETIREMENT_EVENTS,
    Retirement,
    retirement_of,
    waiting_for_consumers,
    waiting_for_quiet,
)
from steward.ledger import EventType
from steward.spec import ModelSpec
from steward.types import JsonObject


def retirement_in(tx: Transaction, model: str) -> Retirement | None:
    return retirement_of(tx.events.read(model=model, types=RETIREMENT_EVENTS))


def retirement_under_way(tx: Transaction, model: str) -> Retirement:
    """Raises NotFoundError when there is none."""
    known = retirement_in(tx, model)
    if known is None:
        raise NotFoundError(f"{model} is not being retired", hint=f"steward retire {model} --reason … begins it")
    return known


def confirm_consumer(
    services: Services, *, model: str, consumer: str, by: str, via: str, replacement: str | None = None
) -> JsonObject:
    """One consumer no longer needs the model, says a person who may speak for it. Again is harmless.

    Raises NotFoundError for a model that is not being retired and for a consumer it does not have, PolicyError for
    anybody else.
    """
    inputs = {"consumer": consumer, "replacement": replacement, "via": via}
    op = Operation.begin(services, "confirm_consumer", model, None, f"person:{by}", **inputs)

    def write(tx: Transaction) -> JsonObject:
        known = retirement_under_way(tx, model)
        if consumer not in known.consumers:
            names = ", ".join(known.consumers) or "none is declared"
            raise NotFoundError(f"{model} has no consumer {consumer!r}", hint=f"its consumers: {names}")
        if consumer not in known.confirmations:
            _require_voice(services, known, consumer, by)
            said = f"{consumer} no longer needs {model}" + (f": it asks {replacement}" if replacement else "")
            tx.events.append(
                op.event(EventType.CONSUMER_CONFIRMED, said, consumer=consumer, replacement=replacement, via=via)
            )
            known = retirement_under_way(tx, model)
        given = known.confirmations[consumer]
        return {"consumer": consumer, "by": given.by, "waiting_for": known.unconfirmed}

    return op.commit(write)


def _require_voice(services: Services, known: Retirement, consumer: str, by: str) -> None:
    """The person whose address the consumer gave; where nobody known has it, a person who did not start this."""
    policy, today, contact = services.policy(), services.clock.now().date(), known.consumers[consumer]
    speakers = _holders(policy, contact)
    here = [name for name in speakers if policy.roles_of(name, today)]
    if by in here or (not here and by != known.by and policy.roles_of(by, today)):
        return
    who = (
        f"ask {', '.join(here)}" if here else "ask somebody with a role in the policy who did not start the retirement"
    )
    raise PolicyError(f"{by} does not speak for {consumer} ({contact})", where=known.model, hint=who)


def _holders(policy: Policy, address: str) -> list[str]:
    return [name for name, known in policy.people.items() if known.email and known.email.lower() == address.lower()]


def call_off_retirement(services: Services, *, model: str, by: str, via: str, reason: str) -> JsonObject:
    """The model stays. Confirmations given so far count no more. Only until its endpoint is closed.

    Raises RequestError without a reason; PolicyError unless whoever started it asks, or somebody with a role.
    """
    op = Operation.begin(services, "call_off_retirement", model, None, f"person:{by}", reason=reason, via=via)

    def write(tx: Transaction) -> JsonObject:
        known = retirement_under_way(tx, model)
        if not reason.strip():
            raise RequestError("the reason is empty", where=model, hint="say why the model stays")
        if by != known.by and not services.policy().roles_of(by, services.clock.now().date()):
            hint = f"ask {known.by}, who started it, or somebody with a role in the policy"
            raise PolicyError(f"{by} may not call off the retirement of {model}", where=model, hint=hint)
        tx.events.append(op.event(EventType.RETIREMENT_CALLED_OFF, reason, via=via))
        want_notice(tx, known.contacts, f"{model} stays", f"{by} called off the retirement of {model}: {reason}.")
        return {"model": model, "state": "in service"}

    return op.commit(write)


def await_consumers(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """Final when every consumer has confirmed, or the replacement answers users. Called off: FAILED, and final."""
    with services.database.begin() as tx:
        known = retirement_in(tx, spec.model)
        waiting = consumers_waited_for(tx, known) if known else []
    return _awaited(known, waiting)


def await_quiet(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """Final after the agreed time without a request, by the log; a server that is away may be asked unseen."""
    with services.database.begin() as tx:
        known = retirement_in(tx, spec.model)
        routed = tx.routes.get(spec.model) is not None
    if known is None or known.closed_at:
        return _awaited(known, [])
    if routed:
        services.served.served()
    return _awaited(known, waiting_for_quiet(known, traffic_of(services, spec, known)))


def consumers_waited_for(tx: Transaction, known: Retirement) -> list[str]:
    replaced = known.replacement is not None and tx.versions.champion(known.replacement) is not None
    return [] if known.closed_at else waiting_for_consumers(known, replaced)


def traffic_of(services: Services, spec: ModelSpec, known: Retirement) -> Traffic:
    """Who asked over the agreed time. Nobody asks a batch target: its scoring goes on until its endpoint is closed."""
    declared = getattr(spec, "deployment", None)  # of a broken spec, the id is all there is
    if declared is not None and declared.target == "batch":
        return Traffic(0, None)
    return services.predictions.traffic(known.model, services.clock.now() - known.quiet)


def _awaited(known: Retirement | None, waiting: list[str]) -> JsonObject:
    if known is None:
        return {"outcome": Outcome.FAILED.value, "final": True, "reasons": ["the retirement was called off"]}
    outcome = Outcome.INCONCLUSIVE if waiting else Outcome.PASSED
    return {"outcome": outcome.value, "final": not waiting, "reasons": waiting}
