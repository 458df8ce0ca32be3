"""Versions that are safe to run, as data: below a floor there is a hole that somebody has published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from steward.cli.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around


class Floor(NamedTuple):
    """`package` older than `version` is not safe, because of `reason`."""

    package: str
    version: str
    reason: str


AIRFLOW = Floor("apache-airflow", "3.2.2", "others could answer a person's Required Action")
FLOORS = (
    AIRFLOW,
    Floor("pyarrow", "14.0.1", "reading a file of somebody else's could run its code (CVE-2023-47248)"),
    Floor("skops", "0.13.0", "loading a model could run code past the list of trusted types (CVE-2025-54886)"),
    Floor("h11", "0.16.0", "a request could be smuggled past a proxy (CVE-2025-43859)"),
    Floor("jinja2", "3.1.6", "a template could leave its sandbox (CVE-2025-27516)"),
    Floor("starlette", "0.49.1", "one header could keep a server busy (CVE-2025-62727)"),
)
PYTHONS = ((3, 11), (3, 13))


def versions(around: Around) -> Iterator[Finding]:
    below = [
        (floor, found) for floor in FLOORS if (found := around.installed(floor.package)) and is_below(found, floor)
    ]
    for floor, found in below:
        yield fail(f"{floor.package} {found} is installed: {floor.reason}", _mend(floor), about=floor.package)
    if absent := [floor.package for floor in FLOORS if around.installed(floor.package) is None]:
        yield fail(f"not installed: {', '.join(absent)}", "make install")
    if not below and not absent:
        airflow = around.installed(AIRFLOW.package)
        yield ok(
            f"Airflow {airflow}, MLflow {around.installed('mlflow')}; {len(FLOORS)} packages at or above their floor"
        )


def python(around: Around) -> Iterator[Finding]:
    here, (first, last) = ".".join(map(str, around.python)), PYTHONS
    known = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    if around.python[:2] < first:
        yield fail(
            f"Python {here}: Steward runs on {known}", "make the environment anew with a newer Python: make install"
        )
    elif around.python[:2] > last:
        yield warn(
            f"Python {here}: tried on {known} only", f"make the environment with one of {known}, then `make test`"
        )
    else:
        yield ok(f"Python {here}")


def is_below(found: str, floor: Floor) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(found) < Version(floor.version)
    except InvalidVersion:
        return False


def _mend(floor: Floor) -> str:
    return f"install {floor.package} {floor.version} or newer: `make lock UPGRADE=1`, then `make install`"
