"""Any worker answers for all: sums that never fall, gauges of the living."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from steward.serving.process.slots import Slot, claim
from steward.serving.telemetry.shared_metrics import SharedMetrics

ADDRESS = "127.0.0.1:8000"


class Worker:
    def __init__(self, root: Path, address: str = ADDRESS) -> None:
        registry = CollectorRegistry()
        self.asked = Counter("asked", "Asked", ["model"], registry=registry)
        self.seconds = Histogram("seconds", "Time", registry=registry, buckets=(1,))
        self.pending = Gauge("pending", "Pending", registry=registry)
        self.epoch = Gauge("steward_route_epoch", "Epoch", registry=registry)
        self.slot: Slot = claim(root)
        self.shared = SharedMetrics(registry, self.slot, address)

    def figures(self) -> dict[str, float]:
        lines = [line for line in self.shared.text().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_whoever_is_asked_tells_the_sum(tmp_path: Path) -> None:
    one, other = Worker(tmp_path), Worker(tmp_path)
    for worker, times in ((one, 2), (other, 3)):
        worker.asked.labels("m").inc(times)
        worker.seconds.observe(0.5)
        worker.pending.set(times)
        worker.epoch.set(times)
        worker.shared.save()
    assert one.figures() == other.figures()
    said = one.figures()
    assert said['asked_total{model="m"}'] == 5
    assert (said['seconds_bucket{le="1.0"}'], said["seconds_count"], said["seconds_sum"]) == (2, 2, 1.0)
    assert said["pending"] == 5
    assert said["steward_route_epoch"] == 2, "in force is what the last of them has"


def test_what_a_dead_worker_counted_stays_and_what_it_had_does_not(tmp_path: Path) -> None:
    one, dead = Worker(tmp_path), Worker(tmp_path)
    dead.asked.labels("m").inc(3)
    dead.pending.set(7)
    dead.shared.save()
    dead.slot.release()
    assert one.figures()['asked_total{model="m"}'] == 3
    assert one.figures()["pending"] == 0
    again = Worker(tmp_path)
    assert again.slot.folder == dead.slot.folder
    again.asked.labels("m").inc()
    again.shared.save()
    assert one.figures()['asked_total{model="m"}'] == again.figures()['asked_total{model="m"}'] == 4


def test_a_server_that_begins_alone_begins_at_zero(tmp_path: Path) -> None:
    before = [Worker(tmp_path), Worker(tmp_path)]
    for worker in before:
        worker.asked.labels("m").inc()
        worker.shared.save()
        worker.slot.release()
    assert 'asked_total{model="m"}' not in Worker(tmp_path).figures()


def test_servers_of_another_address_are_not_counted(tmp_path: Path) -> None:
    here, there = Worker(tmp_path), Worker(tmp_path, "127.0.0.1:9000")
    there.asked.labels("m").inc()
    there.shared.save()
    assert 'asked_total{model="m"}' not in here.figures()


def test_a_file_that_is_broken_is_nothing(tmp_path: Path) -> None:
    here, there = Worker(tmp_path), Worker(tmp_path)
    there.shared.save()
    (there.slot.folder / "metrics.json").write_bytes(b"{")
    assert here.figures()["pending"] == 0
