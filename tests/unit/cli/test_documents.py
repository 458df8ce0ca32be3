"""document and stage: what is written about a model, where it stands, and what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import actions, wiring
from steward.approval.policy import load_policy
from steward.errors import PolicyError
from steward.inventory.documents import template
from steward.inventory.stages import load_stages
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import MODEL, NOON, a_new_version
from steward.testing.services import services_in_memory

WORDS = "the desk reads each case with care and says why it was refused or approved on that very day "
Taken = list[tuple[str, str, dict[str, Any]]]


def text_of(kind: str) -> str:
    form = wiring.stages().form(kind)
    text = template(form, MODEL)
    for section in form.sections:
        text = text.replace(f"<{section.hint}>", WORDS * 8)
    return text


@pytest.fixture
def taken(store: FakeDatabase, models: Path, monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Decisions that reached the door; behind it, the action, as vera."""
    policy = load_policy(wiring.settings().policy_file)
    stages = load_stages(wiring.settings().stages_path)
    services = services_in_memory(wiring.specs(), policy, FrozenClock(NOON), models.parent, stages)
    object.__setattr__(services, "database", store)
    seen: Taken = []

    def decide(model: str, decision: str, **fields: Any) -> Any:
        seen.append((model, decision, fields))
        return actions.file_document(services, model=model, by="vera", via="cli", **fields)

    monkeypatch.setattr("steward.cli.door.decide", decide)
    return seen


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "plan.md"
    path.write_text(text_of("development_plan"))
    return path


def test_a_document_is_filed_through_the_door(steward: Steward, taken: Taken, written: Path) -> None:
    ended = steward("document", "file", MODEL, "--kind", "development_plan", written)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{MODEL}: Development plan filed: Development plan: {MODEL} (")
    assert taken[0][:2] == (MODEL, "documents")
    assert taken[0][2]["version"] is None
    again = steward("document", "file", MODEL, "--kind", "development_plan", written, "--json")
    assert json.loads(again.out)["filed"] is False


def test_list_and_show(steward: Steward, taken: Taken, written: Path, store: FakeDatabase) -> None:
    with store.begin() as tx:
        tx.versions.add(a_new_version())
    assert steward("document", "list", MODEL).out.count("\n") == 1
    steward("document", "file", MODEL, "--kind", "development_plan", written, "--title", "First")
    steward("document", "file", f"{MODEL}@1", "--kind", "development_plan", written, "--title", "Own")
    listed = json.loads(steward("document", "list", MODEL, "--json").out)
    assert [(each["version"], each["title"], each["by"]) for each in listed] == [
        (None, "First", "vera"),
        (1, "Own", "vera"),
    ]
    own = json.loads(steward("document", "list", f"{MODEL}@1", "--json").out)
    assert [each["title"] for each in own] == ["Own"]
    assert f"development_plan\t{MODEL}@1\tOwn\tvera\t2013-06-01 12:00\t" in steward("document", "list", MODEL).out
    assert steward("document", "show", f"{MODEL}@1", "--kind", "development_plan").out == written.read_text()
    assert steward("document", "show", own[0]["digest"]).out == written.read_text()
    shown = json.loads(steward("document", "show", own[0]["digest"], "--json").out)
    assert (shown["title"], shown["version"]) == ("Own", 1)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("list", "flights"), 5, "flights"),
        (("list", "flights@x"), 5, "does not name a version"),
        (("show", MODEL), 2, "name the document: give --kind"),
        (("show", MODEL, "--kind", "use_case"), 5, f"no use_case of {MODEL} was filed"),
        (("show", "0" * 64), 5, "there is no evidence"),
        (("template", "usecase"), 5, "did you mean use_case?"),
        (("check", "/nowhere.md", "--kind", "use_case"), 5, "cannot be read"),
    ],
)
def test_what_is_not_there(
    steward: Steward, store: FakeDatabase, command: tuple[str, ...], code: int, said: str
) -> None:
    ended = steward("document", *command)
    assert ended.code == code
    assert said in ended.err


def test_a_half_written_document_never_reaches_the_door(steward: Steward, taken: Taken, tmp_path: Path) -> None:
    path = tmp_path / "half.md"
    path.write_text("# Plan\n\n## Data\n\nTODO\n")
    for command in ("file", MODEL), ("check",):
        ended = steward("document", *command, path, "--kind", "development_plan")
        assert ended.code == 2
        assert f"{path}:5:1: unfinished: 'TODO'" in ended.err
    assert taken == []


def test_a_refusal_behind_the_door_ends_with_3(
    steward: Steward, written: Path, store: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PolicyError("mo has none of the roles validator", hint="ask vera")

    monkeypatch.setattr("steward.cli.door.decide", refuse)
    ended = steward("document", "file", MODEL, "--kind", "development_plan", written)
    assert (ended.code, "ask vera" in ended.err) == (3, True)


def test_a_printed_template_has_every_section(steward: Steward, written: Path) -> None:
    printed = steward("document", "template", "validation_report", "--model", f"{MODEL}@3").out
    assert printed.startswith(f"# Validation report: {MODEL}@3\n")
    assert printed.count("\n## ") == len(wiring.stages().form("validation_report").sections)
    kinds = steward("document", "template").out
    assert "validation_report\tversion\tvalidator\t" in kinds
    assert steward("document", "check", written, "--kind", "development_plan").code == 0


def test_a_model_nothing_happened_to_has_no_stage(steward: Steward, store: FakeDatabase) -> None:
    told = json.loads(steward("stage", MODEL, "--json").out)
    assert (told["stage"], told["next"], told["version"], told["missing"]) == (None, "development", None, [])
    assert f"{MODEL} lacks nothing for the stage development" in steward("stage", MODEL).out
    assert steward("stage", "flights").code == 5
    assert steward("stage", MODEL, "--at", "never").code == 2


def test_stage_says_since_when_by_what_and_what_is_missing(
    steward: Steward, taken: Taken, written: Path, store: FakeDatabase
) -> None:
    steward("document", "file", MODEL, "--kind", "development_plan", written)
    with store.begin() as tx:
        tx.versions.add(a_new_version())
    ended = steward("stage", MODEL)
    assert "2013-06-01 12:00\tuse_case\tperson:vera\tfield owner, field purpose" in ended.out
    assert f"{MODEL}@1 lacks for the stage deployment:" in ended.out
    told = json.loads(steward("stage", f"{MODEL}@1", "--json").out)
    assert [each["criterion"] for each in told["missing"]] == ["gates", "approval"]
    before = json.loads(steward("stage", MODEL, "--at", "2013-05-01", "--json").out)
    assert (before["stage"], before["stages"], "missing" in before) == (None, [], False)


def test_check_reads_the_stages_too(steward: Steward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(wiring.settings().stages_path.read_text().replace('version: "1"', 'verson: "1"', 1))
    monkeypatch.setenv("STEWARD_STAGES_FILE", str(path))
    wiring.settings.cache_clear()
    ended = steward("check")
    assert ended.code == 2
    assert f"{path}:3:1: verson: unknown key; did you mean `version`?" in ended.err
