"""The style of a picture, beside its preset. Until now a style could only be the preset itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STYLES = ("flat_avatar_v1", "ink_comic_v1", "realism_v1", "luxury_v1", "anime_v1", "illustration_v1")


def upgrade() -> None:
    op.add_column("pictures", sa.Column("style", sa.Text))
    pictures = sa.table("pictures", sa.column("preset", sa.Text), sa.column("style", sa.Text))
    op.execute(pictures.update().where(pictures.c.preset.in_(STYLES)).values(style=pictures.c.preset))
