"""What was served and what became of it: the two tables that monitoring and canary analysis read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from steward.types import JsonObject, Role, Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Columns of the prediction log beside one `f_<feature>` column per declared feature, and one `g_<column>` per protected
# column that is no feature. One row per answered row.
PREDICTION_COLUMNS = {
    "decision_id": "string",  # names the answer; outcomes come back under it
    "request_key": "string",  # what the sticky split hashes
    "version": "int32",
    "role": "string",  # champion | canary | shadow | tester
    "epoch": "int64",  # of the routing table that routed it
    "at": "timestamp[us, tz=UTC]",  # business time of the answer
    "recorded_at": "timestamp[us, tz=UTC]",  # wall clock
    "latency_ms": "float64",  # of the model call and its checks, per request
    "error": "string",  # null when answered by this version; else the kind of failure
    "score": "float64",  # probability of the positive class, or the predicted value, or the number of the class
    "source": "string",  # who asked, if they said
    "subject": "string",  # keyed hash of the person it is about, if the request named one; never the name itself
}
PROBABILITIES = "probabilities"
"""A column that tables of multiclass models have besides, list<float64>: of every class, in the order of the spec's
`data.label.classes`. Null where there is no answer; tables of earlier releases and of other models go without."""
OUTCOME_COLUMNS = {
    "decision_id": "string",
    "label": "float64",  # of a multiclass model the number of the class, in the same order, from 0
    "observed_at": "timestamp[us, tz=UTC]",
    "recorded_at": "timestamp[us, tz=UTC]",
    "value": "float64",  # the business's own number of it, if it was told: revenue, minutes saved, less the cost
}
# What `batches` adds of the outcome of each answer: how often one was `told`, and how many different labels.
JOINED_COLUMNS = ("label", "value", "observed_at", "told", "labels_told")
# What `arm` and `pairs` tell of each decision.
ARM_COLUMNS = ("version", "role", "error", "latency_ms", "score", "label")
PAIR_COLUMNS = (
    "decision_id",
    "version_champion",
    "version_shadow",
    "score_champion",
    "score_shadow",
    "error_shadow",
    "latency_ms_shadow",
    "label",
)
# One row each: a decision that a version answered twice in one role (a caller's second try) counts once.
ANSWER_KEY = ("decision_id", "version", "role")
USERS = (Role.CHAMPION, Role.CANARY)
"""Roles that answer users. A tester's answers and the copies of a shadow are no traffic of an arm."""


@dataclass(frozen=True)
class Traffic:
    """Who really called a model. `last_at` is business time; counts are of rows asked about, by version, by source."""

    requests: int
    last_at: datetime | None
    versions: dict[int, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)


class PredictionWriter(Protocol):
    """The way in: what a model server holds."""

    def append(self, model: str, rows: pa.Table) -> None:
        """Columns of PREDICTION_COLUMNS and `f_…`: all rows become readable at once, or UnavailableError."""
        ...

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        """OUTCOME_COLUMNS. On the disk when it returns. Raises UnavailableError."""
        ...

    def rotate(self) -> None:
        """Called every flush interval: hands on to upkeep what was held open for long enough, or is asked for."""
        ...


