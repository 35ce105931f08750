"""How datasets lie in the database, what a change of one remembers of the rows before it, and how they are put back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from studio.contracts import new_id
from studio.dataset_contracts import ChangeKind, Dataset, DatasetChange, DatasetPicture
from studio.db import dataset_changes, dataset_pictures, datasets
from studio.errors import NotFound

# So many changes of a dataset can be undone.
MOST_CHANGES = 20
# So many pictures stand for a dataset.
COVERS = 4
AT_ONCE = 500

# What a change does, and how it is taken back


@dataclass
class Change:
    """A change while it is made. `rows` are what its pictures were before: whole, or an id and the columns that were changed."""

    connection: sa.Connection
    dataset_id: str
    kind: ChangeKind
    row: sa.RowMapping
    rows: list[dict[str, Any]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    dataset: dict[str, Any] | None = None
    to: str | None = None
    count: int = 0

    @property
    def nothing(self) -> bool:
        """Whether it changed nothing at all."""
        return not self.rows and not self.added and self.dataset is None

    def remember_dataset(self) -> None:
        """Keep the dataset's own row, too."""
        self.dataset = dict(self.row)

    def set_captions(self, said: Mapping[str, str]) -> None:
        """Write captions by the ids of pictures; those that have them already, or are not there, are left alone."""
        values: list[dict[str, str]] = []
        for row in picture_rows(self.connection, self.dataset_id, list(said)):
            if row["caption"] != said[row["id"]]:
                self.rows.append({"id": row["id"], "caption": row["caption"]})
                values.append({"picture": row["id"], "told": said[row["id"]]})
        if values:
            mine = sa.update(dataset_pictures).where(dataset_pictures.c.id == sa.bindparam("picture"))
            self.connection.execute(mine.values(caption=sa.bindparam("told")), values)

    def before(self) -> str:
        """What the way back needs, as JSON."""
        told = {"dataset": self.dataset, "rows": self.rows, "added": self.added, "to": self.to}
        return json.dumps(told, ensure_ascii=False)


def remember(change: Change, goes_on: str | None = None) -> str:
    """Keep the way back, and forget those of long ago; gives its id. Where `goes_on` is the newest change, this one is a part of it."""
    connection, dataset_id = change.connection, change.dataset_id
    newest = sa.select(dataset_changes).where(dataset_changes.c.dataset_id == dataset_id).order_by(dataset_changes.c.id.desc())
    last = connection.execute(newest.limit(1)).mappings().first() if goes_on else None
    if last is not None and last["id"] == goes_on:
        before = json.loads(last["before"])
        before["rows"] = [*change.rows, *before["rows"]]
        values = {"what": f"{change.kind.value} {len(before['rows'])}", "before": json.dumps(before, ensure_ascii=False)}
        connection.execute(sa.update(dataset_changes).where(dataset_changes.c.id == goes_on).values(values))
        return last["id"]
    values = {"id": new_id(), "dataset_id": dataset_id, "what": f"{change.kind.value} {change.count or len(change.rows)}"}
    connection.execute(sa.insert(dataset_changes).values(**values, before=change.before(), created_at=time.time()))
    kept = sa.select(dataset_changes.c.id).where(dataset_changes.c.dataset_id == dataset_id).order_by(dataset_changes.c.id.desc())
    old = connection.execute(kept.offset(MOST_CHANGES)).scalars().all()
    if old:
        connection.execute(sa.delete(dataset_changes).where(dataset_changes.c.id.in_(old)))
    return values["id"]


def put_back(connection: sa.Connection, dataset_id: str, kind: ChangeKind, before: Mapping[str, Any]) -> None:
    """Write the rows of a dataset as they were before a change; what came or went since in other ways stays so."""
    if before["dataset"] is not None:
        values = before["dataset"]
        if kind is ChangeKind.deleted:
            connection.execute(sa.insert(datasets).values(values))
        else:
            connection.execute(sa.update(datasets).where(datasets.c.id == dataset_id).values(name=values["name"]))
    delete_pictures(connection, dataset_id, before["added"])
    rows = {row["id"]: row for row in before["rows"]}
    there: dict[str, str] = {}
    for some in parts(list(rows)):
        where = sa.select(dataset_pictures.c.id, dataset_pictures.c.dataset_id).where(dataset_pictures.c.id.in_(some))
        there.update({row.id: row.dataset_id for row in connection.execute(where)})
    homes = {dataset_id, before["to"]}
    # The same picture may have come in anew meanwhile, from another dataset.
    now = sa.select(dataset_pictures.c.sha256, dataset_pictures.c.id).where(dataset_pictures.c.dataset_id == dataset_id)
    taken = {row.sha256: row.id for row in connection.execute(now)}
    rows = {key: row for key, row in rows.items() if taken.get(row.get("sha256"), key) == key}
    # What was moved on to somewhere else since belongs there.
    changed = [row for key, row in rows.items() if there.get(key) in homes]
    missing = [row for key, row in rows.items() if key not in there and "sha256" in row and "dataset_id" in row]
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in changed:
        by_columns.setdefault(tuple(sorted(set(row) - {"id"})), []).append(row)
    for columns, some in by_columns.items():
        own = sa.update(dataset_pictures).where(dataset_pictures.c.id == sa.bindparam("picture"))
        values = {name: sa.bindparam(f"old_{name}") for name in columns}
        told = [{"picture": row["id"], **{f"old_{name}": row[name] for name in columns}} for row in some]
        connection.execute(own.values(values), told)
    if missing:
        connection.execute(sa.insert(dataset_pictures), missing)
    if before["to"] is not None:
        grow(connection, before["to"])


