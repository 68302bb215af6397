"""Alembic's folder; `wes_service.store.migration.upgrade` runs it."""
