"""The server's log: text or JSON, and never what a caller sent."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steward.errors import UnavailableError
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.serving.telemetry import logs
from steward.spec import ModelSpec
from steward.types import VersionRef

from .conftest import MODEL, ROW, Stack, make_estimator, ready, tensors

SECRET = "4929-1234-5678"
log = logging.getLogger("steward.serving.test")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Those of this file: a thread that an earlier test left behind may have something to say as well."""
    logs.set_up("json", "debug", stream)
    return lambda: [
        line for line in map(json.loads, stream.getvalue().splitlines()) if line["logger"] in (log.name, "py.warnings")
    ]


def test_a_line_says_when_who_and_about_what(lines: Lines) -> None:
    log.warning("%s cannot be loaded: %s", VersionRef(MODEL, 7), UnavailableError("the tracker is away"))
    log.info("answered", extra={"decision_id": "d-1", "epoch": 3})
    first, second = lines()
    assert first["time"].endswith("Z")
    assert (first["level"], first["logger"]) == ("warning", "steward.serving.test")
    assert first["message"] == "flight_delays@7 cannot be loaded: UnavailableError: the tracker is away"
    assert (first["model"], first["version"]) == (MODEL, 7)
    assert (second["decision_id"], second["epoch"]) == ("d-1", 3)
    assert "exception" not in second


def test_an_exception_is_its_kinds_and_places_without_its_words(lines: Lines) -> None:
    try:
        try:
            raise ValueError(f"could not convert string to float: '{SECRET}'")
        except ValueError as error:
            raise VersionFaultError(f"ValueError: {error}", where="m@1", kind="model_failed") from error
    except VersionFaultError:
        log.exception("unexpected fault at %s", "/invocations")
    (line,) = lines()
    assert line["exception"][0] == "VersionFaultError: m@1: model_failed"
    assert "ValueError" in line["exception"]
    assert any("test_logs.py" in place for place in line["exception"])
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RefusedRequestError(f"{SECRET} is no number", code="wrong_type"), "RefusedRequestError: wrong_type"),
        (KeyError(SECRET), "KeyError"),
        (OSError(28, "No space left on device"), "OSError: No space left on device"),
        (UnavailableError("away", where="db"), "UnavailableError: db: away"),
    ],
)
def test_words_are_written_only_where_they_are_nobodys(lines: Lines, error: Exception, said: str) -> None:
    log.warning("not stored: %s", error)
    assert lines()[0]["message"] == f"not stored: {said}"


def test_a_warning_of_a_library_is_its_kind_and_place(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"unknown category {SECRET}", UserWarning, stacklevel=1)
    (line,) = lines()
    assert line["message"].endswith("UserWarning")
    assert SECRET not in json.dumps(line)


def test_text_says_the_same_for_people(stream: io.StringIO) -> None:
    logs.set_up("text", "warning", stream)
    log.info("not shown")
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.exception("%s failed", VersionRef(MODEL, 7))
    first, second, third = stream.getvalue().splitlines()
    assert first.endswith("ERROR steward.serving.test: flight_delays@7 failed (model=flight_delays version=7)")
    assert second == "  KeyError"
    assert third.startswith("  at ")


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_a_caller_sends_is_logged(stack: Stack, spec: ModelSpec, stream: io.StringIO, form: str) -> None:
    """Sound requests, malformed ones, and one that the version fails on and quotes: the secret is in every one.

    The id of a decision alone is written, where its version failed: it is how the decision is found again.
    """
    stack.sources.register(spec, 1, make_estimator(strict_carriers=("UA", "AA")))
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start())
    logs.set_up(form, "debug", stream)
    for client_log in ("httpx", "httpx2", "httpcore"):  # of this test, in the same process
        logging.getLogger(client_log).setLevel(logging.ERROR)
    infer, unseen = f"/v2/models/{MODEL}/infer", {**ROW, "carrier": SECRET}
    named = {"key": SECRET, "source": SECRET, "subject": SECRET}
    assert client.post(infer, json=tensors(ROW, explain=True, **named)).status_code == 200
    failed = client.post(infer, json=tensors(unseen, decision_ids=["d-1"], **named))
    assert (failed.status_code, failed.json()["code"]) == (500, "model_failed")
    assert SECRET in failed.text  # the version does quote it, to the one who sent it
    refused = [
        client.post(infer, json=tensors({**ROW, "distance": SECRET})),
        client.post(infer, content=b'{"inputs": ' + SECRET.encode()),
        client.post("/invocations", json={"dataframe_records": [{**ROW, "stops": SECRET}]}),
        client.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": [{"decision_id": SECRET, "label": SECRET}]}),
        client.post(f"/v2/models/{SECRET}/infer", json=tensors(ROW)),
        client.post(infer, json=tensors(ROW), headers={"x-steward-version": SECRET}),
    ]
    assert all(400 <= answer.status_code < 500 for answer in refused)
    stack.stop()
    log.warning("the end")
    assert {"the end", "d-1"} <= set(re.findall("the end|d-1", stream.getvalue()))
    assert SECRET not in stream.getvalue()
