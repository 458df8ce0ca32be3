"""Promotions, rollbacks and weight changes while requests come in: none fails, none is answered by a stranger."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serving.conftest import MODEL, ROW, Stack, at_epoch, make_estimator, make_spec, ready, tensors

pytestmark = pytest.mark.faults

CHANGES, ASKERS, VERSIONS = 100, 3, (1, 2, 3)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.stop()


def test_no_request_fails_while_routes_change(stack: Stack) -> None:
    for number in VERSIONS:
        stack.sources.register(make_spec(), number, make_estimator(flip=number == 2))
    routed = {1: {"1"}}
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start())
    answers: list[tuple[int, str]] = []
    done = threading.Event()

    def ask(worker: int) -> None:
        while not done.is_set():
            response = client.post(f"/v2/models/{MODEL}/infer", json=tensors(ROW, key=str(random.random())))
            answers.append((response.status_code, response.json().get("model_version", response.text)))

    askers = [threading.Thread(target=ask, args=(worker,)) for worker in range(ASKERS)]
    for asker in askers:
        asker.start()
    for _ in range(CHANGES):
        champion, canary = random.sample(VERSIONS, 2)
        route = stack.sources.route(MODEL, champion, canary, random.choice([0, 5, 50, 100]))
        routed[route.epoch] = {str(champion), str(canary)}
        time.sleep(0.03)
    at_epoch(client, CHANGES + 1)
    done.set()
    for asker in askers:
        asker.join()
    assert len(answers) > CHANGES
    assert {status for status, _ in answers} == {200}
    rows = stack.logged()
    assert len(rows) == len(answers)
    assert all(str(version) in routed[epoch] for version, epoch in zip(rows["version"], rows["epoch"], strict=True))
