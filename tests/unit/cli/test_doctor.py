"""Each probe on a sound world and on a sick one; the whole never raises, never hangs, and always says the mend."""

from __future__ import annotations

import json
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from tests.unit.cli.conftest import Steward, forget

from steward import wiring
from steward.adapters.postgres.standing import Standing
from steward.cli.doctor import around as surroundings
from steward.cli.doctor import checkup, files, floors, machine, record, services, written
from steward.cli.doctor.around import Around, Reply
from steward.cli.doctor.finding import Finding, ok
from steward.errors import PolicyError, StewardError, UnavailableError
from steward.ledger import Checkpoint, Weakness, export_checkpoint
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL
from steward.wiring.environment import Settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STANDING = Standing("0006", "0006", known=True, server="17.2", now=NOW)
HEALTHY = {part: {"status": "healthy", "latest_heartbeat": "2026-06-01T11:59:58Z"} for part in services.PARTS}
PAGES = {
    "http://127.0.0.1:5000/health": Reply(200, "OK"),
    "http://127.0.0.1:5000/version": Reply(200, "3.17.2"),
    "http://127.0.0.1:8080/api/v2/monitor/health": Reply(200, "", HEALTHY, NOW),
    "http://127.0.0.1:8080/api/v2/version": Reply(200, "", {"version": "3.3.2"}),
    "http://127.0.0.1:8000/v2/health/ready": Reply(200, "{}", {}),
    "http://127.0.0.1:8000/v2/health/live": Reply(200, "{}", {}),
}
INSTALLED = {floor.package: "999" for floor in floors.FLOORS} | {"apache-airflow": "3.3.2", "mlflow": "3.17.2"}
Usage = namedtuple("Usage", "total free")
Probe = Callable[[Around], Iterator[Finding]]


def refused() -> Any:
    raise PolicyError("Airflow refused the log-in of dana", hint="check user and password")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "stack.json").write_text('{"ports": {"airflow": 8080, "mlflow": 5000, "server": 8000}, "format": 1}')
    for name, text in (("ledger.key", "ab" * 32), ("steward.env", "")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "checkpoints.jsonl").write_text(export_checkpoint(Checkpoint(7, "h", NOW - timedelta(hours=3), "m")))
    return folder


@pytest.fixture
def world(home: Path, fake_database: FakeDatabase) -> Around:
    """Where all is well."""
    settings = Settings(
        home=home,
        database_url="postgresql://app@127.0.0.1/steward",
        mlflow_url="http://127.0.0.1:5000",
        storage=str(home),
        airflow_user="dana",
        airflow_password=SecretStr("secret"),
    )
    return Around(
        settings=settings,
        environ={"OMP_NUM_THREADS": "1"},
        python=(3, 12, 1),
        ask=lambda url: PAGES.get(url, Reply(0, f"{url} does not answer (ConnectError)")),
        installed=INSTALLED.get,
        standing=lambda: STANDING,
        database=lambda: fake_database,
        airflow=lambda: SimpleNamespace(dags=lambda: [{"dag_id": f"{MODEL}__train", "is_paused": False}]),
        space=lambda _path: Usage(100 * machine.GIB, 50 * machine.GIB),
        holder=lambda _port: "python (pid 7)",
        wall=lambda: NOW,
    )


def setting(world: Around, **changes: Any) -> Around:
    return replace(world, settings=world.settings.model_copy(update=changes))


def page(world: Around, url: str, reply: Reply) -> Around:
    return replace(world, ask=lambda asked: reply if asked.endswith(url) else world.ask(asked))


def paused() -> Any:
    return SimpleNamespace(dags=lambda: [{"dag_id": f"{MODEL}__monitor", "is_paused": True}])


def unhealthy(part: str) -> Reply:
    return Reply(200, "", {**HEALTHY, part: {"status": "unhealthy", "latest_heartbeat": "2026-06-01T09:00:00Z"}}, NOW)


def worst(probe: Probe, world: Around) -> list[Finding]:
    order = {"FAIL": 0, "WARN": 1, "OK": 2, "SKIP": 3}
    return sorted(probe(world), key=lambda each: order[each.level])


SOUND: list[Probe] = [check.look for check in checkup.CHECKS if check.name not in ("specs", "notifications")]


