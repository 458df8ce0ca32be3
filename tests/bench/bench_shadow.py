"""What a shadow costs the users it copies: none, one as quick as the champion, and one a hundred times slower."""

from __future__ import annotations

import statistics
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.bench.served_pipeline import MODEL, fitted, made_frame, save, tensors
from tests.bench.server_process import Measured, Server, free_port, running

pytestmark = [pytest.mark.bench, pytest.mark.timeout(180)]

ROUNDS, SECONDS, CONNECTIONS = 3, 1.5, 8
INFER = f"/v2/models/{MODEL}/infer"
KINDS = {"alone": "no shadow", "twin": "a shadow as quick as the champion", "slow": "a shadow by scikit-learn"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Server]]:
    frame = made_frame()
    model = fitted(frame)
    save(model, tmp_path / "plain", twin=False)
    save(model, tmp_path / "twinned", twin=True)
    bodies = [tensors(frame.iloc[[place]]) for place in range(200)]
    (tmp_path / "bodies").write_bytes(b"\n".join(bodies))
    with ExitStack() as stack:
        started = {}
        for kind in KINDS:
            port = free_port()
            command = [sys.executable, "-m", "tests.bench.shadow_process", kind, str(port), str(tmp_path)]
            server = running(command, port, INFER, bodies[0], tmp_path / f"{kind}.out")
            started[kind] = stack.enter_context(server)
        yield started


def test_a_shadow_beside_one_row_requests(report: Report, servers: dict[str, Server], tmp_path: Path) -> None:
    found: dict[str, list[Measured]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, server in servers.items():
            found[kind].append(server.asked(tmp_path / "bodies", SECONDS, CONNECTIONS))
    middle = {
        kind: Measured(*map(statistics.median, zip(*map(astuple, all_), strict=True))) for kind, all_ in found.items()
    }
    alone = middle["alone"]
    rates = [
        Figure(
            KINDS[kind], each.per_second, f"a second; p50 {each.p50 * 1e3:.2f} ms", each.per_second / alone.per_second
        )
        for kind, each in middle.items()
    ]
    tails = [Figure(f"p99, {KINDS[kind]}", each.p99 * 1e3, "ms", each.p99 / alone.p99) for kind, each in middle.items()]
    costs = [
        Figure(f"CPU, {KINDS[kind]}", each.cpu * 1e6, "µs a request", each.cpu / alone.cpu)
        for kind, each in middle.items()
    ]
    shares = [Figure(f"mirrored, {KINDS[kind]}", 100 * mirrored(servers[kind]), "%") for kind in ("twin", "slow")]
    figures = (*rates, *tails, *costs, *shares)
    report.table("One-row requests beside a shadow, 8 connections", KINDS["alone"], *figures)
    assert mirrored(servers["slow"]) > 0


def mirrored(server: Server) -> float:
    """The share of the champion's requests that the shadow was asked too."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()

    def asked(role: str) -> float:
        counts = [line for line in lines if line.startswith("steward_requests_total{") and f'role="{role}"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counts)

    return asked("shadow") / asked("champion")
