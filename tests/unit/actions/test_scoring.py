"""A batch target: windows scored once, broken ones refused, outcomes recorded when they are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_PY, MODEL_YAML, Life, build_life

from steward import actions
from steward.errors import ConflictError, DataError, PolicyError, UnavailableError
from steward.spec import SpecFolder
from steward.types import Window

DEPLOYMENT = MODEL_YAML[MODEL_YAML.index("deployment:") : MODEL_YAML.index("monitoring:")]
BATCH_YAML = MODEL_YAML.replace(
    DEPLOYMENT, "deployment: {target: batch, strategy: direct, smoke: model:examples, scoring: {window: {days: 2}}}\n"
)
JUNE = datetime(2013, 6, 1, tzinfo=UTC)
WINDOW = Window.ending(JUNE, timedelta(days=2))


@pytest.fixture
def batch(tmp_path: Path) -> Life:
    return build_life(tmp_path, BATCH_YAML)


@pytest.fixture
def released(batch: Life) -> Life:
    release(batch)
    return batch


def release(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=trained["version"])
    life.do("complete_rollout", trained["run"], rollout=started["rollout"])


def score(life: Life, run: str = "score1", **more: Any) -> dict[str, Any]:
    return life.do("score_window", run, **more)


def served(life: Life, window: Window = WINDOW) -> Any:
    return life.predictions.served("toy", window)


def with_code(life: Life, old: str, new: str) -> None:
    path = life.services.specs.module_path("toy")
    assert old in MODEL_PY
    path.write_text(MODEL_PY.replace(old, new))


def test_a_window_is_scored_by_the_champion_at_the_time_of_its_rows(released: Life) -> None:
    done = score(released)
    rows = served(released)
    assert (done["outcome"], done["rows"], done["version"], done["written"]) == ("PASSED", 96, 1, True)
    assert done["window"] == WINDOW.to_json()
    assert len(rows) == 96
    assert set(rows["role"]) == {"champion"}
    assert set(rows["source"]) == {"score"}
    assert rows["at"].min() == WINDOW.start
    assert rows["request_key"].iloc[0] == "201305300000"
    assert rows["score"].between(0, 1).all()
    (event,) = released.events("window.scored")
    assert (event.version, event.body["rows"], event.body["digest"]) == (1, 96, done["digest"])
    assert event.body["threshold"] == 0.5


def test_the_scores_are_the_models_own(released: Life) -> None:
    score(released)
    rows = served(released)
    model = released.services.models.load(logged(released))
    wanted = model.predict_proba(rows[["f_x"]].rename(columns={"f_x": "x"}))[:, 1]
    assert rows["score"].to_numpy() == pytest.approx(wanted)


def logged(life: Life) -> Any:
    from steward.actions.effects import logged_model

    with life.services.database.begin() as tx:
        return logged_model(tx.versions.champion("toy"))


def test_a_version_rolled_back_while_it_scored_stores_nothing(released: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    release(released)
    loaded = released.services.models.load

    def slow(logged: Any) -> Any:
        model = loaded(logged)
        actions.roll_back(released.services, released.spec, actor="person:ravi", reason="complaints")
        return model

    with monkeypatch.context() as patch:
        patch.setattr(released.services.models, "load", slow)
        with pytest.raises(ConflictError, match="ceased to be the champion"):
            score(released)
    assert len(served(released)) == 0
    assert score(released)["version"] == 1


def test_a_window_that_was_scored_again_is_counted_again(released: Life) -> None:
    end = WINDOW.end.isoformat()
    with_code(
        released, 'return pd.DataFrame({"id"', 'hours, x, y = hours[::2], x[::2], y[::2]\n    return pd.DataFrame({"id"'
    )
    score(released)
    half = released.do("judge_window", "night1", as_of=end)
    released.services.specs.module_path("toy").write_text(MODEL_PY)
    assert score(released, "score2")["written"]
    whole = released.do("judge_window", "night1 again", as_of=end)
    with released.services.database.begin() as tx:
        assert [tx.evidence.get(each["evidence"]).body["rows"] for each in (half, whole)] == [48, 96]


def test_the_same_window_again_changes_nothing(released: Life) -> None:
    first = score(released)
    before = served(released)
    again = score(released, "score2")
    assert (again["digest"], again["written"]) == (first["digest"], False)
    assert served(released).equals(before)
    assert len(released.events("window.scored")) == 2


def test_a_step_that_is_repeated_answers_what_it_answered(released: Life) -> None:
    assert score(released) == score(released)
    assert len(released.events("window.scored")) == 1


def test_a_source_that_was_corrected_replaces_the_window(released: Life) -> None:
    score(released)
    with_code(released, '"x": x, "y": y})', '"x": x + 1, "y": y})[hours.hour != 5]')
    again = score(released, "score2")
    assert (again["rows"], again["written"]) == (92, True)
    assert len(served(released)) == 92


def test_a_newer_champion_writes_its_rows_beside(released: Life) -> None:
    score(released)
    released.clock.advance(timedelta(hours=1))
    release(released)
    assert score(released, "score2")["version"] == 2
    rows = served(released)
    assert rows.groupby("version").size().to_dict() == {1: 96, 2: 96}
    assert rows["decision_id"].nunique() == 96


def test_windows_that_overlap_share_their_decisions(released: Life) -> None:
    score(released)
    score(released, "score2", as_of="2013-05-31")
    rows = served(released, Window(WINDOW.start - timedelta(days=1), WINDOW.end))
    assert len(rows) == rows["decision_id"].nunique() == 3 * 48


def test_a_missed_window_is_scored_by_its_date(released: Life) -> None:
    done = score(released, as_of="2013-05-20T04:00Z", window_days=1)
    assert done["window"] == {"start": "2013-05-19T00:00:00Z", "end": "2013-05-20T00:00:00Z"}


def test_a_broken_window_is_not_scored_and_opens_an_incident(released: Life) -> None:
    with_code(released, '"x": x, "y": y})', '"x": np.where(hours.day == 31, np.nan, x), "y": y})')
    said = score(released)
    assert (said["outcome"], said["refused"], said["rows"]) == ("FAILED", True, 0)
    assert "x is missing in 50.00% of rows, 0.00% is allowed" in said["reasons"]
    assert served(released).empty
    assert not released.events("window.scored")
    assert [event.body["outcome"] for event in released.events("data.validated")] == ["PASSED", "FAILED"]


def test_one_incident_lasts_until_a_window_is_scored(released: Life) -> None:
    with_code(released, '"x": x, "y": y})', '"x": x, "y": y})[:0]')
    for run in ("score1", "score2"):
        noted = released.do("note_scoring", run, evidence=score(released, run)["evidence"])
        assert len(noted["incidents"]) == 1
    released.services.specs.module_path("toy").write_text(MODEL_PY)
    released.do("judge_window", "m1")
    for run in ("score3", "score4"):
        noted = released.do("note_scoring", run, evidence=score(released, run)["evidence"])
    assert noted == {"incidents": [], "resolved": []}
    told = released.events("incident.opened", "incident.updated", "incident.resolved")
    assert [event.type.value.partition(".")[2] for event in told] == ["opened", "updated", "resolved"]
    assert told[0].reason == f"scoring: the window {WINDOW} has no rows"


def test_a_refusal_is_not_kept(released: Life) -> None:
    """The same task, cleared once the data is mended, scores."""
    with_code(released, '"x": x, "y": y})', '"x": x, "y": y})[:0]')
    said = score(released)
    assert said["reasons"] == [f"the window {WINDOW} has no rows"]
    released.services.specs.module_path("toy").write_text(MODEL_PY)
    assert score(released)["outcome"] == "PASSED"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('hours.strftime("%H")', "96 rows have a id that another row has"),
        ("list(range(len(hours)))", "48 of 96 rows have a id that another row has"),
    ],
)
def test_an_id_that_is_there_twice_refuses_the_whole_window(released: Life, code: str, reason: str) -> None:
    """Twice within a day is refused by the source's own check, twice in two days by the window's."""
    with_code(released, 'hours.strftime("%Y%m%d%H%M")', code)
    if code.startswith("hours"):
        with pytest.raises(DataError, match="ids appear twice"):
            score(released)
    else:
        assert reason in score(released)["reasons"]
    assert served(released).empty


def test_old_data_is_not_scored_as_new(released: Life) -> None:
    with_code(released, "    draw =", "    hours = hours[hours < '2013-05-29']\n    draw =")
    said = score(released, window_days=4)
    assert said["reasons"] == ["the newest at is 2013-05-28T23:30:00Z: the data is late or absent"]


def test_without_a_champion_nothing_is_scored_and_nothing_is_kept(batch: Life) -> None:
    said = score(batch)
    assert (said["outcome"], said["rows"], said["refused"]) == ("INCONCLUSIVE", 0, False)
    release(batch)
    assert score(batch)["outcome"] == "PASSED"


def test_a_score_that_is_no_number_stores_nothing(released: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def predict(self, frame: Any) -> Any:
            return [float("nan")] * len(frame)

    monkeypatch.setattr(released.services.models, "load", lambda logged: Broken())
    with pytest.raises(DataError, match="96 of 96 rows have no finite score"):
        score(released)
    assert served(released).empty
    assert not released.events("window.scored")


def test_a_worker_that_dies_after_storing_leaves_nothing_to_mend(
    released: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are there, the event is not: the same task again finds the rows and tells of them."""
    stored = released.predictions.replace_window

    def dies(*given: Any) -> bool:
        stored(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(released.predictions, "replace_window", dies)
        with pytest.raises(KeyboardInterrupt):
            score(released)
    assert not released.events("window.scored")
    again = score(released)
    assert (again["outcome"], again["rows"], again["written"]) == ("PASSED", 96, False)
    assert len(served(released)) == 96
    assert len(released.events("window.scored")) == 1


def test_a_kill_leaves_no_rows_beside_the_store(
    released: Life, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    beside = tmp_path_factory.mktemp("beside")
    monkeypatch.setattr("tempfile.tempdir", str(beside))
    stored, found = released.predictions.replace_window, []

    def looks(*given: Any) -> bool:
        found.append(list(beside.rglob("*")))
        return stored(*given)

    monkeypatch.setattr(released.predictions, "replace_window", looks)
    assert score(released)["rows"] == 96
    assert found == [[]]


def test_a_store_that_is_away_is_tried_again(released: Life) -> None:
    released.predictions.away = True
    with pytest.raises(UnavailableError):
        score(released)
    released.predictions.away = False
    assert score(released)["written"]


def test_the_tables_say_what_the_record_says(released: Life) -> None:
    """The route of a batch target is kept, so that its champion is proven as any other's."""
    from steward.actions.governance.verifying import differences

    score(released)
    release(released)
    with released.services.database.begin() as tx:
        assert not differences(tx)
    released.do("roll_back", "back", actor="person:ravi", reason="the new one is worse")
    with released.services.database.begin() as tx:
        assert not differences(tx)
    assert score(released, "score2")["version"] == 1


def test_a_model_that_servers_answer_for_is_not_scored(life: Life) -> None:
    with pytest.raises(PolicyError, match="the target of toy is local"):
        score(life)


def test_outcomes_are_recorded_once_and_corrected(released: Life) -> None:
    score(released)
    assert released.do("record_outcomes", "o1", as_of="2013-05-31")["recorded"] == 0  # of 28 and 29 May: not scored
    assert released.do("record_outcomes", "o2", as_of="2013-06-02")["recorded"] == 96
    assert released.do("record_outcomes", "o3", as_of="2013-06-02")["recorded"] == 0
    assert served(released)["label"].isin([0, 1]).all()
    with_code(released, '"x": x, "y": y})', '"x": x, "y": 1 - y})')
    before = served(released)["label"].to_numpy()
    released.clock.advance(timedelta(days=2))
    assert released.do("record_outcomes", "o4", as_of="2013-06-02")["recorded"] == 96
    assert (served(released)["label"].to_numpy() == 1 - before).all()


def test_the_monitor_judges_what_was_scored(released: Life) -> None:
    for day in range(25, 33):
        as_of = (datetime(2013, 5, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()
        score(released, f"s{day}", as_of=as_of, window_days=1)
        released.do("record_outcomes", f"o{day}", as_of=as_of, window_days=1)
    released.clock.advance(timedelta(days=2))
    judged = released.do("judge_window", "m1", as_of="2013-06-01")
    assert judged["version"] == 1
    with released.services.database.begin() as tx:
        findings = tx.evidence.get(judged["evidence"]).body["verdict"]["findings"]
    by_gate = {finding["gate"]: finding for finding in findings}
    assert by_gate["data.missing:x"]["outcome"] == by_gate["operation.unscored"]["outcome"] == "PASSED"
    found = by_gate["performance.roc_auc"]
    assert found["rows"] == 7 * 48
    assert found["value"] < 0.2, "labels that are not those of their rows would cost all of it"


def test_ids_and_features_follow_the_privacy_of_the_spec(tmp_path: Path) -> None:
    yaml = BATCH_YAML.replace("  min_rows: 100\ntraining", "  privacy: {id: hash, x: hash}\n  min_rows: 100\ntraining")
    life = build_life(tmp_path, yaml)
    life.services = replace(life.services, log_key=b"k" * 32)
    release(life)
    score(life)
    rows = served(life)
    assert rows["request_key"].str.fullmatch("[0-9a-f]{32}").all()
    assert rows["f_x"].str.fullmatch("[0-9a-f]{32}").all()
    known = set(rows["decision_id"])
    life.services = replace(life.services, log_key=b"q" * 32)
    score(life, "score2", as_of="2013-06-01T10:00")
    assert known.isdisjoint(served(life)["decision_id"])


def test_retirement_does_not_wait_for_the_scoring_run_to_fall_silent(released: Life) -> None:
    score(released)
    released.do("start_retirement", "r1", actor="person:olga", reason="no longer needed")
    assert released.do("await_quiet", "r1")["outcome"] == "PASSED"
    released.do("close_endpoint", "r1")
    assert score(released, "score2")["outcome"] == "INCONCLUSIVE"
    assert actions.record_outcomes(released.services, released.spec, run="o", actor="a")["recorded"] == 0


def test_the_spec_of_these_tests_is_a_batch(batch: Life) -> None:
    assert isinstance(batch.services.specs, SpecFolder)
    assert batch.spec.deployment.target == "batch"
    assert batch.spec.deployment.judged_steps == ()
