"""Every command on the pages that people follow is typed, or stands here with the place where it is.

Commands about files run in a copy of the project. Commands about the record run in a small estate in memory, where
`toy` stands for the models of the pages and what is written in capitals has a value. A command that is new on a page
and in none of these lists fails.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward, forget
from tests.unit.docs.small_world import World, project
from tests.unit.docs.written_commands import FOLLOWED, ROOT, Written, all_commands

COMMANDS = all_commands()
STEWARD = [command for command in COMMANDS if command.program == "steward"]

ABOUT_FILES = {("check",), ("init",), ("plan", "show"), ("plan", "diff"), ("schema", "write")}
"""Read no record: typed below, in a copy of the project."""

TYPED_ELSEWHERE = {
    ("serve",): "tests/unit/cli/test_stack.py",
    ("promote",): "tests/unit/cli/test_candidates.py",
    ("score",): "tests/unit/cli/test_scoring.py",
    ("outcomes", "load"): "tests/unit/cli/test_upkeep.py",
    ("forget",): "tests/unit/cli/test_upkeep.py",
}
"""It runs until stopped, or needs what `toy` is not: approved and waiting, a batch target, with labels or subjects."""

OTHER_PROGRAMS = {
    "make": "tests/e2e/test_local_stack.py",  # that the targets exist: test_docs; `demo` and `test` are what CI runs
    "export": "",  # a log-in, or a shell's variable
    "curl": "tests/unit/docs/test_tutorial.py",
    "token=$(curl": "tests/airflow/test_api.py",
    "python ask.py": "tests/unit/docs/test_tutorial.py",
    "python docs/reference": "tests/unit/docs/test_docs.py",
    "python -m steward.local ": "tests/unit/local/test_commands.py",
    "python -m steward.local.schema": "tests/contract/test_postgres_rights.py",
    "sed": "tests/unit/docs/test_tutorial.py",
    "git pull": "",  # not ours
    "pg_dump": "",  # not ours
}
CODES = {("drift",): (0, 1), ("audit", "inventory"): (0, 1), ("doctor",): (0, 1)}
"""1 says that a check failed, that something was found; everything else ends with 0."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def typed(world: World, steward: Steward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steward]:
    monkeypatch.setenv("STEWARD_HOME", str(tmp_path / "home"))
    for name in ("policy", "stages", "inventory", "notifications"):
        monkeypatch.setenv(f"STEWARD_{name.upper()}_FILE", str(ROOT / "include" / f"{name}.yaml"))
    monkeypatch.setenv("STEWARD_MODELS_DIR", str(world.folder / "models"))
    monkeypatch.setenv("STEWARD_LEDGER_KEY_FILE", str(world.folder / "ledger.key"))
    forget()
    yield steward
    forget()


NAMES = re.compile(r"^(?:flight_delays|flight_air_time|loan_approval|low_visibility|MODEL)\b")
VERSIONS = {"approve": 3, "reject": 3, "break-glass": 3}


def here(command: Written, world: World) -> list[str]:
    """The words with the names of this estate."""
    verb, *_ = words = command.words[1:] if "--listen" not in command.words else ["metrics"]
    said = {
        "ID": world.decision() if "--decision" in words else world.incident(),
        "…": "because the page says so, and at length",
        "metric.accuracy": "metric.roc_auc",
        "learning_rate=0.1": "C=0.1",
    }
    named = [said.get(word, NAMES.sub("toy", word)) for word in words]
    numbered = [re.sub(r"^toy@\d+$", f"toy@{VERSIONS.get(verb, 2)}", word) for word in named]
    instead = {"--until": world.soon()} | ({"--to": "1"} if verb == "rollback" else {})
    return [instead.get(before, word) for before, word in zip(["", *numbered], numbered, strict=False)]


