"""Model cards and compliance reports: gathered from the record, as of any moment, and written for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.errors import IntegrityError, NotFoundError, RequestError
from steward.gates import Evidence
from steward.ledger import AuditEvent, EventType, parse_checkpoints, serving_at
from steward.reporting.card import model_card
from steward.reporting.compliance import compliance_report
from steward.reporting.facts import Facts, Proof, registration
from steward.spec import FaultsError, ModelSpec
from steward.types import JsonObject, RiskTier, format_instant

OF_THE_PORTFOLIO = (EventType.INVENTORY_AUDITED,)


@dataclass(frozen=True)
class _Present:
    """The spec in its folder now; neither where it is broken or gone."""

    spec: JsonObject | None
    digest: str | None


def gather_facts(services: Services, model: str, version: int | None = None, at: datetime | None = None) -> Facts:
    """All that was known of a version at `at` (now, if None), read in one transaction.

    Without a version: the champion of that moment, else the newest, else the model before its first. Raises
    NotFoundError for a model or version nobody had heard of by then, RequestError for a day to come.
    """
    now, present = services.clock.now(), _present(services, model)
    moment = at or now
    if moment > now:
        raise RequestError(f"{moment:%Y-%m-%d} has not come yet", hint=f"it is {format_instant(now)}")
    with services.database.begin() as tx:
        events = tx.events.read(model=model, until=moment)
        number = version or _version_to_tell(events, moment)
        registered = registration(events, number)
        spec = registered.body["spec"] if registered else present.spec
        if spec is None or (version is not None and registered is None):
            raise _unknown(services, model, version, moment)
        evidence = _evidence(tx, registered)
        return Facts(
            model=model,
            version=number if registered else None,
            at=moment,
            generated_at=services.wall(),
            spec=spec,
            events=events,
            proof=_proof(services, tx),
            portfolio=tx.events.read(types=OF_THE_PORTFOLIO, until=moment, limit=1),
            evidence=evidence,
            window=_last_window(tx, events, number),
            present_spec_digest=present.digest,
            valid_for=_valid_for(services, spec),
            version_kinds=frozenset(k for k, form in services.stages().documents.items() if form.about == "version"),
        )


def tell_card(services: Services, model: str, version: int | None = None, at: datetime | None = None) -> JsonObject:
    return model_card(gather_facts(services, model, version, at))


def tell_compliance(
    services: Services,
    model: str,
    version: int | None = None,
    at: datetime | None = None,
    frameworks: Sequence[str] = (),
) -> JsonObject:
    """Against the frameworks the version's spec names, unless others are asked for. Raises NotFoundError for none."""
    facts = gather_facts(services, model, version, at)
    wanted = frameworks or facts.spec.get("frameworks") or ()
    if not wanted:
        hint = "name one with --framework, or under `frameworks` in its model.yaml; `steward report packs` lists them"
        raise NotFoundError(f"{facts.name} names no compliance framework", hint=hint)
    return compliance_report(facts, services.packs(), wanted)


def write_governance_reports(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """The champion's card, and its compliance report where the spec names frameworks, below `<reports>/<model>/`.

    HTML for people and JSON for programs; the event holds the digest of every file.
    """
    from steward.reporting.pages import card_page, compliance_page

    op = Operation.begin(services, "write_governance_reports", spec.model, run, actor)
    if done := op.earlier():
        return done
    facts = gather_facts(services, spec.model)
    card = model_card(facts)
    name = f"{spec.model}/{'card' if facts.version is None else f'card-v{facts.version}'}"
    files = {f"{name}.html": card_page(card), f"{name}.json": readable(card)}
    if facts.spec.get("frameworks"):
        report = compliance_report(facts, services.packs(), facts.spec["frameworks"])
        name = name.replace("card", "compliance")
        files |= {f"{name}.html": compliance_page(report), f"{name}.json": readable(report)}
    digests = {file: write_file(services.reports_dir / file, text) for file, text in files.items()}
    evidence = Evidence("governance_reports", spec.model, {"version": facts.version, "files": digests})

    def write(tx: Transaction) -> JsonObject:
        digest, pages = tx.evidence.put(evidence), [file for file in files if file.endswith(".html")]
        said = f"wrote {', '.join(pages)}"
        tx.events.append(
            op.event(EventType.REPORT_MADE, said, version=facts.version, evidence=digest, reports=pages, files=digests)
        )
        return {"reports": pages, "evidence": digest}

    return op.commit(write)


def write_file(path: Path, text: str) -> str:
    """→ the digest of its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def readable(report: JsonObject) -> str:
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _present(services: Services, model: str) -> _Present:
    try:
        spec = services.specs.get(model)
    except (FaultsError, NotFoundError):
        return _Present(None, None)
    return _Present(spec.model_dump(mode="json"), spec.digest)


def _unknown(services: Services, model: str, version: int | None, at: datetime) -> NotFoundError:
    if version is None:
        services.specs.module_path(model)  # raises for a name nobody knows, with the nearest one
        return NotFoundError(f"{model} had no version on {at:%Y-%m-%d}, and its spec is broken", hint="`steward check`")
    hint = f"`steward history {model}` lists what there was"
    return NotFoundError(f"there is no {model}@{version} on {at:%Y-%m-%d}", hint=hint)


def _version_to_tell(events: Sequence[AuditEvent], at: datetime) -> int | None:
    if serving := serving_at(events, at):
        return serving.version
    numbers = [e.version for e in events if e.version is not None and registration(events, e.version) is not None]
    return max(numbers, default=None)


def _evidence(tx: Transaction, registered: AuditEvent | None) -> dict[str, Evidence]:
    """What the version was made from, each read by its digest. Raises IntegrityError for an altered one."""
    if registered is None:
        return {}
    found = {kind: tx.evidence.get(registered.body[kind]) for kind in ("validation", "training", "evaluation")}
    found["snapshot"] = tx.evidence.get(found["training"].body["snapshot"])
    if profile := found["evaluation"].body.get("profile"):
        found["profile"] = tx.evidence.get(profile)
    return found


def _last_window(tx: Transaction, events: Sequence[AuditEvent], version: int | None) -> Evidence | None:
    judged = [e for e in events if e.type is EventType.WINDOW_JUDGED and e.version == version]
    return tx.evidence.get(judged[-1].evidence) if version and judged and judged[-1].evidence else None


def _proof(services: Services, tx: Transaction) -> Proof:
    """The whole chain, verified now, against every checkpoint exported before."""
    path = services.checkpoints
    found = tx.events.verify(parse_checkpoints(path.read_text(), str(path)) if path.exists() else [])
    try:
        found.require()
    except IntegrityError as error:
        return Proof(found.events, found.head_hash, error.what)
    return Proof(found.events, found.head_hash, None, tx.events.checkpoint().to_json() if found.events else None)


def _valid_for(services: Services, spec: JsonObject) -> timedelta | None:
    return services.policy().tier(RiskTier(spec["risk_tier"])).valid_for
