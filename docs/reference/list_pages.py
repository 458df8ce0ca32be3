"""Lists: audit events, settings, and the gates, each as the module that judges it describes itself."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from steward.ledger.events import MEANING, EventType
from steward.reporting.measures.definitions import MEASURES
from steward.wiring.environment import Settings

EVENTS_HEAD = """\
# Audit events

Written by `python docs/reference` from `include/steward/ledger/events.py`; change that file, not this page.

Every change of state writes its event in the transaction of the change. An event holds: `seq` (its place in the
chain), `at` (business time, UTC), `recorded_at` (wall clock, UTC), `type`, `model`, `version`, `actor`, `reason`,
`evidence` (the digest of what the decision rests on), `body` (by type), `previous_hash` and `hash`.
`steward history MODEL` lists them.

| type | what it says |
|---|---|
"""
MEASURES_HEAD = """\
# Measures

Written by `python docs/reference` from `include/steward/reporting/measures/definitions.py`; change that file, not this
page. How they are read, and who is counted where: [measures](../measures.md).

| measure | unit | better is | what is counted | read from |
|---|---|---|---|---|
"""
SETTINGS_HEAD = """\
# Settings

Written by `python docs/reference` from `include/steward/wiring/environment.py`; change that file, not this page.

A setting is an environment variable, or a line of `steward.env` in `STEWARD_HOME`, which `make up` writes; the
environment goes before the file. `python -m steward.local env` prints those of a local stack, its secrets too.

| variable | type | default | meaning |
|---|---|---|---|
"""
SETTINGS_TAIL = """
Beside these: `STEWARD_CODE_COMMIT`, `STEWARD_CODE_EDITOR` and `STEWARD_CODE_COMMITTED_AT` say which commit a model's
files are of, who changed them last and when, where the image holds no repository. `STEWARD_AIRFLOW_PORT`,
`STEWARD_MLFLOW_PORT` and `STEWARD_SERVER_PORT` fix the ports of the local stack. Traces of a model server follow
OpenTelemetry's own variables: [metrics, logs and traces](../metrics.md).
"""
GATES_HEAD = """\
# Gates and checks

Written by `python docs/reference`: each section is what the module that judges says of itself; change it there. What
they mean for an operator: [monitoring](../monitoring.md). Limits are keys of [model.yaml](spec.md).
"""
_GATE = re.compile(r"(canary|shadow|data|drift|performance|fairness|operation|monitor)\.[a-z_]+[a-z0-9]")
HOUSE = Path(__file__).parents[2] / "include" / "steward"
JUDGES = (
    "data/contract.py",
    "evaluation/judgement.py",
    "rollout/analysis.py",
    "gates/alarms.py",
    *sorted(path.relative_to(HOUSE).as_posix() for path in (HOUSE / "monitoring" / "checks").glob("[a-z]*.py")),
)


def events_page() -> str:
    return EVENTS_HEAD + "".join(f"| `{kind.value}` | {MEANING[kind]} |\n" for kind in EventType)


def measures_page() -> str:
    return MEASURES_HEAD + "".join(
        f"| {m.title} (`{m.id}`) | {m.unit} | {better(m.rises)} | {m.says} | {m.source} |\n" for m in MEASURES
    )


def better(rises: bool | None) -> str:
    return "" if rises is None else "more" if rises else "less"


def settings_page() -> str:
    return SETTINGS_HEAD + "".join(map(_setting, Settings.model_fields.items())) + SETTINGS_TAIL


def _setting(named: tuple[str, FieldInfo]) -> str:
    name, field = named
    cells = (f"`STEWARD_{name.upper()}`", _type(field.annotation), _default(field.default), field.description or "")
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |\n"


def _type(annotation: Any) -> str:
    """In the words of whoever sets a variable."""
    inner = [each for each in getattr(annotation, "__args__", ()) if each not in (type(None), Ellipsis)]
    if getattr(annotation, "__origin__", None) is tuple:
        return f"list of {_type(inner[0])}s"
    if inner and all(isinstance(each, str) for each in inner):
        return " or ".join(f"`{each}`" for each in inner)
    if inner:
        return _type(inner[0])
    return {"Path": "path", "str": "text", "float": "number"}.get(annotation.__name__, _secret(annotation))


def _secret(annotation: Any) -> str:
    return "secret" if annotation is SecretStr else annotation.__name__


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    return f"`{value if isinstance(value, str | Path) else json.dumps(value)}`"


def gates_page() -> str:
    return GATES_HEAD + "".join(map(_judge, JUDGES))


def _judge(path: str) -> str:
    said = ast.get_docstring(ast.parse((HOUSE / path).read_text(encoding="utf-8"))) or ""
    first, _, rest = said.partition("\n\n")
    title = path.removesuffix(".py").replace("monitoring/checks/", "monitoring: ").replace("/", ": ")
    gates = _names(path)
    lines = [f"\n## {title}\n", " ".join(first.split()), *([f"\n{rest}"] if rest else [])]
    return "\n".join([*lines, *([f"\nGates: {gates}."] if gates else [])]) + "\n"


def _names(path: str) -> str:
    """Of a module whose docstring names none: the gates its code gives, from its constants."""
    tree = ast.parse((HOUSE / path).read_text(encoding="utf-8"))
    given = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    found = {text for text in given if _GATE.fullmatch(text)}
    return ", ".join(f"`{name}`" for name in sorted(found) if name not in (ast.get_docstring(tree) or ""))
