"""Dagster storage classes that keep their database connections, named in `dagster.yaml`.

Stock Dagster opens an engine and a connection for every call. `sqlite` and `postgres` store the same rows in the
same tables, over pooled connections, and write a batch of events in one transaction.
"""
