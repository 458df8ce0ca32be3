"""The ONNX twin of a fitted scikit-learn model, by skl2onnx, in a form that answers one row cheaply.

skl2onnx wants an input per column, which costs a server an array per column and request. Here the columns are packed
into two inputs, numbers and texts, that the graph splits itself: with 20 columns that halves the time of a call.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from steward.adapters.onnx_models import MISSING_TEXT, NUMBERS, SCORES, TEXTS, OnnxModel, check_onnx, packed
from steward.adapters.skops_models import parts_of
from steward.errors import IntegrityError, ModelCodeError
from steward.spec.model import FeatureType

if TYPE_CHECKING:
    import pandas as pd

_OPSET = 21
_PATCHING = threading.Lock()
_HINT = "scikit-learn serves it; with onnx: required, build it from estimators that skl2onnx converts"


class OnnxTwins:
    """Makes twins and asks them, for the gate that compares a twin with its model."""

    def make(self, model: Any, features: Mapping[str, FeatureType]) -> bytes:
        """The file of a model fitted on these features, in their order. Raises ModelCodeError where there is none."""
        inner = _without_threshold(model)
        _check_categories(inner)
        names = tuple(features)
        try:
            converted = _convert(_with_missing_named(inner), features, names)
            content: bytes = _packed_form(converted, features, names, inner).SerializeToString(deterministic=True)
            check_onnx(content, "its ONNX twin")
        except IntegrityError as error:
            raise ModelCodeError(error.what, hint=_HINT) from error
        except Exception as error:  # skl2onnx raises a dozen kinds for what it does not convert
            said = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
            raise ModelCodeError(f"skl2onnx cannot convert it ({said})", hint=_HINT) from error
        return content

    def answers(self, twin: bytes, features: Mapping[str, FeatureType], frame: pd.DataFrame) -> Any:
        """What the twin answers to the rows: shares per class, or values. Raises what the runtime raises."""
        return _opened(twin, tuple(features.items())).answers({name: _values(frame[name]) for name in features})


@lru_cache(maxsize=1)
def _opened(twin: bytes, features: tuple[tuple[str, FeatureType], ...]) -> OnnxModel:
    """The gate asks one twin many times."""
    return OnnxModel(twin, dict(features), dict(features), "its ONNX twin")


def _values(column: pd.Series) -> list[Any]:
    """As a checked request holds them: None where missing."""
    return [None if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _without_threshold(model: Any) -> Any:
    """Where a score becomes a yes is the server's to apply; the scores are those of the model inside."""
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    while isinstance(model, (FixedThresholdClassifier, TunedThresholdClassifierCV, FrozenEstimator)):
        model = model.estimator if isinstance(model, FrozenEstimator) else model.estimator_
    return model


def _check_categories(model: Any) -> None:
    """skl2onnx writes a split by category as a split by size, and says nothing."""
    for part in parts_of(model):
        flags = getattr(part, "is_categorical_", None)
        if flags is not None and any(flags):
            said = f"{type(part).__name__} splits by category, which skl2onnx does not convert"
            raise ModelCodeError(said, hint=_HINT)


def _with_missing_named(model: Any) -> Any:
    """A copy whose encoders and imputers know a missing text by the name that a server gives it."""
    from sklearn.impute import SimpleImputer

    named = copy.deepcopy(model)
    for part in parts_of(named):
        if isinstance(categories := getattr(part, "categories_", None), list):
            part.categories_ = [_name_missing(each) for each in categories]
        if isinstance(part, SimpleImputer) and part.missing_values is None:
            part.missing_values = MISSING_TEXT
    return named


def _name_missing(categories: Any) -> Any:
    if categories.dtype != object or None not in categories.tolist():
        return categories
    found = categories.copy()
    found[[value is None for value in categories.tolist()]] = MISSING_TEXT
    return found


