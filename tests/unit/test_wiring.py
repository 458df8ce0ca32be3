"""What is read once a process, and what is read again when its file changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steward import wiring
from steward.errors import SpecError, StewardError

SHIPPED = Path(__file__).parents[2] / "include" / "policy.yaml"
MO = "  mo: {roles: [approver], email: mo@example.com}\n"


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "policy.yaml"
    path.write_text(SHIPPED.read_text())
    monkeypatch.setenv("STEWARD_POLICY_FILE", str(path))
    wiring.settings.cache_clear()
    yield path
    wiring.settings.cache_clear()


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("http://127.0.0.1:8000", ("http://127.0.0.1:8000",)),
        ("http://one:8000/, http://two:8000", ("http://one:8000", "http://two:8000")),
        ("", ()),
    ],
)
def test_a_deployment_may_have_several_model_servers(given: str, urls: tuple[str, ...]) -> None:
    settings = wiring.Settings(server_url=given)
    assert settings.server_urls == urls
    assert settings.first_server_url == (urls[0] if urls else "")


def test_who_is_taken_out_of_the_policy_may_no_longer_approve(policy_file: Path) -> None:
    """Airflow's API server judges answers for weeks without being started again."""
    assert wiring.policy().roles_of("mo") == {"approver"}
    assert wiring.policy() is wiring.policy()
    text = policy_file.read_text()
    assert MO in text
    policy_file.write_text(text.replace(MO, ""))
    assert wiring.policy().roles_of("mo") == frozenset()


def test_a_policy_that_cannot_be_read_judges_nothing(policy_file: Path) -> None:
    assert wiring.policy()
    policy_file.write_text("rubbish")
    with pytest.raises(StewardError):
        wiring.policy()
    policy_file.unlink()
    with pytest.raises(StewardError):
        wiring.policy()


def test_stages_and_the_inventory_are_read_again_when_they_change(policy_file: Path) -> None:
    """Both lie beside the policy unless said otherwise."""
    for name in ("stages.yaml", "inventory.yaml"):
        (policy_file.parent / name).write_text((SHIPPED.parent / name).read_text())
    assert wiring.stages() is wiring.stages()
    before = wiring.stages().version
    file = policy_file.with_name("stages.yaml")
    file.write_text(file.read_text().replace(f'version: "{before}"', 'version: "next year"'))
    assert wiring.stages().version == "next year"
    assert wiring.external() is wiring.external()
    policy_file.with_name("inventory.yaml").write_text("rubbish")
    with pytest.raises(StewardError):
        wiring.external()


@pytest.mark.parametrize(
    ("given", "size"), [(None, None), ("1500", 1500), ("2GB", 2 * 10**9), ("0.5 gb", 5 * 10**8), ("300M", 3 * 10**8)]
)
def test_the_memory_of_a_server_is_given_in_bytes_or_units(given: str | None, size: int | None) -> None:
    assert wiring.Settings(server_memory=given).server_memory_bytes == size


@pytest.mark.parametrize("given", ["much", "", "-1GB", "0", "inf", "2GiB", "GB"])
def test_a_memory_that_is_no_size_is_refused(given: str) -> None:
    with pytest.raises(SpecError, match="is no size"):
        _ = wiring.Settings(server_memory=given).server_memory_bytes


SECRET = "s3cr3t-canary"
ADDRESSES = {
    "STEWARD_MLFLOW_URL": f"http://ann:{SECRET}@mlflow.test/base/",
    "STEWARD_SERVER_URL": f"http://ann:{SECRET}@models.test,http://ben:{SECRET}@more.test",
    "STEWARD_DASHBOARD_URL": f"https://ann:{SECRET}@x@boards.test/{{model}}",
}


def test_where_people_are_sent_says_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in ADDRESSES.items():
        monkeypatch.setenv(name, address)
    wiring.settings.cache_clear()
    given, places = wiring.settings(), wiring.places()
    wiring.settings.cache_clear()
    assert given.mlflow_page == "http://mlflow.test/base"
    assert given.first_server_url == "http://models.test"
    assert SECRET not in str(places)
    assert "https://boards.test/{model}" in str(places)


@pytest.mark.parametrize("given", [f'["slack://{SECRET}", 5]', f'{{"a": "{SECRET}"}}', f"slack://{SECRET}"])
def test_a_setting_that_is_refused_is_not_quoted(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_NOTIFY_URLS", given)
    wiring.settings.cache_clear()
    with pytest.raises(ValueError, match="notify_urls") as refused:
        wiring.settings()
    wiring.settings.cache_clear()
    assert SECRET not in str(refused.value)
