"""A model ends: nobody is surprised, nothing is lost, and nothing of it comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.errors import ConflictError, IntegrityError, NotFoundError, PolicyError, StewardError, UnavailableError
from steward.inventory import ServedVersion
from steward.inventory.external import ExternalModel, ExternalModels
from steward.ledger import stage_of, tombstone_of
from steward.registry import State
from steward.types import VersionRef

YAML = (
    MODEL_YAML
    + """
consumers:
  - {name: rebooking, contact: mo@example.com}
  - {name: lounge, contact: lounge@example.com}
retirement: {quiet: 7d, keep: 3650d}
"""
)
SUCCESSOR = YAML.replace("model: toy", "model: heir")


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Two versions: the first superseded, the second serving; a week without a request has passed."""
    found = build_life(tmp_path, YAML)
    for _ in range(2):
        trained = found.train()
        found.approve(trained)
        found.release(trained)
    found.clock.advance(timedelta(days=8))
    return found


def start(life: Life, run: str = "end", actor: str = "airflow:olga", **given: Any) -> Any:
    return life.do("start_retirement", run, actor, reason="superseded by heir", **given)


def confirm(life: Life, consumer: str, by: str) -> Any:
    return actions.confirm_consumer(life.services, model="toy", consumer=consumer, by=by, via="test")


def confirm_all(life: Life) -> None:
    confirm(life, "rebooking", "mo")
    confirm(life, "lounge", "ravi")


def finish(life: Life, run: str = "end") -> Any:
    for step in ("close_endpoint", "archive_model"):
        life.do(step, run)
    return life.do("bury", run)


def retire(life: Life) -> Any:
    start(life)
    confirm_all(life)
    return finish(life)


def add_model(life: Life, name: str, yaml: str) -> Path:
    folder = life.services.specs.folder / name
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml)
    (folder / "model.py").write_text((folder.parent / "toy" / "model.py").read_text())
    return folder


def test_a_model_is_retired_step_by_step(life: Life) -> None:
    start(life)
    assert not life.do("await_consumers", "end")["final"]
    confirm_all(life)
    assert life.do("await_consumers", "end") == {"outcome": "PASSED", "final": True, "reasons": []}
    assert life.do("await_quiet", "end")["outcome"] == "PASSED"
    done = finish(life)
    assert [e.type.value for e in life.events()][-7:] == [
        "retirement.started",
        "consumer.confirmed",
        "consumer.confirmed",
        "endpoint.closed",
        "model.archived",
        "stage.entered",
        "model.retired",
    ]
    with life.services.database.begin() as tx:
        route = tx.routes.get("toy")
    stone, stage = tombstone_of(life.events()), stage_of(life.events())
    assert stone is not None
    assert stone.archive == done["archive"] == "memory:archive/toy"
    assert stone.keep_until == life.clock.now() + timedelta(days=3650)
    assert stage is not None
    assert stage.stage == "retired"
    assert route is not None
    assert (route.champion, route.canary) == (None, None)
    assert (life.state(1), life.state(2)) == ("retired", "retired")
    assert life.tracker.aliases["toy", "champion"] is None


def test_everybody_who_calls_it_is_told_at_the_start_and_at_the_end(life: Life) -> None:
    retire(life)
    sent = life.services.notifier.sent
    assert [title for _, title, _ in sent] == ["toy will be switched off", "toy is retired"]
    assert sent[0][0] == ("mo@example.com", "lounge@example.com", "olga@example.com")
    assert "steward retirement confirm toy --consumer rebooking" in sent[0][2]


