"""The scripts alone, with a server that is late, lies, redirects or has logged the person out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
PROJECT = Path(__file__).resolve().parents[3]
UI = PROJECT / "plugins" / "steward_airflow" / "ui"
AIRFLOW = "http://airflow.test/below"
SHELL = """<!doctype html><base href="/below/"><div id="host"></div><script type="module">
import { open } from "./steward/ui/page.js";
import * as places from "./steward/ui/places.js";
const mount = () => open(document.getElementById("host"), { address: "fragment" }, () => {});
Object.assign(globalThis, { places, mount });
</script>"""
FORM = """<div data-refresh="1"><h1>{title}</h1><form data-post="door">
<label>Why <textarea name="reason"></textarea></label>
<select name="to"><option>1</option><option>2</option></select><button>Send</button></form></div>"""
Answers = dict[str, Callable[[Route], Any]]


@pytest.fixture
def answers() -> Answers:
    """By the last part of the address."""
    return {"fragment": lambda route: route.fulfill(body=FORM.format(title="First"), content_type="text/html")}


@pytest.fixture
def page(browser: Browser, answers: Answers) -> Iterator[Page]:
    asked: list[str] = []

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        asked.append(route.request.url)
        if name == "":
            route.fulfill(body=SHELL, content_type="text/html")
        elif (UI / name).is_file():
            route.fulfill(path=UI / name, content_type="text/javascript")
        else:
            answers.get(name, lambda route: route.fulfill(body="", content_type="text/css"))(route)

    context = browser.new_context()
    context.set_default_timeout(5000)
    page = context.new_page()
    page.route("**/*", answer)
    page.goto(f"{AIRFLOW}/")
    page.wait_for_function("() => Boolean(globalThis.mount)")
    page.asked = asked  # type: ignore[attr-defined]
    page.evaluate("() => { globalThis.leave = mount(); }")
    yield page
    page.unroute_all(behavior="ignoreErrors")
    context.close()


def test_a_late_refresh_takes_nothing_away_from_somebody_who_writes(page: Page, answers: Answers) -> None:
    held: list[Route] = []
    reason = page.get_by_label("Why")
    expect(reason).to_be_visible()
    answers["fragment"] = held.append
    _until(page, lambda: bool(held))
    reason.fill("the canary is bad")
    held[0].fulfill(body=FORM.format(title="Second"), content_type="text/html")
    page.wait_for_timeout(300)
    expect(reason).to_have_value("the canary is bad")
    expect(page.get_by_role("heading")).to_have_text("First")


def test_a_choice_is_in_use_too(page: Page, answers: Answers) -> None:
    page.get_by_role("combobox").select_option("2")
    page.get_by_role("heading").evaluate("heading => heading.closest('.page').getRootNode().activeElement?.blur()")
    answers["fragment"] = lambda route: route.fulfill(body=FORM.format(title="Second"), content_type="text/html")
    page.wait_for_timeout(1500)
    expect(page.get_by_role("combobox")).to_have_value("2")


def test_of_two_loads_the_last_one_counts(page: Page, answers: Answers) -> None:
    """A refresh that was asked for before a decision may arrive after it."""
    held: list[Route] = []
    expect(page.get_by_role("heading")).to_have_text("First")
    answers["fragment"] = held.append
    _until(page, lambda: bool(held))
    answers["fragment"] = lambda route: route.fulfill(body=FORM.format(title="Decided"), content_type="text/html")
    answers["door"] = lambda route: route.fulfill(body='{"message": "It went."}', content_type="application/json")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading")).to_have_text("Decided")
    held[0].fulfill(body=FORM.format(title="Stale"), content_type="text/html")
    page.wait_for_timeout(300)
    expect(page.get_by_role("heading")).to_have_text("Decided")


def test_who_was_logged_out_loses_nothing_that_was_written(page: Page, answers: Answers) -> None:
    answers["door"] = lambda route: route.fulfill(status=401, body='{"detail": "Not authenticated"}')
    page.get_by_label("Why").fill("the canary is bad")
    page.get_by_role("button", name="Send").click()
    link = page.get_by_role("link", name="Log in")
    expect(link).to_have_attribute("target", "_blank")
    assert "/below/api/v2/auth/login?next=" in (link.get_attribute("href") or "")
    expect(page.get_by_label("Why")).to_have_value("the canary is bad")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


@pytest.mark.parametrize("status", [302, 307])
def test_a_log_in_page_of_a_proxy_is_no_answer(page: Page, answers: Answers, status: int) -> None:
    elsewhere = {"Location": "http://login.test/form"}
    answers["door"] = lambda route: route.fulfill(status=status, headers=elsewhere)
    page.get_by_label("Why").fill("the canary is bad")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    expect(page.get_by_label("Why")).to_have_value("the canary is bad")
    assert not [url for url in page.asked if "login.test" in url]  # type: ignore[attr-defined]


def test_an_answer_that_cannot_be_read_is_not_waited_for(page: Page, answers: Answers) -> None:
    answers["door"] = lambda route: route.fulfill(body="<html>", content_type="text/html")
    page.get_by_label("Why").fill("the canary is bad")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Look whether it was done before you try again.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_what_the_server_refuses_is_text(page: Page, answers: Answers) -> None:
    said = {"detail": "<img src=x onerror=alert(1)>", "hint": "<b>no</b>"}
    answers["door"] = lambda route: route.fulfill(
        status=403, body=json.dumps(said), content_type="application/problem+json"
    )
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("<img src=x onerror=alert(1)> <b>no</b>")).to_be_visible()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("address", ["https://evil.test/x", "//evil.test/x", "data:text/html,x"])
def test_no_other_host_is_asked_for_a_part(page: Page, answers: Answers, address: str) -> None:
    part = f'<h1>Other</h1><details open data-load="{address}"><summary>more</summary></details>'
    answers["fragment"] = lambda route: route.fulfill(body=part, content_type="text/html")
    expect(page.get_by_text("is not asked")).to_be_visible()
    assert not [url for url in page.asked if "evil.test" in url]  # type: ignore[attr-defined]


def test_a_page_that_is_mounted_twice_is_there_once(page: Page, answers: Answers) -> None:
    """As React does it where it is strict."""
    page.evaluate("() => { leave(); globalThis.leave = mount(); }")
    expect(page.get_by_role("heading")).to_have_count(1)
    page.evaluate("() => leave()")
    before = len(page.asked)  # type: ignore[attr-defined]
    page.wait_for_timeout(1500)
    assert page.asked[before:] == [], "a page that was left asks for nothing"  # type: ignore[attr-defined]


def test_a_dag_belongs_to_the_model_before_its_last_word(page: Page) -> None:
    of = {"toy__train": "toy", "a__b__train": "a__b", "a___monitor": "a_"}
    for dag, model in of.items():
        assert page.evaluate("dag => places.modelOf(dag)", dag)["address"] == f"steward/ui/models/{model}"
    for dag in ("plain", "Toy__train", "../x__train", "toy__Train"):
        assert page.evaluate("dag => places.modelOf(dag)", dag) == {"nothing": dag}


def _until(page: Page, true: Callable[[], bool]) -> None:
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("it did not come to it")
