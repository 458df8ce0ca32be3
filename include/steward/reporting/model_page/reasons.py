"""What `steward why` says of a model's health, in sentences: each with its events and the next step."""

from __future__ import annotations

from collections.abc import Iterator

from steward.reporting.health import UNWATCHED
from steward.types import JsonObject, parse_instant


def headline(told: JsonObject) -> str:
    """`told` is what `explain` answers, here and below."""
    return f"{told['model']} is {told['state']}" + (f": @{told['champion']} serves" if told["champion"] else "")


def reasons(told: JsonObject) -> Iterator[JsonObject]:
    """Each as `_reason` has it; the troubles first, then what the latest window leaves open: silence is not to be read
    as good news."""
    yield from (_trouble(each) for each in told["red"])
    if told["champion"]:
        yield from _window(told)
    if told["unread"] and not any(each["what"] == "retired" for each in told["blocks"]):
        yield _undeclared(told)


def _undeclared(told: JsonObject) -> JsonObject:
    if told["faults"]:
        said = "its spec cannot be read, so nothing judges it: `steward check` says why"
        return _reason(said, "mend model.yaml; windows that were missed are judged then", told["faults"][:1])
    return _reason(UNWATCHED, f"put its folder back, or retire it: steward retire {told['model']} --reason …")


def _trouble(each: JsonObject) -> JsonObject:
    of = f"@{each['version']}: " if each["version"] else ""
    weeks = f"{each['windows']} window{'' if each['windows'] == 1 else 's'}"
    since = parse_instant(each["since"])
    said = f"{of}{each['cause']} since {since:%Y-%m-%d} ({each['severity']}, {each['state']}, {weeks})"
    findings = [one["reason"] for one in each["findings"] or each["events"][-1:]]
    return {
        **_reason(said, each["next"], findings, each["events"]),
        "incident": each["incident"],
        "state": each["state"],
        "bad": each["cause"] != "drift",
    }


def _window(told: JsonObject) -> Iterator[JsonObject]:
    model, window = told["model"], told["window"]
    if window is None:
        advice = f"{model}__monitor judges it; `steward drift {model} --now` would now"
        yield _reason(f"no window of @{told['champion']} has been judged yet", advice)
        return
    if window["unread"]:
        yield {**_reason(window["unread"], "steward audit verify"), "bad": True}
    if window["overdue"]:
        yield _reason(window["overdue"], f"see why {model}__monitor does not run; what it missed it catches up")
    elif window["former"]:
        yield _reason(window["former"], f"`steward drift {model} --now` judges what it answered since")
    known = {each["cause"] for each in told["red"]}
    for outcome, said in (("FAILED", "failed"), ("INCONCLUSIVE", "could not be judged")):
        causes = [cause for cause, each in window["outcomes"].items() if each == outcome]
        if left := [cause for cause in causes if outcome != "FAILED" or cause not in known]:
            days = f"{window['window']['start'][:10]} to {window['window']['end'][:10]}"
            found = _reason(f"the latest window ({days}) {said}: {', '.join(left)}", f"steward drift {model}")
            yield {**found, "bad": outcome == "FAILED" and left != ["drift"]}


def _reason(
    sentence: str, advice: str | None = None, findings: list[str] | None = None, events: list[JsonObject] | None = None
) -> JsonObject:
    return {
        "sentence": sentence,
        "findings": findings or [],
        "events": events or [],
        "next": advice,
        "incident": None,
        "state": None,
        "bad": False,
    }
