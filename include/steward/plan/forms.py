"""The forms people fill in to start a run by hand: one JSON schema per field, default included."""

from __future__ import annotations

from steward.spec.model import ModelSpec, Task
from steward.types import ID_PATTERN, JsonObject

_INSTANT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$"
REASON: JsonObject = {
    "type": "string",
    "default": "",
    "maxLength": 500,
    "title": "Reason",
    "description": "Why this run is wanted. It is kept with the run.",
}


def as_of(what: str) -> JsonObject:
    return {
        "type": ["null", "string"],
        "default": None,
        "pattern": _INSTANT,
        "title": "As of",
        "description": f"{what} A date or an instant in UTC (2013-04-01T06:00Z); empty means now.",
    }


def training_form(spec: ModelSpec) -> JsonObject:
    defaults = ", ".join(f"{name} = {value}" for name, value in spec.training.params.items()) or "none"
    form: JsonObject = {
        "as_of": as_of("The training window ends here."),
        "window_days": {
            "type": ["null", "integer"],
            "default": None,
            "minimum": spec.evaluation.holdout.days + 1,
            "title": "Window in days",
            "description": f"Length of the training window; empty means {spec.training.window.days}.",
        },
        "params": {
            "type": "object",
            "default": {},
            "title": "Training parameters",
            "description": f"Parameters to override. In the spec: {defaults}.",
            "additionalProperties": {"type": ["null", "boolean", "number", "string"]},
        },
    }
    if spec.task is Task.BINARY:
        form["threshold"] = _threshold(spec)
    return {**form, "reason": REASON}


def _threshold(spec: ModelSpec) -> JsonObject:
    wanted = spec.training.threshold
    usual = f"one chosen for a parity of {wanted.parity:g}" if wanted.parity is not None else f"{wanted.at:g}"
    return {
        "type": ["null", "number"],
        "default": None,
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "title": "Threshold",
        "description": f"Scores from here on are a yes; empty means {usual}.",
    }


def monitoring_form() -> JsonObject:
    return {
        "as_of": as_of("The judged window ends here."),
        "report": {
            "type": "boolean",
            "default": False,
            "title": "Draw the report",
            "description": "Whatever the verdict. Without it: when trouble begins, and weekly.",
        },
        "reason": REASON,
    }


def maintenance_form() -> JsonObject:
    return {
        "compact": {
            "type": ["null", "boolean"],
            "default": None,
            "title": "Merge small files",
            "description": "Yes or no; empty means at night only.",
        }
    }


def scoring_form(spec: ModelSpec) -> JsonObject:
    return {
        "as_of": as_of("The scored window ends here."),
        "window_days": {
            "type": ["null", "integer"],
            "default": None,
            "minimum": 1,
            "title": "Window in days",
            "description": f"Length of the scored window; empty means {spec.deployment.scoring.window.days}.",
        },
        "reason": REASON,
    }


def rollback_form(models: tuple[str, ...]) -> JsonObject:
    return {
        "model": _model(models),
        "reason": _why("Why the champion must go."),
        "to": {
            "type": ["null", "integer"],
            "default": None,
            "minimum": 1,
            "title": "Back to version",
            "description": "A champion of the last while, by its number; empty means the one before.",
        },
    }


def rehearsal_form(models: tuple[str, ...]) -> JsonObject:
    return {"model": _model(models)}


def retirement_form(models: tuple[str, ...]) -> JsonObject:
    return {
        "model": _model(models),
        "reason": _why("Why the model must go. Its consumers read this."),
        "replacement": {
            "type": ["null", "string"],
            "default": None,
            "pattern": ID_PATTERN,
            "title": "Replacement",
            "description": "The model to ask instead. Once it serves, consumers need not confirm.",
        },
        "quiet": {
            "type": ["null", "string"],
            "default": None,
            "pattern": r"^\d+(m|h|d|w)$",
            "title": "Quiet",
            "description": "How long nobody may have asked, for example 14d. Empty means what the spec says; "
            "shorter is refused.",
        },
        "accept_missing": {
            "type": "boolean",
            "default": False,
            "title": "Accept what is missing",
            "description": "Archive even if an artefact or rows are gone or altered; the ledger then says which.",
        },
    }


def reproduction_form(models: tuple[str, ...]) -> JsonObject:
    number = {"type": "integer", "minimum": 1, "title": "Version", "description": "Its number: 3 for MODEL@3."}
    return {"model": _model(models), "version": number}


def _model(models: tuple[str, ...]) -> JsonObject:
    """No default, as with a reason: the form cannot be sent without it."""
    return {"type": "string", "enum": list(models), "title": "Model"}


def _why(what: str) -> JsonObject:
    return {
        "type": "string",
        "minLength": 5,
        "maxLength": 500,
        "title": "Reason",
        "description": f"{what} It is written to the ledger under your name.",
    }
