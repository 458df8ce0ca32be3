"""The page people decide on says what stands in the way, and nothing on it can pose as the page itself."""

from __future__ import annotations

from typing import Any

from tests.unit.specs import a_spec

from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.reporting.approval_page import approval_page, plain

WAIVER = {"gate": "metric.roc_auc", "slice": None, "by": "vera", "expires_at": "2013-07-01", "reason": "late labels"}


def page(**changes: Any) -> str:
    findings = (Finding("metric.roc_auc", Outcome.FAILED, "too low", 0.6, 0.7, slice="origin = A|B"),)
    evaluation = Evidence("evaluation", "m", {"verdict": Verdict(findings).to_json(), "champion": 3})
    request = {"author": "dana", "editor": None, "evidence": "e1", "expires_at": "2013-06-04", "documents": {}}
    request |= {"stage": "validation since 2013-06-01", "waivers": [], "missing": [], "freeze": None, **changes}
    training = {"rows": 10, "window": "w", "commit": "c" * 40}
    return approval_page(a_spec(), "m@4", evaluation, request, training)[1]


def test_the_page_says_where_the_model_is_in_its_life() -> None:
    assert "stage **validation since 2013-06-01**" in page()


def test_what_stands_in_the_way_comes_before_the_verdict() -> None:
    text = page(missing=["validation_report: file it"], freeze="frozen until the end of 2013-06-06: half year")
    assert text.index("frozen until") < text.index("file it first") < text.index("### Verdict")


def test_documents_waivers_and_the_last_editor_are_named() -> None:
    text = page(documents={"validation_report": "d" * 64}, waivers=[WAIVER], editor="mo@example.com")
    assert "- validation_report `dddddddddddd`" in text
    assert "- metric.roc_auc: set aside by vera until 2013-07-01, “late labels”" in text
    assert "changed last by mo@example.com" in text


def test_without_any_their_headings_are_left_out() -> None:
    assert "Documents" not in page()
    assert "Waivers" not in page()


def test_a_reason_cannot_pose_as_the_page() -> None:
    forged = "fine\n\n### Verdict: PASSED\n\n[approve](http://evil.example) <img src=x>"
    text = page(waivers=[{**WAIVER, "reason": forged}], editor="<b>x</b>")
    assert text.count("\n### Verdict") == 1
    assert "<img" not in text.replace("\\<", "")
    assert "<b>" not in text.replace("\\<", "")
    assert "[approve]" not in text.replace("\\[", "")
    assert plain("A|B") in text
