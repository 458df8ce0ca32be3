"""The key's file."""

from __future__ import annotations

import stat

import pytest

from steward.errors import ConflictError, IntegrityError, UnavailableError
from steward.ledger import create_key, read_key


def test_a_created_key_is_private_random_and_read_back(tmp_path):
    first, second = tmp_path / "deep" / "a.key", tmp_path / "b.key"
    assert create_key(first) != create_key(second)
    assert read_key(first) == bytes.fromhex(first.read_text())
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_a_key_is_never_replaced(tmp_path):
    key = create_key(tmp_path / "a.key")
    with pytest.raises(ConflictError, match="a ledger key is there already"):
        create_key(tmp_path / "a.key")
    assert read_key(tmp_path / "a.key") == key


def test_a_missing_key_says_which_setting(tmp_path):
    with pytest.raises(
        UnavailableError, match=r"a\.key: the ledger's key cannot be read[\s\S]*STEWARD_LEDGER_KEY_FILE"
    ):
        read_key(tmp_path / "a.key")


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31])
def test_a_damaged_key_is_refused_without_being_shown(tmp_path, text):
    (tmp_path / "a.key").write_text(text)
    with pytest.raises(IntegrityError, match="at least 64 hexadecimal digits") as damaged:
        read_key(tmp_path / "a.key")
    assert not text or text not in str(damaged.value)
