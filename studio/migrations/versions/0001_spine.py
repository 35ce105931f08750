"""Jobs, pictures, what the engines last said, and marks that count changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("batch_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False, unique=True),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("eta_s", sa.Double),
        sa.Column("preview", sa.Integer, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_remedy", sa.Text),
        sa.Column("error_field", sa.Text),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "priority", "id"])
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "id"])
    op.create_index("ix_jobs_changed", "jobs", ["changed_at"])
    op.create_table(
        "pictures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("preset", sa.Text),
        sa.Column("engine", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("model_hash", sa.Text),
        sa.Column("lora_hashes", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text),
        sa.Column("duration_s", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("trashed_at", sa.Double, nullable=False, comment="0: not in the trash"),
    )
    op.create_index("ix_pictures_shelf", "pictures", ["kind", "trashed_at", "created_at", "id"])
    op.create_index("ix_pictures_job", "pictures", ["job_id", "index"])
    op.create_table(
        "engine_states",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
