"""Specs are read strictly, all faults at once, and one broken spec leaves the others standing."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steward.errors import NotFoundError, SpecError
from steward.spec import CODE_FILE, SPEC_FILE, FaultsError, ModelSpec, SpecFolder, load_model, load_spec, parse_spec
from steward.spec.documents import MAX_BYTES
from steward.spec.fields import Contradiction

ROOT = Path(__file__).parents[3]
FLIGHTS = ROOT / "include" / "models" / "flight_delays" / SPEC_FILE
SOUND = ROOT / "tests" / "golden" / "specs" / "sound.yaml"
TEXT = SOUND.read_text()
TREE = yaml.safe_load(TEXT)
CODE = "def load(start, end): ...\ndef build(params): ...\ndef examples(): ...\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two sound models, `flights` and `trains`."""
    for name in ("flights", "trains"):
        put_model(tmp_path, name)
    return tmp_path


def put_model(root: Path, name: str, text: str = TEXT, code: str = CODE) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / SPEC_FILE).write_text(text.replace("model: flight_delays", f"model: {name}"))
    (folder / CODE_FILE).write_text(code)
    return folder


def faults_of(text: str) -> list[str]:
    with pytest.raises(FaultsError) as caught:
        parse_spec(text.encode(), "model.yaml")
    return [str(fault) for fault in caught.value.faults]


def test_the_shipped_spec_is_sound() -> None:
    spec = load_spec(FLIGHTS)
    assert spec.model == "flight_delays"
    assert spec.data.label.column == "late"


def test_two_files_that_mean_the_same_have_one_digest() -> None:
    rewritten = yaml.safe_dump(yaml.safe_load(TEXT), sort_keys=True)
    assert rewritten != TEXT
    assert parse_spec(rewritten.encode(), "other.yaml").digest == load_spec(SOUND).digest
    changed = TEXT.replace("seed: 7", "seed: 8")
    assert parse_spec(changed.encode(), "other.yaml").digest != load_spec(SOUND).digest


def test_a_misspelt_key_is_judged_under_the_name_that_was_meant() -> None:
    faults = faults_of(TEXT.replace("  steps: [5, 25, 50, 100]", "  stepz: [25, 5, 100]"))
    assert faults == [
        "model.yaml:53:3: deployment.stepz: unknown key; did you mean `steps`?",
        "model.yaml:53:10: deployment.steps: steps must rise and end at 100",
    ]


def test_a_misspelt_key_beside_the_right_one_is_only_unknown() -> None:
    faults = faults_of(TEXT.replace("  seed: 7\n", "  seed: 7\n  seeds: text\n"))
    assert faults == ["model.yaml:42:3: training.seeds: unknown key; did you mean `seed`?"]


def test_rules_between_sections_run_although_another_section_is_broken() -> None:
    text = TEXT.replace("holdout: {days: 14}", "holdout: {days: 90}").replace("cooldown: 7d", "cooldown: 7")
    assert [fault.split(": ")[1] for fault in faults_of(text)] == ["evaluation.holdout.days", "retraining.cooldown"]


def test_faults_cross_process_borders() -> None:
    with pytest.raises(FaultsError) as caught:
        parse_spec(b"", "model.yaml")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.faults == caught.value.faults
    assert str(copy) == str(caught.value)
    assert copy.exit_code == 2


def test_a_file_beyond_the_limit_is_not_parsed() -> None:
    assert faults_of("#" * (MAX_BYTES + 1)) == ["model.yaml:1:1: the file is larger than 256 kB"]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load_spec(tmp_path / SPEC_FILE)


def test_one_broken_spec_leaves_the_others(models: Path) -> None:
    put_model(models, "flights", TEXT.replace("seed: 7", "seed: seven"))
    specs, errors = SpecFolder(models).all()
    assert list(specs) == ["trains"]
    assert list(errors) == ["flights"]
    assert "training.seed" in str(errors["flights"])


def test_a_mended_spec_is_read_again(models: Path) -> None:
    folder = SpecFolder(models)
    assert folder.get("flights").training.seed == 7
    assert folder.get("flights") is folder.get("flights")
    put_model(models, "flights", TEXT.replace("seed: 7", "seed: 1234"))
    assert folder.get("flights").training.seed == 1234


