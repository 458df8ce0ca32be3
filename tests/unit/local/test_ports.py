from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from steward.local import ports
from steward.local.commands import moved_ports
from steward.local.errors import PortInUseError
from steward.local.ports import PortChoice, choose_ports, holder_of, is_free


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The ports somebody else listens on, as far as the chooser can tell."""
    taken: set[int] = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    monkeypatch.setattr(ports, "holder_of", lambda port: "nginx (pid 7)" if port in taken else None)
    return taken


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def numbers(choices: dict[str, PortChoice]) -> dict[str, int]:
    return {service: choice.port for service, choice in choices.items()}


def test_the_preferred_ports_are_taken_when_free(busy: set[int]) -> None:
    assert numbers(choose_ports({}, environ={})) == {"airflow": 8080, "mlflow": 5000, "server": 8000}


def test_a_busy_preferred_port_gives_way_to_the_next_free_one_and_says_so(busy: set[int]) -> None:
    busy |= {8080, 8081}
    choices = choose_ports({}, environ={})
    assert choices["airflow"] == PortChoice(8082, moved_from=8080)
    assert moved_ports(choices) == ["airflow is on port 8082: 8080 is in use by another program"]


def test_the_remembered_port_comes_before_the_preferred_one(busy: set[int]) -> None:
    assert choose_ports({"airflow": 9000}, environ={})["airflow"] == PortChoice(9000)


def test_a_running_service_keeps_the_port_it_holds_itself(busy: set[int]) -> None:
    busy.add(9000)
    assert choose_ports({"airflow": 9000}, running={"airflow"}, environ={})["airflow"] == PortChoice(9000)


def test_a_running_service_is_not_moved_by_a_variable(busy: set[int]) -> None:
    with pytest.raises(PortInUseError, match="airflow is running on port 9000, not 9100") as refused:
        choose_ports({"airflow": 9000}, running={"airflow"}, environ={"STEWARD_AIRFLOW_PORT": "9100"})
    assert "python -m steward.local stop" in str(refused.value)


def test_a_busy_port_fixed_by_a_variable_is_refused_with_its_holder(busy: set[int]) -> None:
    busy.add(9100)
    with pytest.raises(PortInUseError) as refused:
        choose_ports({}, environ={"STEWARD_MLFLOW_PORT": "9100"})
    assert str(refused.value).splitlines() == [
        "STEWARD_MLFLOW_PORT: port 9100 for mlflow is in use by nginx (pid 7)",
        "→ end that process, give STEWARD_MLFLOW_PORT a free port, or unset it to have one chosen",
    ]


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1"])
def test_a_variable_that_is_no_port_is_refused(busy: set[int], text: str) -> None:
    with pytest.raises(PortInUseError, match="is not a port"):
        choose_ports({}, environ={"STEWARD_SERVER_PORT": text})


def test_services_never_share_a_port(busy: set[int]) -> None:
    chosen = choose_ports({"mlflow": 8080}, environ={"STEWARD_SERVER_PORT": "8081"})
    assert numbers(chosen) == {"airflow": 8080, "mlflow": 8082, "server": 8081}


def test_two_variables_with_one_port_are_refused(busy: set[int]) -> None:
    same = {"STEWARD_AIRFLOW_PORT": "9000", "STEWARD_MLFLOW_PORT": "9000"}
    with pytest.raises(PortInUseError, match="another service of this stack"):
        choose_ports({}, environ=same)


def test_a_real_listener_is_noticed_and_named(listener: int) -> None:
    assert not is_free(listener)
    assert f"(pid {os.getpid()})" in (holder_of(listener) or "")


def test_a_port_is_free_once_its_listener_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert is_free(port)
