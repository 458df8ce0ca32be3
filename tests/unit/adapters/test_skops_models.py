"""Loading models: stock estimators do, crafted artefacts never run."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators
from skops.io._protocol import PROTOCOL

from steward.adapters.skops_models import TRUSTED_TYPES, folder_digest, load_model, save_model
from steward.errors import IntegrityError, ModelCodeError, NotFoundError

X, Y = make_classification(120, 6, random_state=0)


def fitted(estimator: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return estimator.fit(X, Y)
        except ValueError:  # those that want no negative values
            return estimator.fit(np.abs(X), Y)


def stock_estimators() -> dict[str, Any]:
    """Every estimator that is built and fitted with its defaults."""
    found = {}
    for name, kind in all_estimators():
        try:
            found[name] = fitted(kind())
            answers(found[name])
        except (TypeError, ValueError, AttributeError, ArithmeticError):  # wants other data, or more parameters
            found.pop(name, None)
    return found


def answers(estimator: Any) -> Any:
    method = next((m for m in ("predict_proba", "predict", "transform") if hasattr(estimator, m)), None)
    return None if method is None else getattr(estimator, method)(np.abs(X))


def test_every_stock_estimator_loads_and_answers_the_same(tmp_path: Path) -> None:
    estimators = stock_estimators()
    assert len(estimators) > 130
    refused = {}
    for name, estimator in estimators.items():
        try:
            loaded = load_model(tmp_path / name, save_model(estimator, tmp_path / name))
        except ModelCodeError as error:
            refused[name] = str(error)
            continue
        first, second = answers(estimator), answers(loaded)
        first, second = (a.toarray() if hasattr(a, "toarray") else a for a in (first, second))
        np.testing.assert_array_equal(first, second, err_msg=name)
    assert set(refused) <= {"Birch"}, refused  # a linked tree that skops itself cannot write


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(SimpleImputer(add_indicator=True), HistGradientBoostingClassifier(categorical_features=[0])),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3),
        make_pipeline(
            ColumnTransformer([("numbers", "passthrough", make_column_selector(dtype_include=float))]),
            LogisticRegression(),
        ),
    ],
)
def test_common_compositions_load(tmp_path: Path, estimator: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame(np.abs(X).round(), columns=list("abcdef"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(frame, Y)
    loaded = load_model(tmp_path / "m", save_model(estimator, tmp_path / "m"))
    np.testing.assert_array_equal(loaded.predict_proba(frame), estimator.predict_proba(frame))


def test_a_function_of_ones_own_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(os.path.basename), LogisticRegression())
    with pytest.raises(ModelCodeError, match=r"posixpath\.basename"):
        save_model(model, tmp_path / "m")


# --- crafted artefacts ---------------------------------------------------------------------------


class Bomb:
    """Touches the witness when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.witness}",))


_ids = itertools.count(1)


