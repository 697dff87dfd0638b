"""What happened: an append-only journal written by runs, and a DuckDB store that reads it.

A run appends to shards of its own (`journal`), one idempotent ingest moves them into `telemetry.duckdb` (`store`,
with its layout in `schema`), and questions are asked in SQL. Nothing here knows of an orchestrator.
"""
