"""What the rebooking desk asks: every flight once, in the server's protocol, and outcomes only of flights that flew."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steward.demo.flights import DAY, FlightStream
from steward.serving.protocols.inference_protocol import parse
from steward.spec import SpecFolder
from steward.training import ModelCode

MODELS = Path(__file__).parents[3] / "include" / "models"
APRIL = datetime(2013, 4, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def stream() -> FlightStream:
    specs = SpecFolder(MODELS)
    return FlightStream(specs.get("flight_delays"), ModelCode(specs.module_path("flight_delays")))


@pytest.mark.parametrize("way", ["singly", "hourly"])
def test_every_flight_of_the_day_is_asked_about_once(stream: FlightStream, way: str) -> None:
    questions = getattr(stream, way)(APRIL)
    asked = [flight for question in questions for flight in question.ids]
    assert sorted(asked) == sorted(stream.frame(APRIL, APRIL + DAY)["flight_id"])
    hours = [question.at.hour for question in questions]
    assert hours == sorted(hours)
    assert len(questions) == len(asked) if way == "singly" else len(questions) < len(asked) / 5


def test_a_question_is_a_request_the_server_reads(stream: FlightStream) -> None:
    question = max(stream.hourly(APRIL), key=lambda q: len(q.ids))
    body = json.dumps(question.to_request(stream.spec, "desk"), allow_nan=False).encode()
    call = parse(body)
    assert call.rows == len(question.ids)
    assert set(call.columns) == set(stream.spec.data.features)
    assert None in call.columns["wind_gust"] or None in call.columns["seats"]  # what is unknown is null, not NaN


def test_a_cancelled_flight_has_no_outcome(stream: FlightStream) -> None:
    frame = stream.frame(APRIL, APRIL + DAY)
    outcomes = stream.outcomes(APRIL)
    assert 0 < len(outcomes) < len(frame)
    assert {o["decision_id"] for o in outcomes} == set(frame[frame["late"].notna()]["flight_id"])
    assert {o["label"] for o in outcomes} == {0.0, 1.0}


def test_applications_bring_the_groups_they_are_watched_by() -> None:
    specs = SpecFolder(MODELS)
    loans = FlightStream(specs.get("loan_approval"), ModelCode(specs.module_path("loan_approval")))
    (first, *_) = loans.singly(datetime(2024, 3, 1, tzinfo=UTC))
    call = parse(json.dumps(first.to_request(loans.spec, "loan-desk"), allow_nan=False).encode())
    assert set(call.columns) == {*loans.spec.data.features, "race", "sex"}
    assert call.columns["race"][0] in {"black", "hispanic", "white"}
