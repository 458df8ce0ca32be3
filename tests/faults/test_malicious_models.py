"""Model files written to do harm, each under a digest that people approved: none runs, every one is refused.

Every artefact plants the same file if any of its code runs. The files come through the door that a server loads by.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.adapters.test_skops_models import _dict, _function, _text, _tuple, crafted, node, schemas
from tests.unit.serving.conftest import MODEL, make_estimator, make_spec

from steward.adapters.onnx_twin import OnnxTwins
from steward.adapters.skops_models import folder_digest, load_model, save_model
from steward.errors import IntegrityError, NotFoundError
from steward.serving.memory.versions import prepare
from steward.training.twins import TWIN_FILE
from steward.types import VersionRef

pytestmark = pytest.mark.faults

Write = Callable[[Path, Path], None]  # (folder, witness)


class Bomb:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.witness}",)


def skops(folder: Path, content: bytes) -> None:
    (folder / "model.skops").write_bytes(content)


def zipped(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(folder / "model.skops", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def sound(folder: Path) -> zipfile.ZipFile:
    save_model(make_estimator(), folder)
    return zipfile.ZipFile(folder / "model.skops", "a")


def pickled(dump: Callable[[Bomb], bytes], name: str) -> Write:
    """A pickle under this name; where it is not the model file, a sound one lies beside it."""

    def write(folder: Path, witness: Path) -> None:
        if name != "model.skops":
            save_model(make_estimator(), folder)
        (folder / name).write_bytes(dump(Bomb(witness)))

    return write


def joblib_bytes(bomb: Bomb, compress: int = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(bomb, buffer, compress=compress)
    return buffer.getvalue()


def by_schema(kind: str) -> Write:
    return lambda folder, witness: skops(folder, crafted(schemas(f"touch {witness}")[kind]))


def with_transformer(folder: Path, witness: Path) -> None:
    """A stock estimator that would call the function with what a caller sends."""
    inner = _dict(func=_function("os", "system"), kw_args=_dict(command=_text(f"touch {witness}")))
    skops(
        folder,
        crafted(
            node("sklearn.preprocessing._function_transformer", "FunctionTransformer", "ObjectNode", content=inner)
        ),
    )


def with_partial_of_a_trusted_name(folder: Path, witness: Path) -> None:
    partial = {"func": _function("builtins", "exec"), "args": _tuple(_text(f"open({str(witness)!r}, 'w')"))}
    content = {**partial, "kwds": _dict(), "namespace": _dict()}
    skops(folder, crafted(node("functools", "partial", "PartialNode", content=content)))


def with_a_method_of_a_trusted_class(folder: Path, witness: Path) -> None:
    pipeline = node("sklearn.pipeline", "Pipeline", "ObjectNode", content=_dict(steps=_text(f"touch {witness}")))
    content = {"func": "__init_subclass__", "obj": pipeline}
    skops(folder, crafted(node("sklearn.pipeline", "Pipeline", "MethodNode", content=content)))


def with_object_array(folder: Path, witness: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.array([Bomb(witness)], dtype=object), allow_pickle=True)
    schema = node("numpy", "ndarray", "NdArrayNode", type="numpy", file="array.npy")
    skops(folder, crafted(schema, {"array.npy": array.getvalue()}))


def with_a_list_of_its_own(folder: Path, witness: Path) -> None:
    listed = (
        "flavors:\n  sklearn:\n    skops_trusted_types: [posix.system]\n  python_function:\n    loader_module: os\n"
    )
    (folder / "MLmodel").write_text(listed)
    skops(
        folder,
        crafted(
            node("posix", "system", "ReduceNode", reduce={"args": _tuple(_text(f"touch {witness}"))}, content=_dict())
        ),
    )


def zip_slip(folder: Path, witness: Path) -> None:
    with sound(folder) as archive:
        archive.writestr(f"../../../../../..{witness}", b"planted")


def zip_absolute(folder: Path, witness: Path) -> None:
    with sound(folder) as archive:
        archive.writestr(str(witness), b"planted")


def zip_link(folder: Path, witness: Path) -> None:
    with sound(folder) as archive:
        link = zipfile.ZipInfo("../link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(witness))


def zip_bomb(folder: Path, witness: Path) -> None:
    save_model(make_estimator(), folder)
    with zipfile.ZipFile(folder / "model.skops", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(200 * 2**20))


def zip_twice(folder: Path, witness: Path) -> None:
    """Two descriptions: one for whoever checks, one for whoever loads."""
    with sound(folder) as archive:
        archive.writestr("schema.json", json.dumps({**schemas(f"touch {witness}")["function"], "protocol": 2}))


def zip_truncated(folder: Path, witness: Path) -> None:
    save_model(make_estimator(), folder)
    whole = (folder / "model.skops").read_bytes()
    skops(folder, whole[: len(whole) // 2])


def deep(folder: Path, witness: Path) -> None:
    schema = _function("os", "system")
    for _ in range(400):
        schema = _tuple(schema)
    skops(folder, crafted(schema))


def link_file(folder: Path, witness: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    save_model(make_estimator(), elsewhere)
    (folder / "model.skops").symlink_to(elsewhere / "model.skops")


def link_folder(folder: Path, witness: Path) -> None:
    save_model(make_estimator(), folder)
    (folder / "more").symlink_to("/etc")


def tree_astray(folder: Path, witness: Path) -> None:
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=2).fit(*make_classification(100, random_state=0))
    model._predictors[0][0].nodes["left"][0] = 10**6
    import skops.io

    skops.io.dump(model, folder / "model.skops")


FILES: dict[str, Write] = {
    "pickle": pickled(pickle.dumps, "model.pkl"),
    "pickle as model.skops": pickled(pickle.dumps, "model.skops"),
    "pickle in letters as model.skops": pickled(lambda bomb: pickle.dumps(bomb, 0), "model.skops"),
    "pickle as safetensors": pickled(pickle.dumps, "model.safetensors"),
    "pickle as a json": pickled(pickle.dumps, "config.json"),
    "pickle without a name": pickled(pickle.dumps, "weights"),
    "pickle as model.onnx": pickled(pickle.dumps, TWIN_FILE),
    "joblib": pickled(joblib_bytes, "model.joblib"),
    "joblib as model.skops": pickled(joblib_bytes, "model.skops"),
    "joblib in zlib as model.skops": pickled(lambda bomb: joblib_bytes(bomb, 3), "model.skops"),
    "cloudpickle": pickled(pickle.dumps, "python_model.cloudpickle"),
    "torch": pickled(pickle.dumps, "model.pt"),
    "gzip as model.skops": pickled(lambda bomb: gzip.compress(pickle.dumps(bomb)), "model.skops"),
    "bzip2 as model.skops": pickled(lambda bomb: bz2.compress(pickle.dumps(bomb)), "model.skops"),
    "xz as model.skops": pickled(lambda bomb: lzma.compress(pickle.dumps(bomb)), "model.skops"),
    "zip of a pickle": lambda folder, witness: zipped(folder, {"data.pkl": pickle.dumps(Bomb(witness))}),
    "object array": with_object_array,
    "a function to call with what is sent": with_transformer,
    "a method of a trusted class": with_a_method_of_a_trusted_class,
    "partial of exec": with_partial_of_a_trusted_name,
    "a list of its own": with_a_list_of_its_own,
    "zip slip": zip_slip,
    "zip with an absolute name": zip_absolute,
    "zip with a link": zip_link,
    "zip bomb": zip_bomb,
    "zip with two descriptions": zip_twice,
    "zip cut off": zip_truncated,
    "description of great depth": deep,
    "link to a file": link_file,
    "link to a folder": link_folder,
    "tree that points outside": tree_astray,
    **{f"skops: {kind}": by_schema(kind) for kind in schemas("true")},
}


def graph(nodes: list[Any], inputs: dict[str, list[Any]] | None = None, **more: Any) -> onnx.ModelProto:
    """Takes what a twin of the model takes, unless told otherwise."""
    wanted = inputs or {"/numbers": [None, 4], "/texts": [None, 1]}
    kinds = {"/texts": TensorProto.STRING}
    given = [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), shape) for n, shape in wanted.items()]
    scores = helper.make_tensor_value_info("/scores", TensorProto.FLOAT, [None, None])
    made = helper.make_graph(nodes, "twin", given, [scores], more.pop("values", []))
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3), *more.pop("domains", [])]
    return helper.make_model(made, opset_imports=domains, ir_version=10, **more)


def external() -> onnx.ModelProto:
    values = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], np.zeros(8, "float32"))
    values.ClearField("float_data")
    values.data_location = TensorProto.EXTERNAL
    entry = values.external_data.add()
    entry.key, entry.value = "location", "../../../../../../etc/passwd"
    return graph([helper.make_node("MatMul", ["/numbers", "w"], ["/scores"])], values=[values])


def huge() -> onnx.ModelProto:
    """Sixteen terabytes, it says, and holds none of them."""
    values = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 10**12])
    return graph([helper.make_node("MatMul", ["/numbers", "w"], ["/scores"])], values=[values])


def made_up() -> onnx.ModelProto:
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [10**12])
    return graph([helper.make_node("ConstantOfShape", ["s"], ["/scores"])], values=[shape])


def endless() -> onnx.ModelProto:
    flag = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), flag],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )
    go = helper.make_tensor("go", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("Loop", ["", "go"], [], body=body),
        helper.make_node("Identity", ["/numbers"], ["/scores"]),
    ]
    return graph(nodes, values=[go])


def foreign() -> onnx.ModelProto:
    """What a library of operators would run."""
    node_ = helper.make_node("PyOp", ["/numbers"], ["/scores"], domain="ai.onnx.contrib", code="import os")
    return graph([node_], domains=[helper.make_opsetid("ai.onnx.contrib", 1)])


def undeclared() -> onnx.ModelProto:
    return graph([helper.make_node("PyOp", ["/numbers"], ["/scores"], domain="com.microsoft")])


def own_function() -> onnx.ModelProto:
    function = helper.make_function(
        "own", "F", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 21)]
    )
    node_ = helper.make_node("F", ["/numbers"], ["/scores"], domain="own")
    return graph([node_], functions=[function], domains=[helper.make_opsetid("own", 1)])


def constant_elsewhere() -> onnx.ModelProto:
    """The same trick inside an attribute."""
    model = external()
    values = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=values))
    return model


def trees(**wrong: list[int]) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        right: dict[str, Any] = {
            "nodes_treeids": [0, 0, 0],
            "nodes_nodeids": [0, 1, 2],
            "nodes_featureids": [0, 0, 0],
            "nodes_values": [0.5, 0.0, 0.0],
            "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
            "nodes_truenodeids": [1, 0, 0],
            "nodes_falsenodeids": [2, 0, 0],
            "target_treeids": [0, 0],
            "target_nodeids": [1, 2],
            "target_ids": [0, 0],
            "target_weights": [0.0, 1.0],
            "n_targets": 1,
        }
        node_ = helper.make_node(
            "TreeEnsembleRegressor", ["/numbers"], ["/scores"], domain="ai.onnx.ml", **{**right, **wrong}
        )
        return graph([node_])

    return make


def other_inputs() -> onnx.ModelProto:
    return graph([helper.make_node("Identity", ["/numbers"], ["/scores"])], {"/numbers": [None, 9]})


TWINS: dict[str, Callable[[], onnx.ModelProto]] = {
    "values in another file": external,
    "a constant in another file": constant_elsewhere,
    "values that are not there": huge,
    "values made up in memory": made_up,
    "a loop without end": endless,
    "operators of a library": foreign,
    "operators that nobody declared": undeclared,
    "functions of its own": own_function,
    "a tree that points outside": trees(nodes_truenodeids=[10**6, 0, 0]),
    "a tree that goes round": trees(nodes_truenodeids=[0, 0, 0]),
    "a tree that points below nothing": trees(nodes_falsenodeids=[-5, 0, 0]),
    "weights of leaves that are not there": trees(target_nodeids=[1, 10**6]),
    "weights of targets that are not there": trees(target_ids=[0, 10**6]),
    "features before the first": trees(nodes_featureids=[-1, 0, 0]),
    "inputs of another model": other_inputs,
}
REASONS = {
    "values in another file": "values of w in another file",
    "a constant in another file": "values of w in another file",
    "values that are not there": "w: TensorProto",
    "values made up in memory": "the operator ai.onnx.ConstantOfShape",
    "a loop without end": "the operator ai.onnx.Loop",
    "operators of a library": "operators of ai.onnx.contrib",
    "operators that nobody declared": "the operator com.microsoft.PyOp",
    "functions of its own": "operators of own",
    "inputs of another model": "the features give",
}
BROKEN = {
    "twin cut off": lambda whole: whole[: len(whole) // 2],
    "twin of nothing": lambda whole: b"",
    "twin of noise": lambda whole: bytes(range(256)) * 50,
}


def load(folder: Path) -> None:
    prepare(VersionRef(MODEL, 1), folder_digest(folder), folder, make_spec(), [])


@pytest.mark.parametrize("kind", FILES)
def test_a_model_file_that_means_harm_is_refused_and_does_nothing(tmp_path: Path, kind: str) -> None:
    folder, witness = tmp_path / "artefact", tmp_path / "witness"
    folder.mkdir()
    FILES[kind](folder, witness)
    with pytest.raises(IntegrityError):
        load(folder)
    assert not witness.exists()


def with_twin(folder: Path, content: bytes) -> None:
    save_model(make_estimator(), folder)
    (folder / TWIN_FILE).write_bytes(content)


@pytest.mark.parametrize("kind", TWINS)
def test_a_twin_that_means_harm_is_refused_for_what_it_is(tmp_path: Path, kind: str) -> None:
    with_twin(tmp_path, TWINS[kind]().SerializeToString())
    with pytest.raises(IntegrityError, match=re.escape(REASONS.get(kind, "a decision tree points outside itself"))):
        load(tmp_path)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_twin_is_refused(tmp_path: Path, kind: str) -> None:
    features = {name: feature.type for name, feature in make_spec().data.features.items()}
    with_twin(tmp_path, BROKEN[kind](OnnxTwins().make(make_estimator(), features)))
    with pytest.raises(IntegrityError):
        load(tmp_path)


def test_what_was_changed_after_approval_is_refused(tmp_path: Path) -> None:
    digest = save_model(make_estimator(), tmp_path)
    save_model(make_estimator(flip=True), tmp_path)
    with pytest.raises(IntegrityError, match="as approved"):
        load_model(tmp_path, digest)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises((IntegrityError, NotFoundError)):
        load(tmp_path)


def test_the_bomb_is_live_and_the_sound_forms_load(tmp_path: Path) -> None:
    """What shows that the tests above could fail."""
    witness, folder = tmp_path / "witness", tmp_path / "sound"
    pickle.loads(pickle.dumps(Bomb(witness)))
    assert witness.exists()
    features = {name: feature.type for name, feature in make_spec().data.features.items()}
    with_twin(folder, OnnxTwins().make(make_estimator(), features))
    load(folder)
    assert len(FILES) + len(TWINS) + len(BROKEN) >= 20
