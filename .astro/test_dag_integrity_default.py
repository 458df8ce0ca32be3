"""Every DAG file imports, also where its connections, variables and environment are missing.

`astro dev parse` and `astro deploy` run the file of this name. The one Astro generates asks Airflow for
example DAGs by an argument that Airflow 3.3 no longer has. This one asks the same questions (the same three
look-ups answer with mocks, the same exceptions file is honoured) and one more, that DAGs are found at all.
It runs outside Astro's image too: `.venv/bin/pytest .astro/test_dag_integrity_default.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

PROJECT = Path(os.environ.get("AIRFLOW_HOME", ".")).resolve()
if not (PROJECT / "dags").is_dir():
    PROJECT = Path(__file__).resolve().parents[1]
EXCEPTIONS = PROJECT / ".astro" / "dag_integrity_exceptions.txt"
DAG_FILES = sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "dags").rglob("*.py"))

_real_getenv = os.getenv


class MockedVariable(dict[str, str]):
    """A JSON variable that holds every key."""

    def __missing__(self, key: str) -> str:
        return "MOCKED_KEY_VALUE"


def mocked_getenv(key: str, default: str | None = None) -> str | None:
    """The environment's value, else the default, else a value that cannot be meant."""
    if key == "JENKINS_HOME":  # GitPython and others take any answer for "we are on Jenkins"
        return _real_getenv(key, default)
    return _real_getenv(key) or default or f"MOCKED_{key.upper()}_VALUE"


def mocked_variable(key: str, default: Any = None, deserialize_json: bool = False, **older: Any) -> Any:
    fallback = older.get("default_var", default)
    if fallback is not None:
        return fallback
    return MockedVariable() if deserialize_json else "NON_DEFAULT_MOCKED_VARIABLE_VALUE"


def excepted_files() -> set[str]:
    lines = EXCEPTIONS.read_text().splitlines() if EXCEPTIONS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Airflow's home as the image sets it, else an empty one that looks at this project's folders."""
    with pytest.MonkeyPatch.context() as patch:
        if "AIRFLOW_HOME" not in os.environ:
            patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
            patch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(PROJECT / "plugins"))
        yield patch


@pytest.fixture(scope="module")
def dag_bag(airflow_home: pytest.MonkeyPatch) -> DagBag:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models import Connection as StoredConnection
    from airflow.models import Variable as StoredVariable
    from airflow.sdk import BaseHook, Connection, Variable

    airflow_home.setattr(BaseHook, "get_connection", lambda conn_id, *_, **__: Connection(conn_id=conn_id))
    airflow_home.setattr(Connection, "get", lambda conn_id, *_, **__: Connection(conn_id=conn_id))
    airflow_home.setattr(StoredConnection, "get_connection_from_secrets", lambda conn_id, *_, **__: None)
    airflow_home.setattr(Variable, "get", mocked_variable)
    airflow_home.setattr(StoredVariable, "get", mocked_variable)
    airflow_home.setattr(os, "getenv", mocked_getenv)
    return DagBag(dag_folder=str(PROJECT / "dags"), load_op_links=False)


@pytest.mark.parametrize("file", DAG_FILES)
def test_file_imports(dag_bag: DagBag, file: str) -> None:
    if file in excepted_files():
        pytest.skip(f"{file} is listed in {EXCEPTIONS.name}")
    errors = {PROJECT / "dags" / path: text for path, text in dag_bag.import_errors.items()}
    assert PROJECT / file not in errors, f"{file} failed to import:\n{errors[PROJECT / file]}"


def test_dags_are_found(dag_bag: DagBag) -> None:
    assert dag_bag.dags, f"no DAG was found in {PROJECT / 'dags'}"
