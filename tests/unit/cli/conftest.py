"""One command at a time, on a fake database and a folder of models of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steward import wiring
from steward.cli.boundary import run
from steward.testing import FakeDatabase

GOLDEN = Path(__file__).parents[2] / "golden" / "specs" / "sound.yaml"
CODE = "def load(start, end): ...\ndef build(params): ...\ndef examples(): ...\n"
POLICY = Path(__file__).parents[3] / "include" / "policy.yaml"

CACHED = (wiring.settings, wiring.specs, wiring.services)  # as they are before a test replaces one


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Steward = Callable[..., Ended]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "flight_delays"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(GOLDEN.read_text())
    (folder / "model.py").write_text(CODE)
    return folder.parent


@pytest.fixture(autouse=True)
def settings(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("STEWARD_HOME", str(models.parent / "home"))
    monkeypatch.setenv("STEWARD_MODELS_DIR", str(models))
    monkeypatch.setenv("STEWARD_POLICY_FILE", str(POLICY))
    forget()
    yield
    forget()


def forget() -> None:
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def steward(capsys: pytest.CaptureFixture[str]) -> Steward:
    def call(*arguments: object) -> Ended:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


@pytest.fixture
def store(fake_database: FakeDatabase, models: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """What the commands find behind `wiring.database()`; nothing else of the services is reached."""
    monkeypatch.setenv("STEWARD_STORAGE", str(models.parent / "storage"))
    monkeypatch.setenv("STEWARD_MLFLOW_URL", "http://127.0.0.1:9")
    forget()
    monkeypatch.setattr(wiring, "database", lambda: fake_database)
    monkeypatch.setattr(wiring, "log_key", lambda: b"of the prediction log")
    return fake_database
