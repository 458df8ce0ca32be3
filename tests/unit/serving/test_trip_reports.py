"""Trips on disk: kept until they were heard, seen by the servers beside, forgotten when they are over."""

from __future__ import annotations

from pathlib import Path

import pytest

from steward.errors import PolicyError, UnavailableError
from steward.serving.routing import trip_reports
from steward.serving.routing.trip_reports import Trip, TripReports
from steward.testing.builders import MODEL


class ControlPlane:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, str]] = []
        self.asked = 0
        self.answers: Exception | None = None

    def __call__(self, model: str, version: int, reason: str) -> None:
        self.asked += 1
        if self.answers is not None:
            raise self.answers
        self.heard.append((model, version, reason))


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_report_waits_on_disk_until_it_is_heard(tmp_path: Path, plane: ControlPlane) -> None:
    plane.answers = UnavailableError("the database is away")
    reports = TripReports(tmp_path, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    reports.look()
    assert names(tmp_path) == [f"{MODEL}@3.7.json"]
    assert [trip.version for trip in reports.unreported] == [3]
    next_process = TripReports(tmp_path, plane)
    assert next_process.found(MODEL, 7) is not None
    plane.answers = None
    next_process.look()
    next_process.look()
    ((model, version, reason),) = plane.heard
    assert (model, version, reason.split(" since ")[0]) == (MODEL, 3, "3 errors; off traffic")
    assert next_process.unreported == []


def test_a_control_plane_that_is_away_is_not_asked_all_the_time(tmp_path: Path, plane: ControlPlane) -> None:
    plane.answers = UnavailableError("away")
    reports = TripReports(tmp_path, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    for _ in range(50):
        reports.look()
    assert plane.asked == 1


@pytest.mark.parametrize("refusal", [PolicyError("it is being retired")])
def test_what_is_refused_is_not_asked_again(tmp_path: Path, plane: ControlPlane, refusal: Exception) -> None:
    plane.answers = refusal
    reports = TripReports(tmp_path, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    reports.look()
    assert reports.unreported == []
    assert reports.found(MODEL, 7) is not None, "refused or not, the canary stays off here"


def test_servers_beside_see_it_and_one_report_is_enough(tmp_path: Path, plane: ControlPlane) -> None:
    one, other = TripReports(tmp_path, plane), TripReports(tmp_path, plane)
    seen: list[Trip] = []
    other._on_seen = seen.append
    one.record(MODEL, 3, 7, "3 errors")
    one.look()
    other.look()
    assert [(trip.model, trip.version, trip.epoch, trip.reason) for trip in seen] == [(MODEL, 3, 7, "3 errors")]
    assert other.found(MODEL, 7) is not None
    assert other.found(MODEL, 8) is None, "a newer epoch is judged anew"
    assert len(plane.heard) == 1


def test_a_trip_is_forgotten_once_it_is_reported_and_over(tmp_path: Path, plane: ControlPlane) -> None:
    reports = TripReports(tmp_path, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    plane.answers = UnavailableError("away")
    reports.look()
    reports.routed(MODEL, 8)
    reports.look()
    assert names(tmp_path), "not yet reported"
    plane.answers, reports._again_at = None, 0.0
    reports.look()
    assert names(tmp_path) == []
    assert reports.found(MODEL, 7) is None


def test_a_disk_that_refuses_does_not_stop_the_report(tmp_path: Path, plane: ControlPlane) -> None:
    (folder := tmp_path / "trips").write_text("a file where the folder should be")
    reports = TripReports(folder, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    reports.look()
    assert len(plane.heard) == 1
    assert reports.found(MODEL, 7) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "x"}', b'{"other": 1}'])
def test_a_file_that_is_no_trip_is_left_aside(tmp_path: Path, plane: ControlPlane, content: bytes) -> None:
    (tmp_path / f"{MODEL}@3.7.json").write_bytes(content)
    reports = TripReports(tmp_path, plane)
    reports.look()
    assert reports.unreported == []
    assert plane.asked == 0


def test_nothing_is_blocked_by_a_report_that_hangs(tmp_path: Path) -> None:
    import threading

    hangs, heard = threading.Event(), threading.Event()

    def report(model: str, version: int, reason: str) -> None:
        heard.set()
        hangs.wait(30)

    reports = TripReports(tmp_path, report)
    reports.start(lambda trip: None)
    try:
        reports.record(MODEL, 3, 7, "3 errors")
        assert heard.wait(10)
        reports.record(MODEL, 4, 8, "3 errors")
        assert {trip.version for trip in reports.unreported} == {3, 4}
    finally:
        hangs.set()
        reports.stop()


def test_the_pause_grows_to_its_limit(tmp_path: Path, plane: ControlPlane) -> None:
    plane.answers = UnavailableError("away")
    reports = TripReports(tmp_path, plane)
    reports.record(MODEL, 3, 7, "3 errors")
    for _ in range(12):
        reports._again_at = 0.0
        reports.look()
    assert reports._pause == trip_reports._LONGEST_PAUSE
