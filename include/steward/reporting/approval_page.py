"""The page an approver sees in Airflow's Required Actions."""

from __future__ import annotations

from collections.abc import Iterator

from steward.gates import Evidence, Finding, Verdict
from steward.spec import ModelSpec
from steward.types import JsonObject


def approval_page(
    spec: ModelSpec, version: str, evaluation: Evidence, request: JsonObject, training: JsonObject
) -> tuple[str, str]:
    """Subject and Markdown body.

    `request`: author, expires_at (text), evidence; `training`: window, rows, commit.
    """
    verdict = evaluation.verdict
    champion = evaluation.body.get("champion")
    against = f"{spec.model}@{champion}" if champion else "nothing (its first release)"
    lines = [
        f"**{spec.title}**",
        "",
        f"Risk tier **{spec.risk_tier}** · author **{request['author']}** · replaces **{against}**",
        "",
        f"Trained on {training['rows']} rows of {training['window']}, code `{training['commit'][:12]}`.",
        "",
        f"### Verdict: {verdict.outcome.value}",
        "",
        *_table(verdict),
        "",
        f"Evidence `{request['evidence']}`; your answer is bound to it.",
        f"No answer by {request['expires_at']} means rejected.",
    ]
    return f"Release {version}?", "\n".join(lines)


def _table(verdict: Verdict) -> Iterator[str]:
    yield "| gate | slice | value | limit | outcome |"
    yield "|---|---|---|---|---|"
    for finding in sorted(verdict.findings, key=lambda f: (f.outcome.value, f.slice != "overall", f.gate)):
        yield _row(finding)


def _row(finding: Finding) -> str:
    value, limit = (f"{number:.4g}" if number is not None else "–" for number in (finding.value, finding.limit))
    return f"| {finding.gate} | {finding.slice} | {value} | {limit} | {finding.outcome.value} |"
