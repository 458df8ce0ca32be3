"""Everything a probe may look at, handed in: a test puts a sick world in its place."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from steward.actions.state import Database
    from steward.adapters.postgres.standing import Standing
    from steward.wiring.environment import Settings

ANSWERS_WITHIN = 3.0  # seconds for one request


class Reply(NamedTuple):
    """An answer over HTTP; `status` 0 and `text` the trouble when there was none. `date` is the server's clock."""

    status: int
    text: str = ""
    body: Any = None
    date: datetime | None = None


class Airflow(Protocol):
    def dags(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Around:
    """`holder` says who listens on a port, None when it is free; `space` the total and the free bytes of a disk."""

    settings: Settings
    environ: Mapping[str, str]
    python: tuple[int, ...]
    ask: Callable[[str], Reply]
    installed: Callable[[str], str | None]
    standing: Callable[[], Standing]
    database: Callable[[], Database]
    airflow: Callable[[], Airflow]
    space: Callable[[Path], tuple[int, int]]
    holder: Callable[[int], str | None]
    wall: Callable[[], datetime]

    @property
    def has_stack(self) -> bool:
        """Whether anything says where the record is: without it nothing was ever started from here."""
        return self.settings.database_url is not None

    @property
    def is_embedded(self) -> bool:
        """Whether `make up` keeps this home, and its ports are this machine's."""
        return (self.settings.home / "stack.json").exists() or not self.has_stack


def present() -> Around:
    """The world as it is."""
    from steward import wiring
    from steward.cli import door

    return Around(
        settings=wiring.settings(),
        environ=os.environ,
        python=sys.version_info[:3],
        ask=_ask,
        installed=_installed,
        standing=_standing,
        database=wiring.database,
        airflow=door.airflow,
        space=_space,
        holder=_holder,
        wall=lambda: datetime.now(UTC),
    )


def _ask(url: str) -> Reply:
    import httpx

    try:
        with _client() as client:
            answer = client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Reply(0, f"{url} does not answer ({type(error).__name__})")
    try:
        body = answer.json()
    except ValueError:
        body = None
    return Reply(answer.status_code, answer.text[:200].strip(), body, _date(answer.headers.get("date")))


@contextmanager
def _client() -> Iterator[Any]:
    import httpx

    with httpx.Client(timeout=ANSWERS_WITHIN) as client:
        yield client


def _date(header: str | None) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(header) if header else None
    except ValueError:
        return None


def _installed(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _standing() -> Standing:
    from steward import wiring
    from steward.adapters.postgres.standing import standing_of

    return standing_of(wiring.settings().wanted("database_url"))


def _space(path: Path) -> tuple[int, int]:
    """Of the disk that holds the path, or would: the nearest folder above it that exists."""
    here = path.absolute()
    while not here.exists():
        here = here.parent
    usage = shutil.disk_usage(here)
    return usage.total, usage.free


def _holder(port: int) -> str | None:
    from steward.local.ports import holder_of, is_free

    return None if is_free(port) else holder_of(port) or "a process the system does not name"
