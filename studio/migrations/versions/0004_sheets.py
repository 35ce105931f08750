"""Character sheets: which jobs make the views of a character, and which of their pictures are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sheets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("character_id", sa.Text, nullable=False),
        sa.Column("portrait", sa.Text, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("ix_sheets_character", "sheets", ["character_id", "created_at", "id"])
    op.create_table(
        "sheet_views",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("sheet_id", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("view_group", sa.Text, nullable=False),
        sa.Column("caption", sa.Text, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
    )
    op.create_index("ix_sheet_views_sheet", "sheet_views", ["sheet_id", "place"])
