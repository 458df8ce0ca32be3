"""What is said when a store takes nothing: only whoever runs it can make room or give rights."""

from __future__ import annotations

from steward.errors import UnavailableError


def refused(what: str, error: Exception, where: str) -> UnavailableError:
    """`what` was to be stored at `where`."""
    hint = "check the space left and the rights on STEWARD_STORAGE"
    return UnavailableError(f"the store refuses {what}: {error}", where=where, hint=hint)
