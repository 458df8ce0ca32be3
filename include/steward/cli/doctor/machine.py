"""The machine: threads, disk, ports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steward.cli.doctor.finding import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around

GIB = 2**30
LITTLE, TOO_LITTLE = 5 * GIB, GIB
SMALL_SHARE = 0.05


def threads(around: Around) -> Iterator[Finding]:
    said = around.environ.get("OMP_NUM_THREADS", "")
    if said == "1":
        yield ok("OMP_NUM_THREADS=1: small models do not wait for each other's threads")
        return
    found = f"OMP_NUM_THREADS is {said}" if said else "OMP_NUM_THREADS is not set"
    why = "small models on shared cores train and score slower with a pool of threads each"
    yield warn(f"{found}: {why}", "export OMP_NUM_THREADS=1 (what `make up` starts has it)")


def disk(around: Around) -> Iterator[Finding]:
    """Every place once, though several may be on one disk: who moves one of them sees which."""
    for name, path in _places(around):
        total, free = around.space(path)
        said = f"{free / GIB:.1f} GiB free of {total / GIB:.0f} at {path}"
        room = "move it to a larger disk, or make room: `steward maintain --compact` merges the prediction log"
        if free < TOO_LITTLE:
            yield fail(said, room, about=name)
        elif free < LITTLE or free < SMALL_SHARE * total:
            yield warn(said, room, about=name)
        else:
            yield ok(said, about=name)


def _places(around: Around) -> Iterator[tuple[str, Path]]:
    given = around.settings
    yield "home", given.home
    if given.storage and "://" not in given.storage:
        yield "storage", Path(given.storage)
    if given.archive and "://" not in given.archive:
        yield "archive", Path(given.archive)
    if (logs := given.home / "logs").exists():
        yield "logs", logs


def ports(around: Around) -> Iterator[Finding]:
    """Those of the stack on this machine: held by itself, free, or by somebody else's program."""
    from steward.local.ports import RULES

    if not around.is_embedded:
        yield skip("the services run elsewhere, or were not started by `make up`")
        return
    remembered = _remembered(around.settings.home)
    for rule in RULES:
        port = int(remembered.get(rule.service) or _fixed(around, rule.variable) or rule.preferred)
        holder = around.holder(port)
        if holder is None:
            yield ok(f"{port} is free", about=rule.service)
        elif rule.service in remembered and _is_ours(around, rule.service):
            yield ok(f"{port} is held by the stack itself", about=rule.service)
        else:
            mend = f"end that program, or choose another port: {rule.variable}=… make up"
            yield warn(f"{port} is held by {holder}", mend, about=rule.service)


def _remembered(home: Path) -> dict[str, int]:
    from steward.local.errors import BrokenHomeError
    from steward.local.home import Home, read_state

    try:
        return read_state(Home.at(home)).ports
    except BrokenHomeError:
        return {}


def _fixed(around: Around, variable: str) -> str | None:
    said = around.environ.get(variable, "")
    return said if said.isdigit() else None


def _is_ours(around: Around, service: str) -> bool:
    given = around.settings
    pages = {
        "airflow": f"{given.airflow_url}/api/v2/monitor/health",
        "mlflow": f"{given.mlflow_url}/health",
        "server": f"{given.first_server_url}/v2/health/live",
    }
    return 0 < around.ask(pages[service]).status < 400
