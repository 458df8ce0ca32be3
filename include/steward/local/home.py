"""`$STEWARD_HOME`: where everything of the embedded stack lives, and what it remembers between two starts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from steward.local.errors import BrokenHomeError

STATE_FORMAT = 1


@dataclass(frozen=True)
class Home:
    """The layout of the folder. Nothing below it is shared with other users: it is created with mode 0700."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> Home:
        return cls(Path(root).expanduser().resolve())

    @property
    def state(self) -> Path:
        return self.root / "stack.json"

    @property
    def lock(self) -> Path:
        return self.root / "stack.lock"

    @property
    def env_file(self) -> Path:
        return self.root / "steward.env"

    @property
    def calendar(self) -> Path:
        """The replayed date, where this home is a replay."""
        return self.root / "calendar"

    @property
    def ledger_key(self) -> Path:
        return self.root / "ledger.key"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def passwords(self) -> Path:
        return self.airflow / "passwords.json"

    @property
    def artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def log(self, service: str) -> Path:
        return self.root / "logs" / f"{service}.log"

    def pid_file(self, service: str) -> Path:
        return self.root / "run" / f"{service}.json"

    def ready_file(self, service: str) -> Path:
        """There while a service that was ready once is not being stopped: its keeper starts it again."""
        return self.root / "run" / f"{service}.ready"

    def schema_file(self, database: str) -> Path:
        """Which release the database was migrated to. Beside the data, so that deleting the data deletes it
        too.
        """
        return self.postgres / f"{database}.schema"

    def create(self) -> None:
        """Make the folders that are missing; what exists is left as it is."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("logs", "run", "postgres", "airflow", "mlflow-artifacts", "storage", "reports"):
            (self.root / folder).mkdir(mode=0o700, exist_ok=True)


@dataclass(frozen=True)
class StackState:
    """What a second `up` must agree with the first on."""

    ports: dict[str, int] = field(default_factory=dict)
    format: int = STATE_FORMAT


def read_state(home: Home) -> StackState:
    """The remembered state, or an empty one. Raises BrokenHomeError when the file cannot be used."""
    if not home.state.exists():
        return StackState()
    found = read_json(home.state)
    if found.get("format") != STATE_FORMAT:
        raise BrokenHomeError(
            f"format {found.get('format')!r} is not {STATE_FORMAT}, the one this version of Steward writes",
            where=str(home.state),
            hint="use the version of Steward that made this folder, or choose another STEWARD_HOME",
        )
    try:
        return StackState(ports={str(name): int(port) for name, port in found["ports"].items()})
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise _unreadable(home.state, repr(error)) from error


def write_state(home: Home, state: StackState) -> None:
    write_private(home.state, json.dumps(asdict(state), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises BrokenHomeError for anything else."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(found, dict):
        raise _unreadable(path, f"expected an object, found {type(found).__name__}")
    return found


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only: no reader sees half of it or a wider mode."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    partial.replace(path)


def _unreadable(path: Path, why: str) -> BrokenHomeError:
    return BrokenHomeError(
        f"not readable: {why}",
        where=str(path),
        hint="move the file away; it is written again on the next start (databases and models are not in it)",
    )
