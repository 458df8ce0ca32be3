"""The model server: load, route, log predictions, break the canary.

It lives in the data plane: it keeps answering by its last routing table while Airflow, the database and the tracker are
away, and takes a failing canary off traffic by itself.
"""
