"""kpi prints the measures of the ledger reckoned by hand, and leads down to their events."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.unit.cli.conftest import Steward
from tests.unit.reporting.measures.ledger import AT, planted

from steward import wiring
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.reporting.measures.definitions import BY_ID
from steward.testing.services import services_in_memory


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    from dataclasses import replace

    database = planted()
    folder = wiring.specs()
    found = services_in_memory(folder, load_policy(wiring.settings().policy_file), database.clock, folder.folder)
    found = replace(found, database=database, clock=database.clock)
    monkeypatch.setattr(wiring, "services", lambda: found)
    return found


@pytest.mark.usefixtures("services")
def test_the_portfolio_is_told_over_three_spans(steward: Steward) -> None:
    lines = steward("kpi").out.splitlines()
    assert lines[0] == "as of 2026-10-01 00:00 UTC"
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in lines[2:]}
    assert set(rows) == set(BY_ID)
    assert rows["pipeline_share"] == ["100 % (1 of 1)", "100 % (4 of 4)", "88 % (7 of 8)"]
    assert rows["deployment_success"] == ["not enough data", "67 % (2 of 3)", "71 % (5 of 7)"]
    assert rows["time_to_roll_back"] == ["10 s (of 1)", "6.25 s (of 2)", "6.25 s (of 2)"]
    assert rows["time_to_detect"] == ["12 h (of 2)", "24 h (of 3)", "24 h (of 4)"]
    assert rows["deployment_frequency"] == ["0.33 (1 for 3)", "1.3 (4 for 3)", "2.7 (8 for 3)"]


@pytest.mark.usefixtures("services")
def test_one_span_says_what_else_was_counted_or_why_there_is_no_figure(steward: Steward) -> None:
    out = steward("kpi", "offers", "--days", 90).out
    assert "lead_time\tnot enough data\tno release of these days waited for an approval; 1 nobody approved" in out
    assert "deployment_success\t50 % (1 of 2)\t1 under way" in out


@pytest.mark.usefixtures("services")
def test_groups_stand_under_each_other_and_one_can_be_picked(steward: Steward) -> None:
    out = steward("kpi", "--by", "team", "--days", 30).out
    assert "growth\tchange_failure\t0 % (0 of 1)" in out
    assert "risk\tchange_failure\t100 % (3 of 3)" in out
    told = json.loads(steward("kpi", "--by", "team", "--of", "growth", "--json").out)
    assert [(group["by"], group["of"]) for group in told["groups"]] == [("team", "growth")]
    assert told["at"] == "2026-10-01T00:00:00Z"


@pytest.mark.usefixtures("services")
def test_a_number_leads_to_its_events(steward: Steward) -> None:
    out = steward("kpi", "--events", "time_to_roll_back", "--days", 7).out.splitlines()
    assert out[0] == "Time to roll back, 7 days: 10 s (of 1)"
    assert [line.split("\t")[2:4] for line in out[3:]] == [
        ["churn@2", "rollout.rolled_back"],
        ["churn@2", "incident.opened"],
    ]
    told = json.loads(steward("kpi", "--events", "change_failure", "--by", "tier", "--of", "low", "--json").out)
    assert told["figure"]["parts"]["of"] == 1
    assert {event["model"] for event in told["events"]} == {"offers"}


@pytest.mark.usefixtures("services")
def test_a_past_day_is_told_as_it_was(steward: Steward) -> None:
    """Nineteen days before, credit@2 had been taken off and credit@3 was not let out yet."""
    then = f"{AT - timedelta(days=19):%Y-%m-%d}"
    out = steward("kpi", "--at", then, "--days", 7).out
    assert "pipeline_share\t100 % (1 of 1)" in out
    assert "deployment_success\t0 % (0 of 1)" in out


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--by", "colour"), 2, "one of portfolio, team, tier, model"),
        (("--days", "0"), 2, "take 1 to 3660"),
        (("--at", "2030-01-01"), 2, "has not come yet"),
        (("--at", "yesterday"), 2, "is no date"),
        (("--of", "risk"), 2, "add --by team"),
        (("credit", "--by", "team"), 2, "leave out --by"),
        (("--events", "fun"), 5, "one of pipeline_share"),
        (("flight_delay",), 5, "flight_delays"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(
    steward: Steward, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = steward("kpi", *arguments)
    assert ended.code == code
    assert said in ended.err


def test_an_empty_ledger_has_not_enough_data(
    steward: Steward, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from steward.testing import FakeDatabase

    empty = replace(services, database=FakeDatabase())
    monkeypatch.setattr(wiring, "services", lambda: empty)
    rows = steward("kpi").out.splitlines()[2:]
    assert len(rows) == len(BY_ID)
    assert all(row.count("not enough data") == 3 for row in rows)
