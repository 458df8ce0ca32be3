"""The report on every model at once, and the measures beside it: pages for people, JSON for programs, one event."""

from __future__ import annotations

from steward.actions.state import Services
from steward.actions.telling.measures import tell_measures
from steward.actions.telling.portfolio import tell_portfolio
from steward.actions.telling.reporting import readable, write_file
from steward.gates import Evidence
from steward.inventory.record import Places
from steward.ledger import ALL_MODELS, EventDraft, EventType
from steward.types import JsonObject, to_json

FOLDER = "-portfolio"
"""Below the reports; no model's id begins so."""
GROUPINGS = ("portfolio", "tier", "team")


def write_portfolio_report(services: Services, *, actor: str) -> JsonObject:
    """The portfolio and its measures as they are now, below `<reports>/-portfolio/`; the event holds every digest.

    Each run writes files of its own. Raises UnavailableError when the record cannot be read: then nothing is written.
    """
    from steward.reporting.pages import measures_page, portfolio_page

    portfolio, measures = tell_portfolio(services, Places()), tell_measures(services, by=GROUPINGS)
    stamp = f"{services.wall():%Y-%m-%dT%H%M%S}"
    files = {
        f"{FOLDER}/models-{stamp}.html": portfolio_page(portfolio),
        f"{FOLDER}/models-{stamp}.json": readable(to_json(portfolio)),
        f"{FOLDER}/measures-{stamp}.html": measures_page(measures),
        f"{FOLDER}/measures-{stamp}.json": readable(to_json(measures)),
    }
    digests = {file: write_file(services.reports_dir / file, text) for file, text in files.items()}
    pages = [file for file in files if file.endswith(".html")]
    with services.database.begin() as tx:
        evidence = tx.evidence.put(Evidence("portfolio_report", ALL_MODELS, {"files": digests}))
        body, said = {"reports": pages, "files": digests}, f"wrote {', '.join(pages)}"
        tx.events.append(EventDraft(EventType.REPORT_MADE, ALL_MODELS, actor, said, None, evidence, body))
    return {"reports": pages, "models": len(portfolio["rows"]), "evidence": evidence}
