"""The page of a model, from facts made by hand: what it says, what it draws, and that nothing written in it acts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.reporting.conftest import SPEC, an_evaluation
from tests.unit.reporting.model_lives import (
    BEFORE,
    DAY,
    DROP,
    LIMIT,
    NOW,
    Ledger,
    a_request,
    a_version,
    a_window,
    explained,
    nothing,
    rich,
    standing,
)

from steward.gates import Finding, Outcome, Verdict
from steward.reporting.model_page.facts import ModelFacts
from steward.reporting.model_page.pictures import drift_picture, life_picture, metric_picture, metric_title
from steward.reporting.model_page.timeline import timeline_of
from steward.reporting.model_page.view import model_view
from steward.reporting.model_page.windows import THE_ANSWERS, drift_by_feature, metrics_over_time
from steward.reporting.pages import model_fragment, model_page
from steward.types import JsonObject, to_json

NASTY = "<script>alert('x')</script><img src=//evil.example/a.png onerror=x>\"'`& {{ 7*7 }}"
EVERYTHING = dict.fromkeys(("answer", "roll_back", "retrain", "attend"), True)


class Tags(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def live(facts: ModelFacts, **may: bool) -> str:
    view = {**model_view(facts), "may": {**dict.fromkeys(EVERYTHING, False), **may}}
    return model_fragment(
        {**view, "links": {"mlflow": "https://mlflow.example", "server": "https://server.example"}}, True
    )


def a_retired_model() -> ModelFacts:
    stone = {"model": "toy", "at": NOW - DAY, "by": "ravi", "reason": "nobody calls it", "archive": "s3://kept",
             "keep_until": NOW + 900 * DAY}  # fmt: skip
    return nothing(
        explained=explained("retired", None),
        standing=standing(retired=stone),
        versions=[a_version(1, "retired", NOW - 90 * DAY)],
    )


def broken() -> ModelFacts:
    """A rich life whose spec cannot be read any more."""
    facts = rich()
    faults = ["model.yaml:3: unknown key"]
    return replace(facts, explained={**facts.explained, "unread": True, "faults": faults}, faults=faults)


def unread(**changes: Any) -> ModelFacts:
    """Its spec cannot be read."""
    told = explained("broken", None, unread=True, faults=changes.get("faults", []))
    return nothing(explained=told, **changes)


CORNERS: dict[str, tuple[ModelFacts, str]] = {
    "no version yet": (nothing(), "No version was registered yet"),
    "refused candidates alone": (
        nothing(
            versions=[a_version(1, "rejected", NOW - DAY)],
            evaluations={1: an_evaluation(Finding("metric.roc_auc", Outcome.FAILED, "AUC is 0.4", 0.4, 0.7))},
        ),
        "AUC is 0.4",
    ),
    "retired": (a_retired_model(), "Retired on 2026-06-29"),
    "a broken spec": (unread(faults=["model.yaml:3: unknown key `tittle`", "did you mean title?"]), "unknown key"),
    "a broken spec, never registered": (unread(spec=None, faults=["model.yaml:1: no YAML"]), "no YAML"),
    "known to the ledger alone": (
        nothing(
            spec=None,
            explained=explained("not judged", 1, unread=True),
            versions=[a_version(1, "champion", NOW - 90 * DAY)],
        ),
        "No folder declares this model",
    ),
    "in batches": (nothing(spec={**SPEC, "deployment": {"target": "batch"}}), "in batches"),
    "regression": (nothing(spec={**SPEC, "task": "regression"}), "regression"),
    "several classes": (nothing(spec={**SPEC, "task": "multiclass_classification"}), "multiclass classification"),
    "all of it": (rich(waiting=True), "Area under the ROC curve is 0.752"),
}


class TestEveryState:
    @pytest.mark.parametrize("corner", CORNERS)
    def test_is_told_clearly_in_a_file_and_in_airflow(self, corner: str) -> None:
        facts, said = CORNERS[corner]
        for page in (model_page(model_view(facts)), live(facts, **EVERYTHING)):
            tags = Tags(page)
            assert said in tags.text
            assert len(tags.named("h1")) == 1
            names = {attrs["id"] for _, attrs in tags.found if attrs.get("id")}
            assert {s["aria-labelledby"] for s in tags.named("section")} <= names
            assert not re.search(r"\bNone\b|Undefined|datetime\.", tags.text)

    @pytest.mark.parametrize("corner", CORNERS)
    def test_is_plain_json(self, corner: str) -> None:
        assert to_json(model_view(CORNERS[corner][0]))["model"] == "toy"

    def test_a_retired_model_is_not_said_to_be_red_and_takes_no_decision(self) -> None:
        view = model_view(a_retired_model())
        assert view["health"]["state"] == "retired"
        assert "<form" not in live(a_retired_model(), **EVERYTHING)

    def test_a_broken_spec_hides_no_trouble(self) -> None:
        view = model_view(broken())
        assert view["health"]["state"] == "red"


class TestWhoMayAct:
    def test_nobody_in_a_file(self) -> None:
        page = model_page({**model_view(rich(waiting=True)), "may": EVERYTHING})
        assert not {"form", "button", "input", "script", "iframe"} & {tag for tag, _ in Tags(page).found}
        assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)

    @pytest.mark.parametrize(
        ("may", "address"),
        [
            ("answer", "steward/api/models/toy/answer"),
            ("roll_back", "steward/api/models/toy/rollback"),
            ("attend", "steward/api/models/toy/incidents/acknowledge"),
        ],
    )
    def test_only_what_the_user_may_is_there(self, may: str, address: str) -> None:
        facts = rich(waiting=True)
        assert [form["data-post"] for form in Tags(live(facts, **{may: True})).named("form")] == [address]
        assert not Tags(live(facts)).named("form")

    def test_retraining_starts_the_models_own_run(self) -> None:
        assert [f["data-trigger"] for f in Tags(live(rich(), retrain=True)).named("form")] == ["toy__train"]
        assert not Tags(live(broken(), retrain=True)).named("form")

    def test_an_answer_is_bound_to_the_evidence_that_is_shown(self) -> None:
        tags = Tags(live(rich(waiting=True), answer=True))
        hidden = {field["name"]: field["value"] for field in tags.named("input") if field.get("type") == "hidden"}
        assert hidden == {"request": "q3", "evidence": "a" * 64}
        assert "a" * 64 in tags.text
        assert {(b["name"], b["value"]) for b in tags.named("button")} == {("approved", "true"), ("approved", "false")}
        assert [field["required"] for field in tags.named("textarea")] == [None]

    def test_nobody_answers_what_has_expired_or_what_no_version_serves(self) -> None:
        late = replace(rich(), waiting=[a_request(expired=True)])
        assert "data-post" not in live(late, answer=True)
        assert "that is a no" in live(late, answer=True)
        assert "data-post" not in live(nothing(), roll_back=True)

    def test_what_is_missing_is_said_before_anything_else(self) -> None:
        about = {
            **a_request()["about"],
            "missing": ["a validation report: `steward file`"],
            "freeze": "frozen until May",
        }
        text = Tags(live(replace(rich(), waiting=[a_request(about=about)]))).text
        assert text.index("Missing, file it first") < text.index("Trained on")
        assert "Releases are frozen until May" in text

    def test_it_is_loaded_again_while_a_rollout_runs(self) -> None:
        assert 'data-refresh="15"' in live(rich())
        assert "data-refresh" not in live(rich(running=False))
        assert "data-refresh" not in model_page(model_view(rich()))


class TestDrift:
    def test_a_cell_is_what_the_finding_says_and_the_worst_come_first(self) -> None:
        windows = [a_window(place, NOW - (9 - place) * DAY, features=40, broken=3) for place in range(10)]
        drift = drift_by_feature(windows)
        assert drift is not None
        assert [row["feature"] for row in drift["rows"]][:4] == [THE_ANSWERS, "feature_2", "feature_1", "feature_0"]
        assert (len(drift["rows"]), drift["features"], drift["more"]) == (26, 40, 15)
        for row in drift["rows"][1:]:
            for place, cell in enumerate(row["cells"]):
                body = windows[place].body
                assert body is not None
                judged = {f["gate"]: f for f in body["verdict"]["findings"]}[f"drift.psi:{row['feature']}"]
                assert (cell["value"], cell["limit"], cell["outcome"]) == (judged["value"], LIMIT, judged["outcome"])

    def test_the_newest_thirty_windows_and_a_window_without_the_feature(self) -> None:
        windows = [a_window(p, NOW - (49 - p) * DAY, features=2 if p < 40 else 3) for p in range(50)]
        drift = drift_by_feature(windows)
        assert drift is not None
        assert (len(drift["windows"]), drift["windows"][-1]["end"]) == (30, NOW)
        cells = next(row["cells"] for row in drift["rows"] if row["feature"] == "feature_2")
        assert [cell is None for cell in cells] == [True] * 20 + [False] * 10

    def test_the_map_is_a_table_with_heads_and_says_in_words_what_it_hatches(self) -> None:
        facts = rich(features=12, nights=10)
        picture = drift_picture(model_view(facts)["drift"])
        tags = Tags(picture)
        assert len(tags.named("th")) == 1 + 10 + 13
        assert "inconclusive" in tags.text
        kinds = {str(attrs["class"]).split()[0] for attrs in tags.named("td")}
        assert {"h0", "h1", "h2"} <= kinds

    def test_there_is_none_where_none_was_judged(self) -> None:
        assert drift_by_feature([]) is None
        assert drift_by_feature([replace(a_window(0, NOW), body=None)]) is None


class TestMetrics:
    def test_value_baseline_and_limit_are_in_the_units_of_the_metric(self) -> None:
        (metric,) = metrics_over_time([a_window(0, NOW, value=0.79)])
        (point,) = metric["points"]
        assert point["value"] == 0.79
        assert point["baseline"] == pytest.approx(BEFORE)
        assert point["limits"] == [pytest.approx(BEFORE - DROP)]
        assert point["lower"] < 0.79 < point["upper"]

    def test_where_less_is_better_the_limit_lies_above(self) -> None:
        seen = a_window(0, NOW, value=None)
        assert seen.body is not None
        worse = Finding("performance.log_loss", Outcome.PASSED, "fine", 0.02, 0.05, rows=900).to_json()
        body = {
            **seen.body,
            "verdict": {"findings": [worse]},
            "performance": {"metrics": {"log_loss": {"value": 0.42}}},
        }
        (metric,) = metrics_over_time([replace(seen, body=body)])
        assert metric["points"][0]["baseline"] == pytest.approx(0.40)
        assert metric["points"][0]["limits"] == [pytest.approx(0.45)]

    def test_an_absolute_limit_is_itself(self) -> None:
        seen = a_window(0, NOW, value=0.79)
        assert seen.body is not None
        least = Finding("performance.roc_auc", Outcome.PASSED, "fine", 0.79, 0.7, rows=900).to_json()
        (metric,) = metrics_over_time([replace(seen, body={**seen.body, "verdict": {"findings": [least]}})])
        assert (metric["points"][0]["limits"], metric["points"][0]["baseline"]) == ([0.7], None)

    def test_a_window_that_awaits_its_outcomes_is_a_gap_in_the_line(self) -> None:
        values = [0.79, 0.78, None, 0.79, 0.77]
        windows = [a_window(p, NOW - (4 - p) * DAY, value=v) for p, v in enumerate(values)]
        (metric,) = metrics_over_time(windows)
        picture = metric_picture(metric, [])
        assert picture.count('<polyline class="line"') == 2
        assert picture.count('class="gapped"') == 1
        assert "waits for outcomes" in picture
        assert "1 of 5 windows not judged" in metric_title(metric)

    def test_what_few_outcomes_say_before_they_are_due_is_no_point(self) -> None:
        seen = a_window(0, NOW, value=None)
        assert seen.body is not None
        early = {"metrics": {"roc_auc": {"value": 0.41, "error": 0.2, "rows": 108}}}
        (metric,) = metrics_over_time([replace(seen, body={**seen.body, "performance": early})])
        assert (metric["points"][0]["value"], metric["points"][0]["rows"]) == (None, None)
        assert "waits for outcomes" in metric["points"][0]["reason"]

    def test_nights_that_nobody_judged_break_it_too(self) -> None:
        windows = [a_window(p, NOW - p * DAY) for p in (20, 19, 18, 3, 2, 1)]
        assert metric_picture(metrics_over_time(windows)[0], []).count('<polyline class="line"') == 2

    def test_versions_are_marked_where_they_began_to_serve(self) -> None:
        view = model_view(rich(nights=90))
        picture = metric_picture(view["metrics"][0], [{"at": NOW - 9 * DAY, "version": 7, "seq": 5}])
        assert "@7 served from" in picture
        assert ">@2<" in picture

    def test_without_a_limit_two_that_were_measured_are_shown(self) -> None:
        seen = a_window(0, NOW)
        assert seen.body is not None
        measured = {name: {"value": 0.5, "error": 0.1, "rows": 9} for name in ("brier", "log_loss", "roc_auc")}
        body = {**seen.body, "verdict": {"findings": []}, "performance": {"metrics": measured}}
        found = metrics_over_time([replace(seen, body=body)])
        assert [(m["metric"], m["gated"], m["points"][0]["value"]) for m in found] == [
            ("brier", False, 0.5),
            ("log_loss", False, 0.5),
        ]


def test_of_many_gates_those_that_did_not_pass_come_first_and_the_rest_is_counted() -> None:
    passed = [Finding("metric.roc_auc", Outcome.PASSED, "fine", 0.8, 0.7, f"carrier = {n}") for n in range(59)]
    failed = Finding("metric.roc_auc", Outcome.FAILED, "AUC is 0.4 on HA", 0.4, 0.7, "carrier = HA")
    facts = nothing(versions=[a_version(1, "champion", NOW)], evaluations={1: an_evaluation(*passed, failed)})
    (judged,) = model_view(facts)["gates"]
    assert judged["findings"][0]["slice"] == "carrier = HA"
    assert (len(judged["findings"]), judged["more"]) == (40, 20)
    assert "And 20 more that passed." in Tags(model_page(model_view(facts))).text


def test_no_finding_that_did_not_pass_is_left_out() -> None:
    failed = [Finding("metric.roc_auc", Outcome.FAILED, "low", 0.4, 0.7, f"carrier = {n}") for n in range(50)]
    facts = nothing(
        versions=[a_version(1, "rejected", NOW)],
        evaluations={1: an_evaluation(*failed, Finding("metric.brier", Outcome.PASSED, "fine", 0.1, 0.2))},
    )
    (judged,) = model_view(facts)["gates"]
    assert (len(judged["findings"]), judged["more"]) == (50, 1)


def test_the_champion_is_on_the_page_however_many_were_refused_since() -> None:
    life = rich()
    refused = [a_version(number, "rejected", NOW - DAY) for number in range(4, 40)]
    view = model_view(replace(life, versions=[*life.versions, *refused]))
    assert [each["version"] for each in view["versions"]] == [*range(39, 19, -1), 2]
    assert view["serving"]["back"] == [1]
    assert "@2 served from" in life_picture(view)


def test_the_way_back_without_a_number_is_the_version_that_the_champion_replaced() -> None:
    """Not the one that served last: after a rollback further back, that is another."""
    life = rich(running=False)
    assert (model_view(life)["serving"]["before"], model_view(life)["serving"]["back"]) == (1, [1])
    assert "the one it replaced (version 1)" in Tags(live(life, roll_back=True)).text
    forgotten = [replace(event, body={**event.body, "replaced": None}) for event in life.served]
    page = live(replace(life, served=forgotten), roll_back=True)
    assert "the one it replaced" not in page
    assert 'data-type="number" required' in page
    nowhere = [replace(each, state="rejected") if each.number == 1 else each for each in life.versions]
    page = live(replace(life, versions=nowhere), roll_back=True)
    assert "data-post" not in page
    assert "There is no champion to go back to" in page


def test_the_way_back_names_the_version_that_must_go() -> None:
    hidden = '<input type="hidden" name="version" data-type="number" value="{}">'
    assert hidden.format(2) in live(rich(running=False), roll_back=True)
    assert hidden.format(3) in live(rich(), roll_back=True)


@pytest.mark.parametrize(
    ("body", "head", "tone"),
    [
        ({"outcome": "PASSED"}, "@1 passed its gates", "good"),
        ({"outcome": "INCONCLUSIVE"}, "@1 was registered; not every gate could be judged", "wait"),
        ({"outcome": "FAILED", "waivers": [{"gate": "g"}]}, "@1 was registered under a waiver", "wait"),
    ],
)
def test_a_version_passed_its_gates_only_if_it_did(body: dict[str, object], head: str, tone: str) -> None:
    ledger = Ledger()
    ledger.add("version.registered", NOW, 1, **body)
    ((entry,),) = [day["entries"] for day in model_view(nothing(events=ledger.events))["timeline"]]
    assert (entry["head"], entry["tone"]) == (head, tone)


def test_a_metric_without_a_limit_is_not_said_to_pass() -> None:
    free = [replace(w, body={**(w.body or {}), "verdict": Verdict.of([]).to_json()}) for w in rich().windows]
    text = Tags(model_page(model_view(replace(rich(), windows=free)))).text
    assert "measured, without a limit" in text


def test_an_open_incident_comes_before_a_newer_one_that_is_over() -> None:
    facts = rich()
    opened, over = facts.incidents
    newer = {**over, "opened_at": NOW - DAY, "resolved_at": NOW}
    assert [each["id"] for each in model_view(replace(facts, incidents=[newer, opened]))["incidents"]] == ["i1", "i0"]


def test_a_champion_that_was_rejected_is_no_way_back() -> None:
    facts = rich()
    assert model_view(facts)["serving"]["back"] == [1]
    rejected = [replace(each, state="rejected") if each.number == 1 else each for each in facts.versions]
    assert model_view(replace(facts, versions=rejected))["serving"]["back"] == []


class TestRollout:
    def test_every_step_says_what_it_has_seen_of_both_arms(self) -> None:
        rollout = model_view(rich())["rollout"]
        assert [(s["percent"], s["state"]) for s in rollout["steps"]] == [
            (5, "passed"),
            (25, "running"),
            (50, "planned"),
            (100, "planned"),
        ]
        canary = rollout["steps"][1]["seen"]["arms"]["canary"]
        assert (canary["error_rate"]["count"], canary["error_rate"]["rows"]) == (4, 800)
        assert canary["error_rate"]["lower"] < 4 / 800 < canary["error_rate"]["upper"]
        assert canary["outcome"]["rows"] == 400

    def test_the_last_one_is_told_how_it_ended(self) -> None:
        view = model_view(rich())
        assert (view["last_rollout"]["version"], view["last_rollout"]["ended"]["how"]) == (1, "promoted")
        assert "The last rollout: version 1" in Tags(model_page(view)).text


class TestTimeline:
    def told(self, ledger: Ledger) -> list[tuple[str, str, int]]:
        nights = ledger.of("window.judged")
        others = [event for event in ledger.events if event not in nights]
        days = timeline_of(others, nights)
        return [(day["day"], one["head"], one["count"]) for day in days for one in day["entries"]]

    def test_nights_that_went_alike_are_one_entry_newest_day_first(self) -> None:
        ledger = Ledger()
        ledger.add("version.promoted", NOW, 1)
        for night in range(1, 15):
            ledger.add("window.judged", NOW + night * DAY, 1, outcome="PASSED", causes=[])
        ledger.add("window.judged", NOW + 15 * DAY, 1, outcome="FAILED", causes=["drift"])
        ledger.add("incident.opened", NOW + 15 * DAY, 1, reason="drift")
        assert self.told(ledger) == [
            ("2026-07-15", "Incident opened", 1),
            ("2026-07-15", "A window of @1 failed: drift", 1),
            ("2026-07-14", "14 windows of @1 passed", 14),
            ("2026-06-30", "@1 is the champion", 1),
        ]

    def test_a_refusal_to_retrain_every_night_is_one_entry(self) -> None:
        ledger = Ledger()
        ledger.add("version.promoted", NOW, 1)
        for night in range(1, 4):
            ledger.add("window.judged", NOW + night * DAY, 1, outcome="FAILED", causes=["performance"])
            ledger.add("retraining.declined", NOW + night * DAY, 1, reason="cooldown: 2 days left", trigger="lost")
        heads = [head for _, head, _ in self.told(ledger)]
        assert heads == ["Retraining declined 3 times", "3 windows of @1 failed: performance", "@1 is the champion"]

    def test_it_is_bounded(self) -> None:
        ledger = Ledger()
        for number in range(400):
            ledger.add("document.filed", NOW + number * timedelta(hours=1), kind="plan")
        assert len(self.told(ledger)) == 150


def test_what_people_and_data_wrote_is_text_and_nothing_else() -> None:
    facts = rich(waiting=True)
    spec: JsonObject = {
        **SPEC,
        "title": NASTY,
        "purpose": NASTY,
        "owner": {"name": NASTY, "team": NASTY, "email": NASTY},
    }
    finding = Finding("metric.roc_auc", Outcome.FAILED, NASTY, 0.1, 0.2, NASTY)
    trouble: dict[str, Any] = {**facts.explained["red"][0], "next": NASTY, "findings": [{"reason": NASTY}]}
    nasty = replace(
        facts,
        spec=spec,
        faults=[NASTY],
        explained={**facts.explained, "red": [trouble]},
        events=[replace(event, reason=NASTY, actor=f"person:{NASTY}") for event in facts.events],
        incidents=[{**facts.incidents[0], "cause": NASTY, "acknowledged_by": NASTY}],
        evaluations={2: an_evaluation(finding)},
        windows=[_renamed(facts.windows[-1])],
        waiting=[a_request(author=NASTY, answers=[{"by": NASTY, "approved": True, "reason": NASTY, "at": NOW}])],
        versions=[replace(facts.versions[0], author=NASTY, run_id=NASTY)],
    )
    honest = Tags(live(facts, **EVERYTHING)).found
    tags = Tags(live(nasty, **EVERYTHING))
    assert "script" not in {tag for tag, _ in tags.found}
    assert "img" not in {tag for tag, _ in tags.found}
    assert not [name for _, attrs in tags.found for name in attrs if name.startswith("on")]
    assert {name for _, attrs in tags.found for name in attrs} <= {name for _, attrs in honest for name in attrs}
    assert tags.text.count("<script>alert('x')</script>") > 10
    assert "49" not in tags.text.split("{{ 7*7 }}")[1][:5]


def _renamed(seen: Any) -> Any:
    """A feature whose name is markup, and reasons that are."""
    findings = [
        {
            **finding,
            "gate": "drift.psi:" + NASTY if "feature_0" in finding["gate"] else finding["gate"],
            "reason": NASTY,
        }
        for finding in seen.body["verdict"]["findings"]
    ]
    return replace(seen, body={**seen.body, "verdict": {"outcome": "FAILED", "findings": findings}})


def test_a_life_of_three_years_with_two_hundred_features_stays_a_small_page() -> None:
    page = model_page(model_view(rich(features=200, nights=300)))
    assert len(page) < 1_000_000
    assert "and 175 more features" in page
