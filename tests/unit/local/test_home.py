from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from steward.local.credentials import USERS, keep_airflow_secrets, keep_ledger_key, keep_passwords
from steward.local.errors import BrokenHomeError
from steward.local.home import Home, StackState, read_state, write_private, write_state


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_its_owners_alone(home: Home) -> None:
    assert mode(home.root) == 0o700


def test_the_ports_are_remembered(home: Home) -> None:
    write_state(home, StackState(ports={"airflow": 8081}))
    assert read_state(home) == StackState(ports={"airflow": 8081})


def test_a_state_of_another_format_is_refused(home: Home) -> None:
    home.state.write_text(json.dumps({"format": 99, "ports": {}}))
    with pytest.raises(BrokenHomeError, match="format 99 is not 1") as refused:
        read_state(home)
    assert "STEWARD_HOME" in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 1, "ports": {"airflow": "x"}}'])
def test_a_damaged_state_is_refused_and_left_as_it_is(home: Home, text: str) -> None:
    home.state.write_text(text)
    with pytest.raises(BrokenHomeError, match="not readable"):
        read_state(home)
    assert home.state.read_text() == text


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_text("old")
    target.chmod(0o644)
    write_private(target, "new")
    assert (target.read_text(), mode(target)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [target]


def test_secrets_and_passwords_are_made_once(home: Home) -> None:
    assert keep_airflow_secrets(home) == keep_airflow_secrets(home)
    assert keep_passwords(home) == keep_passwords(home)
    assert mode(home.secrets) == mode(home.passwords) == 0o600


def test_a_user_without_a_password_gets_one_and_the_others_keep_theirs(home: Home) -> None:
    home.passwords.write_text(json.dumps({"dana": "chosen"}))
    passwords = keep_passwords(home)
    assert passwords["dana"] == "chosen"
    assert set(passwords) == set(USERS)
    assert len(set(passwords.values())) == len(USERS)


def test_secrets_of_another_form_are_refused(home: Home) -> None:
    home.secrets.write_text('{"fernet_key": "x"}')
    with pytest.raises(BrokenHomeError, match="not the secrets of this version"):
        keep_airflow_secrets(home)


def test_the_ledger_key_is_32_bytes_and_never_replaced(home: Home) -> None:
    keep_ledger_key(home.ledger_key)
    first = home.ledger_key.read_text()
    keep_ledger_key(home.ledger_key)
    assert home.ledger_key.read_text() == first
    assert (len(bytes.fromhex(first.strip())), mode(home.ledger_key)) == (32, 0o600)
