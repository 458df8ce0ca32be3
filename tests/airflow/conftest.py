"""Airflow in the test process: an empty home of its own, SQLite metadata, the fixed model, scripted actions.

Airflow reads its environment when it is first imported. So these tests import it inside functions only, and the
environment is theirs alone: other tests in the same process never see it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if "airflow" in sys.modules:
    raise RuntimeError("Airflow was imported before these tests set its environment: import it inside functions")

PROJECT = Path(__file__).resolve().parents[2]
FIXED_MODELS = PROJECT / "tests" / "golden" / "plans"
HOME = Path(tempfile.mkdtemp(prefix="steward-airflow-"))
DAGS = HOME / "dags"
DAG_FILE = """# Airflow dag loader of a test
from steward_airflow.loading import build, build_portfolio
build(globals(), shard=0, of=1)
build_portfolio(globals())
"""
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

ENVIRONMENT = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:ADMIN,vera:VIEWER",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(HOME / "passwords.json"),
    "AIRFLOW__API__SECRET_KEY": "only-for-tests",
    "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-and-long-enough-to-sign-with-it-" * 2,
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "STEWARD_HOME": str(HOME / "steward"),
    "STEWARD_REPORTS_DIR": str(HOME / "reports"),
    "STEWARD_MODELS_DIR": str(FIXED_MODELS),
}


def pytest_collection_finish(session: pytest.Session) -> None:
    """A module that imports Airflow at its top would give every other test an Airflow with another environment."""
    if "airflow" in sys.modules:
        raise pytest.UsageError("a test module imports Airflow at its top: import it inside functions")


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    from steward import wiring

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "STEWARD_"))]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        forget(wiring)
        yield
    forget(wiring)


@pytest.fixture(scope="module")
def airflow_db(environment: None) -> None:
    """A metadata database, and one DAG file in the DAGs folder that loads the fixed model and the portfolio."""
    if not DAGS.exists():
        _create_database()


def _create_database() -> None:
    from airflow.utils.db import initdb

    DAGS.mkdir()
    (DAGS / "models.py").write_text(DAG_FILE)
    initdb()


@pytest.fixture(scope="module")
def app(airflow_db: None) -> Any:
    """Airflow's own web application, with the plugin mounted in it."""
    from airflow.api_fastapi.app import create_app

    return create_app(apps="core")


def token_of(user: str, role: str) -> str:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=role, teams=[]))


@pytest.fixture
def models_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A models folder of the test's own, with the fixed model in it."""
    from steward import wiring

    folder = tmp_path / "models"
    shutil.copytree(FIXED_MODELS / "flight_delays", folder / "flight_delays")
    monkeypatch.setenv("STEWARD_MODELS_DIR", str(folder))
    forget(wiring)
    yield folder
    forget(wiring)


def forget(wiring: Any) -> None:
    """Settings are read once a process; a test that changes the environment wants them read again."""
    for cached in (wiring.settings, wiring.specs, wiring.clock):
        cached.cache_clear()


class ScriptedActions:
    """Stands in for `steward.actions`: canned answers, and a record of who asked what."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(services: Any, spec: Any = None, **arguments: Any) -> Any:
            self.calls.append((name, arguments))
            answer = self.answers[name]
            answer = answer.pop(0) if isinstance(answer, list) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer(**arguments) if callable(answer) else answer

        return call

    def called(self, name: str) -> list[dict[str, Any]]:
        return [arguments for called, arguments in self.calls if called == name]


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> ScriptedActions:
    import steward
    from steward import wiring

    scripted = ScriptedActions()
    monkeypatch.setattr(steward, "actions", scripted, raising=False)
    monkeypatch.setattr(wiring, "services", lambda: None)
    return scripted
