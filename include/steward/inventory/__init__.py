"""Six stages of a life, the record of every model, and what does not fit together."""

from steward.inventory.archive import ArchiveStore
from steward.inventory.estate import MissingChampion, ServedEstate, ServedVersion, ServerStanding, TriedVersion

__all__ = [
    "ArchiveStore",
    "MissingChampion",
    "ServedEstate",
    "ServedVersion",
    "ServerStanding",
    "TriedVersion",
]
