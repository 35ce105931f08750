"""How Alembic runs our migrations: on the connection that studio.db hands it."""

from __future__ import annotations

from alembic import context

from studio.db import metadata

OURS = frozenset(metadata.tables)


def _is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare_to: object) -> bool:
    # DBOS keeps its tables in the same database and migrates them itself.
    return kind != "table" or name in OURS


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=_is_ours,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
