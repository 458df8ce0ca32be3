"""The JSON schema (draft 2020-12) of a model.yaml, for editors that read its first line:

`# yaml-language-server: $schema=../model.schema.json`
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from steward.spec.fields import format_duration
from steward.spec.model import ModelSpec
from steward.types import JsonObject

SCHEMA_FILE = "model.schema.json"
_ISO_DURATION = re.compile(r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
_DURATIONS = TypeAdapter(timedelta)


def spec_schema() -> JsonObject:
    """What a schema can say of a spec; contradictions between keys are found by `steward check` alone."""
    schema = ModelSpec.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A model in Steward"
    _close(schema)
    _spell_durations(schema)
    return schema


def _spell_durations(node: Any) -> None:
    """Defaults in the units a person writes: pydantic spells a duration as ISO 8601."""
    if isinstance(node, dict):
        if isinstance(node.get("default"), str) and _ISO_DURATION.fullmatch(node["default"]):
            node["default"] = format_duration(_DURATIONS.validate_python(node["default"]))
        for each in node.values():
            _spell_durations(each)
    elif isinstance(node, list):
        for each in node:
            _spell_durations(each)


def _close(node: Any) -> None:
    """Refuse keys that match no pattern, as validation does; pydantic's schema leaves them open."""
    if isinstance(node, dict):
        if "patternProperties" in node:
            node["additionalProperties"] = False
        for each in node.values():
            _close(each)
    elif isinstance(node, list):
        for each in node:
            _close(each)


def schema_text() -> str:
    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(folder: Path) -> Path:
    """Write it beside the models and return its path."""
    path = folder / SCHEMA_FILE
    path.write_text(schema_text(), encoding="utf-8")
    return path
