"""Postgres, the truth: configuration and the ledger of usage. Nothing else in the service speaks SQL."""
