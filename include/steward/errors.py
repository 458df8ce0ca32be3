"""One error tree. A message says what is wrong, where, and what to do next; doors map classes to exit codes and HTTP.

StewardError
├── SpecError          a model.yaml or policy that cannot be accepted (all faults at once)
├── DataError          a window, snapshot or table that cannot be used
├── ModelCodeError     the model's own code raised, looped or returned the wrong thing
├── PolicyError        refused by policy: right request, wrong person, time or evidence
├── ConflictError      somebody else changed the state first, or an idempotency key was reused
├── NotFoundError      no such model, version, evidence, request
├── IntegrityError     digest or hash chain does not match: something was altered
├── RequestError       a request to the model server that cannot be answered
└── UnavailableError   a service is away; try again
"""

from __future__ import annotations


class StewardError(Exception):
    """Base of every error Steward raises on purpose.

    `exit_code` is what the command line ends with: 1 failed, 2 usage, 3 refused by policy, 4 conflict, 5 not found,
    75 try again.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.hint:
            parts.append(f"→ {self.hint}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders (workers, subprocess training) with their fields intact."""
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(kind: type[StewardError], what: str, where: str | None, hint: str | None) -> StewardError:
    return kind(what, where=where, hint=hint)


class SpecError(StewardError):
    exit_code = 2


class DataError(StewardError):
    pass


class ModelCodeError(StewardError):
    pass


class PolicyError(StewardError):
    exit_code = 3


class ConflictError(StewardError):
    exit_code = 4


class NotFoundError(StewardError):
    exit_code = 5


class IntegrityError(StewardError):
    pass


class RequestError(StewardError):
    exit_code = 2


class UnavailableError(StewardError):
    exit_code = 75
