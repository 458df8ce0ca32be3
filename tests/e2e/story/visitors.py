"""Who asks the model server while a story is told, and what they were answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np

MODEL = "lamps"
LANES = 2
PAUSE = 0.02


class Visitors:
    """Ask one by one through `asking()`, or a day at a time with known outcomes. What is not answered is counted."""

    def __init__(self, server: str) -> None:
        self.url = f"{server}/v2/models/{MODEL}"
        self.answers: Counter[tuple[str, str]] = Counter()
        self.failures: list[str] = []
        self._http = httpx.Client(base_url=server, timeout=30, trust_env=False)
        self._draw = np.random.default_rng(7)
        self._lock = threading.Lock()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Requests come in all the time the block takes."""
        enough = threading.Event()
        lanes = [threading.Thread(target=self._ask_until, args=(enough,)) for _ in range(LANES)]
        for lane in lanes:
            lane.start()
        try:
            yield
        finally:
            enough.set()
            for lane in lanes:
                lane.join()

    def ready(self) -> bool:
        return self._http.get(f"{self.url}/ready").status_code == 200

    def version(self) -> str:
        """Which version answers a visitor now."""
        return str(self._post("infer", request([0.5]))["model_version"])

    def stored(self) -> bool:
        """Whether every answer so far is in the prediction log."""
        return "steward_prediction_log_pending_rows 0.0" in self._http.get("/metrics").text

    def live_a_bad_day(self, day: datetime, lamps: int = 60) -> None:
        """Answers of that day turn out the other way round."""
        with self._lock:
            flicker = self._draw.normal(size=lamps)
        names = [f"{day:%Y%m%d}-{place}" for place in range(lamps)]
        body = request(flicker.tolist())
        body["parameters"] = {"decision_ids": names, "source": "workshop"}
        self._post("infer", body)
        seen = (day + timedelta(days=1)).isoformat()
        labels = (flicker < np.quantile(flicker, 0.2)).astype(float)
        outcomes = [
            {"decision_id": name, "label": label, "observed_at": seen}
            for name, label in zip(names, labels.tolist(), strict=True)
        ]
        assert self._post("outcomes", {"outcomes": outcomes}) == {"stored": lamps}

    def _ask_until(self, enough: threading.Event) -> None:
        while not enough.is_set():
            with self._lock:
                flicker = float(self._draw.normal())
            self._ask(request([flicker]))
            time.sleep(PAUSE)

    def _ask(self, body: dict[str, Any]) -> None:
        try:
            answer = self._post("infer", body)
        except (httpx.HTTPError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        with self._lock:
            self.answers[answer["model_version"], answer["parameters"]["role"]] += 1

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._http.post(f"{self.url}/{path}", json=body)
        assert response.status_code == 200, f"{response.status_code}: {response.text}"
        return response.json()


def request(flicker: list[float]) -> dict[str, Any]:
    return {"inputs": [{"name": "flicker", "shape": [len(flicker)], "datatype": "FP64", "data": flicker}]}
