"""MLflow's scoring protocol as its clients write it: their own code makes these bodies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.utils.proto_json_utils import dump_input_data

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.protocols.mlflow_protocol import parse

from .conftest import ROW, make_spec

FEATURES = make_spec().data.features
COLUMNS = {name: [value, value] for name, value in ROW.items()}
NUMBERS = make_spec(features={name: {"type": "number"} for name in ("a", "b", "c")}).data.features


def read(request: Any) -> Any:
    return parse(json.dumps(request).encode(), "application/json", FEATURES)


def test_a_frame_of_the_client_is_read() -> None:
    body = dump_input_data(pd.DataFrame([ROW, ROW]), params={"key": "k"}).encode()
    call = parse(body, "application/json", FEATURES)
    assert call.columns == COLUMNS
    assert call.key == "k"


def test_a_missing_value_of_the_client_is_missing() -> None:
    """Python writes NaN where JSON has no word for it."""
    body = dump_input_data(pd.DataFrame([{**ROW, "temp": np.nan}])).encode()
    assert b"NaN" in body
    assert parse(body, "application/json", FEATURES).columns["temp"] == [None]


def test_an_array_of_the_client_is_read_in_the_published_order() -> None:
    body = dump_input_data(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).encode()
    assert parse(body, "", NUMBERS).columns == {"a": [1.0, 4.0], "b": [2.0, 5.0], "c": [3.0, 6.0]}
    body = dump_input_data(pd.DataFrame(np.array([[1.0, 2.0, 3.0]]))).encode()
    assert parse(body, "", NUMBERS).columns == {"a": [1.0], "b": [2.0], "c": [3.0]}


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=UTF-8", 'Text/CSV;charset="utf-8"'])
def test_a_frame_written_as_csv_is_read(index: bool, content_type: str) -> None:
    text = pd.DataFrame([ROW, {**ROW, "temp": np.nan, "carrier": 'U,"A'}]).to_csv(index=index)
    call = parse(text.encode(), content_type, FEATURES)
    call.columns.pop("", None)
    assert call.columns == {**COLUMNS, "temp": [10.5, None], "carrier": ["UA", 'U,"A']}


@pytest.mark.parametrize(
    ("content_type", "body", "code", "status"),
    [
        ("application/vnd.apache.parquet", b"PAR1", "unsupported_media_type", 415),
        ("application/x-www-form-urlencoded", b"a=1", "unsupported_media_type", 415),
        ("application/json; charset=latin-1", b"{}", "unsupported_media_type", 415),
        ("application/json; format=pandas-split", b"{}", "unsupported_media_type", 415),
        ("text/csv", b"", "bad_csv", 400),
        ("text/csv", b"\xff\xfe", "bad_csv", 400),
        ("text/csv", b'distance\n"500', "bad_csv", 400),
        ("text/csv", b"distance,carrier\n500", "ragged", 400),
        ("text/csv", b"distance,distance\n500,1", "ragged", 400),
        ("text/csv", b"distance\n", "no_rows", 400),
        ("", b'{"inputs": {"distance": [Infinity]}}', "not_finite", 400),
        ("", b'{"inputs": {"distance": [NaN, 1e999]}}', "not_finite", 400),
        ("", b'{"inputs": {"carrier": ["\\ud800"], "temp": [NaN]}}', "bad_json", 400),
        ("", b'{"inputs": {"distance": [NaN, ' + b"9" * 5000 + b"]}}", "bad_json", 400),
        ("", b'{"inputs": NaN, "x": ' + b"[" * 100_000, "bad_json", 400),
        ("", b'{"inputs": [[1, 2]]}', "ambiguous_tensor", 400),
        ("", b'{"instances": [[1, 2, 3], [4, 5]]}', "ambiguous_tensor", 400),
        ("", b'{"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}}', "ambiguous_tensor", 400),
        ("", b'{"dataframe_split": {"columns": [[]], "data": [[1, 2]]}}', "no_inputs", 400),
        ("", b'{"inputs": {}}', "no_rows", 400),
    ],
)
def test_what_is_not_read_is_said(content_type: str, body: bytes, code: str, status: int) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        parse(body, content_type, NUMBERS if b"[[" in body else FEATURES)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert caught.value.hint


def test_csv_keeps_what_is_no_value_for_the_contract_to_name() -> None:
    body = b"distance,holiday,carrier\nfar,perhaps,NA\n1_000,,UA\n"
    columns = parse(body, "text/csv", FEATURES).columns
    assert columns == {"distance": ["far", "1_000"], "holiday": ["perhaps", None], "carrier": ["NA", "UA"]}


def test_rows_with_names_of_their_own_do_not_fill_the_memory() -> None:
    rows = [{f"n{i}": 1} for i in range(4000)]
    with pytest.raises(RefusedRequestError) as caught:
        read({"instances": rows})
    assert (caught.value.code, caught.value.status) == ("too_many_values", 413)