def lock(connection: sa.Connection, dataset_id: str) -> None:
    """Let nobody else change the dataset until the transaction is over."""
    connection.execute(sa.update(datasets).where(datasets.c.id == dataset_id).values(id=datasets.c.id))


def grow(connection: sa.Connection, dataset_id: str) -> None:
    """Its next version."""
    newer = {"version": datasets.c.version + 1, "updated_at": time.time()}
    connection.execute(sa.update(datasets).where(datasets.c.id == dataset_id).values(newer))


def delete_pictures(connection: sa.Connection, dataset_id: str, picture_ids: Sequence[str]) -> None:
    """Take pictures out of a dataset; their files stay."""
    for some in parts(picture_ids):
        own = (dataset_pictures.c.dataset_id == dataset_id, dataset_pictures.c.id.in_(some))
        connection.execute(sa.delete(dataset_pictures).where(*own))


# Rows and values


def dataset_row(connection: sa.Connection, dataset_id: str) -> sa.RowMapping:
    """The row of a dataset. Raises NotFound."""
    row = connection.execute(sa.select(datasets).where(datasets.c.id == dataset_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no dataset {dataset_id!r}.", remedy="GET /api/v1/datasets lists them.")
    return row


def picture_rows(connection: sa.Connection, dataset_id: str, picture_ids: Sequence[str]) -> list[sa.RowMapping]:
    """The rows of these pictures of a dataset; those that are not in it are left out."""
    found: list[sa.RowMapping] = []
    for some in parts(list(dict.fromkeys(picture_ids))):
        wanted = sa.select(dataset_pictures).where(dataset_pictures.c.dataset_id == dataset_id, dataset_pictures.c.id.in_(some))
        found += connection.execute(wanted).mappings().all()
    return found


def every_row(connection: sa.Connection, dataset_id: str) -> Sequence[sa.RowMapping]:
    """The rows of all pictures of a dataset, in the order in which they came."""
    wanted = sa.select(dataset_pictures).where(dataset_pictures.c.dataset_id == dataset_id)
    return connection.execute(wanted.order_by(dataset_pictures.c.created_at, dataset_pictures.c.id)).mappings().all()


def parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as a statement may name."""
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def hashes(dataset_id: str) -> sa.Select[str]:
    """Asks for the SHA-256 of every picture of a dataset."""
    return sa.select(dataset_pictures.c.sha256).where(dataset_pictures.c.dataset_id == dataset_id)


def read_datasets(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> tuple[Dataset, ...]:
    """Datasets of these rows, each with its counts, covers and newest change."""
    ids = [row["id"] for row in rows]
    own = dataset_pictures.c.dataset_id
    has = sa.func.sum(sa.case((dataset_pictures.c.caption != "", 1), else_=0))
    counted = sa.select(own, sa.func.count(), has).where(own.in_(ids)).group_by(own)
    counts = {dataset_id: (count, captioned) for dataset_id, count, captioned in connection.execute(counted)}
    place = sa.func.row_number().over(partition_by=own, order_by=(dataset_pictures.c.created_at, dataset_pictures.c.id)).label("place")
    placed = sa.select(dataset_pictures.c.id, place).where(own.in_(ids)).subquery()
    first = sa.select(placed.c.id).where(placed.c.place <= COVERS)
    covers: dict[str, list[DatasetPicture]] = {}
    order = (dataset_pictures.c.created_at, dataset_pictures.c.id)
    for row in connection.execute(sa.select(dataset_pictures).where(dataset_pictures.c.id.in_(first)).order_by(*order)).mappings():
        covers.setdefault(row["dataset_id"], []).append(picture_of(row))
    newest = (
        sa.select(sa.func.max(dataset_changes.c.id)).where(dataset_changes.c.dataset_id.in_(ids)).group_by(dataset_changes.c.dataset_id)
    )
    told = (dataset_changes.c.id, dataset_changes.c.dataset_id, dataset_changes.c.what, dataset_changes.c.created_at)
    last = {
        row["dataset_id"]: change_of(row) for row in connection.execute(sa.select(*told).where(dataset_changes.c.id.in_(newest))).mappings()
    }
    return tuple(
        Dataset(
            id=row["id"],
            character_id=row["character_id"],
            name=row["name"],
            version=row["version"],
            pictures=counts.get(row["id"], (0, 0))[0],
            captioned=counts.get(row["id"], (0, 0))[1],
            covers=tuple(covers.get(row["id"], ())),
            undo=last.get(row["id"]),
            created_at=utc(row["created_at"]),
            updated_at=utc(row["updated_at"]),
        )
        for row in rows
    )


def picture_of(row: Mapping[str, Any] | sa.RowMapping) -> DatasetPicture:
    """A picture of its row."""
    told = {name: row[name] for name in ("id", "dataset_id", "sha256", "path", "name", "width", "height", "caption", "source")}
    tags, flags = tuple(json.loads(row["tags"])), tuple(json.loads(row["flags"]))
    return DatasetPicture(**told, tags=tags, flags=flags, created_at=utc(row["created_at"]))


def change_of(row: sa.RowMapping) -> DatasetChange:
    """A change of its row."""
    kind, _, count = row["what"].partition(" ")
    return DatasetChange(id=row["id"], kind=ChangeKind(kind), count=int(count), created_at=utc(row["created_at"]))


def utc(seconds: float) -> datetime:
    """A moment of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)
