"""policy check, policy who: what the policy decides, before anybody relies on it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model
from steward.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from steward.actions.state import Transaction
    from steward.approval import ApprovalRequest
    from steward.approval.entitlement import Entitlement
    from steward.approval.policy import Policy
    from steward.spec import ModelSpec

policy = typer.Typer(help="Who may release what: tried on cases, and asked for one model.", no_args_is_help=True)

FAILED = 1
VERBS = ("approve", "waive", "break_glass", "review")


def add_to(app: typer.Typer) -> None:
    policy.command()(check)
    policy.command()(who)
    app.add_typer(policy, name="policy")


def check(
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE", help="Cases; policy_cases.yaml beside the policy.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the written cases against the policy. Exit code 1 when one comes out otherwise, 2 for a faulty file.

    Example: steward policy check --cases policy_cases.yaml
    """
    from steward import wiring
    from steward.approval.cases import load_cases, try_case

    path = wiring.settings().policy_file
    found = load_cases(cases or path.with_name("policy_cases.yaml"))
    tried = [try_case(wiring.policy(), case) for case in found.cases]
    failed = [each for each in tried if not each.passed]
    if as_json:
        print_json([each.to_json() for each in tried])
    else:
        for each in failed:
            told = f" ({'; '.join(each.told)})" if each.told else ""
            wanted = f" because {each.case.because!r}" if each.case.because else ""
            typer.echo(f"{each.case.name}: expected {each.case.expect}{wanted}, found {each.found}{told}")
        typer.echo(f"{path}: {len(tried) - len(failed)} of {len(tried)} cases come out as written")
    if failed:
        raise typer.Exit(FAILED)


def who(model: Model, as_json: Json = False) -> None:
    """Who may approve, waive, break the glass and review for this model, and who not and why.

    Example: steward policy who loan_approval
    """
    from steward import wiring
    from steward.approval.entitlement import entitlements

    spec, rules, now = wiring.specs().get(model), wiring.policy(), wiring.clock().now()
    with wiring.database().begin() as tx:
        request = _asked(tx, spec, rules, now)
    found = entitlements(rules, request, now)
    about = f"{model}@{request.version}" if request.version else f"{model}, no version waits"
    if as_json:
        print_json({"model": model, "version": request.version or None, "people": [one.to_json() for one in found]})
    else:
        print_table(("person", "approve", "waive", "break glass", "review"), map(_cells, found), title=about)


def _cells(one: Entitlement) -> tuple[str, ...]:
    return (one.person, *(getattr(one, verb) or "yes" for verb in VERBS))


def _asked(tx: Transaction, spec: ModelSpec, rules: Policy, now: datetime) -> ApprovalRequest:
    """The request that waits; else as one would be made for the newest challenger, or for nothing yet (version 0)."""
    from steward.approval import ApprovalRequest, RequestState
    from steward.approval.policy import requirement
    from steward.ledger import person_of
    from steward.registry import State

    if waiting := tx.approvals.find(spec.model, None, RequestState.OPEN):
        return waiting[-1]
    challengers = [each for each in tx.versions.all(spec.model) if each.state is State.CHALLENGER]
    newest, needed = challengers[-1] if challengers else None, requirement(rules, spec)
    training = tx.evidence.get(newest.evidence["training"]).body if newest else {}
    author = person_of(newest.author) if newest else ""
    return ApprovalRequest(
        id="",
        model=spec.model,
        version=newest.number if newest else 0,
        evidence="",
        author=author,
        requester=author,
        owner=spec.owner.user,
        policy=needed.to_json(),
        requested_at=now,
        expires_at=now + needed.expires_after,
        editor=training.get("editor"),
    )
