"""ONNX files: what one may hold before a runtime sees it, and the session that answers.

An ONNX file carries no Python, but a runtime trusts what it reads: other files, foreign operators, sizes and indices of
tree nodes. All of it is checked here first, and the operators are a list, as the types of scikit-learn files are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steward.errors import IntegrityError
from steward.spec.model import FeatureType
from steward.training.twins import TWIN_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# A slash keeps them apart from the names of columns.
NUMBERS, TEXTS, SCORES = "/numbers", "/texts", "/scores"
# Stands for a missing text: of Unicode's private use, so that no sender means it.
MISSING_TEXT = "\ue000"
MAX_BYTES = 512 * 2**20
_LARGEST = (2 - 2**-23) * 2.0**127  # of single precision
_TOO_LARGE = "a number is too large for single precision"
_TEXT_TYPES = frozenset({FeatureType.CATEGORY, FeatureType.TEXT})

# None of these makes more out of little (Expand, Tile, ConstantOfShape), repeats (Loop, Scan), draws, or reads a file.
_PLAIN = """
    Abs Add And ArgMax ArgMin Cast Clip Concat Constant Div Equal Erf Exp Flatten Floor Gather GatherElements Gemm
    Greater GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul Max Min Mod Mul Neg Not Or Pow Reciprocal
    ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
    Round Shape Sigmoid Sign Slice Softmax Split Sqrt Squeeze Sub Sum Tanh TopK Transpose Unsqueeze Where
"""
_LEARNED = """
    ArrayFeatureExtractor Binarizer CastMap FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor
    Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier TreeEnsembleRegressor
"""
OPERATORS: Mapping[str, frozenset[str]] = {
    "": frozenset(_PLAIN.split()),
    "ai.onnx": frozenset(_PLAIN.split()),
    "ai.onnx.ml": frozenset(_LEARNED.split()),
}
_QUARANTINE = "do not serve it; find out who wrote it to the artefact store"


def packed(features: Mapping[str, FeatureType], names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which features go into the two inputs, each in order: (numbers and truths, texts). Few inputs cost little."""
    order = tuple(names)
    texts = tuple(name for name in order if features[name] in _TEXT_TYPES)
    return tuple(name for name in order if name not in texts), texts


