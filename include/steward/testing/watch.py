"""Fakes of what was seen in service: counted days, judged windows and incidents."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from steward.errors import ConflictError
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.tallies.tally import FORMAT
from steward.monitoring.windows import Incident, IncidentState, JudgedWindow
from steward.types import Window, canonical, digest_of, to_json


class FakeWindowTable:
    def __init__(self, windows: dict[tuple[str, int, Window], JudgedWindow]) -> None:
        self._windows = windows

    def record(self, judged: JudgedWindow) -> None:
        self._windows[judged.model, judged.version, judged.window] = judged

    def recent(self, model: str, limit: int, version: int | None = None) -> list[JudgedWindow]:
        found = [w for w in self._windows.values() if w.model == model and version in (None, w.version)]
        ordered = sorted(found, key=lambda w: (w.window.end, w.window.start, w.version))
        return ordered[max(0, len(ordered) - limit) :]

    def latest_everywhere(self) -> list[JudgedWindow]:
        known = sorted({(w.model, w.version) for w in self._windows.values()})
        return [self.recent(model, 1, version)[0] for model, version in known]


class FakeTallyTable:
    """Keeps tallies as the JSON they are stored as."""

    def __init__(self, tallies: dict[tuple[str, int, date], tuple[DayTally, str]]) -> None:
        self._tallies = tallies

    def record(self, counted: DayTally) -> None:
        body = canonical(counted.tally.to_json()).decode()
        self._tallies[counted.model, counted.version, counted.day] = (counted, body)

    def days(self, model: str, version: int, first: date, last: date) -> list[DayTally]:
        found = [(key, value) for key, value in self._tallies.items() if key[:2] == (model, version)]
        return [
            replace(counted, tally=Tally.from_json(json.loads(body)), digest=digest_of(json.loads(body)))
            for (_, _, day), (counted, body) in sorted(found, key=lambda item: item[0])
            if first <= day <= last and json.loads(body)["format"] == FORMAT
        ]

    def confirm(self, read: Sequence[DayTally], at: datetime) -> None:
        for key, digest in (((each.model, each.version, each.day), each.digest) for each in read):
            counted, body = self._tallies.get(key, (None, "null"))
            if counted is not None and digest_of(json.loads(body)) == digest:
                self._tallies[key] = (replace(counted, counted_at=at), body)

    def drop(self, model: str, first: date, last: date) -> None:
        for key in [key for key in self._tallies if key[0] == model and first <= key[2] <= last]:
            del self._tallies[key]

    def expire(self, model: str, before: date) -> int:
        old = [key for key in self._tallies if key[0] == model and key[2] < before]
        for key in old:
            del self._tallies[key]
        return len(old)


class FakeIncidentTable:
    def __init__(self, incidents: dict[str, Incident]) -> None:
        self._incidents = incidents

    def unresolved(self, model: str) -> list[Incident]:
        return [incident for incident in self.all(model) if incident.state is not IncidentState.RESOLVED]

    def all(self, model: str) -> list[Incident]:
        found = [copy.deepcopy(i) for i in self._incidents.values() if i.model == model]
        return sorted(found, key=lambda incident: (incident.opened_at, incident.id))

    def unresolved_everywhere(self) -> list[Incident]:
        found = [copy.deepcopy(i) for i in self._incidents.values() if i.state is not IncidentState.RESOLVED]
        return sorted(found, key=lambda incident: (incident.opened_at, incident.id))

    def find(self, prefix: str) -> list[Incident]:
        found = [copy.deepcopy(i) for i in self._incidents.values() if i.id.startswith(prefix)]
        return sorted(found, key=lambda incident: (incident.opened_at, incident.id))

    def save(self, incident: Incident) -> Incident:
        if incident.state is not IncidentState.RESOLVED:
            self._require_only(incident)
        stored = replace(incident, cause=str(incident.cause), detail=to_json(incident.detail))
        self._incidents[incident.id] = stored
        return incident

    def _require_only(self, incident: Incident) -> None:
        for other in self.unresolved(incident.model):
            same = (other.version, other.cause) == (incident.version, incident.cause)
            if same and other.id != incident.id:
                raise ConflictError(
                    f"incident {other.id} of {incident.model}@{incident.version} ({incident.cause}) is open",
                    hint="update that one, or resolve it first",
                )
