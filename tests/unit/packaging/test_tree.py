"""The top of the repository holds what was agreed and no more; every command is explained."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOUSE = {
    ".astro",
    "README.md",
    "dags",
    "docker-compose.yaml",
    "include",
    "plugins",
    "pyproject.toml",
    "tests",
}
CONVENTION = {
    ".ci",
    ".dockerignore",
    ".env.example",
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "docs",
    "requirements.txt",
}


def test_the_top_level_is_as_agreed() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    entries = {line.split("/")[0] for line in listing.stdout.splitlines()}
    assert entries <= HOUSE | CONVENTION


def test_make_help_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = re.findall(r"^  make ([a-z0-9-]+) ", shown.stdout, flags=re.MULTILINE)
    assert set(explained) == set(phony[1].split())


def test_an_unsupported_python_is_named_with_what_to_do(tmp_path: Path) -> None:
    refused = subprocess.run(
        [ROOT / ".ci" / "install", tmp_path / "venv"],
        env=os.environ | {"PYTHON": "false"},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert "No supported Python among: false." in refused.stderr
    assert "Install one of them" in refused.stderr
    assert not (tmp_path / "venv").exists()
