"""The last routing table on disk: what a server starts from while the control plane is away."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from steward.errors import UnavailableError
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef, format_instant, parse_instant

if TYPE_CHECKING:
    from steward.serving.routing.routing_table import ActiveRoute

log = logging.getLogger(__name__)

_OF_VERSIONS = ("artefacts", "references", "specs")


class SavedTable:
    """One JSON file, replaced in one step. A file that cannot be read is as good as none, and says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = self._read()

    def routes(self) -> list[Route]:
        return [_route(value) for value in self._kept["routes"]]

    def digest(self, ref: VersionRef) -> str:
        """Of a version's artefact, as the ledger last said. Raises UnavailableError for one never served here."""
        if found := self._kept["artefacts"].get(str(ref)):
            return str(found)
        raise UnavailableError("the control plane is away and this server never served it", where=str(ref))

    @property
    def digests(self) -> set[str]:
        """Of the artefacts that a start without the control plane needs."""
        return set(self._kept["artefacts"].values())

    def reference(self, ref: VersionRef) -> JsonObject | None:
        found: JsonObject | None = self._kept["references"].get(str(ref))
        return found

    def spec(self, ref: VersionRef) -> ModelSpec | None:
        """The one the version was served by; None when it never was, or by a release whose specs read otherwise."""
        from pydantic import ValidationError

        kept = self._kept["specs"]
        try:
            return ModelSpec.model_validate(kept.get(str(ref)) or kept[ref.model])  # by model in older tables
        except (KeyError, ValidationError):
            return None

    @property
    def closed(self) -> dict[str, str]:
        """Models that were switched off for good, and why: a server that starts alone refuses them just the same."""
        return dict(self._kept["closed"])

    def save(self, active: Iterable[ActiveRoute], closed: Mapping[str, str]) -> None:
        """What the table kept of a model or version that is still on its way in stays: a server that starts without the
        control plane puts them in force one after the other. A full disk must not stop traffic: failing to save is
        logged."""
        served, before = list(active), self._kept
        loaded = [version for item in served for version in item.loaded]
        waiting = [route for route in self.routes() if route.model not in {*closed, *(s.route.model for s in served)}]
        routes = [*(item.route for item in served), *waiting]
        named = {str(VersionRef(route.model, number)) for route in routes for number in route.versions}
        named |= {route.model for route in waiting}  # specs are by model in older tables
        still = {kind: {name: one for name, one in before[kind].items() if name in named} for kind in _OF_VERSIONS}
        references = {str(version.ref): version.reference for version in loaded if version.reference}
        self._kept = {
            "routes": [_plain(route) for route in routes],
            "artefacts": still["artefacts"] | {str(version.ref): version.digest for version in loaded},
            "references": still["references"] | references,
            "closed": dict(closed),
            "specs": still["specs"] | {str(v.ref): v.spec.model_dump(mode="json") for v in loaded},
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            partial.write_bytes(orjson.dumps(self._kept, option=orjson.OPT_INDENT_2))
            partial.replace(self.path)
        except OSError as error:
            log.warning("the routing table was not saved: %s", error)

    def _read(self) -> JsonObject:
        empty: JsonObject = {"routes": [], "artefacts": {}, "references": {}, "specs": {}, "closed": {}}
        try:
            kept = orjson.loads(self.path.read_bytes())
            for value in kept["routes"]:
                _route(value)  # one that cannot be read spoils the file
            return {**empty, **kept}
        except FileNotFoundError:
            return empty
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the saved routing table %s cannot be read and is left aside: %s", self.path, error)
            return empty


def _plain(route: Route) -> JsonObject:
    return {**vars(route), "updated_at": format_instant(route.updated_at)}


def _route(value: JsonObject) -> Route:
    return Route(**{**value, "updated_at": parse_instant(value["updated_at"])})
