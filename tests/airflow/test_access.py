"""Every route below `/steward` × every role × both ways to log in, from the application's own table of routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import token_of
from tests.airflow.doors import SOUND, behind_the_doors
from tests.unit.actions.conftest import Life, build_life

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

LOGIN, SEEN, READ, RUNS, ANSWERS = "a log-in", "a log-in; rows by permission", "GET", "POST on RUN", "PUT on HITL"
MODEL = "/api/models/{model}"
NEEDS = {
    ("GET", "/ui/{name}.{kind}"): LOGIN,
    ("GET", "/ui/models"): SEEN,
    ("GET", "/ui/portfolio/report"): SEEN,
    ("GET", "/api/portfolio"): SEEN,
    ("GET", "/ui/measures"): SEEN,
    ("GET", "/ui/measures/report"): SEEN,
    ("GET", "/ui/measures/{measure}/events"): SEEN,
    ("GET", "/api/measures"): SEEN,
    ("GET", "/api/measures/{measure}/events"): SEEN,
    ("GET", "/ui/models/{model}"): READ,
    ("GET", "/ui/models/{model}/report"): READ,
    ("GET", "/reports/{model}"): READ,
    ("GET", "/reports/{model}/{name}"): READ,
    ("GET", f"{MODEL}/approvals"): READ,
    ("GET", f"{MODEL}/page"): READ,
    ("GET", f"{MODEL}/status"): READ,
    ("POST", f"{MODEL}/answer"): ANSWERS,
    ("POST", f"{MODEL}/break-glass"): RUNS,
    ("POST", f"{MODEL}/consumers/confirm"): RUNS,
    ("POST", f"{MODEL}/documents"): RUNS,
    ("POST", f"{MODEL}/incidents/acknowledge"): RUNS,
    ("POST", f"{MODEL}/incidents/resolve"): RUNS,
    ("POST", f"{MODEL}/retirement/call-off"): RUNS,
    ("POST", f"{MODEL}/retraining/allow"): RUNS,
    ("POST", f"{MODEL}/reviews"): RUNS,
    ("POST", f"{MODEL}/rollback"): RUNS,
    ("POST", f"{MODEL}/waivers"): RUNS,
    ("POST", f"{MODEL}/waivers/revoke"): RUNS,
}
"""What each route needs. A route that is not here fails the test, and so does a row without its route."""

NOWHERE = [
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/oauth2-redirect",
    "/nothing",
    "/api",
    "/ui/../web.py",
    "/%00",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
FILLED = {"{model}": "toy", "{name}.{kind}": "steward.js", "{name}": "x.html", "{measure}": "lead_time"}
ROLES = {"VIEWER": {READ}, "USER": {READ, RUNS, ANSWERS}, "OP": {READ, RUNS, ANSWERS}, "ADMIN": {READ, RUNS, ANSWERS}}


UNKNOWN = [
    {},
    {"Authorization": "Bearer forged"},
    {"Authorization": "Basic cmF2aTpyYXZp"},
    {"Cookie": "_token=forged", "Sec-Fetch-Site": "same-origin"},
]


@dataclass(frozen=True)
class Door:
    method: str
    path: str

    @property
    def need(self) -> str:
        return NEEDS[self.method, self.path]

    @property
    def address(self) -> str:
        filled = self.path
        for place, value in FILLED.items():
            filled = filled.replace(place, value)
        assert "{" not in filled, f"say in FILLED what stands in {self.path}"
        return f"/steward{filled}"

    @property
    def body(self) -> bytes:
        name = self.path.removeprefix(f"{MODEL}/")
        return json.dumps(SOUND[name]).encode() if self.method == "POST" else b""


def doors(routes: Any, below: str = "") -> Iterator[Door]:
    """Every method and path, mounted applications included."""
    for route in routes:
        path = below + getattr(route, "path", "?")
        if hasattr(route, "methods"):
            yield from (Door(method, path) for method in sorted(route.methods or METHODS))
        else:
            assert getattr(route, "routes", None), f"what is this? {route!r}"
            yield from doors(route.routes, path)


@pytest.fixture(scope="module")
def mounted(app: Any) -> list[Door]:
    """As Airflow mounted it, and not as some module says."""
    (ours,) = [route for route in app.routes if getattr(route, "path", "") == "/steward"]
    return list(doors(ours.app.load().routes))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, app: Any) -> Iterator[Life]:
    lived = build_life(tmp_path_factory.mktemp("life"))
    lived.ask(lived.train())
    with pytest.MonkeyPatch.context() as patch:
        behind_the_doors(patch, lived)
        yield lived


@pytest.fixture(scope="module")
def client(app: Any) -> Any:
    from fastapi.testclient import TestClient

    return TestClient(app, follow_redirects=False, raise_server_exceptions=False)


def logged_in(role: str, *, cookie: bool, site: str = "same-origin") -> dict[str, str]:
    token = token_of("stranger", role)
    return {"Cookie": f"_token={token}", "Sec-Fetch-Site": site} if cookie else {"Authorization": f"Bearer {token}"}


def forbidden(answer: Any) -> bool:
    """By Airflow's permissions, and not by the policy behind the door."""
    return answer.status_code == 403 and answer.json() == {"detail": "Forbidden"}


def ask(client: Any, door: Door, headers: dict[str, str]) -> Any:
    return client.request(door.method, door.address, headers=headers, content=door.body)


def test_every_route_says_what_it_needs(mounted: list[Door]) -> None:
    assert {(door.method, door.path) for door in mounted} == set(NEEDS)


