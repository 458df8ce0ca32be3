"""An installation without a model, and Airflow below a path prefix."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from tests.e2e.browser.axe import complaints
from tests.e2e.browser.installation import Installation
from tests.e2e.browser.people import HOST, Doorman

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_nothing_is_there_yet_and_the_page_says_what_to_do(empty: Installation, doorman: Doorman) -> None:
    page = doorman.visit(empty, "dana").models()
    expect(page.locator(HOST)).to_contain_text("There is no model that you may see yet")
    expect(page.locator(HOST)).to_contain_text("steward init my_model")
    assert complaints(page) == []


def test_every_request_stays_below_the_prefix(empty: Installation, doorman: Doorman) -> None:
    somebody = doorman.visit(empty, "dana")
    page = somebody.page
    page.goto(f"{empty.url}/")
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.locator(HOST).get_by_role("heading", level=1)).to_be_visible()
    somebody.open("plugin/measures")
    (watch,) = doorman.watches
    astray = [url for url in watch.sent if not urlsplit(url).path.startswith("/airflow/")]
    assert [url for url in watch.sent if "/steward/ui/" in url]
    assert astray == []
