"""Columns of the prediction log as numpy reads them, whatever they turn out to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.tallies.answers import OTHERS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Floats = NDArray[np.float64]

MISSING = "missing"
_LONGEST = 80  # signs of a value from outside that are kept: it stands in records, messages and a database


class Numbers(NamedTuple):
    """One per row, NaN where missing. `broken` rows hold something that is no number, such as `example`."""

    values: Floats
    broken: int = 0
    example: str | None = None


class Codes(NamedTuple):
    """`names[codes[row]]` is the level of a row; a missing value is a level, MISSING."""

    codes: NDArray[np.int64]
    names: list[str]


def printable(value: object) -> str:
    """One line that a terminal, JSON and PostgreSQL all take: no control signs, no half of a surrogate pair."""
    text = value if isinstance(value, str) else repr(value)
    shown = text[: _LONGEST + 1].encode("utf-8", "backslashreplace").decode()
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def level_name(value: Any) -> str | None:
    """None where missing; 3 and 3.0 are the same level."""
    if value is None or value != value:  # noqa: PLR0124 — NaN
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def floats(array: pa.Array) -> Floats:
    """Of a column that is declared as numbers; NaN everywhere when it holds something else."""
    return numbers(array).values


def numbers(array: pa.Array) -> Numbers:
    """Texts that say numbers are numbers. Infinite ones stay."""
    import pyarrow as pa

    array = unwrapped(array)
    kind = array.type
    if _is_text(kind):
        return _parsed(array)
    if not (pa.types.is_null(kind) or _is_number(kind)):
        known = known_values(array)
        return Numbers(_nothing(len(array)), len(known), example_of(known))
    plain = array if kind == pa.float64() else array.cast(pa.float64(), safe=False)
    return Numbers(plain.to_numpy(zero_copy_only=False))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    found = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return bool(found or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _nothing(rows: int) -> Floats:
    return np.full(rows, np.nan)


def _parsed(array: pa.Array) -> Numbers:
    import pandas as pd

    texts = array.to_pandas()
    try:
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:
        values = np.array([_number(text) for text in texts])
    broken = np.isnan(values) & texts.notna().to_numpy() & ~texts.isin(("nan", "NaN")).to_numpy()
    return Numbers(values, int(broken.sum()), printable(texts[broken].iloc[0]) if broken.any() else None)


def _number(text: str | None) -> float:
    """Of hundreds of digits: infinite."""
    try:
        return np.nan if text is None else float(text)
    except ValueError:
        return np.nan


def known_values(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = unwrapped(array).drop_null()
    return known.filter(pc.invert(pc.is_nan(known))) if pa.types.is_floating(known.type) else known


def example_of(known: pa.Array) -> str | None:
    return printable(str(known[0])) if len(known) else None


def unwrapped(array: pa.Array) -> pa.Array:
    """The values themselves: no dictionary of them, and strings instead of views, which Arrow has less to do with."""
    import pyarrow as pa

    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    return plain.cast(pa.large_string()) if pa.types.is_string_view(plain.type) else plain


def holds_levels(array: pa.Array) -> bool:
    """Text, numbers, truth values; no instants, lists, records or bytes."""
    import pyarrow as pa

    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return pa.types.is_null(kind) or _is_text(kind) or _is_number(kind)


def holds_texts(array: pa.Array) -> bool:
    import pyarrow as pa

    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return pa.types.is_null(kind) or _is_text(kind)


def level_counts(array: pa.Array) -> dict[str | None, int]:
    """Rows by level; None for missing ones. Precondition: `holds_levels`."""
    found: dict[str | None, int] = {}
    pairs = unwrapped(array).value_counts()
    for value, rows in zip(pairs.field("values").to_pylist(), pairs.field("counts").to_pylist(), strict=True):
        name = level_name(value)
        found[name] = found.get(name, 0) + rows
    return found


def coded(array: pa.Array, most: int) -> Codes:
    """The level of each row; of more than `most` levels the rarest are OTHERS."""
    encoded = unwrapped(array).dictionary_encode(null_encoding="encode")
    named = [level_name(value) for value in encoded.dictionary.to_pylist()]
    shown = [MISSING if name is None else printable(name) for name in named]
    places = {name: place for place, name in enumerate(dict.fromkeys(shown))}
    codes = np.array([places[name] for name in shown], np.int64)[encoded.indices.to_numpy()]
    return fewer(Codes(codes, list(places)), most)


def fewer(found: Codes, most: int) -> Codes:
    if len(found.names) <= most:
        return found
    rows = np.bincount(found.codes, minlength=len(found.names))
    named = [code for code, name in enumerate(found.names) if name != OTHERS]
    kept = sorted(named, key=lambda code: (-rows[code], found.names[code]))[:most]
    moved = np.full(len(rows), most, np.int64)
    moved[kept] = np.arange(len(kept))
    return Codes(moved[found.codes], [*(found.names[code] for code in kept), OTHERS])


def instants(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since 1970, and which of the rows have an instant. No row has where the column holds none."""
    import pyarrow as pa

    if not pa.types.is_timestamp(array.type):
        return np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_)
    known = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    micros = array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64()).fill_null(0)
    return micros.to_numpy(zero_copy_only=False), known


def arrow(series: pd.Series) -> pa.Array:
    """A column of a frame. Values that no one type holds become texts."""
    import pyarrow as pa

    values = series.to_numpy() if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub" else series
    try:
        found = pa.array(values, from_pandas=values is series)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        found = pa.array([None if _is_missing(value) else _text(value) for value in series], pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _is_missing(value: object) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)  # noqa: PLR0124


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()
