"""The view of the whole portfolio: the answer adds up, names what is wrong first, and never counts silence as good."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from tests.unit.reporting.known import (
    DAY,
    NOW,
    OWNER,
    SOUND,
    a_rich_estate,
    elsewhere,
    in_trouble,
    known,
    trouble,
    untold,
    view,
    window,
)
from tests.unit.reporting.test_pages import NASTY, Page

from steward.reporting.health import Health, Signs
from steward.reporting.pages import portfolio_fragment, portfolio_page
from steward.reporting.portfolio import Known, row_of
from steward.types import JsonObject, to_json


def answer(*models: Known) -> JsonObject:
    found: JsonObject = view(*models)["answer"]
    return found


class TestTheAnswer:
    def test_models_judged_on_real_outcomes_on_time_and_within_limits_hold(self) -> None:
        told = answer(known("a"), known("b"), known("c"))
        assert (told["serving"], told["hold"], told["red"], told["untold"]) == (3, 3, 0, 0)
        (said,) = told["sentences"]
        assert said.startswith("All 3 serving models hold: judged on real outcomes in the newest window, on time")

    @pytest.mark.parametrize(
        ("model", "why"),
        [
            (untold("a", "only 12 outcomes came, 100 are needed"), "only 12 outcomes came, 100 are needed"),
            (known("a", Signs(True), window_end=None, told={}), "no window of it was judged yet"),
            (known("a", Signs(True, (), SOUND, "monitor overdue since May")), "monitor overdue since May"),
            (known("a", Signs(True, (), {"drift": "PASSED"}), told=window(None, "no limit is set")), "no limit is set"),
            (known("a", standing="broken spec", fault="line 3"), "its spec is broken, so nothing judges it"),
            (
                known("a", Signs(True, (), SOUND, unread="its evidence was altered"), told={}),
                "its evidence was altered",
            ),
            (
                untold("a", "outcomes are not due", window={"estimated": "PASSED"}),
                "outcomes are not due. Estimated from its answers alone, it holds",
            ),
            (
                untold("a", "outcomes are not due", window={"estimated": "FAILED"}),
                "outcomes are not due. Estimated from its answers alone, it got worse",
            ),
        ],
    )
    def test_what_nobody_can_tell_is_not_counted_as_good(self, model: Known, why: str) -> None:
        told = answer(model, known("b"))
        assert (told["hold"], told["red"], told["untold"]) == (1, 0, 1)
        assert [(one["model"], one["why"]) for one in told["untold_models"]] == [("a", why)]
        assert told["sentences"][0].startswith("1 of 2 serving models holds: ")
        assert "1 cannot be told." in told["sentences"]

    def test_drift_without_a_loss_holds_and_is_said(self) -> None:
        told = answer(in_trouble("a", trouble("drift", "low")), known("b"))
        assert (told["hold"], told["watched"]) == (2, 1)
        assert "1 of those that hold is watched: inputs drift, without a loss." in told["sentences"]

    def test_high_risk_comes_first_then_severity_then_the_oldest(self) -> None:
        red = [
            in_trouble("low_old", trouble("data", "high", 90), risk_tier="low"),
            in_trouble("medium_new", trouble("data", "medium", 1)),
            in_trouble("medium_old", trouble("data", "medium", 9)),
            in_trouble("medium_urgent", trouble("data", "high", 0)),
            in_trouble("high_mild", trouble("data", "low", 0), risk_tier="high"),
        ]
        random.Random(3).shuffle(red)
        names = [one["model"] for one in answer(*red)["red_models"]]
        assert names == ["high_mild", "medium_urgent", "medium_old", "medium_new", "low_old"]

    def test_a_red_model_says_what_was_lost_and_what_is_being_done(self) -> None:
        begun = {"at": NOW - DAY, "seq": 1, "outcome": "under way", "said": "lost in 2 of 3 windows"}
        model = in_trouble(
            "a",
            trouble("performance", "high", 9, "vera"),
            trouble("data", "low", 3),
            retraining=begun,
            back_at=NOW - 2 * DAY,
            rollout={"version": 4, "percent": 20},
        )
        (one,) = answer(model)["red_models"]
        assert one["since"] == NOW - 9 * DAY
        assert one["what"] == ["performance since 2026-06-02 (high)", "data since 2026-06-08 (low)"]
        assert one["lost"] == "ROC AUC is 0.61 on 900 rows, 0.72 at evaluation"
        assert one["doing"] == [
            "@3 came back by a rollback on 2026-06-09",
            "@4 is being rolled out, at 20 %",
            "retraining under way (2026-06-10): lost in 2 of 3 windows",
            "taken on by vera",
            "nobody has taken on 1 of 2 incidents",
        ]

    def test_what_was_done_before_the_trouble_is_not_said_to_be_about_it(self) -> None:
        before = {"at": NOW - 30 * DAY, "seq": 1, "outcome": "promoted", "said": "the clock"}
        model = in_trouble("a", trouble(days=2), retraining=before, back_at=NOW - 40 * DAY)
        assert answer(model)["red_models"][0]["doing"] == ["nobody has taken on the incident"]

    def test_a_red_model_that_does_not_serve_is_named_and_counted_apart(self) -> None:
        told = answer(in_trouble("a", trouble("wrong_bytes", "high"), champion=None), known("b"))
        assert (told["serving"], told["hold"], told["red"], told["red_not_serving"]) == (1, 1, 0, 1)
        assert [one["model"] for one in told["red_models"]] == ["a"]
        assert "1 more is red and does not serve." in told["sentences"]

    def test_a_broken_spec_does_not_hide_that_a_model_is_red(self) -> None:
        told = answer(in_trouble("a", trouble(), standing="broken spec", fault="line 3"))
        assert (told["red"], told["untold"]) == (1, 0)
        assert told["red_models"][0]["what"][0] == "its spec is broken: line 3"

    def test_tiers_add_up_to_the_whole(self) -> None:
        told = answer(*a_rich_estate())
        assert [one["tier"] for one in told["tiers"]] == ["high", "medium", "low"]
        for name, whole in (("serving", "serving"), ("holds", "hold"), ("red", "red"), ("untold", "untold")):
            assert sum(one[name] for one in told["tiers"]) == told[whole]

    def test_every_serving_model_is_in_exactly_one_group_whatever_there_is(self) -> None:
        draw, estate = random.Random(7), a_rich_estate()
        for _ in range(50):
            told = answer(*draw.sample(estate, draw.randrange(len(estate) + 1)))
            assert told["hold"] + told["red"] + told["untold"] == told["serving"]
            assert len(told["untold_models"]) == told["untold"]
            assert len(told["red_models"]) == told["red"] + told["red_not_serving"]

    def test_approvals_come_before_reviews_and_a_missed_answer_is_a_no(self) -> None:
        told = answer(
            known("a", next_review_at=NOW - DAY, risk_tier="high"),
            known("b", waiting=[{"version": 4, "expires_at": NOW + DAY}, {"version": 5, "expires_at": NOW}]),
        )
        assert [(one["model"], one["kind"], one["what"]) for one in told["waits"]] == [
            ("b", "approval", "@4 waits for approval until 2026-06-12 03:00; no answer is a no"),
            ("b", "approval", "@5 was not approved by 2026-06-11 03:00: that is a no"),
            ("a", "review", "its review was due on 2026-06-10"),
        ]
        assert told["waits"][0]["do"] == "steward approve b@4 --reason …, or steward reject"

    @pytest.mark.parametrize(
        ("models", "said"),
        [
            ([], ["There is no model yet."]),
            ([known("a", Signs(False), champion=None)], ["No model serves here yet: there is nothing to judge."]),
            (
                [elsewhere("a"), elsewhere("b")],
                ["No model serves here yet: there is nothing to judge.", "2 run elsewhere, and are not judged here."],
            ),
        ],
    )
    def test_where_nothing_serves_nothing_is_claimed(self, models: list[Known], said: list[str]) -> None:
        assert answer(*models)["sentences"] == said


class TestRows:
    @pytest.mark.parametrize(
        ("model", "state"),
        [
            (known("a"), Health.GREEN),
            (in_trouble("a", trouble()), Health.RED),
            (in_trouble("a", trouble("drift")), Health.WATCHED),
            (known("a", Signs(True)), Health.NOT_JUDGED),
            (known("a", Signs(False), champion=None), Health.NOT_SERVING),
            (known("a", standing="broken spec", fault="f"), Health.BROKEN),
            (in_trouble("a", trouble("drift"), standing="broken spec", fault="f"), Health.BROKEN),
            (known("a", Signs(False), standing="retired", champion=None), Health.RETIRED),
            (in_trouble("a", trouble("retired_serving", "high"), standing="retired", champion=None), Health.RED),
            (elsewhere("a"), Health.ELSEWHERE),
            (in_trouble("a", trouble("no_owner"), standing="registered elsewhere", champion=None), Health.ELSEWHERE),
        ],
    )
    def test_the_state(self, model: Known, state: Health) -> None:
        assert row_of(model, NOW)["health"]["state"] is state

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (
                "/srv/steward/models/a/model.yaml:6:1: no; /srv/steward/models/a/model.py: nor that",
                "model.yaml:6:1: no",
            ),
            ("line 3", "line 3"),
        ],
    )
    def test_where_the_models_lie_on_the_server_is_nobodys_business(self, fault: str, said: str) -> None:
        (sentence, *_) = row_of(known("a", standing="broken spec", fault=fault), NOW)["health"]["why"]
        assert sentence.startswith(f"its spec is broken: {said}")
        assert "/srv" not in sentence

    def test_broken_specs_of_models_that_do_not_serve_are_counted_on_top(self) -> None:
        idle = known("a", Signs(False), champion=None, standing="broken spec", fault="line 3")
        assert "1 model cannot run: its spec is broken." in view(idle, known("b"))["answer"]["sentences"]

    def test_the_worst_come_first_and_of_equals_those_of_high_risk(self) -> None:
        rows = view(*a_rich_estate())["rows"]
        assert [row["model"] for row in rows[:4]] == ["loan_approval", "card_fraud", "flight_delays", "home_value"]
        assert [row["model"] for row in rows[-2:]] == ["vendor_score", "old_score"]
        green = [row["tier"] for row in rows if row["health"]["state"] is Health.GREEN]
        assert green == ["high", "high", "medium", "low"]

    def test_a_review_is_overdue_on_its_day(self) -> None:
        assert [row_of(known("a", next_review_at=at), NOW)["review_overdue"] for at in (NOW, NOW + DAY, None)] == [
            True,
            False,
            False,
        ]

    def test_all_of_it_is_plain_json(self) -> None:
        told = to_json(view(*a_rich_estate()))
        assert told["rows"][0]["health"]["state"] == "red"
        assert told["rows"][0]["incidents"][0]["since"].startswith("2026-06-02T")


def cells(html: str, model: str) -> str:
    """The row of a model, as text."""
    (row,) = (
        each for each in re.findall(r"<tr data-state.*?</tr>", html, re.DOTALL) if f'data-value="{model}"' in each
    )
    return " ".join(Page(row).text.split())


class TestTheFragment:
    def test_models_link_to_their_tab_and_only_inside_airflow(self) -> None:
        live, file = portfolio_fragment(view(*a_rich_estate()), live=True), portfolio_page(view(*a_rich_estate()))
        links = [attributes["href"] for tag, attributes in Page(live).tags if tag == "a"]
        assert links.count("dags/loan_approval__train/plugin/model") == 2
        assert {"plugin/measures", "steward/ui/portfolio/report"} <= set(links)
        assert not any(link and link.startswith(("/", "http")) for link in links)
        inside = [attributes["href"] or "" for tag, attributes in Page(file).tags if tag == "a"]
        assert inside
        assert all(link.startswith("#") for link in inside)
        assert "data-filter" not in file

    def test_a_model_without_a_dag_has_no_link(self) -> None:
        html = portfolio_fragment(view(known("a", standing="broken spec", fault="line 3", dag=None)), live=True)
        assert "__train" not in html
        assert "its spec is broken: line 3" in cells(html, "a")

    def test_every_link_inside_lands(self) -> None:
        page = Page(portfolio_fragment(view(*a_rich_estate()), live=True))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
        assert {"red", "waits", "untold"} <= set(ids)

    def test_it_reads_without_eyes(self) -> None:
        page = Page(portfolio_fragment(view(*a_rich_estate()), live=True))
        tags = [tag for tag, _ in page.tags]
        assert tags.count("h1") == 1
        assert tags.count("caption") == tags.count("table") == 1
        ids = {attributes.get("id") for _, attributes in page.tags}
        sections = [attributes for tag, attributes in page.tags if tag == "section"]
        assert all(section["aria-labelledby"] in ids for section in sections)
        heads = [attributes for tag, attributes in page.tags if tag == "th"]
        assert all(head.get("scope") in ("col", "row") for head in heads)
        cells_of_a_row = tags.count("td") / len(a_rich_estate()) + 1
        assert cells_of_a_row == sum(head["scope"] == "col" for head in heads)
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]

    def test_filters_offer_what_rows_can_answer(self) -> None:
        html = portfolio_fragment(view(*a_rich_estate()), live=True)
        for column in ("state", "tier", "team", "owner", "stage"):
            (select,) = re.findall(rf'<select data-filter="#models" data-column="{column}">(.*?)</select>', html)
            offered = re.findall(r"<option>(.*?)</option>", select)
            assert offered
            assert set(offered) <= set(re.findall(rf' data-{column}="(.*?)"', html))

    def test_a_row_says_all_that_was_asked_for(self) -> None:
        html = portfolio_fragment(view(*a_rich_estate()), live=True)
        told = cells(html, "loan_approval")
        for said in (
            *(
                "red performance since 2026-06-02 (high)",
                "high",
                "monitoring since 2026-03-13",
                "Dana Weber risk-models",
            ),
            *("@3 since 2026-05-12", "drifts distance: psi 0.61, limit 0.25", "2026-06-10 under way", "2026-09-19"),
            "2 performance, high, vera drift, medium",
        ):
            assert said in told
        assert "@4 at 25 %" in cells(html, "claims_triage")
        assert "1 waits" in cells(html, "churn_next_quarter")
        assert "2026-06-06 overdue" in cells(html, "call_volume")
        assert "runs on a vendor: not judged here" in cells(html, "vendor_score")

    @pytest.mark.parametrize("live", [True, False])
    def test_nothing_that_was_written_becomes_markup(self, live: bool) -> None:
        texts: dict[str, Any] = {"title": NASTY, "owner": {**OWNER, "name": NASTY, "team": NASTY}, "fault": NASTY}
        worst = {"feature": NASTY, "check": NASTY, "value": 0.9, "limit": 0.2, "outcome": "FAILED"}
        said = {"at": NOW, "seq": 1, "outcome": "declined", "said": NASTY}
        told = {"drift": {"outcome": "FAILED", "worst": worst}, "performance": {"outcome": "FAILED", "reason": NASTY}}
        models = [
            in_trouble("a", trouble(NASTY, NASTY, 1, NASTY), window=told, retraining=said, **texts),
            known("b", standing="broken spec", **texts),
            untold("c", NASTY, **{**texts, "fault": None}),
            elsewhere("d", environment=NASTY),
        ]
        page = Page(portfolio_fragment(view(*models), live=live))
        assert {tag for tag, _ in page.tags} <= {
            *("a", "article", "b", "br", "caption", "code", "div", "h1", "h2", "h3", "header", "input", "label", "li"),
            *(
                "option",
                "p",
                "section",
                "select",
                "span",
                "strong",
                "table",
                "tbody",
                "td",
                "th",
                "thead",
                "time",
                "tr",
            ),
            *("details", "summary", "ul"),
        }
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert "<script>alert('x')</script>" in page.text
        assert "{{ 7*7 }}" in page.text

    def test_an_empty_installation_says_how_to_begin(self) -> None:
        html = portfolio_fragment(view(), live=True)
        assert "steward init my_model" in html
        assert "<table" not in html
        assert "data-filter" not in html

    def test_a_long_list_is_folded_on_the_screen_and_whole_in_a_file(self) -> None:
        many = view(*(untold(f"m{place:02d}") for place in range(25)))
        assert "<summary>15 more</summary>" in portfolio_fragment(many, live=True)
        assert "<details>" in portfolio_fragment(many, live=True)
        assert "<details open>" in portfolio_page(many)
