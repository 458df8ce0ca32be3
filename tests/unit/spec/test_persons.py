"""Whom a row is about: in the log a keyed hash, never the name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.unit.serving.conftest import make_spec


@pytest.mark.parametrize(
    "data",
    [
        {"subject": "carrier"},
        {"subject": "carrier", "privacy": {"carrier": "keep"}},
        {"subject": "flight_id", "privacy": {"flight_id": "keep"}},
    ],
)
def test_a_person_is_not_logged_by_name(data: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="names a person, whom the log may not: hash or drop it under privacy"):
        make_spec(**data)


@pytest.mark.parametrize(
    "data",
    [
        {"subject": "customer"},
        {"subject": "flight_id"},
        {"subject": "carrier", "privacy": {"carrier": "hash"}},
        {"subject": "carrier", "privacy": {"carrier": "drop"}},
    ],
)
def test_a_hash_of_a_person_is_logged(data: dict[str, object]) -> None:
    assert make_spec(**data).data.subject == data["subject"]
