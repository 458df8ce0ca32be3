"""500 models on one page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.browser.axe import complaints
from tests.e2e.browser.installation import Installation
from tests.e2e.browser.people import HOST, Visit
from tests.e2e.browser.town import CROWD

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# Milliseconds until the table has been drawn, from the click that asks for it.
WAIT_FOR_TABLE = """async () => {
    const host = () => document.querySelector("div.steward")?.shadowRoot;
    while (!(host()?.querySelector("#models tbody tr:last-child")?.getBoundingClientRect().height > 0))
        await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now();
}"""


def test_500_models_are_there_at_once_and_one_is_found(crowd: Installation, visit: Visit) -> None:
    page = visit(crowd, "dana").page
    page.goto(f"{crowd.url}/")
    link = page.get_by_role("link", name="Models", exact=True)
    expect(link).to_be_visible()
    for what in ("first", "again"):
        started = page.evaluate("performance.now()")
        link.click()
        seconds = (page.evaluate(WAIT_FOR_TABLE) - started) / 1000
        print(f"\n{CROWD} models, from the click to the drawn table, {what}: {seconds:.2f} s")
        shown = page.locator(f"{HOST} #models tbody tr:visible").count()
        assert shown >= CROWD
        page.get_by_role("link", name="Dags", exact=True).click()
        expect(page.locator(HOST)).to_have_count(0)
    link.click()
    page.evaluate(WAIT_FOR_TABLE)
    page.get_by_role("searchbox").fill("m123")
    expect(page.locator(f"{HOST} #models tbody tr:visible")).to_have_count(1)
    assert complaints(page) == []