def node(module: str, name: str, loader: str, **content: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": next(_ids), **content}


def crafted(schema: dict[str, Any], files: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        described = {**schema, "protocol": PROTOCOL}
        archive.writestr("schema.json", json.dumps({**described, "_skops_version": skops.__version__}))
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _text(value: str) -> dict[str, Any]:
    return node("builtins", "str", "JsonNode", content=json.dumps(value), is_json=True)


def _tuple(*content: dict[str, Any]) -> dict[str, Any]:
    return node("builtins", "tuple", "TupleNode", content=list(content))


def _function(module: str, name: str) -> dict[str, Any]:
    return node(module, name, "FunctionNode", content={"module_path": module, "function": name})


def _dict(**content: dict[str, Any]) -> dict[str, Any]:
    key_types = node("builtins", "list", "ListNode", content=[node("builtins", "str", "TypeNode")] * len(content))
    return node("builtins", "dict", "DictNode", content=content, key_types=key_types)


def schemas(command: str) -> dict[str, dict[str, Any]]:
    """Ways to make a loader call something, one per kind of node skops knows."""
    call = _tuple(_text(command))
    popen = node("subprocess", "Popen", "ObjectNode", content=_dict(args=_text(command)))
    return {
        "function": _function("os", "system"),
        "eval": _function("builtins", "eval"),
        "exec": _function("builtins", "exec"),
        "import": _function("builtins", "__import__"),
        "object": popen,
        "object without state": node("subprocess", "Popen", "ObjectNode", content=None),
        "type": node("subprocess", "Popen", "TypeNode"),
        "reduce": node("os", "system", "ReduceNode", reduce={"args": call}, content=_dict()),
        "constructor": node("os", "system", "_DictWithDeprecatedKeysNode", content=call),
        "partial": node(
            "functools",
            "partial",
            "PartialNode",
            content={
                "func": _function("os", "system"),
                "args": call,
                "kwds": _dict(),
                "namespace": _dict(),
            },
        ),
        "method": node("builtins", "method", "MethodNode", content={"func": "communicate", "obj": popen}),
        "method of a type": node(
            "builtins",
            "method",
            "MethodNode",
            content={"func": "system", "obj": node("os", "system", "TypeNode")},
        ),
        "operator": node("operator", "methodcaller", "OperatorFuncNode", attrs=call),
        "attrgetter in disguise": node("builtins", "call", "OperatorFuncNode", attrs=call),
        "object array": node("numpy", "ndarray", "NdArrayNode", type="json", shape=_tuple(), content=[popen]),
        "random state": node("os", "system", "RandomStateNode", content=_dict()),
        "hidden in a pipeline": node("sklearn.pipeline", "Pipeline", "ObjectNode", content=_dict(steps=_tuple(popen))),
        "hidden in a key": _dict(harmless=_text("x"), worse=_function("shutil", "rmtree")),
        "unknown node": node("os", "system", "NoSuchNode", content=call),
        "no node": {"__class__": "system", "__module__": "os"},
    }


@pytest.mark.parametrize("kind", schemas("true"))
def test_a_crafted_skops_file_never_runs(tmp_path: Path, kind: str) -> None:
    witness, folder = tmp_path / "witness", tmp_path / "artefact"
    folder.mkdir()
    (folder / "model.skops").write_bytes(crafted(schemas(f"touch {witness}")[kind]))
    with pytest.raises(IntegrityError):
        load_model(folder, folder_digest(folder))
    assert not witness.exists()


def _whitelisting(folder: Path, bomb: Bomb) -> None:
    """What MLflow would believe: the artefact brings its own list of trusted types."""
    folder.joinpath("MLmodel").write_text("flavors:\n  sklearn:\n    skops_trusted_types: [posix.system]\n")
    folder.joinpath("model.skops").write_bytes(crafted(_function("os", "system")))


def _pickled_array(folder: Path, bomb: Bomb) -> None:
    array = io.BytesIO()
    np.save(array, np.array([bomb], dtype=object), allow_pickle=True)
    schema = node("numpy", "ndarray", "NdArrayNode", type="numpy", file="1.npy")
    folder.joinpath("model.skops").write_bytes(crafted(schema, {"1.npy": array.getvalue()}))


def _beside_a_sound_model(folder: Path, bomb: Bomb) -> None:
    save_model(fitted(LogisticRegression()), folder)
    folder.joinpath("preprocessor.bin").write_bytes(pickle.dumps(bomb))


ARTEFACTS: dict[str, Callable[[Path, Bomb], Any]] = {
    "pickle": lambda folder, bomb: folder.joinpath("model.pkl").write_bytes(pickle.dumps(bomb)),
    "pickle called skops": lambda folder, bomb: folder.joinpath("model.skops").write_bytes(pickle.dumps(bomb)),
    "old pickle called skops": lambda folder, bomb: folder.joinpath("model.skops").write_bytes(pickle.dumps(bomb, 0)),
    "joblib": lambda folder, bomb: joblib.dump(bomb, folder / "model.joblib"),
    "joblib called skops": lambda folder, bomb: joblib.dump(bomb, folder / "model.skops"),
    "list of its own": _whitelisting,
    "pickled array": _pickled_array,
    "pickle beside a sound model": _beside_a_sound_model,
    "empty file": lambda folder, bomb: folder.joinpath("model.skops").write_bytes(b""),
    "link to elsewhere": lambda folder, bomb: folder.joinpath("model.skops").symlink_to("/etc/hostname"),
}


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_a_crafted_artefact_never_runs(tmp_path: Path, kind: str) -> None:
    witness, folder = tmp_path / "witness", tmp_path / "artefact"
    folder.mkdir()
    ARTEFACTS[kind](folder, Bomb(witness))
    with pytest.raises(IntegrityError):
        load_model(folder, folder_digest(folder))
    assert not witness.exists()


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(2, random_state=0), GradientBoostingClassifier(n_estimators=2)],
    ids=["forest", "boosting"],
)
@pytest.mark.parametrize("child", [10**6, 0], ids=["outside", "round and round"])
def test_a_tree_that_points_astray_is_refused(tmp_path: Path, estimator: Any, child: int) -> None:
    """scikit-learn follows node indices unchecked: reading foreign memory, or never ending."""
    model = fitted(estimator)
    tree = np.ravel(model.estimators_)[0].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = child
    tree.__setstate__(state)
    (tmp_path / "m").mkdir()
    skops.io.dump(model, tmp_path / "m" / "model.skops")
    with pytest.raises(IntegrityError, match="points outside itself"):
        load_model(tmp_path / "m", folder_digest(tmp_path / "m"))


def test_a_boosted_tree_that_points_astray_is_refused(tmp_path: Path) -> None:
    model = fitted(HistGradientBoostingClassifier(max_iter=2))
    model._predictors[0][0].nodes["right"][0] = 10**6
    (tmp_path / "m").mkdir()
    skops.io.dump(model, tmp_path / "m" / "model.skops")
    with pytest.raises(IntegrityError, match="points outside itself"):
        load_model(tmp_path / "m", folder_digest(tmp_path / "m"))


def test_the_digest_comes_first(tmp_path: Path) -> None:
    digest = save_model(fitted(LogisticRegression()), tmp_path / "m")
    (tmp_path / "m" / "note.txt").write_text("added later")
    with pytest.raises(IntegrityError, match="as approved"):
        load_model(tmp_path / "m", digest)


def test_the_digest_tells_names_from_bytes(tmp_path: Path) -> None:
    for folder, name, content in (("a", "ab", "c"), ("b", "a", "bc")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(content)
    assert folder_digest(tmp_path / "a") != folder_digest(tmp_path / "b")


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model\.skops"):
        load_model(tmp_path, folder_digest(tmp_path))
    with pytest.raises(NotFoundError, match="no such artefact folder"):
        folder_digest(tmp_path / "nowhere")


def test_no_loader_of_code_is_trusted() -> None:
    assert not [name for name in TRUSTED_TYPES if name.split(".")[0] not in {"sklearn", "numpy", "scipy", "functools"}]
