"""Pages inside Airflow: what they hold, for whom, and how they are sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import PROJECT, token_of
from tests.airflow.doors import behind_the_doors
from tests.unit.actions.conftest import MODEL_PY, MODEL_YAML, Life, build_life

from steward.errors import SpecError
from steward.ledger import EventDraft, EventType

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]
UI = PROJECT / "plugins" / "steward_airflow" / "ui"
SEALED = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, app: Any) -> Iterator[Life]:
    """`toy` serves and has a request that waits; the others: declared only, not to be read, and on record alone."""
    lived = build_life(tmp_path_factory.mktemp("life"))
    first = lived.train()
    lived.approve(first)
    lived.release(first)
    lived.ask(lived.train())
    declare(lived, "sibling", "risk_tier: medium")
    declare(lived, "muddled", "risk_tier: medum")
    with lived.services.database.begin() as tx:
        body = {"next_review_at": "2014-06-01T00:00:00Z"}
        tx.events.append(EventDraft(EventType.MODEL_REVIEWED, "vanished", "person:dana", "looked at it", body=body))
    with pytest.MonkeyPatch.context() as patch:
        behind_the_doors(patch, lived)
        yield lived


def declare(life: Life, model: str, tier: str) -> None:
    folder = life.services.specs.folder / model
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL_YAML.replace("toy", model).replace("risk_tier: medium", tier))
    (folder / "model.py").write_text(MODEL_PY)


Get = Callable[..., Any]


@pytest.fixture
def get(app: Any, life: Life) -> Get:
    from fastapi.testclient import TestClient

    client = TestClient(app, follow_redirects=False, raise_server_exceptions=False)

    def fetch(path: str, role: str = "VIEWER", user: str = "vera", **headers: str) -> Any:
        return client.get(f"/steward{path}", headers={"Authorization": f"Bearer {token_of(user, role)}", **headers})

    return fetch


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The user may read these models' DAGs, and start no run of them."""

    def allow(*models: str) -> None:
        from airflow.api_fastapi.app import get_auth_manager

        def may(*, method: str, details: Any = None, **_: Any) -> bool:
            return method == "GET" and details is not None and details.id.partition("__")[0] in models

        monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", may)

    return allow


MODELS = {"toy", "sibling", "muddled", "vanished"}


def named(page: Any) -> set[str]:
    return {name for name in MODELS if re.search(rf"\b{name}\b", page.text)}


# --- what Airflow is told


def test_airflow_takes_the_pages_as_they_are_declared() -> None:
    from airflow.api_fastapi.core_api.datamodels.plugins import ReactAppResponse

    from steward_plugin import StewardPlugin

    pages = [ReactAppResponse.model_validate(page) for page in StewardPlugin.react_apps]
    assert [(page.name, page.destination, page.url_route) for page in pages] == [
        ("Models", "nav", "models"),
        ("Model measures", "nav", "measures"),
        ("Model", "dag", "model"),
    ]
    script = (UI / "steward.js").read_text()
    for page in pages:
        assert f'globalThis["{page.name}"] = component(' in script
        assert page.bundle_url == "steward/ui/steward.js", "relative: Airflow may be served below a prefix"
        assert str(page.icon).startswith("data:image/svg+xml,")


def test_the_only_file_every_process_imports_is_light() -> None:
    import subprocess
    import sys

    code = "import airflow.plugins_manager, sys; known = set(sys.modules); import steward_plugin"
    show = "print(sorted({name.partition('.')[0] for name in set(sys.modules) - known}))"
    command = [sys.executable, "-W", "ignore", "-c", f"{code}; {show}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT / "plugins")
    assert ran.stdout.strip().splitlines()[-1] == "['steward_plugin']"


# --- scripts and look


@pytest.mark.parametrize("name", [*(path.name for path in sorted(UI.glob("*.js"))), "look.css"])
def test_scripts_and_look_are_asked_for_again_and_sent_once(get: Get, name: str) -> None:
    first = get(f"/ui/{name}")
    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/css" if name.endswith(".css") else "text/javascript")
    assert (first.headers["cache-control"], first.headers["x-content-type-options"]) == ("private, no-cache", "nosniff")
    again = get(f"/ui/{name}", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "pages.py", "..%2Fweb.py", "steward.js%00", "model.html", "steward"])
def test_no_other_file_is_sent(get: Get, name: str) -> None:
    assert get(f"/ui/{name}").status_code in (404, 422)


def test_scripts_stay_on_this_host_and_import_only_one_another() -> None:
    for path in UI.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"https?://|\beval\(|new Function|document\.write|\bon[a-z]+=", text), path.name
        for address in re.findall(r'(?:from|import)\s*\(?"([^"]+)"', text):
            assert (UI / address).resolve() in set(UI.glob("*.js")), address


# --- pages


def test_the_portfolio_names_every_model(get: Get) -> None:
    page = get("/ui/models")
    assert (page.status_code, named(page)) == (200, MODELS)
    assert page.headers["content-security-policy"] == SEALED
    assert page.headers["cache-control"] == "private, no-store"
    assert 'href="dags/toy__train/plugin/model"' in page.text
    assert {row["model"] for row in get("/api/portfolio").json()["rows"]} == MODELS


def test_rows_counts_and_sentences_are_of_what_the_user_may_see(get: Get, only: Callable[..., None]) -> None:
    only("sibling")
    page, view = get("/ui/models"), get("/api/portfolio").json()
    assert named(page) == {"sibling"}
    assert [row["model"] for row in view["rows"]] == ["sibling"]
    assert "toy" not in str(view)
    assert named(get("/ui/portfolio/report")) == {"sibling"}
    for path in ("/ui/measures?by=model", "/api/measures?by=model", "/ui/measures/pipeline_share/events"):
        assert named(get(path)) <= {"sibling"}, path


