"""Characters; whom a job and a picture belong to; favourites, captions and categories of pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "characters",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
        sa.Column("trigger_word", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_index("ix_characters_status", "characters", ["status", "created_at", "id"])
    op.add_column("jobs", sa.Column("character_id", sa.Text))
    op.create_index("ix_jobs_character", "jobs", ["character_id", "created_at"])
    op.add_column("pictures", sa.Column("character_id", sa.Text))
    for name in ("favourite", "real_person"):
        op.add_column("pictures", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    for name in ("caption", "category", "name"):
        op.add_column("pictures", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.create_index("ix_pictures_character", "pictures", ["character_id", "kind", "trashed_at", "created_at", "id"])
    op.create_index("ix_pictures_favourite", "pictures", ["favourite", "kind", "trashed_at", "created_at", "id"])
