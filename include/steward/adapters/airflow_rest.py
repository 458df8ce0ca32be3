"""Airflow through its own REST interface, as one named user."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from steward import errors
from steward.errors import ConflictError, NotFoundError, PolicyError, RequestError, StewardError, UnavailableError
from steward.types import JsonObject, format_instant, without_password

_ERRORS = {401: PolicyError, 403: PolicyError, 404: NotFoundError, 409: ConflictError}
_OVER = ("success", "failed")
DOORS = "/steward/api/models"


class AirflowClient:
    """Speaks for the user whose token or password it holds; whatever that user may not do, it cannot."""

    def __init__(
        self, url: str, *, token: str | None = None, user: str | None = None, password: str | None = None
    ) -> None:
        self.url, self.user = without_password(url.rstrip("/")), user
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=30)
        self._token, self._password = token, password

    def trigger(
        self,
        dag: str,
        conf: JsonObject | None = None,
        *,
        logical_date: datetime | None = None,
    ) -> str:
        """Start a run and return its id."""
        body: JsonObject = {
            "logical_date": format_instant(logical_date) if logical_date else None,
            "conf": conf or {},
        }
        return str(self._json("POST", f"/api/v2/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag: str, run: str) -> JsonObject:
        return self._json("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")

    def runs(self, dag: str, **filters: Any) -> list[JsonObject]:
        params = {"order_by": "-run_after", "limit": 50, **filters}
        return list(self._json("GET", f"/api/v2/dags/{dag}/dagRuns", params=params)["dag_runs"])

    def clear(self, dag: str, run: str, task: str, note: str) -> list[JsonObject]:
        """Have a task of a run that ended, and what follows it, run again; which they are. `note` says why."""
        body: JsonObject = {
            "dry_run": False,
            "dag_run_id": run,
            "task_ids": [task],
            "only_failed": False,
            "include_downstream": True,
            "note": note,
        }
        return list(self._json("POST", f"/api/v2/dags/{dag}/clearTaskInstances", json=body)["task_instances"])

    def tasks(self, dag: str, run: str) -> list[JsonObject]:
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances"
        return list(self._json("GET", path, params={"limit": 100})["task_instances"])

    def dags(self) -> list[JsonObject]:
        """All of them: one answer holds no more than `[api] maximum_page_limit`, 100 unless somebody set it."""
        found: list[JsonObject] = []
        while True:
            page = self._json("GET", "/api/v2/dags", params={"limit": 100, "offset": len(found)})
            found += page["dags"]
            if not page["dags"] or len(found) >= page["total_entries"]:
                return found

    def waiting(self, dag: str = "~", run: str = "~") -> list[JsonObject]:
        """Unanswered requests under Required Actions."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/hitlDetails"
        return list(self._json("GET", path, params={"response_received": False, "limit": 100})["hitl_details"])

    def respond(self, dag: str, run: str, task: str, option: str, params: JsonObject) -> JsonObject:
        """Answer a request as this user; who it was is Airflow's word, not the caller's."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails"
        return self._json("PATCH", path, json={"chosen_options": [option], "params_input": params})

    def decide(self, model: str, decision: str, fields: JsonObject) -> JsonObject:
        """Take a decision as this user, through Steward's own door in Airflow. A refusal is raised as it was there."""
        path = f"{DOORS}/{quote(model, safe='')}/{decision}"
        return self._json("POST", path, json=fields, headers={"Steward-Door": "cli"})

    def xcom(self, dag: str, run: str, task: str) -> Any:
        """What the task returned."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self._json("GET", path, params={"deserialize": True})["value"]

    def _json(self, method: str, path: str, **request: Any) -> JsonObject:
        response = self._send(method, path, **request)
        if response.status_code == 401 and self._password:
            self._token = None
            response = self._send(method, path, **request)
        if response.status_code >= 400:
            raise self._error(response, path)
        answer: JsonObject = response.json()
        return answer

    def _error(self, response: httpx.Response, path: str) -> StewardError:
        """What Steward refused in its own words; what Airflow refused, by the status."""
        status, said = response.status_code, _problem(response)
        kind = getattr(errors, str(said.get("error")), None)
        if isinstance(kind, type) and issubclass(kind, StewardError):
            return kind(str(said.get("detail")), where=said.get("where"), hint=said.get("hint"))
        if status >= 500:
            return UnavailableError(f"Airflow answered {status}", where=self.url + path, hint="see its log")
        words = str(said.get("detail", response.text))[:300]
        kind = _ERRORS.get(status, RequestError)
        return kind(f"Airflow refused ({status}): {words}", where=f"{self.user or 'token'}: {path}")

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            headers = {**request.pop("headers", {}), "Authorization": f"Bearer {self._bearer()}"}
            return self._http.request(method, path, headers=headers, **request)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Airflow does not answer: {error}",
                where=self.url,
                hint="start it with `make up`, or correct STEWARD_AIRFLOW_URL",
            ) from error

    def _bearer(self) -> str:
        if self._token is None:
            if not (self.user and self._password):
                raise PolicyError(
                    "no Airflow log-in is known",
                    where=self.url,
                    hint="set STEWARD_AIRFLOW_TOKEN, or STEWARD_AIRFLOW_USER and STEWARD_AIRFLOW_PASSWORD",
                )
            response = self._http.post("/auth/token", json={"username": self.user, "password": self._password})
            if response.status_code not in (200, 201):
                raise PolicyError(
                    f"Airflow refused the log-in of {self.user}",
                    where=self.url,
                    hint="check user and password",
                )
            self._token = str(response.json()["access_token"])
        return self._token


def _problem(response: httpx.Response) -> JsonObject:
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


class AirflowRuns:
    """`RunStates`: whether Airflow has ended a training run. One that cannot be asked knows nothing."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def is_over(self, model: str, run: str) -> bool | None:
        try:
            state = self._client.run(f"{model}__train", quote(run, safe=""))["state"]
        except StewardError:
            return None
        return state in _OVER
