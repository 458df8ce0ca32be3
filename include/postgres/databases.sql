-- Runs once, when the volume is empty.
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
CREATE DATABASE steward;