def _convert(model: Any, features: Mapping[str, FeatureType], names: Iterable[str]) -> Any:
    import skl2onnx

    types = _input_types(model, features, names)
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    with _plain_attributes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skl2onnx.convert_sklearn(
            model, name="steward", initial_types=types, options=options, target_opset=_OPSET
        )


def _input_types(model: Any, features: Mapping[str, FeatureType], names: Iterable[str]) -> list[tuple[str, Any]]:
    """A column each where the model picks columns by name; one table for one that takes all it gets."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer

    numbers, texts = packed(features, names)
    if not texts and not any(isinstance(part, ColumnTransformer) for part in parts_of(model)):
        return [(NUMBERS, FloatTensorType([None, len(numbers)]))]
    return [(name, (StringTensorType if name in texts else FloatTensorType)([None, 1])) for name in names]


@contextmanager
def _plain_attributes() -> Iterator[None]:
    """skl2onnx 1.20 hands numpy's integers and truths to onnx, which from 1.22 on takes Python's alone.

    `onnx.helper.make_node` looks `make_attribute` up when it runs, so the one name is replaced while converting.
    """
    from onnx import helper

    def make_attribute(key: str, value: Any, *rest: Any, **more: Any) -> Any:
        return given(key, _plain(value), *rest, **more)

    with _PATCHING:
        given = helper.make_attribute
        helper.make_attribute = make_attribute
        try:
            yield
        finally:
            helper.make_attribute = given


def _plain(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, np.bool_, np.integer)):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


def _packed_form(model: Any, features: Mapping[str, FeatureType], names: Iterable[str], fitted: Any) -> Any:
    """Two inputs that are split inside, one output that is wanted, and no node that it does not need."""
    from onnx import TensorProto, helper

    graph = model.graph
    wanted = graph.output[1 if hasattr(fitted, "predict_proba") else 0]
    nodes = [*graph.node, helper.make_node("Identity", [wanted.name], [SCORES])]
    wanted.name = SCORES
    kinds = {NUMBERS: TensorProto.FLOAT, TEXTS: TensorProto.STRING}
    inputs, splits = [], []
    for name, columns in zip(kinds, packed(features, names), strict=True):
        if columns:
            inner = _inner_names(graph, columns, tuple(names))
            inputs.append(helper.make_tensor_value_info(name, kinds[name], [None, len(columns)]))
            splits.append(_split(name, inner, model.opset_import))
            nodes = [_unpacked(node, name, inner) for node in nodes]
    kept = _needed([*splits, *nodes])
    for field, values in (("node", kept), ("input", inputs), ("output", [copy.deepcopy(wanted)])):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    return model


def _inner_names(graph: Any, columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """What skl2onnx calls these columns: it keeps their order and spells them in letters, digits and underscores."""
    spelt = [each.name for each in graph.input]
    if len(spelt) == 1:
        return spelt
    by_name = dict(zip(names, spelt, strict=True))
    return [by_name[name] for name in columns]


def _split(name: str, columns: list[str], opsets: Iterable[Any]) -> Any:
    """skl2onnx writes the oldest operator set that holds its nodes; before 18 a split knows its number by itself."""
    from onnx import helper

    if len(columns) == 1:
        return helper.make_node("Identity", [name], columns)
    version = next(each.version for each in opsets if each.domain in ("", "ai.onnx"))
    number: Any = {"num_outputs": len(columns)} if version >= 18 else {}
    return helper.make_node("Split", [name], columns, axis=1, **number)


def _unpacked(node: Any, name: str, columns: list[str]) -> Any:
    """A node that puts the split columns together again in their order reads the packed input instead."""
    from onnx import helper

    if node.op_type == "Concat" and list(node.input) == columns:
        return helper.make_node("Identity", [name], list(node.output))
    return node


def _needed(nodes: list[Any]) -> list[Any]:
    """Those that lead to the scores, in their order."""
    wanted, kept = {SCORES}, []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]
