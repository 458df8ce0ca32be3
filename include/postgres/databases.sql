-- Runs once, when the volume is empty. Each part has a role of its own and reaches its own database only. The owner of
-- the ledger's tables is the administrator, who migrates; `steward_app` reads and appends.
\getenv airflow_password AIRFLOW_DATABASE_PASSWORD
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
\getenv steward_password STEWARD_DATABASE_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE steward_app LOGIN PASSWORD :'steward_password';

CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE steward;

REVOKE CONNECT ON DATABASE airflow, mlflow, steward FROM PUBLIC;
GRANT CONNECT ON DATABASE steward TO steward_app;
