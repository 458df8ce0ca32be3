"""The secret the chain is signed with: a file outside the database, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from steward.errors import ConflictError, IntegrityError, UnavailableError

KEY_BYTES = 32


def read_key(path: Path) -> bytes:
    """The key as written by `create_key` (64 hex digits). Raises UnavailableError, IntegrityError."""
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise UnavailableError(
            f"the ledger's key cannot be read: {error.strerror}",
            where=str(path),
            hint="point STEWARD_LEDGER_KEY_FILE at the key this ledger was begun with",
        ) from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise IntegrityError(
            f"the ledger's key must be at least {2 * KEY_BYTES} hexadecimal digits",
            where=str(path),
            hint="restore the file from your backup: without it the ledger cannot be verified",
        )
    return key


def create_key(path: Path) -> bytes:
    """Write a new random key with mode 0600. Raises ConflictError when there is one: it is never replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(
            "a ledger key is there already", where=str(path), hint="a ledger keeps the key it was begun with"
        ) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
    return key
