"""The boundary around a model's own code: its faults become one error that names file and line.

`model.py` is the team's code and runs with the team's rights; the boundary keeps its mistakes from looking like
Steward's, and its endless loops from holding a worker.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from steward.errors import ModelCodeError, StewardError
from steward.types import digest_of

IMPORT_LIMIT = timedelta(seconds=30)


class _Overrun(BaseException):
    """Not an Exception, so that model code cannot swallow it."""


@contextmanager
def time_limit(limit: timedelta, what: str) -> Iterator[None]:
    """Raise ModelCodeError when the block runs longer than `limit` (main thread only; elsewhere no limit).

    An outer alarm (Airflow's execution timeout) keeps what is left of its time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def overrun(signum: int, frame: FrameType | None) -> None:
        raise _Overrun

    previous = signal.signal(signal.SIGALRM, overrun)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, limit.total_seconds())
    try:
        yield
    except _Overrun:
        raise ModelCodeError(
            f"{what} was still running after {limit.total_seconds():.0f} s",
            hint="look for a loop or a download; training may be given more time with training.time_limit",
        ) from None
    finally:
        spent = limit.total_seconds() - signal.setitimer(signal.ITIMER_REAL, 0)[0]
        signal.signal(signal.SIGALRM, previous)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - spent, 0.001))


class ModelCode:
    """The functions of one model.py. Imported on first use, under a name of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._module: ModuleType | None = None

    def call(self, reference: str, *args: Any, limit: timedelta) -> Any:
        """Call `model:FUNCTION`. Raises ModelCodeError for a missing function, an exception or an overrun."""
        function = self._function(reference)
        return self.invoke(f"{reference} in {self.path.name}", lambda: function(*args), limit)

    def invoke(self, doing: str, function: Callable[[], Any], limit: timedelta) -> Any:
        """Run something that calls into the model's code (fitting, say) inside the same boundary."""
        with self._blamed(doing), time_limit(limit, f"{doing} ({self.path})"):
            return function()

    def _function(self, reference: str) -> Callable[..., Any]:
        name = reference.removeprefix("model:")
        function = getattr(self._load(), name, None)
        if not callable(function):
            raise ModelCodeError(
                f"there is no function {name}()",
                where=str(self.path),
                hint=f"define it, or change {reference!r} in model.yaml",
            )
        return function

    def _load(self) -> ModuleType:
        if self._module is None:
            name = f"steward_model_{digest_of(str(self.path.resolve()))[:16]}"
            spec = importlib.util.spec_from_file_location(name, self.path)
            if spec is None or spec.loader is None or not self.path.exists():
                raise ModelCodeError(
                    "there is no model.py",
                    where=str(self.path),
                    hint="`steward init` writes one to start from",
                )
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                with self._blamed("importing it"), time_limit(IMPORT_LIMIT, f"importing {self.path}"):
                    spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(name, None)
                raise
            self._module = module
        return self._module

    @contextmanager
    def _blamed(self, doing: str) -> Iterator[None]:
        try:
            yield
        except StewardError:
            raise
        # A model that calls sys.exit() must not end the worker, with whatever exit code it chose.
        except (Exception, SystemExit) as error:
            raise ModelCodeError(
                f"{doing} raised {type(error).__name__}: {error}",
                where=self._place(error),
                hint="mend the model's code; `steward check` and a run of the function in a shell show it too",
            ) from error

    def _place(self, error: BaseException) -> str:
        """The deepest line of the model's own file in the traceback."""
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            return f"{self.path}:{error.lineno}"
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self.path)]
        return f"{self.path}:{frames[-1].lineno}" if frames else str(self.path)
