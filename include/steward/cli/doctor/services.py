"""What answers over HTTP: MLflow, Airflow and its parts, model servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from steward.cli.doctor.finding import Finding, fail, ok, skip, warn
from steward.cli.doctor.floors import AIRFLOW, is_below

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around

PARTS = {
    "metadatabase": "postgres",
    "scheduler": "scheduler",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
}
MAKE_UP = "make up"


def mlflow(around: Around) -> Iterator[Finding]:
    url = around.settings.mlflow_url
    if url is None:
        yield skip("STEWARD_MLFLOW_URL is not set")
        return
    health = around.ask(f"{url}/health")
    if health.status != 200:
        yield fail(
            _trouble(url, health), f"{MAKE_UP}, or correct STEWARD_MLFLOW_URL; its log: {_log(around, 'mlflow')}"
        )
        return
    there, here = around.ask(f"{url}/version").text, around.installed("mlflow") or "none"
    if there.split(".")[:1] != here.split(".")[:1]:
        yield warn(f"MLflow {there} answers, {here} is installed here", "run one release of MLflow on both sides")
    else:
        yield ok(f"MLflow {there} answers at {url}")


def airflow(around: Around) -> Iterator[Finding]:
    url = around.settings.airflow_url
    if not around.has_stack:
        yield skip("no stack was started from here")
        return
    health = around.ask(f"{url}/api/v2/monitor/health")
    if health.status != 200 or not isinstance(health.body, dict):
        log = _log(around, "api-server")
        yield fail(_trouble(url, health), f"{MAKE_UP}, or correct STEWARD_AIRFLOW_URL; its log: {log}", about="api")
        return
    yield _release(url, around.ask(f"{url}/api/v2/version").body)
    for part, process in PARTS.items():
        yield _part(around, part, process, health.body.get(part) or {})
    yield from _as_user(around)


def _release(url: str, said: Any) -> Finding:
    found = str(said.get("version")) if isinstance(said, dict) else "of an unknown release"
    if is_below(found, AIRFLOW):
        said = f"Airflow {found} answers: {AIRFLOW.reason}"
        return fail(said, f"upgrade it to {AIRFLOW.version} or newer", about="api")
    return ok(f"Airflow {found} answers at {url}", about="api")


def _part(around: Around, part: str, process: str, state: dict[str, Any]) -> Finding:
    beat = next((value for name, value in state.items() if name.startswith("latest_") and value), None)
    if state.get("status") == "healthy":
        return ok(f"healthy, last heard of {beat}" if beat else "healthy", about=part)
    since = f", last heard of {beat}" if beat else ""
    said = f"{state.get('status') or 'does not report'}{since}"
    return fail(said, f"{MAKE_UP} starts what is missing; its log: {_log(around, process)}", about=part)


def _as_user(around: Around) -> Iterator[Finding]:
    """The log-in of the settings, and what it sees: decisions and triggers go this way."""
    from steward.errors import PolicyError

    given = around.settings
    if given.airflow_token is None and given.airflow_user is None:
        mend = "set STEWARD_AIRFLOW_TOKEN, or STEWARD_AIRFLOW_USER and STEWARD_AIRFLOW_PASSWORD, before you decide"
        yield warn("no log-in is set: approve, reject, retrain and retire need one", mend, about="log-in")
        return
    try:
        dags = around.airflow().dags()
    except PolicyError as refused:
        yield fail(refused.what, refused.hint or "check the log-in", about="log-in")
        return
    yield ok(f"{given.airflow_user or 'the token'} is let in and sees {len(dags)} DAGs", about="log-in")
    ours = ("steward__", *(f"{model}__" for model in _models()))
    if paused := sorted(d["dag_id"] for d in dags if d.get("is_paused") and str(d["dag_id"]).startswith(ours)):
        shown = ", ".join(paused[:5]) + (f" and {len(paused) - 5} more" if len(paused) > 5 else "")
        yield warn(
            f"paused: {shown}", "switch them on in Airflow; what is paused neither trains nor watches", about="DAGs"
        )


def _models() -> list[str]:
    from steward import wiring

    return wiring.specs().ids()


def servers(around: Around) -> Iterator[Finding]:
    if not around.has_stack:
        yield skip("no stack was started from here")
        return
    for url in around.settings.server_urls:
        ready = around.ask(f"{url}/v2/health/ready")
        if ready.status == 200:
            yield ok("ready", about=url)
        else:
            mend = f"{MAKE_UP}, or correct STEWARD_SERVER_URL; its log: {_log(around, 'model-server')}"
            yield fail(_trouble(url, ready), mend, about=url)


def _trouble(url: str, reply: Any) -> str:
    return str(reply.text) if reply.status == 0 else f"{url} answers {reply.status}"


def _log(around: Around, process: str) -> str:
    return str(around.settings.home / "logs" / f"{process}.log")