class PredictionReader(Protocol):
    """The way out. Every read sees what was appended before it began; an absent table is an empty frame.

    Rows come in the order of `recorded_at`; of one decision, version and role the newest counts.
    """

    def served(
        self, model: str, window: Window, columns: list[str] | None = None, roles: Sequence[Role] = USERS
    ) -> pd.DataFrame:
        """Rows with `at` in the window, outcomes joined as `label` and `value` (NaN when unknown).

        A later outcome for the same decision replaces an earlier one.
        """
        ...

    def arm(self, model: str, epoch: int, since: datetime, roles: Sequence[Role] = USERS) -> pd.DataFrame:
        """ARM_COLUMNS of rows answered under routing epoch >= `epoch` and recorded after `since`.

        `label` is NaN while no outcome is known. Ask for Role.SHADOW to see the copies; testers are left out unless
        asked for.
        """
        ...

    def pairs(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        """PAIR_COLUMNS: one row per decision that the champion answered and the shadow was asked too.

        `score_shadow` is NaN where the shadow failed: `error_shadow` then says how. `label` is NaN while unknown.
        """
        ...

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        """The newest row that answered a user, its logged features as `f_<feature>`, None where missing.

        None: not known."""
        ...

    def outcomes_since(self, model: str, observed_from: datetime) -> pd.DataFrame:
        """OUTCOME_COLUMNS as they came, corrected ones beside what they correct."""
        ...

    def traffic(self, model: str, since: datetime) -> Traffic:
        """Rows with `at` from `since` on, a shadow's copies left out. Reads few columns of the days it needs."""
        ...


class RowReader(Protocol):
    """The way out of whole days, for what is counted: in memory that does not grow with the columns."""

    def batches(
        self,
        model: str,
        window: Window,
        columns: Sequence[str] | None = None,
        roles: Sequence[Role] = USERS,
        version: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `served`, in no order, with JOINED_COLUMNS of the outcome recorded last, null without one.

        Columns that the log does not have are left out; batches need not be alike. Raises UnavailableError when rows
        are erased while they are read.
        """
        ...

    def days_told(self, model: str, since: datetime, first: date) -> set[date]:
        """UTC days, from `first` on, with a decision whose outcome was recorded after `since`: to be counted again."""
        ...


@dataclass(frozen=True)
class Upkeep:
    """What maintenance did to one model's tables, in rows; `orphans` are outcomes of decisions nobody knows."""

    folded: int = 0
    expired: int = 0
    merged_files: int = 0
    orphans: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.folded or self.expired or self.merged_files)


@dataclass(frozen=True)
class Forgotten:
    """Rows that were erased. `held`: segments a server still has open; their rows are hidden, and go with the next
    maintenance."""

    predictions: int
    outcomes: int
    held: int = 0


class PredictionKeeper(Protocol):
    """Upkeep, beside any number of servers that go on writing. Each may be repeated and may be killed."""

    def maintain(self, model: str, keep_from: datetime, *, compact: bool = True) -> Upkeep:
        """Fold, delete what is older than the day of `keep_from`, merge small files (if `compact`)."""
        ...

    def forget(self, model: str, subject: str, recorded_until: datetime) -> Forgotten:
        """Erase a person's rows, recorded until then at least, with their outcomes, beyond the reach of time travel.

        `subject` is the keyed hash. Raises UnavailableError when the store refuses; asked again, it goes on.
        """
        ...


class WindowWriter(Protocol):
    """The way in of a batch target: a window at a time."""

    def replace_window(self, model: str, window: Window, version: int, rows: pa.RecordBatchReader, digest: str) -> bool:
        """Make `rows` all that was scored by this version in this window of whole days; all at once, or not at all.

        `digest` names the rows: the same again changes nothing, and is False. Raises ConflictError when the same window
        is being stored by somebody else, UnavailableError when the store refuses.
        """
        ...


class PredictionLog(PredictionWriter, PredictionReader, RowReader, PredictionKeeper, WindowWriter, Protocol):
    """Per model, a table of predictions and one of outcomes, by day of `at` and `observed_at`."""


def count_traffic(rows: pd.DataFrame) -> Traffic:
    """Of rows with the columns at, version, source; a row that this version could not answer counts too."""
    if rows.empty:
        return Traffic(0, None)
    versions = {int(number): int(count) for number, count in rows["version"].value_counts().items()}
    sources = {str(name): int(count) for name, count in rows["source"].value_counts().items()}
    return Traffic(len(rows), rows["at"].max().to_pydatetime(), versions, sources)


def pair_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """PAIR_COLUMNS, from rows in the order of `recorded_at` that have decision_id and ARM_COLUMNS."""
    champion = rows.loc[rows["role"] == Role.CHAMPION, ["decision_id", "version", "score", "error", "label"]]
    champion = champion[champion["error"].isna()].drop(columns="error").drop_duplicates("decision_id", keep="last")
    shadow = rows.loc[rows["role"] == Role.SHADOW, ["decision_id", "version", "score", "error", "latency_ms"]]
    both = champion.merge(
        shadow.rename(columns={"error": "error_shadow", "latency_ms": "latency_ms_shadow"}),
        on="decision_id",
        suffixes=("_champion", "_shadow"),
    )
    return both[list(PAIR_COLUMNS)].reset_index(drop=True)
