"""Immutable snapshots of data windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Snapshot:
    """Names exactly one set of rows: a Delta table, its version, and the digest of the rows (order matters)."""

    table: str
    version: int
    digest: str
    rows: int
    window: Window

    def to_json(self) -> JsonObject:
        return {
            "table": self.table,
            "version": self.version,
            "digest": self.digest,
            "rows": self.rows,
            "window": self.window.to_json(),
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Snapshot:
        return cls(**{**value, "window": Window.from_json(value["window"])})


class SnapshotStore(Protocol):
    def write(self, model: str, window: Window, frame: pd.DataFrame) -> Snapshot:
        """Store the rows; the same rows for the same window give back the snapshot that is there.

        Raises DataError for a column that has no table form, ConflictError while others keep writing the same table.
        """
        ...

    def read(self, snapshot: Snapshot, columns: list[str] | None = None) -> pd.DataFrame:
        """Raises IntegrityError when a full read does not match the digest, NotFoundError when the table is gone."""
        ...


class DataValidator(Protocol):
    """Judges a frame against the contract of a spec (Great Expectations behind it)."""

    def validate(self, contract: JsonObject, frame: pd.DataFrame) -> JsonObject:
        """→ {"success", "results": [{"expectation", "column", "success", "observed", "unexpected_share", "limit"}]}

        One result per line of the table in `steward.data.contract`, for each column it is about.
        """
        ...
