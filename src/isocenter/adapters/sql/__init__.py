"""The SQL backend: SQLite on one machine, PostgreSQL for many, by one set of statements."""
