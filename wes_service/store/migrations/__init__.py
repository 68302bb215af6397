"""Alembic's folder; `wes_service.store.database.upgrade` runs it."""
