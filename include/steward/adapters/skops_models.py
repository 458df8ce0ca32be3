"""scikit-learn models on disk, in skops' format and under Steward's own allow-list. Never a pickle.

The list of trusted types is here and nowhere else: one that travels inside an artefact (as MLflow's does) would let a
crafted model trust itself. skops checks types, not contents, so tree nodes are bounds-checked as well: scikit-learn
follows their indices without looking.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.errors import IntegrityError, ModelCodeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL_FILE = "model.skops"

# Compiled or private classes that fitted stock estimators hold. They carry data; none runs code when it is built.
_SCIKIT_LEARN_TYPES = (
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
# Values, pure functions and settings that stock estimators keep and skops asks about. `functools.partial` is trusted as
# a container only: the function inside it must be on the list as well.
_VALUE_TYPES = (
    "functools.partial",
    "numpy.dtype",
    "numpy.mean",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # what it became in scipy 1.18
    "scipy.sparse._csr.csr_matrix",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
TRUSTED_TYPES = tuple(sorted(_SCIKIT_LEARN_TYPES + _VALUE_TYPES))

MAX_UNPACKED = 8 * 2**30
_MAX_RATIO = 100
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}")
_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth", ".npy"})


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over the sorted relative names and the bytes of all files. Symbolic links are refused."""
    digest = hashlib.sha256()
    for path in _files(folder):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(b"%d:%b%d:" % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()


def save_model(model: Any, folder: Path) -> str:
    """Write `model.skops` into the folder and return the folder's digest.

    Raises ModelCodeError when skops cannot write the model or the server would refuse to load it: better now than at
    its release.
    """
    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    try:
        data = skops.io.dumps(model)
    except Exception as error:  # whatever the estimator's own reduction raises
        raise ModelCodeError(f"{type(model).__name__} cannot be saved by skops: {error}", hint=_USE_STOCK) from error
    if unknown := _unknown_types(data):
        raise ModelCodeError(f"the model holds types that no server loads: {', '.join(unknown)}", hint=_USE_STOCK)
    (folder / MODEL_FILE).write_bytes(data)
    return folder_digest(folder)


def load_model(folder: Path, digest: str) -> Any:
    """The fitted estimator of an artefact folder whose files have this digest.

    Raises IntegrityError for another digest, a pickle anywhere in the folder, a type that is not on the list (it names
    all of them), or tree nodes that point outside their tree; NotFoundError when there is no model file.
    """
    _check_digest(folder, digest)
    _refuse_pickles(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise NotFoundError(f"there is no {MODEL_FILE}", where=str(folder), hint="log the model in skops' format")
    _check_archive(path)
    data = path.read_bytes()
    _check_types(data, path)
    model = _load(data, path)
    _check_trees(model, path)
    return model


_USE_STOCK = "build the model from scikit-learn's own estimators; a function or class of model.py cannot be served"
_QUARANTINE = "do not serve it; find out who wrote it to the artefact store"


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise NotFoundError("there is no such artefact folder", where=str(folder))
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    if links := [path.name for path in paths if path.is_symlink()]:
        raise IntegrityError(f"symbolic links in an artefact: {', '.join(links)}", where=str(folder), hint=_QUARANTINE)
    return [path for path in paths if path.is_file()]


def _check_digest(folder: Path, digest: str) -> None:
    if (found := folder_digest(folder)) != digest:
        said = f"the artefact has digest {found[:12]}…, not {digest[:12]}… as approved"
        raise IntegrityError(said, where=str(folder), hint=_QUARANTINE)


def _refuse_pickles(folder: Path) -> None:
    """By name and by first bytes: a pickle of protocol 2 or later starts with 0x80 and its protocol number."""
    found = [path.name for path in _files(folder) if path.suffix in _PICKLE_SUFFIXES or _starts_as_pickle(path)]
    if found:
        said = f"pickle files in an artefact: {', '.join(found)}"
        raise IntegrityError(
            said, where=str(folder), hint="a pickle runs code when it is read; save the model with skops"
        )


def _starts_as_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and head[1] <= 5


def _unknown_types(data: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES))


def _check_types(data: bytes, path: Path) -> None:
    try:
        unknown = _unknown_types(data)
    except Exception as error:  # a crafted file fails in many ways, all of them before anything of it is built
        raise IntegrityError(f"not a readable skops file: {error}", where=str(path), hint=_QUARANTINE) from error
    if unknown:
        said = f"types that are not on the allow-list: {', '.join(unknown)}"
        raise IntegrityError(said, where=str(path), hint=f"{_QUARANTINE}, or {_USE_STOCK}")


def _load(data: bytes, path: Path) -> Any:
    import skops.io

    try:
        return skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    except Exception as error:  # as above
        raise IntegrityError(f"the model cannot be rebuilt: {error}", where=str(path), hint=_QUARANTINE) from error


def _check_trees(model: Any, path: Path) -> None:
    for part in parts_of(model):
        if not _tree_is_sound(part):
            raise IntegrityError("a decision tree points outside itself", where=str(path), hint=_QUARANTINE)


def unpacked_size(path: Path) -> int:
    """Bytes of a skops file's members, from its list of contents. Raises IntegrityError for what is no such file."""
    return sum(member.file_size for member in _members(path))


def _members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"not a readable skops file: {error}", where=str(path), hint=_QUARANTINE) from error


