"""What axe, an accessibility checker, finds wrong with our part of a page. Airflow's own parts are not ours."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from tests.e2e.browser.people import HOST

GRAVE = ("serious", "critical")


def complaints(page: Page) -> list[str]:
    """Serious and critical violations below our element; axe looks into its shadow root."""
    found = Axe().run(page, context=HOST).response
    held = {rule["id"] for rule in found["passes"]}
    assert {"color-contrast", "link-name"} & held, f"axe saw little of the page: only {held} held"
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
