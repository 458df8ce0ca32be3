"""The page an approver sees in Airflow's Required Actions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from steward.gates import Evidence, Finding, Verdict
from steward.spec import ModelSpec
from steward.types import JsonObject


def approval_page(
    spec: ModelSpec, version: str, evaluation: Evidence, request: JsonObject, training: JsonObject
) -> tuple[str, str]:
    """Subject and Markdown body.

    `request`: stage and expires_at (text), author, editor, evidence, documents (kind → digest), waivers, missing,
    freeze; `training`: window, rows, commit.
    """
    verdict = evaluation.verdict
    champion = evaluation.body.get("champion")
    against = f"{spec.model}@{champion}" if champion else "nothing (its first release)"
    lines = [
        f"**{spec.title}**",
        "",
        f"Risk tier **{spec.risk_tier}** · stage **{request['stage']}** · author **{request['author']}** · "
        f"replaces **{against}**",
        "",
        f"Trained on {training['rows']} rows of {training['window']}, code `{training['commit'][:12]}`"
        f"{_by(request.get('editor'))}.",
        "",
        *_warnings(request),
        f"### Verdict: {verdict.outcome.value}",
        "",
        *_table(verdict),
        "",
        *_section("Documents", (f"{kind} `{digest[:12]}`" for kind, digest in request["documents"].items())),
        *_section("Waivers in force", map(_waiver, request["waivers"])),
        f"Evidence `{request['evidence']}`; your answer is bound to it.",
        f"No answer by {request['expires_at']} means rejected.",
    ]
    return f"Release {version}?", "\n".join(lines)


def _by(editor: str | None) -> str:
    return f", changed last by {plain(editor)}" if editor else ""


def _warnings(request: JsonObject) -> Iterator[str]:
    """What stands in the way, before anything else is read."""
    if request["freeze"]:
        yield from (f"> **{plain(request['freeze'])}.** An approval stays good; the release starts after it.", "")
    for missing in request["missing"]:
        yield from (f"> **Missing, file it first:** {missing}", "")


def _section(title: str, entries: Iterable[str]) -> list[str]:
    lines = [f"- {entry}" for entry in entries]
    return [f"### {title}", "", *lines, ""] if lines else []


def _waiver(waiver: JsonObject) -> str:
    where = f" on {plain(waiver['slice'])}" if waiver["slice"] else ""
    said = f"set aside by {waiver['by']} until {waiver['expires_at']}, “{plain(waiver['reason'])}”"
    return f"{waiver['gate']}{where}: {said}"


def plain(text: str) -> str:
    """Text that people or data brought, on one line and without any meaning in Markdown: it must not pose as a page."""
    return re.sub(r"([\\`*_\[\]<>#|~!])", r"\\\1", " ".join(text.split()))


def _table(verdict: Verdict) -> Iterator[str]:
    yield "| gate | slice | value | limit | outcome |"
    yield "|---|---|---|---|---|"
    for finding in sorted(verdict.findings, key=lambda f: (f.outcome.value, f.slice != "overall", f.gate)):
        yield _row(finding)


def _row(finding: Finding) -> str:
    value, limit = (f"{number:.4g}" if number is not None else "–" for number in (finding.value, finding.limit))
    return f"| {finding.gate} | {plain(finding.slice)} | {value} | {limit} | {finding.outcome.value} |"