@pytest.mark.parametrize("probe", SOUND)
def test_all_is_well(world: Around, probe: Probe) -> None:
    assert {each.level.value for each in probe(world)} == {"OK"}


Sicken = Callable[[Around], Around]
SICK: list[tuple[Probe, Sicken, str, str, str]] = [
    (checkup.stack, lambda w: setting(w, database_url=None), "FAIL", "nothing was started", "make up"),
    (floors.python, lambda w: replace(w, python=(3, 10, 2)), "FAIL", "Python 3.10.2", "newer Python"),
    (floors.python, lambda w: replace(w, python=(3, 15, 0)), "WARN", "tried on 3.11 to 3.13 only", "make test"),
    (
        floors.versions,
        lambda w: replace(w, installed={**INSTALLED, "apache-airflow": "3.2.1"}.get),
        "FAIL",
        "apache-airflow 3.2.1 is installed: others could answer",
        "install apache-airflow 3.2.2",
    ),
    (floors.versions, lambda w: replace(w, installed=lambda _: None), "FAIL", "not installed", "make install"),
    (
        machine.threads,
        lambda w: replace(w, environ={}),
        "WARN",
        "OMP_NUM_THREADS is not set",
        "export OMP_NUM_THREADS=1",
    ),
    (machine.disk, lambda w: replace(w, space=lambda _: Usage(10**12, 10**8)), "FAIL", "0.1 GiB free", "make room"),
    (machine.disk, lambda w: replace(w, space=lambda _: Usage(10**11, 3 * 10**9)), "WARN", "2.8 GiB free", "make room"),
    (
        machine.ports,
        lambda w: page(w, "/v2/health/live", Reply(0, "no")),
        "WARN",
        "8000 is held by python (pid 7)",
        "STEWARD_SERVER_PORT",
    ),
    (record.database, lambda w: replace(w, standing=lambda: replace(STANDING, found="0004")), "FAIL", "0004", "schema"),
    (
        record.database,
        lambda w: replace(w, standing=lambda: replace(STANDING, found=None)),
        "FAIL",
        "no tables",
        "make up",
    ),
    (
        record.database,
        lambda w: replace(w, standing=lambda: replace(STANDING, found="0009", known=False)),
        "FAIL",
        "of a newer release",
        "install the release that made them",
    ),
    (
        record.clocks,
        lambda w: replace(w, wall=lambda: NOW + timedelta(minutes=2)),
        "FAIL",
        "120.0 s between it and this machine",
        "time server",
    ),
    (record.clocks, lambda w: replace(w, wall=lambda: NOW + timedelta(seconds=9)), "WARN", "9.0 s", "time server"),
    (
        record.clocks,
        lambda w: setting(w, clock_file=Path("calendar")),
        "WARN",
        "replays the past",
        "STEWARD_CLOCK_FILE",
    ),
    (
        services.mlflow,
        lambda w: page(w, ":5000/health", Reply(0, "it does not answer")),
        "FAIL",
        "not answer",
        "make up",
    ),
    (services.mlflow, lambda w: page(w, ":5000/health", Reply(503)), "FAIL", "answers 503", "mlflow.log"),
    (
        services.mlflow,
        lambda w: page(w, "/version", Reply(200, "2.9.0")),
        "WARN",
        "MLflow 2.9.0 answers",
        "one release",
    ),
    (services.airflow, lambda w: page(w, "/monitor/health", Reply(502)), "FAIL", "answers 502", "api-server.log"),
    (
        services.airflow,
        lambda w: page(w, "/monitor/health", unhealthy("triggerer")),
        "FAIL",
        "unhealthy, last heard of 2026-06-01T09:00:00Z",
        "triggerer.log",
    ),
    (
        services.airflow,
        lambda w: page(w, "/api/v2/version", Reply(200, "", {"version": "3.2.0"})),
        "FAIL",
        "Airflow 3.2.0 answers",
        "upgrade",
    ),
    (services.airflow, lambda w: replace(w, airflow=refused), "FAIL", "refused the log-in of dana", "check user"),
    (services.airflow, lambda w: setting(w, airflow_user=None), "WARN", "no log-in is set", "STEWARD_AIRFLOW_TOKEN"),
    (services.airflow, lambda w: replace(w, airflow=paused), "WARN", "flight_delays__monitor", "switch them on"),
    (services.servers, lambda w: page(w, "/v2/health/ready", Reply(503)), "FAIL", "answers 503", "model-server.log"),
    (files.key, lambda w: setting(w, ledger_key_file=Path("/nowhere/key")), "FAIL", "there is no", "backup"),
    (files.prediction_log, lambda w: setting(w, storage="/nowhere"), "FAIL", "nothing can be written", "chown"),
    (files.checkpoint, lambda w: replace(w, wall=lambda: NOW + timedelta(days=3)), "WARN", "75.0 h ago", "audit"),
    (
        written.settings,
        lambda w: setting(w, server_url="http://models.bank.example:8000"),
        "FAIL",
        "reached by others, and no token",
        "STEWARD_SERVER_TOKEN",
    ),
    (
        written.settings,
        lambda w: setting(w, airflow_url="http://airflow.bank.example"),
        "WARN",
        "in clear text",
        "https://",
    ),
    (
        written.settings,
        lambda w: setting(w, database_owner_url=SecretStr("postgresql://owner@db/steward")),
        "WARN",
        "the tables' owner",
        "unset it",
    ),
    *(
        (
            written.settings,
            lambda w, name=opening.variable: replace(w, environ={name: "True"}),  # type: ignore[misc]
            "FAIL",
            opening.opens,
            f"unset {opening.variable}",
        )
        for opening in written.OPENINGS
    ),
]


