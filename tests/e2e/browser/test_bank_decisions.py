"""What people decide on a model's page, and what came of it on the record. These change the bank: they come last."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.browser.installation import Installation
from tests.e2e.browser.people import HOST, Visit
from tests.e2e.browser.world import CANARY, DRIFTED, HEALTHY, WAITING, YOUNG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

REASON = "the gates passed, and the desk knows the new limit"


def status(page: Page, base: str, model: str) -> Any:
    """What the record says, past the page."""
    return page.evaluate("async (path) => (await fetch(path)).json()", f"{base}/steward/api/models/{model}/status")


def answer(page: Page, button: str, reason: str = REASON) -> None:
    page.get_by_label("Reason, for the record").fill(reason)
    page.get_by_role("button", name=button).click()
    agree(page, button)


def agree(page: Page, button: str) -> None:
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=button).click()


def open_act(page: Page, name: str) -> Locator:
    act = page.locator(f"{HOST} details.act", has_text=name)
    act.locator("summary").click()
    return act


def test_nobody_approves_what_they_began_themselves(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(WAITING.model)
    expect(page.locator(HOST)).to_contain_text("Neither dana, who began it")
    answer(page, "Approve")
    expect(page.locator(f"{HOST} form[data-post$='/answer'] [role=status]")).to_contain_text("dana trained the version")
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()
    assert len(status(page, bank.url, WAITING.model)["waiting"]) == 1


def test_somebody_else_approves_with_a_reason(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "ravi").model(WAITING.model)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("dialog")).to_have_count(0)  # a decision without a reason is not even asked about
    answer(page, "Approve")
    expect(page.locator(HOST).get_by_role("heading", name=f"Release {WAITING.model}@2?")).to_have_count(0)
    expect(page.locator(HOST)).to_contain_text(REASON)
    assert status(page, bank.url, WAITING.model)["waiting"] == []


def test_a_version_is_rejected_for_good(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "mo").model(YOUNG.model)
    answer(page, "Reject", "the carrier's figures were of another month")
    expect(page.locator(HOST).get_by_role("heading", name=f"Release {YOUNG.model}@1?")).to_have_count(0)
    expect(page.locator(f"{HOST} section[aria-labelledby=h-versions] .pill")).to_have_text("rejected")


def test_a_champion_is_rolled_back_and_the_page_shows_it(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(HEALTHY.model)
    expect(page.locator(HOST)).to_contain_text("version 3 serves")
    act = open_act(page, "Roll back")
    act.get_by_label("Reason").fill("customers call about refused payments")
    act.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Roll {HEALTHY.model} back? Version 3 gives way")
    agree(page, "Roll back")
    expect(page.locator(HOST)).to_contain_text("version 2 serves")
    versions = page.locator(f"{HOST} section[aria-labelledby=h-versions] tbody tr")
    expect(versions.filter(has_text="@3")).to_contain_text("rejected")
    expect(versions.filter(has_text="@2").first).to_contain_text("champion")
    assert status(page, bank.url, HEALTHY.model)["champion"] == 2


def test_a_running_canary_is_ended(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "mo").model(CANARY.model)
    act = open_act(page, "Roll back")
    act.get_by_label("Reason").fill("the offer is shown twice")
    act.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_contain_text("Ends the rollout of version 2")
    agree(page, "Roll back")
    expect(page.locator(HOST)).not_to_contain_text("The rollout that runs")
    assert status(page, bank.url, CANARY.model)["champion"] == 1


def test_an_incident_is_taken_on(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "mo").model(DRIFTED.model)
    box = page.locator(f"{HOST} .box", has_text="performance since")
    box.get_by_label("What you are going to do").fill("I ask the desk what changed in October")
    box.get_by_role("button", name="I take this on").click()
    expect(page.locator(f"{HOST} section[aria-labelledby=h-incidents]")).to_contain_text("acknowledged")


def test_a_training_is_asked_for_and_its_run_is_there(bank: Installation, visit: Visit) -> None:
    page = visit(bank, "dana").model(DRIFTED.model)
    before = bank.runs(f"{DRIFTED.model}__train")
    act = open_act(page, "Request retraining")
    act.get_by_label("Reason").fill("the season has changed")
    act.get_by_role("button", name="Request retraining").click()
    agree(page, "Request retraining")
    page.locator(HOST).get_by_role("link", name="See the run").click()
    expect(page).to_have_url(re.compile(f"/dags/{DRIFTED.model}__train/runs/"))
    assert len(bank.runs(f"{DRIFTED.model}__train")) == len(before) + 1
