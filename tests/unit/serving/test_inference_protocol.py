"""The Open Inference Protocol as its clients write it. Bodies are those of KServe's and MLServer's codecs."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.protocols import inference_protocol
from steward.serving.protocols.inference_protocol import format_metadata, parse
from steward.spec import ModelSpec

from .conftest import ROW, make_spec, tensors

FEATURES = make_spec().data.features
COLUMNS = {name: [value, value] for name, value in ROW.items()}


def read(request: Any) -> Any:
    return parse(json.dumps(request).encode(), FEATURES)


def pandas_codec() -> dict[str, Any]:
    """MLServer's `PandasCodec.encode_request(frame)`, as JSON."""
    kinds = {"distance": "FP64", "carrier": "BYTES", "stops": "INT64", "holiday": "BOOL", "temp": "FP64"}
    inputs: list[dict[str, Any]] = []
    for name, datatype in kinds.items():
        tensor = {"name": name, "shape": [2, 1], "datatype": datatype, "data": COLUMNS[name]}
        inputs.append({**tensor, "parameters": {"content_type": "str"}} if datatype == "BYTES" else tensor)
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def infer_request() -> dict[str, Any]:
    """KServe's `InferRequest.to_rest()` of a frame: a model name beside the tensors, ids of its own."""
    inputs = [{**tensor, "shape": [2, 1]} for tensor in tensors(ROW, ROW)["inputs"]]
    return {"id": "0c1f9d2e-6a0b-4e0e-9a63-6f4f0a1b7d55", "model_name": "flight_delays", "inputs": inputs}


@pytest.mark.parametrize(
    "request_", [pandas_codec(), infer_request(), tensors(ROW, ROW)], ids=["pd", "kserve", "plain"]
)
def test_clients_of_other_servers_are_understood(request_: Any) -> None:
    call = read(request_)
    assert call.columns == COLUMNS
    assert call.rows == 2


def test_texts_may_come_encoded() -> None:
    request = tensors(ROW, ROW)
    carrier = request["inputs"][1]
    written = base64.b64encode(b"UA").decode()
    carrier.update(data=[written, None], parameters={"content_type": "base64"})
    assert read(request).columns["carrier"] == ["UA", None]
    carrier.update(data=['"UA"', "null"], parameters={"content_type": "pd_json"})
    assert read(request).columns["carrier"] == ["UA", None]


def test_texts_may_come_encoded_in_a_table_too() -> None:
    """Taken as they are, they would be answered as categories nobody has seen."""
    carriers = make_spec(features={name: {"type": "category"} for name in ("a", "b")}).data.features
    data = [base64.b64encode(text.encode()).decode() for text in ("UA", "AA")]
    tensor = {"name": "input-0", "shape": [1, 2], "datatype": "BYTES", "data": data}
    encoded = {**tensor, "parameters": {"content_type": "base64"}}
    assert parse(json.dumps({"inputs": [encoded]}).encode(), carriers).columns == {"a": ["UA"], "b": ["AA"]}
    assert parse(json.dumps({"inputs": [tensor]}).encode(), carriers).columns["a"] == [data[0]]


def test_rows_of_single_values_are_a_column() -> None:
    request = tensors(ROW, ROW)
    request["inputs"][0].update(data=[[500.0], [500.0]], shape=[2, 1])
    assert read(request).columns["distance"] == [500.0, 500.0]


NUMBERS = make_spec(features={name: {"type": "number"} for name in ("a", "b", "c")}).data.features


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]], ids=["flat", "nested"])
def test_one_tensor_with_a_column_per_feature_is_read_row_by_row(data: Any) -> None:
    """MLServer's NumpyRequestCodec and KServe's scikit-learn examples send their frame like this."""
    tensor = {
        "name": "input-0",
        "shape": [2, 3],
        "datatype": "FP64",
        "data": data,
        "parameters": {"content_type": "np"},
    }
    body = json.dumps({"parameters": {"content_type": "np"}, "inputs": [tensor]}).encode()
    assert parse(body, NUMBERS).columns == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"shape": [3, 2]}, "ambiguous_tensor"),
        ({"shape": [1, 3]}, "ragged"),
        ({"shape": [2, 0]}, "ragged"),
        ({"shape": [2, -3]}, "ragged"),
        ({"shape": [0, 3], "data": []}, "ambiguous_tensor"),
        ({"data": [[1, 2], [3, 4]]}, "ambiguous_tensor"),
        ({"data": [1, 2, 3, 4, 5, "six"]}, "wrong_datatype"),
        ({"shape": [2, 3, 1]}, "ragged"),
    ],
)
def test_a_tensor_that_may_mean_something_else_is_refused(change: Any, code: str) -> None:
    tensor = {"name": "input-0", "shape": [2, 3], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6], **change}
    with pytest.raises(RefusedRequestError) as caught:
        parse(json.dumps({"inputs": [tensor]}).encode(), NUMBERS)
    assert caught.value.code == code


