"""A statement is met by linked evidence alone: absence, age, doubt and waivers are gaps, each with what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from tests.unit.reporting.conftest import (
    DAY,
    NOW,
    START,
    VALIDATION,
    a_grouping,
    an_evaluation,
    approved,
    event,
    facts,
    judged,
    registered,
)

from steward.errors import NotFoundError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import AuditEvent
from steward.reporting.compliance import ANSWERS, Shown, Status, answer, compliance_report, judge_pack, judge_statement
from steward.reporting.facts import Facts, Proof
from steward.reporting.packs import QUERY_KINDS, Query, Statement, shipped_packs

FAILED = Finding("fairness.demographic_parity_ratio", Outcome.FAILED, "0.6 is below 0.8", 0.6, 0.8, "race")
SMALL = Finding("slice.rows", Outcome.INCONCLUSIVE, "slice x has 3 rows, 30 are needed", 3, 30, "x", 3)


def asked(known: Facts, **query: object) -> Shown:
    return answer(Query.model_validate(query), known)


def gap(known: Facts, **query: object) -> str:
    found = asked(known, **query).gap
    assert found is not None
    return found


def is_met(known: Facts, **query: object) -> bool:
    shown = asked(known, **query)
    return shown.gap is None and bool(shown.links)


def test_every_kind_of_query_has_an_answer() -> None:
    assert set(ANSWERS) == set(QUERY_KINDS)


def filed(version: int | None = 1, at: datetime = NOW - DAY) -> AuditEvent:
    return event("document.filed", at, version, kind="validation_report", title="Report", evidence="1" * 64)


class TestDocument:
    def test_filed_for_the_version_it_is_linked_with_who_and_when(self) -> None:
        (link,) = asked(facts(filed()), document="validation_report").links
        assert (link.what, link.by, link.at, link.digest) == ("validation_report: Report", "dana", NOW - DAY, "1" * 64)

    def test_missing_it_is_a_gap_that_says_how_to_file_it(self) -> None:
        assert "steward document file toy@1 --kind validation_report" in gap(facts(), document="validation_report")
        assert "steward document file toy --kind use_case" in gap(facts(), document="use_case")

    def test_of_another_version_it_does_not_count_and_is_named(self) -> None:
        assert "the last is for @2" in gap(facts(filed(version=2)), document="validation_report")

    def test_too_old_it_has_expired(self) -> None:
        old = facts(filed(at=NOW - 40 * DAY))
        assert is_met(old, document="validation_report")
        assert gap(old, document="validation_report", within="30d") == "expired: of 2026-05-02, older than 30d"


class TestWhatTheVersionWasMadeFrom:
    @pytest.mark.parametrize("kind", ["snapshot", "validation", "training", "evaluation", "profile"])
    def test_on_record(self, kind: str) -> None:
        (link,) = asked(known := facts(), evidence=kind).links
        assert link.digest == known.evidence[kind].digest
        assert "no " + kind in gap(facts(evidence={}), evidence=kind)

    def test_data_that_broke_their_contract_are_no_evidence_of_quality(self) -> None:
        broken = Verdict.of([Finding("contract", Outcome.INCONCLUSIVE, "no rows")])
        known = facts()
        bad = Evidence("validation", "toy", {**VALIDATION.body, "verdict": broken.to_json()})
        assert "no rows" in gap(replace(known, evidence={**known.evidence, "validation": bad}), evidence="validation")

    @pytest.mark.parametrize("part", ["calibration", "importance", "slices", "fairness"])
    def test_parts_of_the_evaluation(self, part: str) -> None:
        assert is_met(facts(), evaluated=part)
        empty = an_evaluation(**{part: {"features": {}} if part == "importance" else []})
        assert f"no {part}" in gap(facts(evaluation=empty), evaluated=part)

    def test_slices_too_small_to_judge_are_no_evidence_of_slices(self) -> None:
        assert gap(facts(evaluation=an_evaluation(SMALL)), evaluated="slices") == SMALL.reason

    def test_groups_that_could_not_be_compared_are_no_evidence_of_fairness(self) -> None:
        body = {"groupings": [a_grouping(problem="race has 300 groups")], "warnings": []}
        assert gap(facts(evaluation=an_evaluation(fairness=body)), evaluated="fairness") == "race has 300 groups"


class TestVerdict:
    def test_met_when_all_such_gates_passed(self) -> None:
        assert is_met(facts(), verdict="metric.*")

    def test_no_such_gate_is_a_gap(self) -> None:
        assert "judged no gate `fairness.*`" in gap(facts(), verdict="fairness.*")

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
    def test_failed_and_inconclusive_are_gaps(self, outcome: Outcome) -> None:
        known = facts(evaluation=an_evaluation(replace(FAILED, outcome=outcome)))
        assert gap(known, verdict="fairness.*") == "0.6 is below 0.8"

    def test_a_waived_gate_stays_a_gap_and_names_the_waiver(self) -> None:
        waiver = event(
            "waiver.granted", START, waiver="w1", gate="fairness.*", role="risk_officer", expires_at=str(NOW + DAY)
        )
        known = facts(waiver, evaluation=an_evaluation(FAILED))
        assert gap(known, verdict="*") == "0.6 is below 0.8 (waived by dana until 2026-06-12)"


class TestEvents:
    def test_of_the_version_the_model_or_the_portfolio(self) -> None:
        assert is_met(facts(event("rollout.started")), event="rollout.started")
        assert "was never released" in gap(facts(event("rollout.started", version=2)), event="rollout.started")
        assert gap(facts(), event="model.reviewed") == "no model.reviewed event is on record"
        audited = event("inventory.audited", NOW - DAY, None)
        assert is_met(facts(portfolio=[audited]), event="inventory.audited", within="2d")
        assert "expired" in gap(facts(portfolio=[audited]), event="inventory.audited", within="1h")

    def test_a_stage_is_met_once_entered(self) -> None:
        entered = event("stage.entered", stage="deployment", artefacts={})
        (link,) = asked(facts(entered), stage="deployment").links
        assert link.seq == entered.seq
        assert "has not entered the stage monitoring" in gap(facts(entered), stage="monitoring")


class TestApproval:
    def test_links_every_yes_of_the_request_that_carried(self) -> None:
        first = approved(by="ravi", state="open")
        shown = asked(facts(first, approved(by="olu")), approval=True)
        assert [link.by for link in shown.links] == ["ravi", "olu"]

    def test_half_a_quorum_is_none(self) -> None:
        assert "nobody approved toy@1" in gap(facts(approved(state="open")), approval=True)

    def test_of_another_version_it_does_not_count(self) -> None:
        assert "nobody approved" in gap(facts(replace(approved(), version=2)), approval=True)

    def test_voided_by_later_evidence_it_is_a_gap(self) -> None:
        yes = approved()
        voided = event("approval.voided", START + 2 * DAY, request="q1", reason="a report came")
        assert "voided on 2026-06-03: a report came" in gap(facts(yes, voided), approval=True)
        assert is_met(facts(yes, voided, approved(START + 3 * DAY)), approval=True)

    def test_lapsed_after_the_time_of_its_tier(self) -> None:
        assert is_met(facts(approved(), valid_for=10 * DAY), approval=True)
        assert "lapsed on 2026-06-05" in gap(facts(approved(), valid_for=3 * DAY), approval=True)

    def test_broken_glass_is_no_approval(self) -> None:
        broken = event("glass.broken", START + DAY, actor="person:mia")
        assert "the glass was broken on 2026-06-02 by mia" in gap(facts(broken), approval=True)


class TestMonitor:
    def test_a_judged_window_shows_it_even_a_failed_one(self) -> None:
        assert is_met(facts(judged()), monitor=True)
        assert is_met(facts(judged("FAILED")), monitor=True)

    def test_a_window_it_could_not_judge_does_not(self) -> None:
        assert "could not be judged" in gap(facts(judged("INCONCLUSIVE")), monitor=True)

    def test_silence_does_not(self) -> None:
        assert "no window of toy@1" in gap(facts(), monitor=True)
        assert "no window of toy@1" in gap(facts(judged(version=2)), monitor=True)
        assert "silent since 2026-05-27" in gap(facts(judged(end=NOW - 15 * DAY)), monitor=True)


class TestReview:
    def test_due_in_the_future_it_is_met(self) -> None:
        done = event("model.reviewed", START, None, next_review_at=str(NOW + DAY))
        assert is_met(facts(done), review=True)

    def test_overdue_or_never_it_is_a_gap(self) -> None:
        late = event("model.reviewed", START, None, next_review_at=str(NOW - DAY))
        assert gap(facts(late), review=True) == "the review due on 2026-06-10 is overdue"
        assert "nobody has reviewed" in gap(facts(), review=True)


UNTIL = "2026-06-05T00:00:00Z"
WAIVED = {"waiver": "w1", "gate": "metric.*", "role": "risk_officer"}
USED = {"id": "w1", "gate": "metric.*", "slice": None, "by": "mia", "expires_at": UNTIL}


class TestWaivers:
    def test_none_needed_is_met(self) -> None:
        assert is_met(facts(), waivers="live")

    def test_one_that_holds_is_met_and_one_that_expired_is_not(self) -> None:
        granted = event("waiver.granted", START - DAY, expires_at=UNTIL, **WAIVED)
        under = [granted, registered(an_evaluation(), waivers=[USED])]
        assert is_met(facts(events=under, at=START + DAY), waivers="live")
        assert "metric.* by mia expired on 2026-06-05" in gap(facts(events=under), waivers="live")

    def test_a_revoked_one_is_not(self) -> None:
        used = [{**USED, "expires_at": "2026-12-01T00:00:00Z"}]
        granted = event("waiver.granted", START - DAY, expires_at="2026-12-01T00:00:00Z", **WAIVED)
        revoked = event("waiver.revoked", START + DAY, waiver="w1")
        known = facts(events=[granted, registered(an_evaluation(), waivers=used), revoked])
        assert "was revoked" in gap(known, waivers="live")


class TestIncidents:
    OPENED = event("incident.opened", NOW - 2 * DAY, incident="i1", cause="drift", severity="low")

    def test_open_is_a_gap_resolved_is_met(self) -> None:
        assert "1 open: drift since 2026-06-09" in gap(facts(judged(), self.OPENED), incidents="resolved")
        over = event("incident.resolved", NOW - DAY, incident="i1")
        assert is_met(facts(judged(), self.OPENED, over), incidents="resolved")

    def test_where_nothing_was_monitored_no_incident_proves_nothing(self) -> None:
        assert "nothing was monitored" in gap(facts(), incidents="resolved")


def test_a_broken_ledger_is_a_gap() -> None:
    assert is_met(facts(), chain="verified")
    assert "event 3 was altered" in gap(facts(proof=Proof(2, "c" * 64, "event 3 was altered")), chain="verified")


def test_a_field_shows_only_what_is_declared() -> None:
    assert is_met(facts(), field="owner.email")
    assert gap(facts(), field="upstream") == "model.yaml says nothing under `upstream`"


def test_a_duty_of_people_is_never_met() -> None:
    assert "not something these records can show: write it" in gap(facts(), duty="write it")


def test_one_missing_piece_makes_the_statement_a_gap_and_keeps_what_is_there() -> None:
    both = (Query(evidence="evaluation"), Query(document="data_sheet"))
    found = judge_statement(Statement(id="a", text="t", citation="c", evidence=both), facts())
    assert found.status is Status.GAP
    assert [bool(shown.links) for _, shown in found.shown] == [True, False]


def test_a_statement_for_other_tiers_is_not_asked() -> None:
    statement = Statement(id="a", text="t", citation="c", applies_to=("high",), evidence=(Query(chain="verified"),))
    assert judge_statement(statement, facts()).status is Status.NOT_APPLICABLE
    assert judge_statement(statement, facts(tier="high")).status is Status.MET


def test_an_empty_record_meets_nothing_but_what_is_declared() -> None:
    bare = facts(version=None, events=[], evidence={}, tier="high")
    for pack in shipped_packs().packs:
        met = {one.statement.id for one in judge_pack(pack, bare) if one.status is Status.MET}
        declared = {one.id for one in pack.statements if one.declaration}
        intact = {one.id for one in pack.statements if {query.kind for query in one.evidence} == {"chain"}}
        assert met <= declared | intact


def test_a_report_of_2025_judges_the_guidance_of_2025() -> None:
    known = facts(at=START.replace(year=2025), events=[])
    (pack,) = compliance_report(known, shipped_packs(), ["sr-11-7"])["frameworks"]
    assert pack["standing"] == "in force"
    today = compliance_report(facts(), shipped_packs(), ["sr-11-7", "sr-11-7"])
    assert [each["standing"] for each in today["frameworks"]] == ["superseded"]
    assert today["findings"] == ["sr-11-7 was superseded on 2026-04-17 by sr-26-2: name sr-26-2 instead"]


def test_counts_add_up_and_unchecked_statements_say_so() -> None:
    report = compliance_report(facts(), shipped_packs(), shipped_packs().ids())
    for pack in report["frameworks"]:
        assert sum(pack["counts"].values()) == len(pack["statements"])
        assert all(one["checked_against_primary_text"] is False for one in pack["statements"])
    linked = {
        link["digest"]
        for p in report["frameworks"]
        for s in p["statements"]
        for a in s["evidence"]
        for link in a["links"]
    }
    assert {one["digest"] for one in report["evidence"]} == linked - {None}


def test_an_unknown_framework_is_an_error() -> None:
    with pytest.raises(NotFoundError):
        compliance_report(facts(), shipped_packs(), ["sr-99"])
