"""Renders Steward's plans into Airflow: one operator per kind of step, each calling one action."""