def _check_archive(path: Path) -> None:
    """skops writes plain names and does not compress. Anything else would unpack to more, or elsewhere, than it seems.

    The sizes are those of the list of contents; zipfile reads no more of a member than it says.
    """
    members = _members(path)
    names, packed = [member.filename for member in members], max(1, path.stat().st_size)
    strange = [name for name in names if not _PLAIN_NAME.fullmatch(name)]
    if strange or len(set(names)) < len(names):
        said = f"members of strange or repeated names: {', '.join((strange or names)[:5])[:200]}"
        raise IntegrityError(said, where=str(path), hint=_QUARANTINE)
    if (unpacked := sum(member.file_size for member in members)) > min(MAX_UNPACKED, _MAX_RATIO * packed):
        said = f"{packed} bytes that would unpack to {unpacked}"
        raise IntegrityError(said, where=str(path), hint=_QUARANTINE)


def memory_of(model: Any) -> int:
    """Bytes of every array and tree reachable from it, and a little for each object: the same on every run.

    What a process really takes also depends on its allocator; that is measured beside it, not decided by.
    """
    import numpy as np

    return sum(int(part.nbytes) if isinstance(part, np.ndarray) else _weight(part) for part in parts_of(model))


def _weight(part: Any) -> int:
    """A compiled object says what it holds only through its state."""
    from sklearn.tree._tree import Tree

    if isinstance(part, Tree):
        return int(part.node_count) * 64 + int(part.value.nbytes)
    return sys.getsizeof(part)


def parts_of(model: Any) -> Iterator[Any]:
    """Every object reachable through attributes, lists, tuples, dicts and object arrays, once each."""
    import numpy as np

    seen: set[int] = set()
    stack = [model]
    while stack:
        part = stack.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, bool, type(None), type)):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            stack.extend(part)
        elif isinstance(part, np.ndarray):
            stack.extend(part.ravel() if part.dtype == object else ())
        else:
            stack.extend(vars(part).values() if hasattr(part, "__dict__") else ())


def _tree_is_sound(part: Any) -> bool:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    if isinstance(part, Tree):
        return _children_are_sound(part.children_left, part.children_right, part.children_left == -1)
    if isinstance(part, TreePredictor):
        nodes = part.nodes
        categories = len(part.raw_left_cat_bitsets)
        uses_bitset = (nodes["is_categorical"] == 1) & (nodes["is_leaf"] == 0)
        if uses_bitset.any() and int(nodes["bitset_idx"][uses_bitset].max()) >= categories:
            return False
        return _children_are_sound(nodes["left"], nodes["right"], nodes["is_leaf"] == 1)
    return True


def _children_are_sound(left: Any, right: Any, is_leaf: Any) -> bool:
    """Children lie inside the tree and after their parent: no walk leaves it or goes round for ever."""
    import numpy as np

    count, inner = len(left), np.flatnonzero(~is_leaf)
    for children in (left[inner].astype("int64"), right[inner].astype("int64")):
        if children.size and (children.max() >= count or (children <= inner).any()):
            return False
    return bool(count)
