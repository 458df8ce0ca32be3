"""Tells people: always in a file that an operator can read, and by Apprise where the deployment gives an address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from steward.errors import UnavailableError


class AppriseNotifier:
    """`urls` are Apprise addresses (mail, chat, pager) of the deployment; secrets stay in its settings."""

    def __init__(self, file: Path, urls: Sequence[str] = ()) -> None:
        self.file, self.urls = file, tuple(urls)

    def notify(self, to: Sequence[str], title: str, body: str) -> None:
        self._note(to, title, body)
        if self.urls:
            self._send(to, title, body)

    def _note(self, to: Sequence[str], title: str, body: str) -> None:
        row = {"at": datetime.now(UTC).isoformat(), "to": list(to), "title": title, "body": body}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UnavailableError(f"a notice cannot be written: {error.strerror}", where=str(self.file)) from error

    def _send(self, to: Sequence[str], title: str, body: str) -> None:
        import apprise

        sender = apprise.Apprise()
        for url in self.urls:
            sender.add(url)
        if not sender.notify(title=title, body=f"To: {', '.join(to)}\n\n{body}"):
            raise UnavailableError("not every notice could be sent", hint="check STEWARD_NOTIFY_URLS")
