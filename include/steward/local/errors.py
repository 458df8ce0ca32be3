"""What can go wrong with the embedded stack.

StewardError
├── ServiceError        a service did not become healthy, or ended; carries the end of its log
├── BrokenHomeError     the stack's folder holds something this version cannot take over
└── ConflictError
    ├── PortInUseError      a port that was asked for by name belongs to somebody else
    ├── StackBusyError      another `up` or `stop` is at work on the same folder
    └── OtherVersionError   the running stack was started by another version of Steward
"""

from __future__ import annotations

from pathlib import Path

from steward.errors import ConflictError, StewardError

SHOWN_LINES = 15


class ServiceError(StewardError):
    @classmethod
    def of(cls, service: str, what: str, log: Path, *, hint: str | None = None) -> ServiceError:
        """An error that shows the last lines of the service's log and says where the rest is."""
        lines = last_lines(log, SHOWN_LINES)
        shown = "\n".join(f"    {line}" for line in lines) or "    (the log is empty)"
        return cls(f"{what}. The end of {log}:\n{shown}", where=service, hint=hint or f"read the whole log: {log}")


class BrokenHomeError(StewardError):
    pass


class PortInUseError(ConflictError):
    pass


class StackBusyError(ConflictError):
    pass


class OtherVersionError(ConflictError):
    pass


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a text file; empty if there is no such file. Reads at most its last 16 KiB."""
    if not log.exists():
        return []
    with log.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 16_384))
        return stream.read().decode(errors="replace").splitlines()[-count:]
