"""What breakers took off traffic: kept on disk, told to the servers beside this one, and reported until it was heard.

One small file per trip, in a folder that all servers of a host share. A server that starts again finds its trips
there, and one beside it follows within LOOK_SECONDS, with no control plane and no word between them. The control plane
is told as soon as it answers; until then the file waits, and outlives the process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from steward.errors import IntegrityError, NotFoundError, PolicyError, StewardError
from steward.types import VersionRef, format_instant

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
_LONGEST_PAUSE = 10.0
# Asking again would be refused again, and each refusal is an event in the ledger.
_FINAL = (PolicyError, NotFoundError, IntegrityError)

TripReport = Callable[[str, int, str], None]
"""Tells the control plane: model, version, why. Raises what the control plane raises."""


def tell_nobody(model: str, version: int, reason: str) -> None:
    """For a server without a control plane: the trip is in its log and in its folder."""


@dataclass(frozen=True)
class Trip:
    """A version off traffic in one epoch of its model. `reported`: the control plane has heard, or refused to."""

    model: str
    version: int
    epoch: int
    reason: str
    at: str
    reported: bool = False

    @property
    def ref(self) -> VersionRef:
        return VersionRef(self.model, self.version)

    @property
    def file_name(self) -> str:
        return f"{self.ref}.{self.epoch}.json"


class TripReports:
    """`record` from any thread, never blocking; all else happens in a thread of its own."""

    def __init__(self, folder: Path, report: TripReport) -> None:
        self._folder, self._report = folder, report
        self._new: deque[Trip] = deque()
        self._epochs: dict[str, int] = {}
        self._on_seen: Callable[[Trip], object] = lambda trip: None
        self._pause, self._again_at = LOOK_SECONDS, 0.0
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="trip-reports", daemon=True)
        self._trips: dict[str, Trip] = {}
        self._read_folder()

    def record(self, model: str, version: int, epoch: int, reason: str) -> None:
        trip = Trip(model, version, epoch, reason, format_instant(datetime.now(UTC)))
        log.error("%s was taken off traffic by this server: %s", trip.ref, reason)
        self._new.append(trip)
        self._wake.set()

    def found(self, model: str, epoch: int) -> Trip | None:
        """What was taken off in this epoch, by whichever server."""
        return next((trip for trip in list(self._trips.values()) if (trip.model, trip.epoch) == (model, epoch)), None)

    def routed(self, model: str, epoch: int) -> None:
        """A newer epoch is in force here: trips of older ones are of no more use once they were reported."""
        self._epochs[model] = epoch

    @property
    def unreported(self) -> list[Trip]:
        return [trip for trip in [*self._new, *self._trips.values()] if not trip.reported]

    def start(self, on_seen: Callable[[Trip], object]) -> None:
        """`on_seen` is told every trip, again and again: telling it twice must be harmless."""
        self._on_seen = on_seen
        self._thread.start()

    def stop(self) -> None:
        """What was not reported waits on disk for the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * LOOK_SECONDS)

    def look(self) -> None:
        """One round: keep what is new, see what others kept, report what was not heard, forget what is over."""
        while self._new:
            self._keep(self._new.popleft())
        self._read_folder()
        for trip in list(self._trips.values()):
            self._on_seen(trip)
        if time.monotonic() >= self._again_at:
            self._report_all()
        self._forget()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            try:
                self.look()
            except Exception:
                log.exception("trips could not be looked after; the breakers themselves do not depend on it")

    def _report_all(self) -> None:
        for trip in [trip for trip in self._trips.values() if not trip.reported]:
            if self._told(trip):
                self._pause = LOOK_SECONDS
                self._keep(replace(trip, reported=True))
            else:
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                self._again_at = time.monotonic() + self._pause
                return

    def _told(self, trip: Trip) -> bool:
        """Whether there is nothing left to tell. A control plane that is away is asked again, less and less often."""
        try:
            self._report(trip.model, trip.version, f"{trip.reason}; off traffic since {trip.at}")
        except _FINAL as error:
            log.error("the control plane will not hear of %s: %s", trip.ref, error)
        except StewardError as error:
            log.warning("the control plane was not told of %s yet: %s", trip.ref, error)
            return False
        except Exception:
            log.exception("the control plane was not told of %s yet", trip.ref)
            return False
        return True

    def _keep(self, trip: Trip) -> None:
        """In memory always; on disk unless the disk refuses, which must not stop the report."""
        self._trips[trip.file_name] = trip
        partial = self._folder / f"{trip.file_name}.{os.getpid()}.partial"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(orjson.dumps(asdict(trip)))
            partial.replace(self._folder / trip.file_name)
        except OSError as error:
            log.warning("a trip of %s is not kept on disk: %s", trip.ref, error)

    def _read_folder(self) -> None:
        """A trip that somebody reported stays reported, whoever wrote the file last."""
        try:
            paths = sorted(self._folder.glob("*.json"))
        except OSError:  # a disk that refuses: what is in memory is reported all the same
            return
        for path in paths:
            known = self._trips.get(path.name)
            if (known is None or not known.reported) and (trip := _read(path)):
                self._trips[path.name] = trip

    def _forget(self) -> None:
        for name, trip in list(self._trips.items()):
            if trip.reported and trip.epoch < self._epochs.get(trip.model, 0):
                del self._trips[name]
                (self._folder / name).unlink(missing_ok=True)


def _read(path: Path) -> Trip | None:
    try:
        trip = Trip(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:  # over, and another server was faster
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("the trip %s cannot be read and is left aside: %s", path, error)
        return None
    return trip if trip.file_name == path.name else None