def test_nobody_comes_in_without_a_log_in(client: Any, life: Life, mounted: list[Door]) -> None:
    """Not to a route, not to what is none, with no method."""
    before, asked = len(life.events()), 0
    for address in sorted({door.address for door in mounted} | {f"/steward{path}" for path in NOWHERE}):
        for method in METHODS:
            for headers in UNKNOWN if method in ("GET", "POST") else UNKNOWN[:2]:
                status = client.request(method, address, headers=headers).status_code
                wanted = (401,) if not headers or "Basic" in str(headers) else (401, 403)
                assert status in wanted, (method, address, headers, status)
                asked += 1
    assert len(life.events()) == before
    print(f"\n{asked} requests without a log-in, all refused")


def test_a_forged_token_is_not_mended_by_a_sound_cookie(client: Any, life: Life, mounted: list[Door]) -> None:
    headers = {"Authorization": "Bearer forged", **logged_in("ADMIN", cookie=True)}
    for door in mounted:
        assert ask(client, door, headers).status_code in (401, 403), door


def test_every_role_comes_as_far_as_airflow_lets_it(client: Any, life: Life, mounted: list[Door]) -> None:
    """The stranger is unknown to the policy: past Airflow's door it is the policy that says no."""
    asked = 0
    for door in mounted:
        for role, may in ROLES.items():
            for cookie in (False, True):
                answer = ask(client, door, logged_in(role, cookie=cookie))
                assert answer.status_code < 500, (door, role, answer.text)
                assert answer.status_code != 401, (door, role)
                assert forbidden(answer) is (door.need not in {LOGIN, SEEN, *may}), (door, role, answer.text)
                asked += 1
    assert life.state(1) == "challenger"
    print(f"\n{len(mounted)} routes × {len(ROLES)} roles × 2 ways to log in = {asked} requests, each as the table says")


def test_who_has_no_right_to_the_model_gets_nothing_of_it(
    client: Any, life: Life, mounted: list[Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    def others_only(*, details: Any = None, **_: Any) -> bool:
        return details is not None and not details.id.startswith("toy__")

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", others_only)
    before, asked = len(life.events()), 0
    for door in mounted:
        for role in ROLES:
            for cookie in (False, True):
                answer = ask(client, door, logged_in(role, cookie=cookie))
                if door.need in (LOGIN, SEEN):
                    assert answer.status_code == 200, (door, answer.text)
                    assert door.need == LOGIN or "toy" not in answer.text.lower(), door
                else:
                    assert forbidden(answer), (door, role, answer.text)
                asked += 1
    assert len(life.events()) == before
    print(f"\n{asked} requests without a right to the model: nothing of it was told or changed")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_no_other_site_uses_the_cookie(client: Any, life: Life, mounted: list[Door], site: str) -> None:
    before = len(life.events())
    writes = [door for door in mounted if door.method != "GET"]
    assert writes
    for door in writes:
        answer = ask(client, door, logged_in("ADMIN", cookie=True, site=site))
        assert (answer.status_code, "cookie" in answer.text) == (403, True), door
    assert len(life.events()) == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "http://testserver:81"}, {"Origin": "https://evil.example"}, {"Host": ""}]
    + [{"Origin": "https://evil.example", "Authorization": other} for other in ("Basic eDp5", "Bearer", "Bearer ")],
    ids=str,
)
def test_an_old_browser_says_where_it_comes_from(client: Any, life: Life, headers: dict[str, str]) -> None:
    """Without `Sec-Fetch-Site` the origin must be ours, to the port; no other word stands for it."""
    before, cookie = len(life.events()), {"Cookie": logged_in("ADMIN", cookie=True)["Cookie"]}
    body = json.dumps(SOUND["rollback"])
    answer = client.post("/steward/api/models/toy/rollback", headers={**cookie, **headers}, content=body)
    assert (answer.status_code, "cookie" in answer.text) == (403, True)
    assert len(life.events()) == before


def test_whoever_is_logged_in_finds_nothing_where_nothing_is(client: Any, life: Life) -> None:
    for path in NOWHERE:
        assert client.get(f"/steward{path}", headers=logged_in("ADMIN", cookie=False)).status_code in (404, 422), path


def test_what_is_mounted_or_added_later_is_behind_the_same_door(app: Any) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from steward_airflow.access import LogIn

    later = FastAPI()
    later.add_middleware(LogIn)
    later.mount("/more", FastAPI())
    open_by_mistake = TestClient(later, raise_server_exceptions=False)
    for path in ("/docs", "/openapi.json", "/more/docs", "/more/openapi.json"):
        assert open_by_mistake.get(path).status_code == 401, path


def test_an_application_that_cannot_be_loaded_serves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is tried again: a server need not be started anew when the cause is mended."""
    from fastapi.testclient import TestClient

    from steward_plugin import LazyApp

    monkeypatch.syspath_prepend(str(tmp_path))
    broken = TestClient(LazyApp("mended_later:app"), raise_server_exceptions=False)
    for method in METHODS:
        for path in ("/", "/docs", "/api/models/toy/status", "/ui/steward.js"):
            assert broken.request(method, path, headers=logged_in("ADMIN", cookie=False)).status_code == 503
    assert "toy" not in (said := broken.get("/ui/models").text)
    assert "log of Airflow's API server" in json.loads(said)["detail"]
    (tmp_path / "mended_later.py").write_text("from steward_airflow.web import app\n")
    assert broken.get("/ui/models").status_code == 401
