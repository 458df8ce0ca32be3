"""People at a screen: who is logged in, what they look at, and what went on behind it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, Response, expect
from tests.e2e.browser.installation import PASSWORD, Installation

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
QUIETER = ("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb")
PATIENCE = 20_000  # ms, for a page on a busy machine
NO_BROWSER = "no browser"
HOST = "div.steward"


def find_browser() -> str:
    """Its program. Skips the test where there is none, except on a CI machine, which must have one."""
    wanted = os.environ.get("STEWARD_CHROMIUM")
    found = next(filter(None, map(shutil.which, (wanted,) if wanted else NAMES)), None)
    if found:
        return found
    said = f"{NO_BROWSER}: STEWARD_CHROMIUM={wanted} is no program" if wanted else f"{NO_BROWSER} (Chromium or Chrome)"
    hint = "install one (Debian: apt install chromium; Ubuntu: snap install chromium), or set STEWARD_CHROMIUM"
    if os.environ.get("CI"):
        pytest.fail(f"{said}; {hint}", pytrace=False)
    pytest.skip(f"{said}; {hint}")


@contextmanager
def running_browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=find_browser(), args=[*QUIET, *QUIETER])
    expect.set_options(timeout=PATIENCE)
    try:
        yield browser
    finally:
        browser.close()


@dataclass
class Watch:
    """What pages asked for and complained of, over one test."""

    origin: str
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.broken.append(f"{error.message}\n{error.stack}"))

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _response(self, response: Response) -> None:
        if "/steward/" in response.url and (response.status >= 500 or response.status == 404):
            self.broken.append(f"{response.status} {response.request.method} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")
        ours = "/steward/" in message.location.get("url", "")
        if ours and message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.broken.append(f"{message.type}: {message.text}")

    @property
    def sent(self) -> list[str]:
        """Requests that went over the network; a page also asks itself, for `data:` and `blob:`."""
        return [url for url in self.asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")]

    @property
    def strangers(self) -> list[str]:
        """Requests that left the host."""
        return [url for url in self.sent if urlsplit(url).netloc != self.origin]


@dataclass
class Visitor:
    """One person in one browser window."""

    page: Page
    base: str

    def open(self, path: str, *, ready: str | None = "h1") -> Page:
        """A page of Steward inside Airflow, once `ready` is to be seen in it."""
        self.page.goto(f"{self.base}/{path}")
        if ready:
            expect(self.page.locator(HOST).locator(ready).first).to_be_visible()
        return self.page

    def models(self) -> Page:
        return self.open("plugin/models")

    def model(self, model: str) -> Page:
        return self.open(f"dags/{model}__train/plugin/model")


def log_in(context: BrowserContext, base: str, user: str) -> None:
    """By the real form."""
    page = context.new_page()
    page.goto(f"{base}/")
    page.locator("input[name=username]").fill(user, timeout=PATIENCE)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    page.wait_for_function("!location.pathname.includes('/auth/')", timeout=PATIENCE)
    page.close()


@dataclass
class Doorman:
    """Lets people into installations. A log-in is kept: the form is filled in once per person and installation."""

    browser: Browser
    folder: Path
    sessions: dict[tuple[str, str], Any]
    watches: list[Watch] = field(default_factory=list)
    open: list[BrowserContext] = field(default_factory=list)

    def visit(
        self, installation: Installation, user: str | None, *, dark: bool = False, width: int = 1280, height: int = 900
    ) -> Visitor:
        known = self.sessions.get((installation.url, user or ""))
        context = self.browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
            storage_state=known,
            accept_downloads=True,
        )
        self.open.append(context)
        if user and known is None:
            log_in(context, installation.url, user)
            self.sessions[installation.url, user] = context.storage_state()
        watch = Watch(urlsplit(installation.url).netloc)
        self.watches.append(watch)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        watch.follow(page)
        return Visitor(page, installation.url)

    def leave(self, failed: bool) -> None:
        """Close every window; what a failed test saw is kept and told."""
        try:
            if failed:
                self._keep()
            broken = [each for watch in self.watches for each in watch.broken]
            strangers = [each for watch in self.watches for each in watch.strangers]
        finally:
            for context in self.open:
                context.close()
        assert failed or not broken, f"Steward's pages complained: {broken}"
        assert failed or not strangers, f"requests left the host: {strangers}"

    def _keep(self) -> None:
        pages = [page for context in self.open for page in context.pages]
        for place, page in enumerate(pages, 1):
            picture = self.folder / f"page{place}.png"
            page.screenshot(path=picture, full_page=True)
            print(f"\nscreenshot of {page.url}: {picture}")
        log = self.folder / "console.txt"
        log.write_text("\n".join(line for watch in self.watches for line in (*watch.said, *watch.broken)))
        print(f"console and errors: {log}")


Visit = Callable[..., Visitor]
