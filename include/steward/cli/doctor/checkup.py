"""All probes side by side, each bounded in time; whatever one of them raises is its finding."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from steward.cli.doctor import files, floors, machine, record, services, written
from steward.cli.doctor.finding import Finding, Level, fail, ok
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around

TOGETHER = 15.0  # seconds for all of them


class Check(NamedTuple):
    """What `look` yields before it raises, or before the time is up, stays."""

    name: str
    about: str
    look: Callable[[Around], Iterator[Finding]]


def stack(around: Around) -> Iterator[Finding]:
    home = around.settings.home
    if around.has_stack:
        yield ok(f"settings name a database; home is {home}")
    else:
        said = f"nothing was started from here: {home / 'steward.env'} does not name a database"
        yield fail(said, "`make up` starts everything; or run from the project's folder, or set STEWARD_DATABASE_URL")


CHECKS = (
    Check("stack", "something was started, or is named by the settings", stack),
    Check("python", "a Python that was tried", floors.python),
    Check("versions", "no package below a safe floor", floors.versions),
    Check("threads", "OMP_NUM_THREADS", machine.threads),
    Check("disk", "space at home, storage, archive and logs", machine.disk),
    Check("ports", "the ports of the stack: its own, free, or somebody else's", machine.ports),
    Check("database", "reached, migrated, guarded; nothing stuck in its outbox", record.database),
    Check("clock", "this machine, the database and Airflow agree on the time", record.clocks),
    Check("mlflow", "reached, of the release installed here", services.mlflow),
    Check("airflow", "reached, every part alive, the log-in good, nothing paused", services.airflow),
    Check("servers", "every model server ready", services.servers),
    Check("ledger key", "there, of the right form, its owner's alone", files.key),
    Check("checkpoint", "of the last two days", files.checkpoint),
    Check("prediction log", "can be written", files.prediction_log),
    Check("files", "settings and passwords are their owner's alone", files.settings_files),
    Check("settings", "none that opens a door", written.settings),
    Check("specs", "specs, policy and stages without a fault", written.specs),
    Check("notifications", "rules that can be read, and a channel that reaches people", written.notifications),
)


@dataclass
class Probe:
    """One check under way, in a thread that does not keep the command from ending."""

    check: Check
    found: list[Finding] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def begin(self, around: Around) -> None:
        threading.Thread(target=self._look, args=(around,), name=f"doctor {self.check.name}", daemon=True).start()

    def _look(self, around: Around) -> None:
        try:
            for each in self.check.look(around):
                self.found.append(each)
        except Exception as error:  # noqa: BLE001 - a probe that breaks is a finding, whatever it raised
            self.found.append(_of_error(error))
        finally:
            self.done.set()

    def findings(self, until: float) -> list[Finding]:
        if self.done.wait(max(0.0, until - time.monotonic())):
            return list(self.found)
        late = fail("it did not answer in time", "see whether its host and network answer at all; then look again")
        return [*self.found, late]


def look(around: Around, checks: Sequence[Check] = CHECKS, within: float = TOGETHER) -> list[JsonObject]:
    """Every finding with the name of its check, in the order of the checks."""
    probes, until = [Probe(check) for check in checks], time.monotonic() + within
    for probe in probes:
        probe.begin(around)
    return [{"check": each.check.name, **found.to_json()} for each in probes for found in each.findings(until)]


def _of_error(error: Exception) -> Finding:
    from steward.errors import StewardError

    if isinstance(error, StewardError):
        said = f"{error.where}: {error.what}" if error.where else error.what
        return Finding(Level.FAIL, said, error.hint or "run the command again with --debug")
    return Finding(Level.FAIL, f"{type(error).__name__}: {error}", "report this: the probe itself broke")
