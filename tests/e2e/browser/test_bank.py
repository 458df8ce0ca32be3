"""A bank with a model in every state, looked at by its people."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.browser.installation import FOREIGN, Installation
from tests.e2e.browser.people import HOST, Visit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_the_tab_of_a_dag_that_is_no_models_says_so(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").open(f"dags/{FOREIGN}/plugin/model", ready=None)
    expect(page.locator(HOST)).to_contain_text("This DAG belongs to no model")
