"""The gateway's database: SQLite by default, PostgreSQL in production."""
