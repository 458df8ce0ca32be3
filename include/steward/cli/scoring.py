"""score, predictions: scoring a window by hand, and reading what was predicted."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, VersionRef, Window, format_instant

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ["request_key", "at", "version", "score", "decision", "decision_id"]
_MOST_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    app.command()(score)
    app.command()(predictions)


def score(
    model: Model,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The window ends here; empty means now.")] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Its length; empty means what the spec says.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a window of a batch target with its champion. Again is harmless; exit code 1 when it was not scored.

    Example: steward score churn --as-of 2013-06-01
    """
    from steward import actions, wiring
    from steward.gates import Outcome

    if as_of is not None:
        instant_of(as_of)
    services, spec, who = wiring.services(), wiring.specs().get(model), f"cli:{getpass.getuser()}"
    done = actions.score_window(services, spec, run=None, actor=who, as_of=as_of, window_days=days)
    if as_json:
        print_json(done)
    else:
        typer.echo(_said(model, done))
    if done["outcome"] != Outcome.PASSED:
        raise typer.Exit(1)


def _said(model: str, done: JsonObject) -> str:
    if not done["rows"]:
        return f"{model}: nothing was scored\n" + "\n".join(f"→ {reason}" for reason in done["reasons"])
    window = Window.from_json(done["window"])
    said = "" if done["written"] else ", which the table held already"
    return f"{VersionRef(model, done['version'])} scored {done['rows']} rows of {window}{said}"


def predictions(
    model: Model,
    start: Annotated[str, typer.Option("--from", help="Rows from this date or instant on, UTC.")],
    end: Annotated[str, typer.Option("--to", help="Rows before this date or instant, UTC.")],
    out: Annotated[Path | None, typer.Option("--out", help="A .csv or .parquet file to write; never over one.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", help="Only this one; else the newest of each row.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What was predicted for the rows of a time, each once: its score and, of a binary model, the decision; of several
    classes the one decided for, and its probability as the score.

    Example: steward predictions churn --from 2013-05-01 --to 2013-06-01 --out may.parquet
    """
    from steward import wiring

    window, number = _window(start, end), version
    spec = wiring.specs().get(model)
    rows = _newest(wiring.services().predictions.served(spec.model, window), number)
    found = _by_class(rows, spec.data.label.classes) if spec.data.label.classes else _decided(model, rows)
    if out is not None:
        _write(found, out)
        typer.echo(f"{len(found)} rows of {window} in {out}")
    elif as_json:
        print_json(found.astype(object).where(found.notna(), None).to_dict("records"))
    else:
        title = f"{model}: {len(found)} rows of {window}" + (f", the first {_MOST_SHOWN}" * (len(found) > _MOST_SHOWN))
        shown = found.head(_MOST_SHOWN)
        listed = shown.assign(at=shown["at"].map(format_instant)).itertuples(index=False)
        print_table(SHOWN, listed, title=title)


def _window(start: str, end: str) -> Window:
    from steward.errors import RequestError

    first, last = instant_of(start), instant_of(end)
    if last <= first:
        raise RequestError(f"{end} is not after {start}", hint="--from is inside the window, --to the first after it")
    return Window(first, last)


def _newest(rows: pd.DataFrame, version: int | None) -> pd.DataFrame:
    """Answers, one per decision: a row that a newer champion scored again has that one's."""
    answered = rows[rows["error"].isna()]
    if version is not None:
        answered = answered[answered["version"] == version]
    ordered = answered.sort_values("recorded_at", kind="stable").drop_duplicates("decision_id", keep="last")
    return ordered.sort_values(["at", "request_key"], kind="stable", ignore_index=True)


def _decided(model: str, rows: pd.DataFrame) -> pd.DataFrame:
    """With the decision by the threshold of the version that answered; missing where there is none."""
    import pandas as pd

    thresholds = {number: _threshold(VersionRef(model, int(number))) for number in rows["version"].unique()}
    limits = rows["version"].map(thresholds).astype("float64")
    decision = (rows["score"] >= limits).astype("Int64").mask(limits.isna(), pd.NA)
    return rows.assign(decision=decision)[SHOWN]


def _by_class(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The log holds numbers of classes, in the spec's order, and their probabilities beside."""
    from steward.data import PROBABILITIES

    places = rows["score"].astype(int).tolist()
    shares = rows[PROBABILITIES] if PROBABILITIES in rows else [None] * len(rows)
    likely = [None if each is None else float(each[place]) for each, place in zip(shares, places, strict=True)]
    return rows.assign(decision=[classes[place] for place in places], score=likely)[SHOWN]


def _threshold(ref: VersionRef) -> float | None:
    from steward import wiring

    with wiring.services().database.begin() as tx:
        version = tx.versions.get(ref)
        chosen = tx.evidence.get(version.evidence["training"]).body.get("threshold")
    return None if chosen is None else float(chosen["value"])


def _write(rows: pd.DataFrame, out: Path) -> None:
    from steward.errors import ConflictError, RequestError, StewardError

    if out.exists():
        raise ConflictError("there is something already", where=str(out), hint="choose another name with --out")
    if out.suffix not in (".csv", ".parquet"):
        raise RequestError(f"{out.name} is neither .csv nor .parquet", hint="end its name with one of the two")
    try:
        if out.suffix == ".csv":
            rows.to_csv(out, index=False)
        else:
            rows.to_parquet(out, index=False)
    except OSError as error:
        raise StewardError(f"the rows cannot be written: {error.strerror}", where=str(out)) from error
