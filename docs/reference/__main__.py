"""Writes the pages of reference that follow from the code: `python docs/reference`. A test keeps them current."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command_page import cli_page
from list_pages import events_page, gates_page, measures_page, settings_page
from schema_pages import files_page, spec_page

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "events.md": events_page,
    "files.md": files_page,
    "gates.md": gates_page,
    "measures.md": measures_page,
    "settings.md": settings_page,
    "spec.md": spec_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(__file__).parent / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/reference/{name}")
