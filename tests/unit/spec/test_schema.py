"""The JSON schema in the tree is current, accepts what is sound and refuses what a schema can see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from steward.spec.schema import schema_text, spec_schema

MODELS = Path(__file__).parents[3] / "include" / "models"
VALIDATOR = Draft202012Validator(spec_schema())


def shipped() -> dict[str, Any]:
    return yaml.safe_load((MODELS / "flight_delays" / "model.yaml").read_text())


def test_the_file_is_current() -> None:
    assert (MODELS / "model.schema.json").read_text() == schema_text(), "run `steward schema write`"


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    Draft202012Validator.check_schema(json.loads(schema_text()))
    assert spec_schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_the_shipped_spec_validates_and_names_the_schema() -> None:
    assert not list(VALIDATOR.iter_errors(shipped()))
    first = (MODELS / "flight_delays" / "model.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../model.schema.json"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("deployment", "stepz", [1]),
        ("training", "seed", "seven"),
        ("training", "time_limit", "soon"),
        ("training", "build", "build"),
        ("data", "features", {"9lives": {"type": "number"}}),
        ("data", "features", {}),
        ("data", "privacy", {"origin": "encrypt"}),
        ("retraining", "budget", {"runs": -1, "per": "30d"}),
    ],
)
def test_it_refuses(section: str, key: str, value: Any) -> None:
    spec = shipped()
    spec[section][key] = value
    assert list(VALIDATOR.iter_errors(spec))


def test_it_asks_for_every_required_key() -> None:
    for key in spec_schema()["required"]:
        spec = shipped()
        del spec[key]
        assert list(VALIDATOR.iter_errors(spec)), key
