"""Durable execution by DBOS: on SQLite in one process, on PostgreSQL in any number."""