@pytest.mark.parametrize("name", ["fligths", "../flights", "flights/../trains", "", "Flights", "flights\n"])
def test_an_unknown_model_is_not_found(models: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="no model") as caught:
        SpecFolder(models).get(name)
    if name == "fligths":
        assert "did you mean `flights`?" in str(caught.value)


def test_the_id_is_the_folders_name(models: Path) -> None:
    (models / "flights").rename(models / "ships")
    with pytest.raises(FaultsError, match="the model is called flights but its folder ships"):
        SpecFolder(models).get("ships")


def test_a_folder_that_is_no_id_is_told_of(models: Path) -> None:
    (models / "trains").rename(models / "Trains-2")
    folder = SpecFolder(models)
    assert folder.ids() == ["flights"]
    assert "no model id" in folder.misnamed()[0].problem


def test_a_function_the_code_does_not_define(models: Path) -> None:
    put_model(models, "flights", code=CODE.replace("def examples", "def example"))
    with pytest.raises(FaultsError) as caught:
        SpecFolder(models).get("flights")
    (fault,) = caught.value.faults
    assert (fault.path, fault.nearest) == ("deployment.smoke", "model:example")


def test_imported_and_assigned_functions_count(models: Path) -> None:
    code = "from somewhere import load\nbuild = examples = make()\n"
    put_model(models, "flights", code=code)
    assert SpecFolder(models).get("flights").model == "flights"


def test_code_is_read_and_never_run(models: Path) -> None:
    put_model(models, "flights", code=CODE + "raise SystemExit('run')\n")
    assert SpecFolder(models).get("flights").model == "flights"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (CODE + "def broken(:\n", "model.py:4:12: this is not Python: invalid syntax"),
        ("x = '\0'", "model.py:1:1: this is not Python: source code string cannot contain null bytes"),
        ("#" * (MAX_BYTES + 1), "model.py:1:1: the file is larger than 256 kB"),
        ("x = " + "(" * 3000, "this is not Python"),
    ],
)
def test_code_that_is_not_python(models: Path, code: str, told: str) -> None:
    put_model(models, "flights", code=code)
    with pytest.raises(FaultsError) as caught:
        SpecFolder(models).get("flights")
    assert told in str(caught.value)


def test_missing_code_is_a_fault(models: Path) -> None:
    (models / "flights" / CODE_FILE).unlink()
    with pytest.raises(FaultsError, match="the file with the model's functions cannot be read"):
        load_model(models / "flights")


def test_rules_of_the_rooms_are_placed_in_the_file(models: Path) -> None:
    rule = lambda spec: [Contradiction(("evaluation", "slices", 1), f"{spec.model} has no such slice")]  # noqa: E731
    with pytest.raises(FaultsError) as caught:
        SpecFolder(models, [rule]).get("flights")
    assert str(caught.value).endswith(":49:20: evaluation.slices[1]: flights has no such slice")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("1d"), st.just("model:x")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def read(content: bytes) -> ModelSpec | FaultsError:
    """Anything else that is raised fails the test."""
    try:
        return parse_spec(content, "model.yaml")
    except FaultsError as error:
        return error


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """The shipped spec with one to three values replaced, removed or added, anywhere."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        node: Any = tree
        while isinstance(node, (dict, list)) and node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw(st.sampled_from(keys))
            if not isinstance(node[key], (dict, list)) or draw(st.booleans()):
                _mutate(draw, node, key)
                break
            node = node[key]
    return tree


def _mutate(draw: st.DrawFn, node: Any, key: Any) -> None:
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            node[key] = draw(VALUES)
        case "remove":
            del node[key]
        case "add" if isinstance(node, dict):
            node[draw(st.text(max_size=12))] = draw(VALUES)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_a_mutated_spec_is_accepted_or_refused_with_faults(tree: Any) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode()
    result = read(content)
    if isinstance(result, ModelSpec):
        written = yaml.safe_dump(result.model_dump(mode="json")).encode()
        assert parse_spec(written, "again").digest == result.digest
    else:
        assert result.faults
        assert all(fault.problem and fault.line >= 1 for fault in result.faults)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mangled_text_is_accepted_or_refused_with_faults(data: st.DataObject) -> None:
    """Bytes of the file cut, repeated or replaced: nothing but a FaultsError may come of it."""
    content = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 30))
        content[at : at + length] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b": ", b"\n- ", b"\t", b"{", b"&a ", b"*a"])
        )
    assert isinstance(read(bytes(content)), (ModelSpec, FaultsError))
