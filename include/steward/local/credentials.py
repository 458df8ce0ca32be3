"""Secrets of the embedded stack: made once, kept with mode 0600, never replaced."""

from __future__ import annotations

import base64
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from steward.errors import ConflictError
from steward.ledger import create_key
from steward.local.errors import BrokenHomeError
from steward.local.home import Home, read_json, write_private

# The people of the embedded Airflow and their roles there: a data scientist, a risk officer, an operator.
USERS = {"admin": "ADMIN", "dana": "USER", "ravi": "USER", "mo": "USER", "vera": "USER"}
# Letters and digits that cannot be mistaken for each other when read from a screen.
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class AirflowSecrets:
    """Shared by Airflow's processes; new ones would void sessions, task tokens and encrypted connections."""

    fernet_key: str
    jwt_secret: str
    api_secret_key: str


def keep_airflow_secrets(home: Home) -> AirflowSecrets:
    """The stored secrets, made first if there are none. Raises BrokenHomeError for those of another release."""
    if not home.secrets.exists():
        made = AirflowSecrets(
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            jwt_secret=secrets.token_urlsafe(48),
            api_secret_key=secrets.token_urlsafe(32),
        )
        write_private(home.secrets, json.dumps(asdict(made), indent=2) + "\n")
    found = read_json(home.secrets)
    try:
        return AirflowSecrets(**found)
    except TypeError as error:
        raise BrokenHomeError(
            f"not the secrets of this version of Steward: {error}",
            where=str(home.secrets),
            hint="move the file away and start again; then enter anew the connections stored in Airflow",
        ) from error


def keep_passwords(home: Home) -> dict[str, str]:
    """The log-ins of Airflow's users by name; a user without one gets one, the others keep theirs."""
    known = read_json(home.passwords) if home.passwords.exists() else {}
    missing = {user: _readable_password() for user in USERS if user not in known}
    passwords = {str(user): str(password) for user, password in {**known, **missing}.items()}
    if missing:
        write_private(home.passwords, json.dumps(passwords) + "\n")
    return passwords


def keep_ledger_key(path: Path) -> None:
    """A new one only if there is none: events signed with a lost key can never be verified again."""
    with suppress(ConflictError):
        create_key(path)


def _readable_password() -> str:
    return "-".join("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(3))