@pytest.mark.parametrize(("probe", "sicken", "level", "found", "mend"), SICK)
def test_what_is_wrong_is_told_with_its_mend(
    world: Around, probe: Probe, sicken: Sicken, level: str, found: str, mend: str
) -> None:
    first, *_ = worst(probe, sicken(world))
    assert first.level == level
    assert found in first.found
    assert mend in (first.mend or "")


def test_files_that_others_can_read(world: Around, home: Path) -> None:
    for name, probe in (("ledger.key", files.key), ("steward.env", files.settings_files)):
        (home / name).chmod(0o644)
        (finding,) = probe(world)
        assert (finding.level, finding.mend) == ("FAIL", f"chmod 600 {home / name}")


def test_without_a_checkpoint(world: Around, home: Path) -> None:
    (home / "checkpoints.jsonl").unlink()
    (finding,) = files.checkpoint(world)
    assert (finding.level, "steward__audit_inventory" in str(finding.mend)) == ("WARN", True)


def test_guards_that_are_gone_fail_and_rights_too_wide_warn(world: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    for removed, level in ((True, "FAIL"), (False, "WARN")):
        weak = [Weakness("the trigger is off", "switch it on", removed=removed)]
        events = SimpleNamespace(weaknesses=lambda weak=weak: weak)
        monkeypatch.setattr(FakeDatabase, "begin", lambda _, events=events: _transaction(events))
        first, *_ = worst(record.database, world)
        assert (first.level, first.found, first.mend) == (level, "the trigger is off", "switch it on")


def _transaction(events: Any) -> Any:
    return nullcontext(SimpleNamespace(events=events, outbox=SimpleNamespace(pending=lambda *_: [])))


def test_what_waits_to_be_delivered(world: Around, fake_database: FakeDatabase) -> None:
    with fake_database.begin() as tx:
        for number in range(record.MANY_WAIT + 1):
            tx.outbox.put("aliases", {"model": f"m{number}"})
    first, *_ = worst(record.database, world)
    assert (first.level, first.found) == ("WARN", f"{record.MANY_WAIT + 1} effects wait to be delivered")


def test_a_port_nobody_holds(world: Around) -> None:
    assert {each.found for each in machine.ports(replace(world, holder=lambda _: None))} == {
        "8080 is free",
        "5000 is free",
        "8000 is free",
    }


def test_a_spec_with_a_fault_and_rules_with_one(steward: Steward, models: Path, world: Around) -> None:
    assert written.is_near("http://[::1]:8000")
    assert next(written.specs(world)).level == "OK"
    (models / MODEL / "model.yaml").write_text("model: flight_delays\n")
    forget()
    (finding,) = written.specs(world)
    assert (finding.level, "steward check" in str(finding.mend)) == ("FAIL", True)


def test_a_probe_that_raises_or_hangs_is_a_finding(world: Around) -> None:
    def away(_: Around) -> Iterator[Finding]:
        yield ok("so far so good")
        raise UnavailableError("it is away", where="the shop", hint="come back")

    def broken(_: Around) -> Iterator[Finding]:
        yield ok(str(1 // 0))

    def hangs(_: Around) -> Iterator[Finding]:
        time.sleep(30)
        yield ok("at last")

    checks = [checkup.Check(probe.__name__, "", probe) for probe in (away, broken, hangs)]
    began = time.monotonic()
    found = checkup.look(world, checks, within=0.3)
    assert time.monotonic() - began < 10
    told = [(each["check"], each["level"], each["found"]) for each in found]
    assert told == [
        ("away", "OK", "so far so good"),
        ("away", "FAIL", "the shop: it is away"),
        ("broken", "FAIL", "ZeroDivisionError: integer division or modulo by zero"),
        ("hangs", "FAIL", "it did not answer in time"),
    ]
    assert found[1]["mend"] == "come back"


def test_every_bad_finding_has_a_mend(world: Around) -> None:
    for probe, sicken, *_ in SICK:
        for each in probe(sicken(world)):
            assert each.level in ("OK", "SKIP") or each.mend


def test_the_command_on_a_fresh_clone(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs, nothing is set: it says `make up`, raises nothing, and asks nobody."""
    asked: list[str] = []
    monkeypatch.setattr(surroundings, "_ask", lambda url: asked.append(url) or Reply(0, "no"))
    ended = steward("doctor", "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["healthy"]) == (1, False)
    (stack,) = [each for each in said["findings"] if each["level"] == "FAIL"]
    assert (stack["check"], "make up" in stack["mend"]) == ("stack", True)
    assert {each["check"] for each in said["findings"]} == {check.name for check in checkup.CHECKS}
    assert asked == []


def test_the_command_where_all_is_well(steward: Steward, world: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "present", lambda: world)
    ended = steward("doctor")
    assert ended.code == 0
    assert "OK    clock · database: 0.0 s between it and this machine" in ended.out
    assert ended.out.splitlines()[-1].endswith("0 failing")
    short = steward("doctor", "--quiet")
    assert all(line.startswith(("WARN", "      →")) for line in short.out.splitlines()[:-1])


def test_the_database_is_away(steward: Steward, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The real probe, against a port where nobody listens."""
    monkeypatch.setenv("STEWARD_HOME", str(home))
    monkeypatch.setenv("STEWARD_DATABASE_URL", "postgresql://app@127.0.0.1:9/steward?connect_timeout=2")
    forget()
    wiring.database.cache_clear()
    found = checkup.look(surroundings.present(), [check for check in checkup.CHECKS if check.name == "database"])
    assert [each["level"] for each in found] == ["FAIL"]
    assert "the database is away" in found[0]["found"]
    assert isinstance(found[0]["mend"], str)


def test_errors_of_steward_keep_their_place() -> None:
    said = checkup._of_error(StewardError("it broke", where="here"))
    assert (said.found, said.mend) == ("here: it broke", "run the command again with --debug")


def test_no_secret_of_any_setting_is_shown(steward: Steward, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """One in each setting that may hold one; nothing answers at these addresses."""
    planted = "s3cr3t-canary"
    given = {f"STEWARD_{name}_URL": f"http://ann:{planted}@127.0.0.1:9" for name in ("MLFLOW", "AIRFLOW", "SERVER")}
    given |= {f"STEWARD_{name}": planted for name in ("AIRFLOW_TOKEN", "AIRFLOW_PASSWORD", "SERVER_TOKEN")}
    given |= {f"STEWARD_DATABASE_{name}": f"postgresql://ann:{planted}@127.0.0.1:9/x" for name in ("URL", "OWNER_URL")}
    given |= {"STEWARD_STORAGE": f"s3://ann:{planted}@bucket/x", "STEWARD_NOTIFY_URLS": f'["slack://{planted}"]'}
    for name, value in (given | {"STEWARD_HOME": str(home)}).items():
        monkeypatch.setenv(name, value)
    (home / "ledger.key").write_text(planted)
    forget()
    for arguments in (["doctor"], ["doctor", "--json"], ["status"], ["report", "portfolio"], ["kpi"]):
        assert planted not in str(steward(*arguments)), arguments
    forget()
