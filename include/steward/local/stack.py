"""The embedded stack as one object: bring it up, ask where it is, take it down."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import httpx
import psutil

from steward.errors import NotFoundError, UnavailableError
from steward.local import environment, processes
from steward.local.catalogue import (
    AIRFLOW_SERVICES,
    ALL_SERVICES,
    Surroundings,
    expand,
    migration_specs,
    service_specs,
)
from steward.local.credentials import USERS, keep_airflow_secrets, keep_ledger_key, keep_passwords
from steward.local.environment import Urls
from steward.local.errors import BrokenHomeError, ServiceError, StackBusyError
from steward.local.home import Home, StackState, read_state, write_private, write_state
from steward.local.launch import Launch, Reporter, stop_all
from steward.local.ports import RULES, PortChoice, choose_ports
from steward.local.postgres import EmbeddedPostgres
from steward.local.service import Migration, Progress, Service, StackEvent

# Whose running keeps a port's owner from being moved to another port.
PORT_HOLDERS = {"airflow": AIRFLOW_SERVICES, "mlflow": ("mlflow",), "server": ("model-server",)}
LEFTOVER_PATIENCE = timedelta(seconds=20)


@dataclass(frozen=True)
class ServiceStatus:
    """`trouble` is why a service is not ready, None when it is; `memory` its proportional share in bytes."""

    name: str
    pid: int | None
    trouble: str | None
    url: str | None
    memory: int
    log: Path


def unheard(_event: StackEvent) -> None:
    """The progress nobody asked for."""


class Stack:
    """Services of one folder. Several processes may hold a `Stack` of the same folder; the processes belong
    to none.

    `services` are names or groups (`airflow`, `all`); PostgreSQL always comes along. `extra_env` goes to
    every process of the stack, and to `env()`, above anything the stack sets itself.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        project: Path | str | None = None,
        services: Iterable[str] = ALL_SERVICES,
        extra_env: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.home = Home.at(home or environ.get("STEWARD_HOME") or ".steward")
        self.project = Path(project or ".").resolve()
        self.services = expand(services)
        self._extra_env = dict(extra_env or {})
        self._environ = environ

    # --- the whole stack --------------------------------------------------------------------------

    def up(self, progress: Progress = unheard) -> dict[str, PortChoice]:
        """Start what does not run yet and wait until all is ready; on failure end again what was started.

        Returns the chosen ports. Raises PortInUseError, StackBusyError, OtherVersionError, BrokenHomeError
        and ServiceError; the data of an earlier start is kept whatever happens.
        """
        self._require_project()
        self.home.create()
        with self._lock():
            everything = self._services(ALL_SERVICES)
            for service in everything:
                service.refuse_other_version()
            self._end_leftovers(everything)
            ports = self._settle_ports()
            self._write_private_files()
            Launch(self._steps(), Reporter(progress)).run()
            return ports

    def stop(self, progress: Progress = unheard) -> list[str]:
        """End every service of the folder, whichever were asked for, and check that nothing of it is left.

        Returns the names of those that ran. Raises ServiceError when a process does not end.
        """
        if not self.home.root.exists():
            return []
        with self._lock():
            services = self._services(ALL_SERVICES)
            reporter = Reporter(progress)
            stopped = stop_all((service for service in services if service.name != "postgres"), reporter)
            self._end_leftovers(services)
            stopped += stop_all((service for service in services if service.name == "postgres"), reporter)
            self._require_silence(services)
            self._postgres.tidy()
            return stopped

    def status(self) -> list[ServiceStatus]:
        """Raises NotFoundError before the first `up`."""
        self._ports()
        return [self._status_of(service) for service in self._services(self.services)]

    # --- one service ------------------------------------------------------------------------------

    def start_service(self, name: str, progress: Progress = unheard) -> None:
        """Start one service and wait until it is ready. What it needs must be up already."""
        Launch([self._service(name)], Reporter(progress)).run()

    def stop_service(self, name: str, *, kill: bool = False) -> None:
        """End one service; with `kill` by SIGKILL and with all its descendants, as a power cut would."""
        self._service(name).take_down(kill=kill)

    # --- what others need to use it ---------------------------------------------------------------

    @property
    def urls(self) -> Urls:
        """Raises NotFoundError before the first `up`."""
        return Urls.of(self._ports(), self._postgres)

    @property
    def passwords(self) -> dict[str, str]:
        """Airflow's log-ins by user name."""
        return keep_passwords(self.home)

    def settings(self) -> dict[str, str]:
        """The STEWARD_* settings, Airflow's administrator among them: what `steward.env` holds."""
        found = environment.steward_settings(self.home, self.urls, self.project, {**self._environ, **self._extra_env})
        return {**found, "STEWARD_AIRFLOW_USER": "admin", "STEWARD_AIRFLOW_PASSWORD": self.passwords["admin"]}

    def env(self) -> dict[str, str]:
        """The environment for a child process that uses the stack without being a part of it."""
        return self._environment(self.settings())

    def airflow_token(self, user: str = "admin") -> str:
        """A bearer token for Airflow's REST API. Raises NotFoundError (no such user), UnavailableError."""
        if user not in self.passwords:
            raise NotFoundError(f"no user {user!r}", where="airflow", hint=f"choose among: {', '.join(USERS)}")
        login = {"username": user, "password": self.passwords[user]}
        try:
            answer = httpx.post(f"{self.urls.airflow}/auth/token", json=login, timeout=30, trust_env=False)
            return str(answer.raise_for_status().json()["access_token"])
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"no token for {user}: {error}",
                where=self.urls.airflow,
                hint=f"is the stack up? `python -m steward.local status`; log-ins: {self.home.passwords}",
            ) from error

    # --- inside -----------------------------------------------------------------------------------

    @cached_property
    def _postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.home, environment.inherited(self._environ))

    def _ports(self) -> dict[str, int]:
        ports = read_state(self.home).ports
        if not ports:
            raise NotFoundError(
                "no stack was ever started here",
                where=str(self.home.root),
                hint="run `python -m steward.local up`",
            )
        return ports

    def _settle_ports(self) -> dict[str, PortChoice]:
        remembered = read_state(self.home).ports
        alive = {service.name for service in self._services(ALL_SERVICES) if service.process()}
        running = {owner for owner, holders in PORT_HOLDERS.items() if alive & set(holders)}
        choices = choose_ports(remembered, running=running, environ=self._environ)
        write_state(self.home, StackState(ports={service: choice.port for service, choice in choices.items()}))
        return choices

    def _write_private_files(self) -> None:
        keep_airflow_secrets(self.home)
        keep_ledger_key(self.home.ledger_key)
        write_private(self.home.env_file, environment.env_file_text(self.settings()))

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        base = environment.inherited(self._environ)
        tracking = {"MLFLOW_TRACKING_URI": settings["STEWARD_MLFLOW_URL"]}
        return {**base, **environment.QUIET, **tracking, **settings, **self._extra_env}

    def _surroundings(self) -> Surroundings:
        # Before the first `up` the ports do not matter, only pid files do: `stop` must work whatever is
        # missing.
        ports = read_state(self.home).ports or {rule.service: rule.preferred for rule in RULES}
        urls = Urls.of(ports, self._postgres)
        settings = environment.steward_settings(self.home, urls, self.project, {**self._environ, **self._extra_env})
        secrets = keep_airflow_secrets(self.home)
        airflow = environment.airflow_settings(self.home, urls, self.project, self._postgres, secrets)
        return Surroundings(
            home=self.home,
            project=self.project,
            urls=urls,
            postgres=self._postgres,
            env={**self._environment(settings), processes.MARKER: str(self.home.root)},
            airflow={**airflow, **self._extra_env},
        )

    def _services(self, names: Iterable[str]) -> list[Service]:
        specs = service_specs(self._surroundings())
        return [Service(specs[name], self.home) for name in names]

    def _service(self, name: str) -> Service:
        if name not in ALL_SERVICES:
            raise NotFoundError(
                f"no service {name!r}", where="services", hint=f"choose among: {', '.join(ALL_SERVICES)}"
            )
        return self._services([name])[0]

    def _steps(self) -> list[Service | Migration]:
        migrations = migration_specs(self._surroundings(), self.services)
        return [*self._services(self.services), *(Migration(spec, self.home) for spec in migrations)]

    def _status_of(self, service: Service) -> ServiceStatus:
        process = service.process()
        return ServiceStatus(
            name=service.name,
            pid=process.pid if process else None,
            trouble=service.trouble(),
            url=service.spec.url,
            memory=processes.memory_bytes(process) if process else 0,
            log=service.log,
        )

    def _leftovers(self, services: Iterable[Service]) -> list[psutil.Process]:
        """What carries the stack's mark without belonging to a service: tasks and orphans of a crash."""
        alive = [process for service in services if (process := service.process() or service.spec.adopt())]
        ours = {member for process in alive for member in processes.family(process)}
        return [process for process in processes.marked(str(self.home.root)) if process not in ours]

    def _end_leftovers(self, services: Iterable[Service]) -> None:
        """Before ports are chosen: an orphan still holds its service's port."""
        for process in self._leftovers(services):
            processes.end(process, how=processes.TERMINATE, patience=LEFTOVER_PATIENCE)

    def _require_silence(self, services: Iterable[Service]) -> None:
        left = [f"{service.name} (pid {process.pid})" for service in services if (process := service.process())]
        left += [f"pid {process.pid}" for process in self._leftovers(services)]
        if left:
            raise ServiceError(
                f"still running after the stop: {', '.join(left)}",
                where=str(self.home.root),
                hint="end these processes by hand, then stop again",
            )

    def _require_project(self) -> None:
        if set(self.services) & set(AIRFLOW_SERVICES) and not (self.project / "dags").is_dir():
            raise BrokenHomeError(
                "no folder `dags` here: this is not a Steward project",
                where=str(self.project),
                hint="change into the project's folder, or name it with --project",
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One `up` or `stop` at a time per folder; the lock ends with its process, however that ends."""
        with self.home.lock.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                stream.seek(0)
                raise StackBusyError(
                    f"another `up` or `stop` is at work here (pid {stream.read().strip() or 'unknown'})",
                    where=str(self.home.root),
                    hint="wait until it has ended",
                ) from error
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
