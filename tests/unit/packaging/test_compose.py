"""docker-compose.yaml: complete, closed to the network, and without a single default secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]

REQUIRED = {
    "airflow-init",
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-worker",
    "postgres",
    "redis",
    "mlflow",
    "object-store",
    "bucket",
    "model-server",
    "exporter",
    "prometheus",
    "grafana",
}
ONE_SHOT = {"airflow-init", "bucket"}
SECRETS = set(re.findall(r"^([A-Z0-9_]+)=$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


def test_every_part_of_the_stack_is_there() -> None:
    assert set(SERVICES) == REQUIRED


@pytest.mark.parametrize("name", sorted(REQUIRED - ONE_SHOT))
def test_a_long_running_service_reports_its_health(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(name for name in SERVICES if "ports" in SERVICES[name]))
def test_a_port_is_bound_to_the_loopback_interface(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, wait in SERVICES[name].get("depends_on", {}).items():
        finished = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
        assert wait["condition"] == finished


def test_every_secret_is_required_with_a_message_and_documented() -> None:
    required = re.findall(r"(?<!\$)\$\{([A-Z0-9_]+):\?set ([A-Z0-9_]+) in \.env\}", TEXT)
    assert all(variable == named for variable, named in required)
    assert {variable for variable, _ in required} == SECRETS


def test_nothing_that_looks_like_a_secret_has_a_value_of_its_own() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD$|SECRET|ACCESS_KEY|_KEY$", variable):
                assert "${" in value, f"{name}: {variable}"


def test_whoever_asks_the_model_server_has_its_token() -> None:
    """It refuses to start where others can reach it without one, and refuses callers without it."""
    assert "STEWARD_SERVER_TOKEN" in SERVICES["model-server"]["environment"]
    assert "STEWARD_SERVER_TOKEN" in SERVICES["airflow-worker"]["environment"]
    job = yaml.safe_load((ROOT / "include" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert COMPOSE["secrets"][secret] == {"environment": "STEWARD_SERVER_TOKEN"}


def test_every_mounted_file_exists() -> None:
    sources = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert all((ROOT / source).exists() for source in sources if source.startswith("."))
    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    filled = tmp_path / "env"
    filled.write_text("".join(f"{secret}=given\n" for secret in SECRETS))
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS}

    def config(env_file: str) -> subprocess.CompletedProcess[str]:
        command = [docker, "compose", "--file", str(ROOT / "docker-compose.yaml"), "--env-file", env_file]
        return subprocess.run([*command, "config", "--quiet"], capture_output=True, text=True, env=clean)

    accepted = config(str(filled))
    assert accepted.returncode == 0, accepted.stderr
    refused = config(os.devnull)
    assert refused.returncode != 0
    assert "in .env" in refused.stderr