def test_the_start_asks_for_what_the_end_will_ask_for(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.do("start_rollout", trained["run"], version=3)
    with pytest.raises(PolicyError, match="version 3 is being rolled out"):
        start(life)
    with pytest.raises(PolicyError, match="shorter than the 1w its spec asks for"):
        start(life, quiet="1d")
    with pytest.raises(StewardError, match="quiet is 'soon'"):
        start(life, quiet="soon")
    with pytest.raises(NotFoundError, match="no model 'heir'"):
        start(life, replacement="heir")
    with pytest.raises(StewardError, match="cannot replace itself"):
        start(life, replacement="toy")
    with pytest.raises(PolicyError, match="stranger may not retire toy"):
        start(life, "other", "airflow:stranger")
    assert not life.events("retirement.started")
    assert life.events("release.refused")


def test_a_model_that_others_read_is_not_retired(life: Life) -> None:
    folder = add_model(life, "reader", YAML.replace("model: toy", "model: reader\nupstream: [toy]"))
    with pytest.raises(PolicyError, match="toy is upstream of reader"):
        start(life)
    (folder / "model.yaml").write_text("model: reader\nupstream: [toy]\n")
    with pytest.raises(StewardError, match="the file names it and is broken"):
        start(life)
    (folder / "model.yaml").write_text("model: reader\n")
    start(life)


def test_a_model_that_runs_elsewhere_reads_or_replaces_it_too(life: Life) -> None:
    elsewhere = ExternalModel.model_validate(
        {
            "id": "vendor_score",
            "title": "A score",
            "purpose": "Bought",
            "risk_tier": "low",
            "runs_on": "the vendor's cloud",
            "upstream": ["toy"],
            "registered_on": "2013-01-01",
        }
    )
    declared = ExternalModels(external_models=(elsewhere,))
    life.services = replace(life.services, external=lambda: declared)
    with pytest.raises(PolicyError, match="toy is upstream of vendor_score on the vendor's cloud"):
        start(life)
    declared = ExternalModels(external_models=(elsewhere.model_copy(update={"upstream": ()}),))
    assert start(life, replacement="vendor_score")["replacement"] == "vendor_score"
    assert not life.do("await_consumers", "end")["final"]


@pytest.mark.parametrize("lost", range(4))
def test_whatever_is_away_for_a_moment_the_same_run_ends_as_if_it_had_not_been(
    life: Life, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Each step loses its answer once: after its commit, before it, or half way through the files of the archive."""
    start(life)
    confirm_all(life)
    with monkeypatch.context() as patch:
        fail_once(patch, life, lost)
        for step in ("close_endpoint", "archive_model", "bury"):
            try:
                life.do(step, "end")
            except UnavailableError:
                life.do(step, "end")
    kinds = [e.type.value for e in life.events()][-6:]
    assert kinds[-4:] == ["endpoint.closed", "model.archived", "stage.entered", "model.retired"]
    assert len(life.services.archive.files) == actions.verify_archive(life.services, "toy")["files"] + 1


def fail_once(patch: pytest.MonkeyPatch, life: Life, lost: int) -> None:
    from steward.testing.estate import FakeArchive, FakeServedEstate
    from steward.testing.release import FakeVersionTable

    owner, name, after = [
        (FakeArchive, "put", 3),
        (FakeArchive, "get", 2),
        (FakeServedEstate, "served", 0),
        (FakeVersionTable, "move", 0),
    ][lost]
    works, calls = getattr(owner, name), iter(range(1000))

    def fails(*given: Any, **more: Any) -> Any:
        if next(calls) == after:
            raise UnavailableError("away for a moment")
        return works(*given, **more)

    patch.setattr(owner, name, fails)


def test_an_agreed_quiet_may_be_longer(life: Life) -> None:
    assert start(life, quiet="3w")["quiet"] == "3w"
    assert not life.do("await_quiet", "end")["final"]
    life.clock.advance(timedelta(days=14))
    assert life.do("await_quiet", "end")["final"]


@pytest.mark.parametrize(("consumer", "by"), [("rebooking", "ravi"), ("lounge", "olga"), ("lounge", "nobody")])
def test_only_who_may_speak_for_a_consumer_confirms_for_it(life: Life, consumer: str, by: str) -> None:
    """`rebooking` gave the address of somebody known; `lounge` is a mailbox, and olga began the retirement."""
    start(life)
    with pytest.raises(PolicyError, match=f"{by} does not speak for {consumer}"):
        confirm(life, consumer, by)
    assert not life.events("consumer.confirmed")
    assert life.events("release.refused")[-1].actor == f"person:{by}"


def test_confirming_again_is_harmless_and_a_stranger_is_named(life: Life) -> None:
    with pytest.raises(NotFoundError, match="not being retired"):
        confirm(life, "rebooking", "mo")
    start(life)
    assert confirm(life, "rebooking", "mo")["waiting_for"] == ["lounge"]
    assert confirm(life, "rebooking", "mo")["by"] == "mo"
    assert len(life.events("consumer.confirmed")) == 1
    with pytest.raises(NotFoundError, match="no consumer 'bar'"):
        confirm(life, "bar", "mo")


def test_a_replacement_that_serves_stands_for_every_confirmation(life: Life) -> None:
    add_model(life, "heir", SUCCESSOR)
    start(life, replacement="heir")
    waiting = life.do("await_consumers", "end")
    assert not waiting["final"]
    assert waiting["reasons"][-1] == "its replacement heir has no champion here"
    heir = Life(life.services, life.services.specs.get("heir"), life.clock, life.tracker, life.predictions)
    registered = heir.train()
    with life.services.database.begin() as tx:
        tx.versions.move(VersionRef("heir", registered["version"]), State.CHALLENGER, State.CHAMPION)
    assert life.do("await_consumers", "end")["final"]


def test_a_request_begins_the_wait_anew(life: Life) -> None:
    start(life)
    confirm_all(life)
    life.log(2, 9, "champion", [0.5, 0.5])
    waiting = life.do("await_quiet", "end")
    assert not waiting["final"]
    assert "2 without a name" in waiting["reasons"][0]
    with pytest.raises(PolicyError, match="still needed: last asked"):
        life.do("close_endpoint", "end")
    life.clock.advance(timedelta(days=6))
    assert not life.do("await_quiet", "end")["final"]
    life.clock.advance(timedelta(days=1, seconds=1))
    assert life.do("await_quiet", "end")["final"]
    life.do("close_endpoint", "end2")


def test_a_server_that_does_not_answer_is_not_quiet(life: Life) -> None:
    start(life)
    life.services.served.away = True
    with pytest.raises(UnavailableError):
        life.do("await_quiet", "end")


def test_a_step_marked_done_by_hand_closes_nothing(life: Life) -> None:
    with pytest.raises(NotFoundError, match="not being retired"):
        life.do("close_endpoint", "end")
    start(life)
    with pytest.raises(PolicyError, match=r"rebooking \(mo@example.com\) has not confirmed"):
        life.do("close_endpoint", "end")
    with pytest.raises(PolicyError, match="is not closed"):
        life.do("archive_model", "end")
    confirm_all(life)
    life.do("close_endpoint", "end")
    with pytest.raises(PolicyError, match="not archived yet"):
        life.do("bury", "end")
    assert not life.events("model.retired")


def test_called_off_it_stays_and_the_waits_end(life: Life) -> None:
    start(life)
    confirm(life, "rebooking", "mo")
    with pytest.raises(PolicyError, match="may not call off"):
        actions.call_off_retirement(life.services, model="toy", by="nobody", via="test", reason="no")
    actions.call_off_retirement(life.services, model="toy", by="mo", via="test", reason="the lounge still needs it")
    waited = life.do("await_consumers", "end")
    assert (waited["outcome"], waited["final"]) == ("FAILED", True)
    assert life.champion() == 2
    life.train()
    start(life, "again")
    assert len(life.events("retirement.started")) == 2
    assert confirm(life, "rebooking", "mo")["waiting_for"] == ["lounge"]


def test_past_the_closed_endpoint_there_is_no_way_back(life: Life) -> None:
    start(life)
    confirm_all(life)
    life.do("close_endpoint", "end")
    with pytest.raises(PolicyError, match="its endpoint was closed"):
        actions.call_off_retirement(life.services, model="toy", by="mo", via="test", reason="too late")
    with pytest.raises(PolicyError, match="its endpoint was closed"):
        actions.roll_back(life.services, life.spec, actor="person:ravi", reason="bring it back")
    assert life.champion() is None


def test_another_run_goes_on_where_the_first_stopped(life: Life) -> None:
    first = start(life)
    assert start(life, "second") == first
    with pytest.raises(ConflictError, match="with other terms"):
        start(life, "third", quiet="5w")
    confirm_all(life)
    life.do("close_endpoint", "end")
    life.services.archive.away = True
    with pytest.raises(UnavailableError):
        life.do("archive_model", "end")
    life.services.archive.away = False
    start(life, "fourth")
    for step in ("await_consumers", "await_quiet"):
        assert life.do(step, "fourth")["outcome"] == "PASSED"
    finish(life, "fourth")
    kinds = [e.type.value for e in life.events()]
    ends = ("retirement.started", "endpoint.closed", "model.archived", "model.retired")
    assert all(kinds.count(kind) == 1 for kind in ends)
    for step in ("start_retirement", "close_endpoint", "archive_model", "bury"):
        given = {"reason": "superseded by heir"} if step == "start_retirement" else {}
        actor = {"actor": "airflow:olga"} if step == "start_retirement" else {}
        life.do(step, "fourth", **actor, **given)  # the same run answers what it answered
    assert [e.type.value for e in life.events()] == kinds


def test_a_model_that_never_served_is_retired_without_a_server(tmp_path: Path) -> None:
    life = build_life(tmp_path, MODEL_YAML)
    life.train()
    life.services.served.away = True
    start(life)
    for step in ("await_consumers", "await_quiet"):
        assert life.do(step, "end")["outcome"] == "PASSED"
    finish(life)
    assert life.state(1) == "retired"
    assert not [name for name in life.services.archive.files if "/versions/" in name]


def test_it_is_not_buried_while_a_server_holds_it(life: Life) -> None:
    start(life)
    confirm_all(life)
    life.do("close_endpoint", "end")
    life.do("archive_model", "end")
    life.services.served.versions.append(ServedVersion("http://a", "toy", 2, "d", "champion"))
    with pytest.raises(ConflictError, match="still served by http://a"):
        life.do("bury", "end")
    life.services.served.versions.clear()
    life.do("bury", "end")


def test_the_archive_holds_what_answered_users_and_every_word_about_it(life: Life) -> None:
    rejected = life.train({"C": 0})
    life.clock.advance(timedelta(days=8))
    retire(life)
    files = life.services.archive.files
    assert {name for name in files if "/versions/" in name} == {"toy/versions/1/run.txt", "toy/versions/2/run.txt"}
    assert rejected["version"] == 3
    assert len([name for name in files if name.endswith(".parquet")]) == 1  # both were made from the same rows
    assert {"toy/declaration/model.py", "toy/declaration/model.yaml"} <= set(files)
    rows = [json.loads(line) for line in files["toy/ledger.jsonl"].splitlines()]
    assert rows[0]["type"] == "stage.entered"
    assert rows[-1]["type"] == "endpoint.closed"
    named = {json.loads(line)["digest"] for line in files["toy/evidence.jsonl"].splitlines()}
    assert named >= {row["evidence"] for row in rows if row["evidence"]}
    manifest = json.loads(files["toy/manifest.json"])
    assert set(manifest["files"]) == {name.removeprefix("toy/") for name in files} - {"manifest.json"}
    assert actions.verify_archive(life.services, "toy")["files"] == len(manifest["files"])


@pytest.mark.parametrize("name", ["toy/versions/2/run.txt", "toy/manifest.json"])
def test_an_archive_that_was_altered_is_found(life: Life, name: str) -> None:
    retire(life)
    life.services.archive.files[name] += b" "
    with pytest.raises(IntegrityError):
        actions.verify_archive(life.services, "toy")
    del life.services.archive.files[name]
    with pytest.raises(NotFoundError):
        actions.verify_archive(life.services, "toy")


def test_what_is_gone_stops_the_archive_until_a_person_accepts_it(life: Life) -> None:
    start(life)
    confirm_all(life)
    life.do("close_endpoint", "end")
    life.tracker.tampered.add("run-1")
    with pytest.raises(IntegrityError, match="versions/1 cannot be archived"):
        life.do("archive_model", "end")
    assert not life.events("model.archived")
    life.do("archive_model", "end2", accept_missing=True)
    event = life.events("model.archived")[0]
    assert list(event.body["missing"]) == ["versions/1"]
    assert "could not be kept: versions/1" in event.reason


def test_waiting_requests_end_with_the_endpoint(life: Life) -> None:
    asked = life.ask(life.train())
    life.clock.advance(timedelta(days=8))
    retire(life)
    assert not life.answer(asked, "ravi")["counted"]
    assert life.state(3) == "retired"


def test_the_end_of_service_is_history(life: Life) -> None:
    from steward.ledger import serving_at

    before = life.clock.now()
    life.clock.advance(timedelta(hours=1))
    retire(life)
    served = serving_at(life.events(), before)
    assert served is not None
    assert served.version == 2
    assert serving_at(life.events(), life.clock.now()) is None


def test_a_monitor_of_a_retired_model_ends_quietly(life: Life) -> None:
    retire(life)
    count = len(life.events())
    judged = life.do("judge_window", "night")
    assert judged["version"] is None
    assert "retired" in judged["reasons"][0]
    assert len(life.events()) == count


def finished_document(life: Life) -> str:
    form = life.services.stages().documents["use_case"]
    return "\n\n".join(f"## {section.heading}\n\n" + "truly " * form.min_words for section in form.sections)


def doors(life: Life) -> dict[str, Callable[[], Any]]:
    """Every action that could bring a retired model, or a part of it, back into service."""
    digest, services, spec = "0" * 64, life.services, life.spec

    def person(action: str, **given: Any) -> Any:
        return getattr(actions, action)(services, model="toy", by="mo", via="test", **given)

    return {
        "admit_training": lambda: life.do("admit_training", "r", began={"trigger": "manual", "reason": "at once"}),
        "allow_retraining": lambda: person("allow_retraining", reason="it must come back at once"),
        "take_snapshot": lambda: life.do("take_snapshot", "r"),
        "validate_data": lambda: life.do("validate_data", "r", snapshot=digest),
        "train": lambda: life.do("train", "r", snapshot=digest),
        "evaluate": lambda: life.do("evaluate", "r", training=digest),
        "register": lambda: life.do("register", "r", validation=digest, training=digest, evaluation=digest),
        "request_approval": lambda: life.do("request_approval", "r", version=2),
        "start_rollout": lambda: life.do("start_rollout", "r", version=2),
        "shift_traffic": lambda: life.do("shift_traffic", "r", rollout="ro", percent=10),
        "complete_rollout": lambda: life.do("complete_rollout", "r", rollout="ro"),
        "roll_back": lambda: actions.roll_back(services, spec, actor="person:ravi", reason="it must come back at once"),
        "prove_rollback": lambda: life.do("prove_rollback", "r", to=None, epoch=1),
        "rehearse_rollback": lambda: life.do("rehearse_rollback", "r"),
        "note_scoring": lambda: life.do("note_scoring", "r", evidence=digest),
        "open_incident": lambda: life.do("open_incident", "r", evidence=digest),
        "heal_window": lambda: life.do("heal_window", "r", evidence=digest),
        "write_report": lambda: life.do("write_report", "r", evidence=digest),
        "write_governance_reports": lambda: life.do("write_governance_reports", "r"),
        "decide_retraining": lambda: life.do("decide_retraining", "r", evidence=digest),
        "start_retirement": lambda: life.do("start_retirement", "r", reason="again, please"),
        "close_endpoint": lambda: life.do("close_endpoint", "r"),
        "archive_model": lambda: life.do("archive_model", "r"),
        "bury": lambda: life.do("bury", "r"),
        "confirm_consumer": lambda: person("confirm_consumer", consumer="rebooking"),
        "call_off_retirement": lambda: person("call_off_retirement", reason="it must come back at once"),
        "file_document": lambda: person("file_document", kind="use_case", title="t", text=finished_document(life)),
        "grant_waiver": lambda: person(
            "grant_waiver", gate="roc_auc", until="2013-07-01", reason="it must come back at once"
        ),
        "revoke_waiver": lambda: person("revoke_waiver", waiver="w", reason="it must come back at once"),
        "break_glass": lambda: person("break_glass", version=2, reason="it must come back at once"),
        "review_model": lambda: person("review_model", reason="looked at it"),
    }


HARMLESS = {
    "analyse_canary",  # no rollout runs any more
    "answer_approval",  # no request is open any more
    "await_consumers",
    "await_quiet",
    "close_run",
    "expire_approval",
    "forget_subject",  # a person is forgotten by a retired model too
    "judge_window",
    "load_outcomes",
    "record_outcomes",
    "reproduce",
    "score_window",
    "settle_rollout",
    "trip_canary",
    "show_request",
    "verify_archive",
}
PORTFOLIO = {
    "audit_inventory",
    "heal",
    "maintain_log",
    "reassert_aliases",
    "release_standbys",
    "verify_ledger",
    "write_portfolio_report",
}


def test_every_action_is_either_a_shut_door_or_known_to_be_harmless(life: Life) -> None:
    assert set(actions.__all__) <= set(doors(life)) | HARMLESS | PORTFOLIO


def test_every_door_is_shut_and_says_why(life: Life) -> None:
    retire(life)
    state = {n: life.state(n) for n in (1, 2)}
    for name, knock in doors(life).items():
        if not hasattr(actions, name):
            continue
        with pytest.raises(PolicyError, match="was retired on 2013-06"):
            knock()
        assert life.events("release.refused")[-1].body["step"].startswith(name)
    assert {n: life.state(n) for n in (1, 2)} == state
    assert life.champion() is None
    assert actions.trip_canary(life.services, life.spec, version=2, reason="errors", actor="server") == {
        "rolled_back": False
    }
    assert not life.do("settle_rollout", "r", reason="")["rolled_back"]


def test_a_new_folder_with_the_id_of_a_retired_model_gets_nowhere(life: Life) -> None:
    retire(life)
    path = life.services.specs.folder / "toy" / "model.yaml"
    path.write_text(YAML.replace("title: A toy", "title: Quite another toy"))
    life.spec = life.services.specs.get("toy")
    with pytest.raises(PolicyError, match="give a successor a name of its own") as refused:
        life.do("take_snapshot", "new")
    assert refused.value.exit_code == 3
