"""The pictures of the documents: `python -m tests.e2e.browser.pictures` starts the bank and takes them anew."""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from tests.e2e.browser.installation import Installation
from tests.e2e.browser.people import HOST, Doorman, running_browser
from tests.e2e.browser.town import settled
from tests.e2e.browser.world import DRIFTED
from tests.postgres import running_server

IMAGES = Path(__file__).parents[3] / "docs" / "images"
PAGES = {
    "models": ("plugin/models", 1330),
    "model": (f"dags/{DRIFTED.model}__train/plugin/model", 2150),
    "measures": ("plugin/measures", 1000),
}


def take(doorman: Doorman, bank: Installation, folder: Path) -> None:
    """One window per picture: Airflow's pages scroll inside, so the window is as high as the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (path, height) in PAGES.items():
        page = doorman.visit(bank, "dana", height=height).open(path)
        page.locator(f"{HOST} [aria-busy=false]").wait_for()
        page.wait_for_load_state("networkidle")
        shrink(page.screenshot(), folder / f"{name}.png")


def shrink(picture: bytes, path: Path) -> None:
    """Flat colours need no more than 128 of them: a third of the bytes."""
    Image.open(BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def main(folder: Path = IMAGES) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        running_server() as records,
        sync_playwright() as playwright,
        running_browser(playwright) as browser,
        settled(Path(place) / "town", records) as town,
    ):
        doorman = Doorman(browser, Path(place), {})
        take(doorman, town.show(town.bank), folder)
        doorman.leave(failed=False)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