class OnnxModel:
    """A checked file in a session of its own. `answers` may be called from any thread.

    Raises IntegrityError for a file that no server loads, or that asks for other inputs than the features give.
    """

    def __init__(self, content: bytes, features: Mapping[str, FeatureType], names: Iterable[str], where: str) -> None:
        self.numbers, self.texts = packed(features, names)
        self.memory_bytes = 2 * len(content)  # the values as read, and as the runtime lays them out
        check_onnx(content, where)
        self._session = _session(content, where)
        self._check_inputs(where)
        # What does not change between calls, looked up once.
        self._run, self._wanted = self._session.run, [SCORES]

    def answers(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        """Shares per class, of shape (rows, classes), or values, of shape (rows,).

        Raises KeyError for an absent column, OverflowError for a number that single precision cannot hold.
        """
        import numpy as np

        found = self._run(self._wanted, self._feeds(columns))[0].astype(np.float64)
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    def _feeds(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        numbers, texts = [columns[name] for name in self.numbers], [columns[name] for name in self.texts]
        given = _row if len((numbers or texts)[0]) == 1 else _rows
        return given(numbers, texts)

    def _check_inputs(self, where: str) -> None:
        wanted = {name: len(given) for name, given in ((NUMBERS, self.numbers), (TEXTS, self.texts)) if given}
        found = {each.name: each.shape[-1] for each in self._session.get_inputs()}
        if found != wanted or [each.name for each in self._session.get_outputs()] != [SCORES]:
            said = f"the ONNX twin takes {found}, the features give {wanted}"
            raise IntegrityError(said, where=where, hint=_QUARANTINE)


def _row(numbers: list[Sequence[Any]], texts: list[Sequence[Any]]) -> dict[str, Any]:
    """What most requests are. For so few values, asking each of them costs less than asking an array."""
    import numpy as np

    feeds: dict[str, Any] = {}
    if numbers:
        values = [value for (value,) in numbers]
        for value in values:
            if value is not None and abs(value) > _LARGEST:
                raise OverflowError(_TOO_LARGE)
        feeds[NUMBERS] = np.array([values], dtype=np.float32)
    if texts:
        written = [text for (text,) in texts]
        if None in written:
            written = [MISSING_TEXT if text is None else text for text in written]
        feeds[TEXTS] = np.array([written], dtype=object)
    return feeds


def _rows(numbers: list[Sequence[Any]], texts: list[Sequence[Any]]) -> dict[str, Any]:
    import numpy as np

    feeds: dict[str, Any] = {}
    if numbers:
        with np.errstate(over="ignore"):
            array = np.array(numbers, dtype=np.float32)
        if np.isinf(array).any():
            raise OverflowError(_TOO_LARGE)
        feeds[NUMBERS] = array.T
    if texts:
        written = [[MISSING_TEXT if text is None else text for text in column] for column in texts]
        feeds[TEXTS] = np.array(written, dtype=object).T
    return feeds


def read_twin(folder: Any, features: Mapping[str, FeatureType], names: Iterable[str]) -> OnnxModel | None:
    """The twin in an artefact folder; None where it has none, IntegrityError where it cannot be trusted.

    Whoever calls has compared the folder's digest.
    """
    path = folder / TWIN_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise IntegrityError(f"the ONNX twin is larger than {MAX_BYTES} bytes", where=str(path), hint=_QUARANTINE)
    return OnnxModel(path.read_bytes(), features, names, str(path))


def _session(content: bytes, where: str) -> Any:
    """One thread, the caller's: more would fight over the cores that answer other requests."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever the runtime objects to
        raise IntegrityError(f"the ONNX twin cannot be opened: {error}", where=where, hint=_QUARANTINE) from error


def check_onnx(content: bytes, where: str) -> None:
    """Raises IntegrityError naming the first thing about the file that a server does not load."""
    if fault := next(_faults(content), None):
        raise IntegrityError(f"not an ONNX file that a server loads: {fault}", where=where, hint=_QUARANTINE)


def _faults(content: bytes) -> Iterator[str]:
    import onnx

    if len(content) > MAX_BYTES:
        yield f"it is larger than {MAX_BYTES} bytes"
        return
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # noqa: BLE001  # a crafted file fails in many ways
        yield f"it cannot be read: {error}"
        return
    yield from _outside(model)
    yield from _operators(model)
    yield from _tensors(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001  # whatever it cannot check is refused
        yield str(error)
    yield from _trees(model)
    yield from _inputs(model)


def _outside(model: Any) -> Iterator[str]:
    if strange := [each.domain for each in model.opset_import if each.domain not in OPERATORS]:
        yield f"operators of {', '.join(strange)}"
    if len(model.functions) or len(model.training_info):
        yield "functions or training steps of its own"
    if len(model.graph.sparse_initializer):
        yield "sparse values"


def _operators(model: Any) -> Iterator[str]:
    for node in model.graph.node:
        if node.op_type not in OPERATORS.get(node.domain, ()):
            yield f"the operator {node.domain or 'ai.onnx'}.{node.op_type}"
        if any(each.HasField("g") or len(each.graphs) for each in node.attribute):
            yield f"a graph inside {node.op_type}"


def _tensors(model: Any) -> Iterator[str]:
    """Values lie in the file itself, all of them: a declared size that they do not fill would be made up in memory."""
    import onnx

    for tensor in _all_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            yield f"values of {tensor.name or 'a constant'} in another file"
            return
        try:
            onnx.checker.check_tensor(tensor)
        except Exception as error:  # noqa: BLE001  # whatever it cannot check is refused
            yield f"{tensor.name or 'a constant'}: {error}"
            return


def _all_tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor") or len(attribute.sparse_tensors):
                yield attribute.sparse_tensor.values


def _trees(model: Any) -> Iterator[str]:
    for node in model.graph.node:
        if node.op_type.startswith("TreeEnsemble") and not _tree_is_sound(node):
            yield "a decision tree points outside itself"


def _tree_is_sound(node: Any) -> bool:
    """Nodes of a tree are numbered from 0 and stand in order, children lie inside it and after their parent, and
    weights belong to leaves that exist."""
    import numpy as np

    given = {each.name: np.asarray(each.ints, dtype=np.int64) for each in node.attribute if len(each.ints)}
    modes = np.asarray([mode for each in node.attribute if each.name == "nodes_modes" for mode in each.strings])
    trees, places = given.get("nodes_treeids"), given.get("nodes_nodeids")
    left, right = given.get("nodes_truenodeids"), given.get("nodes_falsenodeids")
    if trees is None or places is None or left is None or right is None or "nodes_featureids" not in given:
        return False
    if not len(trees) == len(places) == len(left) == len(right) == len(modes) or (np.diff(trees) < 0).any():
        return False
    firsts = np.flatnonzero(np.diff(trees, prepend=trees[0] - 1))
    sizes = np.diff(firsts, append=len(trees))
    if (places != np.arange(len(trees)) - np.repeat(firsts, sizes)).any():
        return False
    inner, size = modes != b"LEAF", np.repeat(sizes, sizes)
    for child in (left[inner], right[inner]):
        if (child <= places[inner]).any() or (child >= size[inner]).any():
            return False
    return _weights_are_sound(node, given, dict(zip(trees[firsts].tolist(), sizes.tolist(), strict=True)))


def _weights_are_sound(node: Any, given: Mapping[str, Any], sizes: Mapping[int, int]) -> bool:
    """Of leaves that exist, for classes or targets that exist: the runtime adds them up where they point."""
    kind = "class" if "class_treeids" in given else "target"
    trees, places, ids = (given.get(f"{kind}_{name}") for name in ("treeids", "nodeids", "ids"))
    if trees is None or places is None or ids is None or not len(trees) == len(places) == len(ids):
        return False
    if (given["nodes_featureids"] < 0).any() or (ids < 0).any() or (ids >= _answers(node)).any():
        return False
    return all(0 <= place < sizes.get(tree, 0) for tree, place in zip(trees.tolist(), places.tolist(), strict=True))


def _answers(node: Any) -> int:
    """How many classes or targets the trees answer for."""
    return max(
        (
            each.i if each.name == "n_targets" else len(each.ints) or len(each.strings)
            for each in node.attribute
            if each.name in ("n_targets", "classlabels_int64s", "classlabels_strings")
        ),
        default=0,
    )


def _inputs(model: Any) -> Iterator[str]:
    if strange := {each.name for each in model.graph.input} - {NUMBERS, TEXTS}:
        yield f"inputs {', '.join(sorted(strange))}"
