"""Every route of the server, in one table: who answers it, what it says, and whether the anonymous may ask.

The router, the token's check and the published schema are made from it, so that none of them can miss a route.
"""

from __future__ import annotations

from typing import NamedTuple


class Path(NamedTuple):
    """`handler` names a method of the door; None: the hot path answers. `open`: without a token."""

    method: str
    path: str
    summary: str
    handler: str | None = None
    body: str | None = None
    answer: str | None = None
    open: bool = False


_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"

PATHS = (
    Path("POST", f"{_MODEL}/infer", "Ask the version the route chooses", None, "Tensors", "Answer"),
    Path("POST", f"{_VERSION}/infer", "Ask one loaded version, as a tester", None, "Tensors", "Answer"),
    Path(
        "POST", "/invocations", "Ask the only model, or ?model=, as MLflow's clients do", None, "Frame", "Predictions"
    ),
    Path("POST", "/models/{model}/invocations", "Ask as MLflow's clients do", None, "Frame", "Predictions"),
    Path("POST", f"{_MODEL}/outcomes", "Tell what became of decisions", "take_outcomes", "Outcomes", "Stored"),
    Path("GET", f"{_MODEL}/ready", "Whether the model answers", "model_ready", None, "ModelReady"),
    Path("GET", f"{_VERSION}/ready", "Whether the version is loaded", "version_ready", None, "ModelReady"),
    Path("GET", _MODEL, "Features, outputs and versions of a model", "metadata", None, "Metadata"),
    Path("GET", _VERSION, "Features and outputs of a loaded version", "version_metadata", None, "Metadata"),
    Path("GET", "/v2/repository/index", "Every version a route names", "index", None, "Index"),
    Path("POST", "/v2/repository/index", "The same; `ready` leaves out what is not", "index", "IndexRequest", "Index"),
    Path("POST", "/v2/repository/models/{model}/load", "Refused: a rollout loads", "by_rollout_alone"),
    Path("POST", "/v2/repository/models/{model}/unload", "Refused: a rollout unloads", "by_rollout_alone"),
    Path("GET", "/v2/health/live", "Whether the process answers", "live", None, "Live", True),
    Path("GET", "/v2/health/ready", "Whether every routed model can answer", "ready", None, "Ready", True),
    Path("GET", "/ping", "The same, for MLflow's clients", "ready", None, "Ready", True),
    Path("GET", "/health", "The same, for MLflow's clients", "ready", None, "Ready", True),
    Path("GET", "/version", "The version of MLflow whose scoring protocol is spoken", "mlflow_version"),
    Path("GET", "/v2", "Name, version and extensions of the server", "server", None, "Server"),
    Path("GET", "/v2/", "The same", "server", None, "Server"),
    Path("GET", "/metrics", "Prometheus metrics", "show_metrics"),
    Path("GET", "/openapi.json", "This schema, with the features of what is served now", "schema"),
)

OPEN_PATHS = frozenset(path.path for path in PATHS if path.open)
