"""Every setting of this deployment: its name in the environment, what it means, and what holds without it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from steward.errors import SpecError, UnavailableError
from steward.types import without_password


class Settings(BaseSettings):
    """Every setting, from `STEWARD_…` in the environment or from `$STEWARD_HOME/steward.env`."""

    model_config = SettingsConfigDict(env_prefix="STEWARD_", extra="ignore", frozen=True, hide_input_in_errors=True)

    home: Path = Field(Path(".steward"), description="Folder of the local stack: data, logs, keys, `steward.env`")
    database_url: str | None = Field(
        None, description="PostgreSQL of the record, as the role that works (`steward_app`)"
    )
    database_owner_url: SecretStr | None = Field(
        None, description="The same as the owner of the tables: for upgrades only, no process that runs needs it"
    )
    mlflow_url: str | None = Field(None, description="MLflow's tracking server")
    storage: str | None = Field(None, description="Where tables are: snapshots and predictions. A folder, or `s3://…`")
    archive: str | None = Field(
        None, description="Where retired models are archived; without it `archive/` in the storage"
    )
    models_dir: Path = Field(Path("include/models"), description="Folder of the models, one folder each")
    policy_file: Path = Field(Path("include/policy.yaml"), description="Who may release what")
    stages_file: Path | None = Field(
        None, description="What each stage asks for; without it `stages.yaml` beside the policy"
    )
    inventory_file: Path | None = Field(
        None, description="Models that run elsewhere; without it `inventory.yaml` beside the policy"
    )
    notifications_file: Path | None = Field(
        None, description="Who is told of what; without it `notifications.yaml` beside the policy"
    )
    dashboard_url: str | None = Field(None, description="Dashboard of a model, `{model}` in it; shown where models are")
    packs_dir: Path | None = Field(None, description="Compliance packs of this institution, beside the shipped ones")
    ledger_key_file: Path | None = Field(
        None, description="Key of the ledger's chain; without it `ledger.key` in the home. Keep a copy elsewhere"
    )
    clock_file: Path | None = Field(None, description="Calendar of a replay; without it business time is the wall's")
    reports_dir: Path | None = Field(None, description="Reports and cards; without it `reports/` in the home")
    server_url: str = Field(
        "http://127.0.0.1:8000",
        description="The model servers, several with commas between; the first is shown to people",
    )
    airflow_url: str = Field("http://127.0.0.1:8080", description="Airflow's API server")
    airflow_token: SecretStr | None = Field(None, description="Token of whoever decides; goes before user and password")
    airflow_user: str | None = Field(None, description="Whoever decides, as Airflow knows them")
    airflow_password: SecretStr | None = Field(None, description="Their password")
    flush_interval: float = Field(1.0, description="Seconds of predictions that a killed server may lose")
    drain_seconds: float = Field(
        1.0, description="Seconds for which a server that ends says so on readiness before it stops to accept"
    )
    server_memory: str | None = Field(
        None, description='What the versions in a server may take together: bytes, or "2GB"; without it no bound'
    )
    server_token: SecretStr | None = Field(
        None, description="What a model server asks of every caller but health checks; needed beyond the loopback"
    )
    log_format: Literal["text", "json"] = Field("text", description="Lines of a model server's log")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="The least that is logged")
    notify_urls: tuple[SecretStr, ...] = Field(
        (), description="JSON list of Apprise addresses; they hear everything where no channel is named"
    )

    def wanted(self, name: str) -> str:
        """A setting that this use cannot do without. Raises UnavailableError that says how to give it."""
        if (value := getattr(self, name)) is None:
            raise UnavailableError(
                f"STEWARD_{name.upper()} is not set",
                where=str(self.home / "steward.env"),
                hint="start the stack with `make up`, run from the project folder, or set it in the environment",
            )
        return str(value)

    @property
    def server_memory_bytes(self) -> int | None:
        """None: no bound. Raises SpecError for what is no size."""
        if self.server_memory is None:
            return None
        number = self.server_memory.strip().upper().removesuffix("B")
        unit = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.get(number[-1:], 1)
        try:
            size = int(float(number[:-1] if unit > 1 else number) * unit)
            if size <= 0:
                raise ValueError(size)
        except (ValueError, OverflowError) as error:
            said = f"{self.server_memory!r} is no size"
            raise SpecError(said, where="STEWARD_SERVER_MEMORY", hint='write bytes, or "500MB" or "2GB"') from error
        return size

    @property
    def server_urls(self) -> tuple[str, ...]:
        """Every model server of the deployment: `server_url` may name several, with commas between."""
        return tuple(url.strip().rstrip("/") for url in self.server_url.split(",") if url.strip())

    @property
    def first_server_url(self) -> str:
        """Where people are sent."""
        return without_password(next(iter(self.server_urls), ""))

    @property
    def mlflow_page(self) -> str | None:
        """Where people are sent."""
        return without_password(self.mlflow_url).rstrip("/") if self.mlflow_url else None

    @property
    def ledger_key_path(self) -> Path:
        return self.ledger_key_file or self.home / "ledger.key"

    @property
    def stages_path(self) -> Path:
        """Beside the policy, unless it is somewhere else."""
        return self.stages_file or self.policy_file.with_name("stages.yaml")

    @property
    def inventory_path(self) -> Path:
        """Beside the policy, unless it is somewhere else."""
        return self.inventory_file or self.policy_file.with_name("inventory.yaml")

    @property
    def notifications_path(self) -> Path:
        """Beside the policy, unless it is somewhere else."""
        return self.notifications_file or self.policy_file.with_name("notifications.yaml")

    @property
    def notices_path(self) -> Path:
        return self.home / "notices.jsonl"

    @property
    def reports_path(self) -> Path:
        return self.reports_dir or self.home / "reports"
