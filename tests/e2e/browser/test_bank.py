"""A bank with a model in every state, looked at by its people."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.browser.axe import complaints
from tests.e2e.browser.installation import FOREIGN, VIEWER, Installation
from tests.e2e.browser.people import HOST, Visit
from tests.e2e.browser.world import BROKEN, CANARY, DRIFTED, HEALTHY, RETIRED, WAITING, YOUNG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODELS = (HEALTHY, DRIFTED, WAITING, CANARY, YOUNG)


def rows(page: Page) -> Locator:
    return page.locator(f"{HOST} table#models tbody tr:visible")


def names(page: Page) -> list[str]:
    return [text.split()[0] for text in rows(page).locator("th").all_inner_texts()]


def test_from_the_navigation_to_the_answer_and_on_to_the_charts_of_the_red_model(
    bank: Installation, visit: Visit
) -> None:
    page = visit(bank, "dana").page
    page.goto(f"{bank.url}/")
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.locator(HOST).get_by_role("heading", name="How do we know our models still perform?")).to_be_visible()
    expect(page.locator(HOST)).to_contain_text("3 of 4 serving models hold")
    page.locator(f"{HOST} #models").get_by_role("link", name=DRIFTED.model).click()
    expect(page).to_have_url(re.compile(f"/dags/{DRIFTED.model}__train/plugin/model$"))
    expect(page.locator(HOST).get_by_role("heading", level=1)).to_have_text(DRIFTED.title)
    expect(page.locator(HOST).get_by_role("img").first).to_be_visible()
    expect(page.locator(HOST)).to_contain_text("days_since_order moved")
    assert page.locator(f"{HOST} svg[role=img]").count() >= 2


def test_every_model_is_in_the_table_the_worst_first(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").models()
    assert {*names(page)} >= {named.model for named in MODELS} | {BROKEN}
    assert {*names(page)[:2]} == {DRIFTED.model, BROKEN}


def test_the_table_is_filtered_and_sorted_and_the_address_remembers(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").models()
    page.get_by_role("searchbox").fill("payments")
    expect(rows(page)).to_have_count(1)
    assert names(page) == [HEALTHY.model]
    page.reload()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Health").select_option("red")
    expect(rows(page)).to_have_count(1)
    assert names(page) == [DRIFTED.model]
    page.get_by_label("Health").select_option("")
    head = page.locator(f"{HOST} #models").get_by_role("columnheader", name="Model")
    for order, turned in (("ascending", False), ("descending", True)):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        assert names(page) == sorted(names(page), reverse=turned)


def test_a_broken_spec_shows_file_line_and_the_nearest_right_word(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").open(f"dags/{BROKEN}__broken/plugin/model")
    expect(page.locator(HOST)).to_contain_text("Its spec cannot be read")
    expect(page.locator(HOST)).to_contain_text("model.yaml:6")
    expect(page.locator(HOST)).to_contain_text("did you mean `risk_tier`?")


def test_a_retired_model_keeps_its_page_and_offers_nothing(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(RETIRED.model)
    expect(page.locator(HOST)).to_contain_text("the branches plan with an app of the vendor now")
    expect(page.locator(f"{HOST} form")).to_have_count(0)


def test_the_tab_of_a_dag_that_is_no_models_says_so(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").open(f"dags/{FOREIGN}/plugin/model", ready=None)
    expect(page.locator(HOST)).to_contain_text("This DAG belongs to no model")


def test_the_canary_is_seen_while_it_runs(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(CANARY.model)
    expect(page.locator(HOST)).to_contain_text("The rollout that runs: version 2")
    expect(page.locator(HOST)).to_contain_text("at 50 % of traffic")
    expect(page.locator(f"{HOST} [data-refresh]")).to_have_count(1)


def test_a_viewer_sees_no_button_and_no_door_opens(bank: Installation, visit: Visit) -> None:
    page = visit(bank, VIEWER).model(WAITING.model)
    expect(page.locator(HOST)).to_contain_text(f"Release {WAITING.model}@2?")
    expect(page.locator(f"{HOST} form")).to_have_count(0)
    doors = ("answer", "rollback", "reviews", "incidents/acknowledge", "retraining/allow")
    for door in doors:
        status = page.evaluate(
            """async (path) => (await fetch(path, {method: "POST", body: "{}",
               headers: {"Content-Type": "application/json"}})).status""",
            f"{bank.url}/steward/api/models/{WAITING.model}/{door}",
        )
        assert status == 403, door


def test_who_was_logged_out_meanwhile_is_told_and_led_back(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(DRIFTED.model)
    page.context.clear_cookies()
    # Airflow's own requests, at any moment, would go to the log-in before anybody presses a button.
    page.route("**/*", lambda route: route.continue_() if "/steward/" in route.request.url else route.abort())
    page.locator(f"{HOST} summary", has_text="Roll back").click()
    page.get_by_label("Reason").first.fill("the desk called")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(HOST)).to_contain_text("You are logged out")
    expect(page.locator(HOST).get_by_role("link", name="Log in")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_follow_the_theme_and_can_be_read(bank: Installation, visit: Visit, dark: bool) -> None:
    somebody = visit(bank, "dana", dark=dark)
    for show in (
        somebody.models,
        lambda: somebody.model(DRIFTED.model),
        lambda: somebody.model(WAITING.model),
        lambda: somebody.open("plugin/measures"),
    ):
        page = show()
        ink = page.locator(f"{HOST} h1").evaluate("e => getComputedStyle(e).color")
        light = sum(map(int, re.findall(r"\d+", ink)[:3])) > 3 * 128
        assert light == dark, f"text is {ink} on {page.url}"
        assert complaints(page) == []


@pytest.mark.parametrize("path", ["plugin/models", f"dags/{DRIFTED.model}__train/plugin/model", "plugin/measures"])
def test_on_a_narrow_screen_nothing_runs_off_the_page(bank: Installation, visit: Visit, path: str) -> None:
    page = visit(bank, "dana", width=400).open(path)
    host = page.locator(HOST)
    assert host.evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def test_a_heat_map_wider_than_the_page_begins_with_its_newest_window(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana", width=1000).model(DRIFTED.model)
    figure = page.locator(f"{HOST} figure .wide", has=page.locator("table.heat"))
    expect(figure).to_have_attribute("data-wider", "true")
    expect(figure).to_have_attribute("tabindex", "0")
    assert figure.evaluate("e => e.scrollWidth - e.clientWidth - e.scrollLeft") <= 1


def test_with_the_keyboard_alone(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").models()
    focused = "document.querySelector('div.steward').shadowRoot.activeElement"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}?.type") == "search":
            break
    page.keyboard.type(DRIFTED.model)
    expect(rows(page)).to_have_count(1)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}?.className") == "sort":
            break
    page.keyboard.press("Enter")
    head = page.locator(f"{HOST} #models").get_by_role("columnheader", name="Model")
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_a_dialog_is_opened_and_left_by_the_keyboard_and_nothing_happened(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(DRIFTED.model)
    page.locator(f"{HOST} summary", has_text="Roll back").press("Enter")
    page.get_by_label("Reason").first.fill("only trying")
    button = page.get_by_role("button", name="Roll back")
    button.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    expect(page.locator(HOST)).to_contain_text("version 2 serves")
