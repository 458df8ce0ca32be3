"""Tells people: in a file that an operator can read, and by Apprise at addresses that only the deployment knows."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from steward.errors import UnavailableError
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel


class AppriseNotifier:
    """`addresses` are Apprise addresses (mail, chat, pager) by name, beside those in the environment. They are
    secrets: no error and no log line holds one."""

    def __init__(self, file: Path, addresses: Mapping[str, str] | None = None) -> None:
        self.file, self._addresses = file, dict(addresses or {})

    def reaches(self, name: str, channel: Channel | None) -> bool:
        return channel is None or not channel.by_airflow

    def notify(self, name: str, channel: Channel | None, message: Message) -> None:
        if channel is None:
            self._note(message)
            return
        variable = channel.environment or ""
        address = self._addresses.get(variable) or os.environ.get(variable)
        if not address:
            raise UnavailableError(f"{variable} is not set", where=f"channel {name}", hint="set it to the address")
        send(name, address, message)

    def _note(self, message: Message) -> None:
        row = {"noted_at": datetime.now(UTC).isoformat(), **message.to_json()}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UnavailableError(f"a notice cannot be written: {error.strerror}", where=str(self.file)) from error


def send(name: str, address: str, message: Message) -> None:
    """To one Apprise address. Raises UnavailableError without the address in it."""
    import apprise

    where, heard = f"channel {name}", _Heard()
    sender = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
    apprise.logger.addHandler(heard)
    silent, apprise.logger.propagate = apprise.logger.propagate, False  # its own lines may hold the address
    try:
        if not sender.add(address):
            raise UnavailableError("the address is none that Apprise knows", where=where, hint="see apprise's wiki")
        took = sender.notify(title=message.title, body=_text(message))
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001, a plug-in of Apprise may raise anything, with the address in it
        raise UnavailableError(f"the channel broke down ({type(error).__name__})", where=where) from None
    finally:
        apprise.logger.propagate = silent
        apprise.logger.removeHandler(heard)
    if not took:
        raise UnavailableError(f"the channel did not take it{heard.code}", where=where, hint="it is tried again")


def _text(message: Message) -> str:
    to = f"To: {', '.join(message.to)}\n\n" if message.to else ""
    return f"{to}{message.body}\n\n[{message.id}]"


class _Heard(logging.Handler):
    """What Apprise says of a refusal: the status code of the answer, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.code = ""

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.search(r"error=(\d{3})\b", record.getMessage()):
            self.code = f" (it answered {found[1]})"
