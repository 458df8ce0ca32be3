"""The small ledger, reckoned by hand: every measure, of every group, over 7, 30 and 90 days.

What is on record (see ledger.py), with the days before AT in which it began:

    deployments                      days  team    tier    through  ended     approval→100 %  commit→100 %  incidents
    D1 credit@1                       80   risk    high    yes      complete  160−100 = 60 s  160+3600 s    i1
    Da offers@1                       62   growth  low     yes      back                                    none
    D2 offers@2                       60   growth  low     yes      complete  nobody asked    not recorded  none
    D3 churn@1                        50   growth  medium  no       complete  glass           300+100 s     none
    D4 credit@2                       20   risk    high    yes      back                      same code     none
    D5 credit@3                       18   risk    high    yes      complete  530−500 = 30 s  530−450 s     i4
    D6 churn@2                         8   risk    medium  yes      complete  660−600 = 60 s  same code     i2 i3, back
    D8 offers@4                        1   growth  low     yes      under way                               none

    ways back: Da on day 62, to no version; D4 on day 20, 442.5−440 = 2.5 s; D6 on day 1, 760−750 = 10 s (i2 was over)
    incidents: i1 day 40, a day after its window ended, open 40−18 = 22 days; i4 day 9, a day after, not over;
               i2 day 2, a day after it began, 745−700 = 45 s; i3 day 1, at once, 760−750 = 10 s
    retrainings: credit day 39 rolled back, day 19 released; offers day 24 refused, day 6 abandoned; churn day 3 goes on
    audits: day 10 credit and offers passed, churn (still growth) did not; day 2 all three (churn is risk now);
            day 1 nobody could be asked
    windows: credit day 40 drifted, 0.5 used; offers day 25 did not drift; credit day 9 drifted, 0.75 used;
             credit day 3 too few rows, 0.5 used
    in service: credit and offers throughout; churn@1 (growth) from day 50 to 6 and from day 1, churn@2 (risk) between

The table gives 7, 30 and 90 days: a share or a rate as n/m, a length as its median in seconds, – for not enough data.
Tier and model agree here: credit is the only high one, churn the medium one, offers the low one.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest
from tests.unit.reporting.measures.ledger import AT, EVENTS

from steward.reporting.measures.definitions import BY_ID, MEASURES
from steward.reporting.measures.reading import read_record
from steward.reporting.measures.view import measured, measures_view

DAY = 86400
EXPECTED = {
    ("portfolio", ""): f"""
        pipeline_share            1/1    4/4    7/8      glass for D3
        lead_time                 –      45     60       of 60 30 60
        lead_time_from_commit     –      80     400      of 3760 400 80
        deployment_success        –      2/3    5/7      D8 is under way
        change_failure            0/1    3/4    5/8      Da D1 D4 D5 D6
        time_to_roll_back         10     6.25   6.25     of 2.5 10
        deployment_frequency      1/3    4/3    8/3
        time_to_detect            {DAY // 2}  {DAY}  {DAY}   of 1 1 0 1 days
        time_to_restore           27.5   27.5   45       of 22 days, 45 s, 10 s
        retraining_success        0/1    1/3    1/4
        audit_pass                3/3    5/6    5/6
        drift_rate                –      1/2    2/3
        incidents_per_deployment  0/1    3/4    4/8
        serving_utilisation       0.5    0.625  0.5      of 0.5 0.75 0.5""",
    ("team", "risk"): f"""
        pipeline_share            –      3/3    4/4      D1 D4 D5 D6
        lead_time                 –      45     60
        lead_time_from_commit     –      80     1920     of 3760 80
        deployment_success        –      2/3    3/4
        change_failure            –      3/3    4/4
        time_to_roll_back         10     6.25   6.25
        deployment_frequency      0/2    3/2    4/2      credit, and churn from day 6 to 1
        time_to_detect            {DAY // 2}  {DAY}  {DAY}
        time_to_restore           27.5   27.5   45
        retraining_success        –      1/1    1/2
        audit_pass                2/2    3/3    3/3
        drift_rate                –      1/1    2/2
        incidents_per_deployment  –      3/3    4/4
        serving_utilisation       0.5    0.625  0.5""",
    ("team", "growth"): """
        pipeline_share            1/1    1/1    3/4      Da D2 D3 D8
        lead_time                 –      –      –        nobody approved D2, glass for D3
        lead_time_from_commit     –      –      400
        deployment_success        –      –      2/3
        change_failure            0/1    0/1    1/4
        time_to_roll_back         –      –      –        Da went back to nothing
        deployment_frequency      1/2    1/2    4/2      offers and churn
        time_to_detect            –      –      –
        time_to_restore           –      –      –
        retraining_success        0/1    0/2    0/2
        audit_pass                1/1    2/3    2/3
        drift_rate                –      0/1    0/1
        incidents_per_deployment  0/1    0/1    0/4
        serving_utilisation       –      –      –""",
    ("model", "credit"): f"""
        pipeline_share            –      2/2    3/3
        lead_time                 –      30     45
        lead_time_from_commit     –      80     1920
        deployment_success        –      1/2    2/3
        change_failure            –      2/2    3/3
        time_to_roll_back         –      2.5    2.5
        deployment_frequency      0/1    2/1    3/1
        time_to_detect            –      {DAY}  {DAY}
        time_to_restore           –      –      {22 * DAY}   i4 is not over
        retraining_success        –      1/1    1/2
        audit_pass                1/1    2/2    2/2
        drift_rate                –      1/1    2/2
        incidents_per_deployment  –      1/2    2/3
        serving_utilisation       0.5    0.625  0.5""",
    ("model", "churn"): f"""
        pipeline_share            –      1/1    1/2
        lead_time                 –      60     60
        lead_time_from_commit     –      –      400
        deployment_success        –      1/1    2/2
        change_failure            –      1/1    1/2
        time_to_roll_back         10     10     10
        deployment_frequency      0/1    1/1    2/1
        time_to_detect            {DAY // 2}  {DAY // 2}  {DAY // 2}
        time_to_restore           27.5   27.5   27.5
        retraining_success        –      –      –
        audit_pass                1/1    1/2    1/2
        drift_rate                –      –      –
        incidents_per_deployment  –      2/1    2/2
        serving_utilisation       –      –      –""",
    ("model", "offers"): """
        pipeline_share            1/1    1/1    3/3
        lead_time                 –      –      –
        lead_time_from_commit     –      –      –
        deployment_success        –      –      1/2
        change_failure            0/1    0/1    1/3
        time_to_roll_back         –      –      –
        deployment_frequency      1/1    1/1    3/1
        time_to_detect            –      –      –
        time_to_restore           –      –      –
        retraining_success        0/1    0/2    0/2
        audit_pass                1/1    2/2    2/2
        drift_rate                –      0/1    0/1
        incidents_per_deployment  0/1    0/1    0/3
        serving_utilisation       –      –      –""",
}
TIERS = {"high": "credit", "medium": "churn", "low": "offers"}
EXPECTED |= {("tier", tier): EXPECTED["model", model] for tier, model in TIERS.items()}
CASES = [
    (by, of, words[0], days, cell)
    for (by, of), table in EXPECTED.items()
    for line in table.strip().splitlines()
    for words in [line.split()]
    for days, cell in zip((7, 30, 90), words[1:4], strict=True)
]
RECORD = read_record(EVENTS, AT)


def test_the_table_is_whole() -> None:
    assert {(case[0], case[1]) for case in CASES} == set(EXPECTED)
    assert len(CASES) == len(EXPECTED) * len(MEASURES) * 3
    assert {case[2] for case in CASES} == set(BY_ID)


@pytest.mark.parametrize(("by", "of", "measure", "days", "cell"), CASES)
def test_every_figure_is_as_reckoned_by_hand(by: str, of: str, measure: str, days: int, cell: str) -> None:
    found = measured(RECORD, BY_ID[measure], AT, days, by, of or None)
    if cell == "–":
        assert found.value is None
        assert found.why_not
    elif "/" in cell:
        assert (found.parts["count"], found.parts["of"]) == tuple(int(part) for part in cell.split("/"))
        assert found.value == pytest.approx(float(Fraction(cell)))
        assert found.why_not is None
    else:
        assert found.value == pytest.approx(float(cell))
        assert found.why_not is None


@pytest.mark.parametrize(
    ("measure", "parts"),
    [
        ("pipeline_share", {"glass_broken": 1}),
        ("lead_time", {"mean": 50, "largest": 60, "not_approved": 2, "not_complete": 3}),
        ("lead_time_from_commit", {"mean": 4240 / 3, "same_code": 1, "not_recorded": 1, "not_complete": 3}),
        ("deployment_success", {"under_way": 1}),
        ("change_failure", {"rolled_back": 3, "with_incident": 3}),
        ("time_to_roll_back", {"mean": 6.25, "to_no_version": 1}),
        ("time_to_detect", {"mean": 0.75 * DAY}),
        ("time_to_restore", {"mean": (22 * DAY + 55) / 3, "largest": 22 * DAY, "not_over": 1}),
        ("retraining_success", {"refused": 1, "rolled_back": 1, "abandoned": 1, "no_version": 0, "under_way": 1}),
        ("audit_pass", {"not_judged": 3}),
        ("drift_rate", {"not_judged": 1}),
        ("serving_utilisation", {"mean": 1.75 / 3, "largest": 0.75, "not_known": 1}),
    ],
)
def test_counts_and_means_stand_beside_the_figure_of_90_days(measure: str, parts: dict[str, float]) -> None:
    found = measured(RECORD, BY_ID[measure], AT, 90, "portfolio", None)
    assert {name: found.parts[name] for name in parts} == pytest.approx(parts)


def test_a_number_leads_down_to_its_events() -> None:
    kinds = {event.seq: (event.type.value, event.model) for event in EVENTS}
    cited = measured(RECORD, BY_ID["time_to_roll_back"], AT, 7, "portfolio", None).events
    assert [kinds[seq] for seq in cited] == [("incident.opened", "churn"), ("rollout.rolled_back", "churn")]
    cited = measured(RECORD, BY_ID["drift_rate"], AT, 30, "team", "risk").events
    assert [(kinds[seq], EVENTS[seq - 1].body["outcome"]) for seq in cited] == [(("window.judged", "credit"), "FAILED")]


@pytest.mark.parametrize("measure", ["pipeline_share", "lead_time", "deployment_success"])
def test_a_release_does_not_cite_the_incidents_that_came_later(measure: str) -> None:
    kinds = {event.seq: event.type.value for event in EVENTS}
    cited = {kinds[seq] for seq in measured(RECORD, BY_ID[measure], AT, 90, "portfolio", None).events}
    assert "version.promoted" in cited
    assert not any(kind.startswith("incident.") for kind in cited)


@pytest.mark.parametrize("measure", ["change_failure", "incidents_per_deployment"])
def test_what_counts_incidents_cites_them(measure: str) -> None:
    found = measured(RECORD, BY_ID[measure], AT, 90, "portfolio", None)
    kinds = [EVENTS[seq - 1].type.value for seq in found.events]
    counted = sum(len(each.incidents) for each in RECORD.within(AT - timedelta(days=90), AT).deployments)
    assert kinds.count("incident.opened") == counted > 0


def test_deployments_per_model_cite_since_when_each_model_serves() -> None:
    """Of a model that released nothing in these days too: it is one of those that are divided by."""
    found = measured(RECORD, BY_ID["deployment_frequency"], AT, 7, "portfolio", None)
    assert len({EVENTS[seq - 1].model for seq in found.events}) == found.parts["of"]


def test_the_days_before_stand_beside_each_figure() -> None:
    view = measures_view(RECORD, AT, (7, 30), ("portfolio",))
    (group,) = view["groups"]
    shares = {each["days"]: each["before"] for each in group["figures"]["pipeline_share"]}
    # from day 14 to 7 only D6 began; from day 60 (the edge is not counted) to 30 only D3, for which glass was broken
    assert shares == {7: 1.0, 30: 0.0}


def test_a_group_nobody_knows_has_not_enough_data() -> None:
    view = measures_view(RECORD, AT, (30,), ("team",), "marketing")
    (group,) = view["groups"]
    assert all(figure["value"] is None and figure["why_not"] for [figure] in group["figures"].values())
