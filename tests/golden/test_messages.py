"""Every message about a bad model.yaml, as a person reads it: the review of a message is the diff of its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steward.errors import SpecError
from steward.spec import FaultsError, parse_spec

MESSAGES = Path(__file__).parent / "messages"
NAMES = sorted(path.stem for path in MESSAGES.glob("*.yaml"))


def message_of(name: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec((MESSAGES / f"{name}.yaml").read_bytes(), "model.yaml")
    return f"{caught.value}\n"


@pytest.mark.parametrize("name", NAMES)
def test_message_is_the_golden_one(name: str) -> None:
    expected = MESSAGES / f"{name}.txt"
    message = message_of(name)
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(message, encoding="utf-8")
    hint = f"{name} differs; UPDATE_GOLDEN=1 rewrites it, then read the diff"
    assert message == expected.read_text(encoding="utf-8"), hint


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_names_a_line_that_exists(name: str) -> None:
    lines = (MESSAGES / f"{name}.yaml").read_bytes().count(b"\n") + 1
    with pytest.raises(FaultsError) as caught:
        parse_spec((MESSAGES / f"{name}.yaml").read_bytes(), "model.yaml")
    assert caught.value.faults
    assert all(1 <= fault.line <= lines and fault.column >= 1 for fault in caught.value.faults)
