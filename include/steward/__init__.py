"""Steward runs the whole life of machine-learning models on Apache Airflow."""

__version__ = "0.1.0"
