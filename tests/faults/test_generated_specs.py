"""Ten thousand broken specs: each is read, or refused with the place of every fault; no name leads out."""

from __future__ import annotations

import copy
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.specs import SOUND

from steward.plan import compile_plan
from steward.spec import Fault, FaultsError, ModelSpec, parse_spec
from steward.types import ID_PATTERN

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

GENERATED = 10_000
MARKER = Path("/tmp/steward-planted-by-a-spec")
SECRET = "hunter2-must-never-be-shown"
NASTY: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\u202e", "é" * 300, "x" * 10_000),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "model:../../x",
        "model:__import__",
        "os:system",
        "model:load;ls",
    ),
    *("{{ var.value.password }}", "{% for x in [] %}", "${STEWARD_LEDGER_KEY}", f"$(touch {MARKER})"),
    *("'; DROP TABLE events;--", "!!python/object/apply:os.system", "<script>alert(1)</script>", "[](javascript:x)"),
    *([], {}, [[[[[]]]]], {"": {"": {}}}, ["a"] * 500, {"max": "many"}, {"min": 5, "max": 1}),
    *("1d", "-1d", "99999999999w", "* * * * *", "@never", "0 3 * *"),
)
KEYS = ("extra", "../x", "max", SECRET, "password")
TEXTS: tuple[bytes, ...] = (
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\t", b"\r", b"{", b"]", b": :", b"? ", b"|"),
    *(b"&a [*a]", b"&a [" + b"*a," * 50 + b"]", b"<<: *x", b"!!python/name:os.system ", b"!!binary xyz"),
    *(b"---\n", b"...\n", b"%YAML 9.9\n"),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def changed(spec: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One to three values replaced, taken out, or joined by a stranger."""
    made = copy.deepcopy(spec)
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(places(made)[1:] or [()])
        holder: Any = made
        for key in path[:-1]:
            holder = holder[key]
        if not path:
            break
        match chance.randrange(4):
            case 0 if isinstance(holder, dict):
                del holder[path[-1]]
            case 1 if isinstance(holder, dict):
                holder[chance.choice(KEYS)] = copy.deepcopy(chance.choice(NASTY))
            case _:
                holder[path[-1]] = copy.deepcopy(chance.choice(NASTY))
    return made


def torn(content: bytes, chance: random.Random) -> bytes:
    """Bytes put in, taken out or doubled anywhere."""
    at, end = sorted(chance.randrange(len(content)) for _ in range(2))
    match chance.randrange(3):
        case 0:
            return content[:at] + chance.choice(TEXTS) + content[at:]
        case 1:
            return content[:at] + content[end:]
        case _:
            return content[:end] + content[at:]


def generated(chance: random.Random) -> bytes:
    content = yaml.safe_dump(changed(SOUND, chance), allow_unicode=True).encode()
    return torn(content, chance) if chance.random() < 0.3 else content


def test_every_generated_spec_is_read_or_refused_with_its_faults(tmp_path: Path) -> None:
    chance, read, refused = random.Random(20131), 0, 0
    assert not MARKER.exists()
    for _ in range(GENERATED):
        spec, faults = outcome(generated(chance))
        if spec is None:
            refused += 1
            assert faults
            assert all(fault.line >= 1 and fault.column >= 1 and fault.problem for fault in faults)
            assert sum(len(str(fault)) for fault in faults) < 100_000
        else:
            read += 1
            stands(spec, tmp_path)
    assert not MARKER.exists()
    assert read + refused == GENERATED
    assert read > GENERATED / 50, "some changes are harmless: all refused means that nothing is read any more"
    assert refused > GENERATED / 2


def outcome(content: bytes) -> tuple[ModelSpec | None, tuple[Fault, ...]]:
    try:
        return parse_spec(content, "model.yaml"), ()
    except FaultsError as error:
        return None, error.faults


def stands(spec: ModelSpec, folder: Path) -> None:
    """What was read compiles to plain data, and no name in it leads out of the folder of models."""
    assert re.fullmatch(ID_PATTERN, spec.model)
    assert (folder / spec.model).resolve().parent == folder.resolve()
    functions = (spec.data.source, spec.training.build, spec.deployment.smoke or "model:x")
    assert all(re.fullmatch(r"model:[A-Za-z_][A-Za-z0-9_]*", name) for name in functions)
    plan = compile_plan(spec)
    json.dumps(plan.to_json(), allow_nan=False)
    assert all(re.fullmatch(r"[a-z0-9_.]+", step.id) for dag in plan.dags for step in dag.steps)


def test_a_value_that_looks_like_a_secret_is_not_repeated_under_a_secret_key() -> None:
    """A key of a password put into a spec by mistake is refused; what it says is not copied into logs."""
    content = yaml.safe_dump({**SOUND, "password": SECRET}).encode()
    with pytest.raises(FaultsError) as caught:
        parse_spec(content, "model.yaml")
    assert "password" in str(caught.value)
    assert SECRET not in str(caught.value)
