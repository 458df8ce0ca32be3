"""Who migrates and who works: two addresses, from the command line or from the settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steward import wiring
from steward.local import schema
from steward.local.environment import Urls
from steward.local.home import Home
from steward.local.postgres import EmbeddedPostgres


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    calls: list[tuple[str, str | None]] = []
    monkeypatch.setattr(schema, "upgrade", lambda owner, application: calls.append((owner, application)))
    monkeypatch.setenv("STEWARD_HOME", "/nowhere")
    wiring.settings.cache_clear()
    yield calls
    wiring.settings.cache_clear()


def test_the_settings_name_owner_and_application(upgraded: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_DATABASE_OWNER_URL", "postgresql://owner@/steward")
    monkeypatch.setenv("STEWARD_DATABASE_URL", "postgresql://steward_app@/steward")
    assert schema.main() == 0
    assert upgraded == [("postgresql://owner@/steward", "postgresql://steward_app@/steward")]


def test_with_one_address_one_role_does_both(upgraded: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEWARD_DATABASE_OWNER_URL", raising=False)
    monkeypatch.setenv("STEWARD_DATABASE_URL", "postgresql://one@/steward")
    assert schema.main() == 0
    assert upgraded == [("postgresql://one@/steward", None)]


def test_without_an_address_it_says_which_setting_is_missing(
    upgraded: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STEWARD_DATABASE_URL", raising=False)
    assert schema.main() == 75
    assert "STEWARD_DATABASE_URL is not set" in capsys.readouterr().err
    assert upgraded == []


def test_the_stack_works_as_a_role_that_owns_nothing() -> None:
    postgres = EmbeddedPostgres(Home.at("/srv/steward"), {})
    urls = Urls.of({"airflow": 1, "mlflow": 2, "server": 3}, postgres)
    assert urls.database.startswith("postgresql+psycopg://steward_app@/steward?")
    assert postgres.url("steward", "psycopg").startswith("postgresql+psycopg://postgres@/steward?")
