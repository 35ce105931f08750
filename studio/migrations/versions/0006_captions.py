"""Captions by a vision model: jobs that write them, and what became of each picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "captionings",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("dataset_id", sa.Text),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("spent", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("ix_captionings_dataset", "captionings", ["dataset_id", "created_at", "job_id"])
    op.create_table(
        "captioned",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("picture_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("real_person", sa.Boolean, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("caption", sa.Text, nullable=False),
        sa.Column("traits", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
