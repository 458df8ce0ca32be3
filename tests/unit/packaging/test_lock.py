"""requirements.txt must install anywhere: no address, no path, one pin for each package and Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LOCK = (ROOT / "requirements.txt").read_text()
PYTHONS = ["3.11.9", "3.12.9", "3.13.3"]


def pins() -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in LOCK.splitlines())
    return [Requirement(line) for line in lines if line]


def locked_on(python: str) -> dict[str, str]:
    """Package name to version on Linux with the given Python."""
    minor = ".".join(python.split(".")[:2])
    machine = {**default_environment(), "python_version": minor, "python_full_version": python}
    machine |= {"sys_platform": "linux", "platform_system": "Linux", "implementation_name": "cpython"}
    versions: dict[str, str] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate(machine):
            assert pin.name not in versions, f"{pin.name} is pinned twice on Python {python}"
            versions[pin.name] = str(pin.specifier)
    return versions


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    return [Requirement(text) for text in texts]


def test_the_lock_names_no_address_and_no_path() -> None:
    assert not re.findall(r"^.*(?:://|^-|file:|[ =@]/).*$", LOCK, flags=re.MULTILINE)


def test_the_lock_says_how_it_is_made() -> None:
    assert "make lock" in LOCK.splitlines()[1]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_dependency_is_pinned_within_its_bounds(python: str) -> None:
    versions = locked_on(python)
    for dependency in declared():
        pinned = versions[canonicalize_name(dependency.name)]
        assert pinned.startswith("=="), f"{dependency.name} is locked to a range: {pinned}"
        assert dependency.specifier.contains(pinned.removeprefix("==")), f"{dependency} against {pinned}"