def test_outputs_are_those_asked_for() -> None:
    request = tensors(ROW)
    assert read({**request, "outputs": [{"name": "label"}]}).outputs == ("label",)
    assert read({**request, "outputs": []}).outputs == ()
    assert read({**request, "outputs": [{"name": "explanation"}]}).explain is True


def changed(**tensor: Any) -> dict[str, Any]:
    request = tensors(ROW)
    request["inputs"][1].update(tensor)
    return request


REFUSED: dict[str, tuple[Any, str]] = {
    "raw tensors": (changed(parameters={"binary_data_size": 6}), "binary_not_spoken"),
    "raw answers": ({**tensors(ROW), "parameters": {"binary_data_output": True}}, "binary_not_spoken"),
    "a raw output": (
        {**tensors(ROW), "outputs": [{"name": "score", "parameters": {"binary_data": True}}]},
        "binary_not_spoken",
    ),
    "an unknown content type": (changed(parameters={"content_type": "image"}), "unknown_content_type"),
    "a content type that is no text": (changed(parameters={"content_type": [1]}), "unknown_content_type"),
    "a request's unknown content type": (
        {**tensors(ROW), "parameters": {"content_type": "x"}},
        "unknown_content_type",
    ),
    "what is not base64": (changed(data=["é"], parameters={"content_type": "base64"}), "wrong_datatype"),
    "base64 of no text": (changed(data=["/w=="], parameters={"content_type": "base64"}), "wrong_datatype"),
    "what is not a JSON text": (changed(data=["UA"], parameters={"content_type": "pd_json"}), "wrong_datatype"),
    "parameters of a tensor in a list": (changed(parameters=[1]), "bad_request"),
    "a name of a thousand letters": (changed(name="n" * 1000), "bad_request"),
    "an unknown output": ({**tensors(ROW), "outputs": [{"name": "odds"}]}, "unknown_output"),
    "an output that is a list": ({**tensors(ROW), "outputs": [{"name": ["score"]}]}, "unknown_output"),
    "outputs that are no list": ({**tensors(ROW), "outputs": {"name": "score"}}, "bad_request"),
    "five thousand and one columns": (
        {"inputs": [{"name": f"n{i}", "shape": [1], "datatype": "FP64", "data": [1]} for i in range(5001)]},
        "too_many_columns",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_spoken_is_said(case: str) -> None:
    request, code = REFUSED[case]
    with pytest.raises(RefusedRequestError) as caught:
        read(request)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_caller_is_never_echoed_at_length() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for tensor in (changed(datatype=deep), changed(shape=deep), changed(datatype="x" * 10_000)):
        with pytest.raises(RefusedRequestError) as caught:
            read(tensor)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        ("binary_classification", {"score": "FP64", "label": "INT64"}),
        ("regression", {"score": "FP64"}),
    ],
)
def test_metadata_names_what_is_answered(task: str, outputs: dict[str, str]) -> None:
    spec = ModelSpec.model_construct(**{**dict(make_spec()), "task": make_spec().task.__class__(task)})
    metadata = format_metadata(spec, [3], "onnx")
    assert {output["name"]: output["datatype"] for output in metadata["outputs"]} == outputs
    assert (metadata["platform"], metadata["versions"]) == ("onnx", ["3"])


USUAL = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"data": [2]},
        {"data": [None]},
        {"datatype": "BYTES", "data": ["x"]},
        {"data": "1"},
        {"data": {"1": 2}},
        {"data": [[1.0]]},
        {"data": []},
        {"data": [1.0, 2.0], "shape": [2]},
        {"data": ["x"]},
        {"data": [True]},
        {"datatype": "BOOL", "data": [1]},
        {"datatype": "FP7"},
        {"datatype": ["FP64"]},
        {"datatype": None},
        {"shape": [1, 1]},
        {"shape": 1},
        {"shape": [2]},
        {"name": None},
        {"name": 1},
        {"name": ["a"]},
        {"name": "x" * 1000},
        {"name": "b"},
        {"parameters": {"content_type": "base64"}, "datatype": "BYTES", "data": ["eA=="]},
    ],
)
def test_the_short_way_reads_what_the_long_way_reads(changed: dict[str, Any]) -> None:
    """Or leaves it to the long way, which says what is wrong."""
    inputs = [{**USUAL, **changed}, {**USUAL, "name": "b"}]
    short = inference_protocol._single_row(inputs)
    assert bool(short) == (changed in SHORT)
    assert not short or short == inference_protocol._columns(inputs)


SHORT: list[dict[str, Any]] = [{}, {"data": [2]}, {"data": [None]}, {"datatype": "BYTES", "data": ["x"]}]
