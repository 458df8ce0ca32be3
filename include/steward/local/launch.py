"""Bringing services up side by side, and taking them down in order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Event

from steward.local.errors import ServiceError
from steward.local.service import AbandonedError, Migration, Progress, Service, StackEvent, State

POLL_SECONDS = 0.1


class Reporter:
    """Tells the caller what happens, with the time since its creation."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._began = time.monotonic()

    def tell(self, service: str, state: State, detail: str = "") -> None:
        self._progress(StackEvent(service, state, timedelta(seconds=time.monotonic() - self._began), detail))


class Launch:
    """Brings steps up, each as soon as those it needs are ready.

    When one fails, or the caller is interrupted, the rest is abandoned and every service that was not there
    before is ended again; the first failure is raised.
    """

    def __init__(self, steps: Sequence[Service | Migration], reporter: Reporter) -> None:
        self._steps = steps
        self._reporter = reporter
        self._ready = {step.name: Event() for step in steps}
        self._abandoned = Event()
        self._found_running = {step.name for step in steps if isinstance(step, Service) and step.process()}

    def run(self) -> None:
        for step in self._steps:
            self._reporter.tell(step.name, State.WAITING)
        try:
            with ThreadPoolExecutor(max_workers=len(self._steps)) as pool:
                self._watch([pool.submit(self._bring_up, step) for step in self._steps])
        except BaseException:
            stop_all(self._started_here(), self._reporter)
            raise

    def _watch(self, futures: list[Future[None]]) -> None:
        """Wait in short turns, so that Ctrl-C is noticed, until all are up or one has failed."""
        pending = set(futures)
        try:
            while pending:
                ended, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
        except BaseException:
            self._abandoned.set()
            raise

    def _bring_up(self, step: Service | Migration) -> None:
        self._await_needs(step)
        try:
            step.bring_up(self._abandoned, lambda state, detail: self._reporter.tell(step.name, state, detail))
        except AbandonedError:
            raise
        except Exception:
            self._reporter.tell(step.name, State.FAILED, f"see {step.log}")
            raise
        self._ready[step.name].set()

    def _await_needs(self, step: Service | Migration) -> None:
        for need in step.needs:
            while need in self._ready and not self._ready[need].wait(POLL_SECONDS):
                if self._abandoned.is_set():
                    raise AbandonedError(f"{step.name} was not started")

    def _started_here(self) -> list[Service]:
        return [step for step in self._steps if isinstance(step, Service) and step.name not in self._found_running]


def stop_all(services: Iterable[Service], reporter: Reporter) -> list[str]:
    """End the running ones side by side, PostgreSQL after those that write to it. Their names."""
    running = [service for service in services if service.process() or service.spec.adopt()]
    last = [service for service in running if service.name == "postgres"]
    for group in ([service for service in running if service not in last], last):
        if group:
            with ThreadPoolExecutor(max_workers=len(group)) as pool:
                list(pool.map(lambda service: _stop(service, reporter), group))
    return [service.name for service in running]


def _stop(service: Service, reporter: Reporter) -> None:
    reporter.tell(service.name, State.STOPPING)
    clean = service.take_down()
    reporter.tell(service.name, State.STOPPED, "" if clean else "had to be killed")
    if service.process() is not None:
        raise ServiceError.of(service.name, "does not end, not even when killed", service.log)
