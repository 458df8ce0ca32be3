"""Six stages of a life, the record of every model, and what does not fit together."""

from steward.inventory.estate import ServedEstate, ServedVersion

__all__ = ["ServedEstate", "ServedVersion"]