def test_who_may_see_no_model_sees_an_empty_page(get: Get, only: Callable[..., None]) -> None:
    only()
    page = get("/ui/models")
    assert (page.status_code, named(page)) == (200, set())
    assert "that you may see" in page.text


def test_a_team_of_airflow_is_asked_about_its_own_models(monkeypatch: pytest.MonkeyPatch, app: Any) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.models.dag import DagModel

    from steward_airflow.access import readable_models

    asked: list[tuple[set[str], str | None]] = []

    def filtered(*, dag_ids: set[str], team_name: str | None = None, **_: Any) -> set[str]:
        asked.append((dag_ids, team_name))
        return dag_ids if team_name == "credit" else set()

    mapping = staticmethod(lambda _: {"a__train": "credit", "b__train": "cards"})
    monkeypatch.setattr(DagModel, "get_dag_id_to_team_name_mapping", mapping)
    monkeypatch.setattr(get_auth_manager(), "filter_authorized_dag_ids", filtered)
    assert readable_models({"a", "b", "c"}, object()) == {"a"}  # type: ignore[arg-type]
    assert {team: dags for dags, team in asked} == {"credit": {"a__train"}, "cards": {"b__train"}, None: {"c__train"}}


@pytest.mark.parametrize("model", ["toy", "sibling", "muddled"])
def test_a_model_has_a_page_whatever_its_spec(get: Get, model: str) -> None:
    page = get(f"/ui/models/{model}")
    assert (page.status_code, "<h1>" in page.text) == (200, True), page.text
    assert page.headers["content-security-policy"] == SEALED
    assert get(f"/api/models/{model}/page").json()["model"] == model


def test_no_page_of_a_model_nobody_knows(get: Get) -> None:
    for path in ("/ui/models/toi", "/ui/models/toi/report", "/api/models/toi/page"):
        answer = get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "NotFoundError"), path
        assert "toy" not in answer.text, "the nearest name may be of a model that the user may not see"
    assert get("/ui/models/Toy").status_code == 422


def test_buttons_are_for_those_who_may_press_them(get: Get) -> None:
    mine, theirs = get("/ui/models/toy", role="USER"), get("/ui/models/toy", role="VIEWER")
    for button in ("There is no champion to go back to", "models/toy/answer", 'data-trigger="toy__train"'):
        assert button in mine.text
        assert button not in theirs.text
    assert "models/toy/rollback" not in mine.text, "version 1 is the first: there is no way back from it"
    assert "<form" not in theirs.text
    assert set(get("/api/models/toy/page").json()["may"].values()) == {False}
    assert set(get("/api/models/toy/page", role="USER").json()["may"].values()) == {True}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/ui/portfolio/report", "models"), ("/ui/models/toy/report", "toy"), ("/ui/measures/report", "measures")],
)
def test_a_report_is_one_file_to_take_along(get: Get, path: str, name: str) -> None:
    saved = get(path, role="ADMIN")
    assert saved.status_code == 200
    assert saved.headers["content-disposition"] == f'attachment; filename="{name}-2013-06-01.html"'
    assert saved.text.startswith("<!doctype html>")
    assert not re.search(r"<(script|form|button|link|iframe|object|embed)\b|\bsrc=|@import|url\((?!#)", saved.text)


@pytest.mark.parametrize(
    "query",
    [
        "days=0",
        "days=ten",
        "by=stranger",
        "by=team&of=" + "x" * 300,
        "days=1&days=2&days=3&days=4&days=5&days=6&days=7",
    ],
)
def test_a_question_without_sense_is_refused(get: Get, query: str) -> None:
    assert get(f"/ui/measures?{query}").status_code == 422


def test_a_figure_leads_to_its_events(get: Get) -> None:
    assert get("/ui/measures?days=7&by=tier&of=medium").status_code == 200
    told = get("/api/measures/pipeline_share/events?days=30").json()
    assert [event["model"] for event in told["events"]]
    assert {event["model"] for event in told["events"]} <= {"toy", "*"}
    assert get("/api/measures/no_such_measure/events").status_code == 404
    assert get("/ui/measures/Bad%20Name/events").status_code == 422


@pytest.mark.parametrize("path", ["/ui/models", "/api/portfolio", "/ui/portfolio/report", "/ui/measures?by=model"])
def test_a_fault_in_the_file_of_models_elsewhere_takes_no_page_away(
    get: Get, life: Life, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    from steward import wiring

    def broken() -> Any:
        raise SpecError("inventory.yaml:3:9: got 'hihg' of vendor_scores")

    monkeypatch.setattr(wiring, "services", lambda: replace(life.services, external=broken))
    page = get(path)
    assert page.status_code == 200
    assert "measures" in path or "the inventory file cannot be read" in page.text
    assert "vendor_scores" not in page.text


def test_names_of_the_record_are_escaped(get: Get, life: Life, tmp_path: Path) -> None:
    path = life.services.specs.folder / "sibling" / "model.yaml"
    text = path.read_text()
    path.write_text(text.replace("title: A sibling", 'title: "<img src=x onerror=alert(1)>"'))
    for address in ("/ui/models", "/ui/models/sibling", "/ui/portfolio/report"):
        page = get(address).text
        assert "<img" not in page
        assert "&lt;img" in page
    path.write_text(text)