def among(command: Written, verbs: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
    return next((verb for verb in verbs if tuple(command.words[1 : 1 + len(verb)]) == verb), None)


def typed_by_the_tutorial(command: Written) -> bool:
    return command.page == "docs/tutorial.md" and command.words[1] in ("drift", "status")


ABOUT_THE_RECORD = [
    command
    for command in STEWARD
    if not among(command, {*ABOUT_FILES, *TYPED_ELSEWHERE}) and not typed_by_the_tutorial(command)
]


@pytest.mark.parametrize("command", ABOUT_THE_RECORD, ids=str)
def test_a_command_about_the_record_does_what_its_page_says(
    command: Written, world: World, typed: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = world.enter(monkeypatch)
    before = world.seq()
    ended = typed(*here(command, world))
    assert ended.code in CODES.get(among(command, CODES) or (), (0,)), ended.out + ended.err
    assert (ended.out + ended.err).strip()
    if command.words[1] in ("approve", "reject", "rollback", "break-glass", "review", "waiver"):
        assert world.seq() > before, "a decision is an event"
    if command.words[1] in ("retire", "retrain"):
        assert len(doors.started) == 1


def shown(page: str, command: str) -> list[str]:
    """What a page shows under a command, up to the next prompt."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\$ {re.escape(command)}\n(.*?)(?=^\$ |^```)", text, re.DOTALL | re.MULTILINE)
    return str(found).splitlines()


def columns(line: str) -> list[str]:
    return re.split(r"\t| {2,}", line.strip())


def test_what_the_readme_shows_has_the_form_that_is_printed(
    world: World, typed: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are those of a demo; the columns, the words and their order are not."""
    world.enter(monkeypatch)
    status, verified = typed("status").out.splitlines(), typed("audit", "verify").out
    assert columns(shown("README.md", "steward status flight_delays")[0]) == columns(status[0])
    held = r"\d+ events, every link holds \(head [0-9a-f]{12}\)\n"
    assert re.fullmatch(held, verified)
    assert re.fullmatch(held, "\n".join(shown("README.md", "steward audit verify")) + "\n")
    past = typed("history", "toy", "--at", world.today()).out.splitlines()
    on_page = shown("README.md", "steward history flight_delays --at 2013-06-01")
    assert [columns(line)[0] for line in past] == [columns(line)[0] for line in on_page]
    again = typed("reproduce", "toy@2").out.splitlines()[0]
    on_page = shown("README.md", "steward reproduce flight_delays@3 | head -1")
    assert [again.partition(":")[2]] == [line.partition(":")[2] for line in on_page]


@pytest.fixture
def copy(steward: Steward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steward]:
    """A shell in a copy of the project."""
    for name in ("MODELS_DIR", "POLICY_FILE"):
        monkeypatch.delenv(f"STEWARD_{name}", raising=False)
    monkeypatch.chdir(project(tmp_path / "project"))
    forget()
    yield steward
    forget()


@pytest.mark.parametrize("command", [c for c in STEWARD if c.page == "README.md" and among(c, ABOUT_FILES)][-1:])
def test_a_change_that_weakens_is_told_as_the_readme_shows(command: Written, copy: Steward) -> None:
    edit("flight_delays", "roc_auc: {min: 0.6", "roc_auc: {min: 0.55")
    edit("flight_delays", "prediction_psi: {max: 1.0", "prediction_psi: {max: 2.0")
    ended = copy(*command.words[1:])
    assert ended.code == 3
    assert (ended.out + ended.err).splitlines() == shown("README.md", command.line)


def test_a_new_model_is_written_and_its_faults_are_told_as_the_readme_shows(copy: Steward) -> None:
    assert copy("init", "customer_churn").out.splitlines() == shown("README.md", "steward init customer_churn")
    assert copy("plan", "show", "customer_churn").code == 0
    edit("customer_churn", "risk_tier:", "risk_teir:")
    edit("customer_churn", "strategy: canary", "strategy: canry")
    ended = copy("check")
    assert ended.code == 2
    assert ended.err.splitlines() == shown("README.md", "steward check")


def test_other_commands_about_files(copy: Steward) -> None:
    for words in (["check"], ["plan", "show", "flight_delays"], ["schema", "write"]):
        ended = copy(*words)
        assert (ended.code, bool(ended.out)) == (0, True), ended.err


def edit(model: str, old: str, new: str) -> None:
    path = Path("include") / "models" / model / "model.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.program != "steward"], ids=str)
def test_other_programs_are_known(command: Written) -> None:
    assert any(command.line.startswith(known) for known in OTHER_PROGRAMS), (
        "type it in a test, or say where it is typed"
    )


@pytest.mark.parametrize(("verb", "place"), TYPED_ELSEWHERE.items())
def test_what_is_typed_elsewhere_is_typed_there(verb: tuple[str, ...], place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8")
    assert all(f'"{word}"' in text for word in verb)


def test_every_place_that_is_named_exists_and_every_entry_is_needed() -> None:
    assert not [place for place in OTHER_PROGRAMS.values() if place and not (ROOT / place).exists()]
    lines = [command.line for command in COMMANDS]
    assert not [known for known in OTHER_PROGRAMS if not any(line.startswith(known) for line in lines)]
    needed = [among(command, {**dict.fromkeys(ABOUT_FILES, ""), **TYPED_ELSEWHERE}) for command in STEWARD]
    assert {*ABOUT_FILES, *TYPED_ELSEWHERE} == set(filter(None, needed))


def test_the_pages_are_read() -> None:
    """Else nothing here could fail."""
    assert len(ABOUT_THE_RECORD) > 40
    assert {command.page for command in COMMANDS} >= {"README.md", "docs/tutorial.md"}
    assert {command.page for command in COMMANDS} <= set(FOLLOWED)
