"""Whichever worker is asked for metrics answers for all that share its address.

Each keeps what it has counted in its slot, written every second; a scrape adds the others' to its own. What a slot has
counted is carried on by the next process there, so that a sum never falls because a worker was killed. It may lag by
SAVE_SECONDS, and a kill may take as much. When no server is left, the next one begins at zero.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from steward.serving.process.slots import Slot

log = logging.getLogger(__name__)

SAVE_SECONDS = 1.0
_FILE = "metrics.json"
# Of all workers, not their sum: a table is in force when the last one has it, and one that is cut off is to be seen.
_LOWEST = frozenset(
    {"steward_route_epoch", "steward_route_percent", "steward_control_plane_up", "steward_prediction_log_up"}
)

Sample = tuple[str, tuple[tuple[str, str], ...]]


class Counts:
    """Families of samples, added up. `gauges` are of the living only."""

    def __init__(self) -> None:
        self._about: dict[str, tuple[str, str]] = {}
        self._samples: dict[str, dict[Sample, float]] = {}

    def add(self, families: Iterable[Metric], *, gauges: bool = True) -> None:
        for family in families:
            if family.type == "gauge" and not gauges:
                continue
            self._about[family.name] = (family.documentation, family.type)
            into = self._samples.setdefault(family.name, {})
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    key = (sample.name, tuple(sample.labels.items()))
                    into[key] = _together(family.name, into.get(key), sample.value)

    def collect(self) -> Iterator[Metric]:
        for name, (about, type_) in self._about.items():
            family = Metric(name, about, type_)
            for (sample, labels), value in self._samples[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family


def _together(family: str, one: float | None, other: float) -> float:
    if one is None:
        return other
    return min(one, other) if family in _LOWEST else one + other


class SharedMetrics:
    """`start` and `stop` by the server, `text` from any thread."""

    def __init__(self, registry: CollectorRegistry, slot: Slot, address: str) -> None:
        self._registry, self._slot, self._address = registry, slot, address
        if slot.alone:
            for folder in (slot.folder, *(folder for folder, _ in slot.others())):
                (folder / _FILE).unlink(missing_ok=True)
        self._carried = _read(slot.folder / _FILE, address)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(SAVE_SECONDS)

    def text(self) -> bytes:
        counts = self._own()
        for folder, alive in self._slot.others():
            counts.add(_read(folder / _FILE, self._address), gauges=alive)
        return bytes(generate_latest(counts))

    def save(self) -> None:
        partial = self._slot.folder / f"{_FILE}.partial"
        partial.write_bytes(
            orjson.dumps({"address": self._address, "families": list(map(_plain, self._own().collect()))})
        )
        partial.replace(self._slot.folder / _FILE)

    def _own(self) -> Counts:
        counts = Counts()
        counts.add(self._registry.collect())
        counts.add(self._carried, gauges=False)
        return counts

    def _keep(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(SAVE_SECONDS)
            try:
                self.save()
            except OSError as error:
                log.warning("the metrics of this worker cannot be shared: %s", error)


def _plain(family: Metric) -> dict[str, Any]:
    samples = [[sample.name, sample.labels, sample.value] for sample in family.samples]
    return {"name": family.name, "about": family.documentation, "type": family.type, "samples": samples}


def _read(path: Path, address: str) -> list[Metric]:
    """What a slot has counted for this address; nothing when it never did."""
    kept: Any = {}
    with suppress(OSError, orjson.JSONDecodeError):
        kept = orjson.loads(path.read_bytes())
    return [_family(plain) for plain in kept["families"]] if kept.get("address") == address else []


def _family(plain: dict[str, Any]) -> Metric:
    family = Metric(plain["name"], plain["about"], plain["type"])
    for name, labels, value in plain["samples"]:
        family.add_sample(name, labels, value)
    return family
