"""Report files behind Airflow's own log-in, served by the plugin inside Airflow's real application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.airflow.conftest import HOME, token_of

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]
NAME = "2013-04-08-v7.html"


@pytest.fixture
def reports() -> Iterator[Path]:
    folder = HOME / "reports" / "flight_delays"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text("<script>drift</script>")
    (folder / "notes.txt").write_text("not a report")
    (HOME / "secret.html").write_text("secret")
    yield folder
    (HOME / "secret.html").unlink()


def get(app: Any, path: str, user: str | None = "vera", **cookies: str) -> Any:
    from fastapi.testclient import TestClient

    headers = {"Authorization": f"Bearer {token_of(user, 'VIEWER')}"} if user else {}
    return TestClient(app, follow_redirects=False, cookies=cookies).get(f"/steward{path}", headers=headers)


def test_a_user_reads_a_report_which_cannot_act_for_them(app: Any, reports: Path) -> None:
    shown = get(app, f"/reports/flight_delays/{NAME}")
    assert (shown.status_code, shown.text) == (200, "<script>drift</script>")
    assert shown.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-same-origin" not in shown.headers["content-security-policy"]
    assert f'href="flight_delays/{NAME}"' in get(app, "/reports/flight_delays").text


@pytest.mark.parametrize("path", ["/reports/flight_delays", f"/reports/flight_delays/{NAME}", "/reports/x/y.html"])
def test_without_a_log_in_there_is_nothing_to_see(app: Any, reports: Path, path: str) -> None:
    assert get(app, path, user=None).status_code == 401
    assert get(app, path, user=None, _token="forged").status_code in (401, 403)


def test_who_may_not_read_the_model_may_not_read_its_reports(
    app: Any, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    asked: list[str] = []

    def only_other_models(*, details: Any, **_: Any) -> bool:
        asked.append(details.id)
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", only_other_models)
    assert get(app, f"/reports/flight_delays/{NAME}").status_code == 403
    assert asked == ["flight_delays__monitor"]


def test_reports_of_all_models_belong_to_the_dag_that_writes_them(
    app: Any, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    (reports.parent / "-portfolio").mkdir(exist_ok=True)
    (reports.parent / "-portfolio" / NAME).write_text("everything")
    allowed = {"steward__report"}
    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", lambda *, details, **_: details.id in allowed)
    assert get(app, f"/reports/-portfolio/{NAME}").text == "everything"
    assert get(app, f"/reports/flight_delays/{NAME}").status_code == 403
    allowed.clear()
    assert get(app, f"/reports/-portfolio/{NAME}").status_code == 403


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "-other", "Toy", "toy\n", "."]
)
def test_what_is_no_model_is_not_said_back_as_a_page(app: Any, reports: Path, name: str) -> None:
    """A link that somebody sent must not run anything as the person who follows it."""
    answer = get(app, f"/reports/{quote(name)}")
    assert answer.status_code == 404
    assert not answer.headers["content-type"].startswith("text/html")


def test_names_of_report_files_are_escaped_and_the_list_runs_nothing(app: Any, reports: Path) -> None:
    nasty = reports / '"><img src=x onerror=alert(1)>.html'
    nasty.write_text("drift")
    listed = get(app, "/reports/flight_delays")
    nasty.unlink()
    assert listed.status_code == 200
    assert "<img" not in listed.text
    assert "flight_delays/%22%3E%3Cimg" in listed.text
    assert listed.headers["content-security-policy"].startswith("default-src 'none'")
    assert listed.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/reports/flight_delays/absent.html",
        "/reports/flight_delays/notes.txt",
        "/reports/flight_delays/..%2Fsecret.html",
        "/reports/flight_delays/..%2F..%2Fsecret.html",
        "/reports/../secret.html",
        "/reports/..%2F/secret.html",
        "/reports/%2e%2e/secret.html",
    ],
)
def test_no_path_leads_out_of_the_reports(app: Any, reports: Path, path: str) -> None:
    answer = get(app, path)
    assert answer.status_code == 404, answer.text
    assert "secret" not in answer.text.replace("secret.html", "")


def test_a_link_out_of_the_folder_is_not_followed(app: Any, reports: Path) -> None:
    link = reports / "link.html"
    link.symlink_to(HOME / "secret.html")
    assert get(app, "/reports/flight_delays/link.html").status_code == 404
    link.unlink()


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_application_does_not_describe_itself(app: Any, path: str) -> None:
    assert get(app, path).status_code == 404
