"""The data folder and the socket; the server itself runs in the end-to-end test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steward.local.errors import BrokenHomeError
from steward.local.home import Home
from steward.local.postgres import (
    LONGEST_SOCKET_PATH,
    SOCKET_NAME,
    EmbeddedPostgres,
    binary,
    make_private,
    socket_folder,
)


@pytest.fixture
def postgres(tmp_path: Path) -> EmbeddedPostgres:
    home = Home.at(tmp_path)
    home.create()
    return EmbeddedPostgres(home, {"PATH": os.environ["PATH"]})


def data_folder(postgres: EmbeddedPostgres, version: str = "18") -> Path:
    (postgres.data / "global").mkdir(parents=True)
    (postgres.data / "global" / "pg_control").touch()
    (postgres.data / "PG_VERSION").write_text(f"{version}\n")
    return postgres.data


def test_the_socket_lies_in_the_home_when_its_path_is_short() -> None:
    assert socket_folder(Path("/srv/steward")) == Path("/srv/steward/run/postgres")


@pytest.mark.parametrize("home", ["/srv/" + "deep/" * 30, "/srv/a folder", "/srv/größe", "/srv/a%20b?c"])
def test_the_socket_moves_away_from_paths_that_drivers_or_the_system_refuse(home: str) -> None:
    folder = socket_folder(Path(home))
    assert len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH
    assert f"steward-{os.geteuid()}-" in folder.name
    assert folder != socket_folder(Path(home + "x"))


def test_a_deep_temporary_folder_does_not_make_the_path_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp/" + "x" * 100)
    assert socket_folder(Path("/srv/" + "deep/" * 30)).parent == Path("/tmp")


def test_a_url_names_the_socket_folder_not_a_port(postgres: EmbeddedPostgres) -> None:
    expected = f"postgresql+asyncpg://postgres@/airflow?host={postgres.socket_folder}"
    assert postgres.url("airflow", "asyncpg") == expected


def test_the_server_opens_no_tcp_port(postgres: EmbeddedPostgres) -> None:
    assert "listen_addresses=" in postgres.argv()


def test_half_a_data_folder_is_refused_and_left_as_it_is(postgres: EmbeddedPostgres) -> None:
    postgres.data.mkdir(parents=True)
    (postgres.data / "PG_VERSION").write_text("18\n")
    with pytest.raises(BrokenHomeError, match="not a complete PostgreSQL data folder") as refused:
        postgres.prepare()
    assert "move it away" in str(refused.value)
    assert (postgres.data / "PG_VERSION").exists()


def test_data_of_another_release_is_refused_and_left_as_it_is(postgres: EmbeddedPostgres) -> None:
    data = data_folder(postgres, "16")
    with pytest.raises(BrokenHomeError, match="written by PostgreSQL 16, and this is PostgreSQL 18"):
        postgres.prepare()
    assert (data / "PG_VERSION").read_text() == "16\n"


def test_a_pid_file_naming_a_stranger_is_removed(postgres: EmbeddedPostgres) -> None:
    pid_file = data_folder(postgres) / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n/somewhere\n")
    assert postgres.running_server() is None
    postgres.prepare()
    assert not pid_file.exists()


def test_a_pid_file_naming_nobody_is_left_to_the_server(postgres: EmbeddedPostgres) -> None:
    pid_file = data_folder(postgres) / "postmaster.pid"
    pid_file.write_text("999999999\n")
    postgres.prepare()
    assert pid_file.exists()


def test_a_folder_somebody_prepared_for_the_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    with pytest.raises(BrokenHomeError, match="is not a folder of user"):
        make_private(tmp_path / "ours")


def test_a_program_the_wheel_lacks_is_named() -> None:
    with pytest.raises(BrokenHomeError, match="the program `pg_nothing` of PostgreSQL 18 is missing"):
        binary("pg_nothing")
