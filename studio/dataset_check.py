"""The check of a dataset before it is trained: each picture is looked at once, what was found is kept by its contents, and fixes are done.

A look takes up to a third of a second, so one call looks at as many as fit into a few seconds and says how many are still to come.
"""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from studio.characters import check_consent
from studio.contracts import Character, Contract, Picture
from studio.dataset_contracts import CaptionAct, CaptionEdit, Cut, DatasetChange, DatasetPicture
from studio.datasets import Datasets, plain_caption
from studio.db import examined as examined_table
from studio.errors import Conflict, ConsentMissing, LikenessError
from studio.examining import VERSION
from studio.preflight import Code, Examined, Finding, FixAction, Severity, examine, preflight

log = logging.getLogger(__name__)

# Long enough to get somewhere, short enough for a bar that moves.
PATIENCE_S = 2.0
_LANES = 2
_AT_ONCE = 500
_REMEMBERED = 8
# What the starter model and the others are trained at; pictures below the limit were made by it.
_SMALL_TRAINING, _TRAINING, _SMALL_PICTURES = 128, 512, 300
# Said of a whole dataset: half of it says nothing.
_WHOLE = frozenset(
    {
        Code.too_few,
        Code.too_many,
        Code.several_people,
        Code.one_angle,
        Code.one_background,
        Code.one_light,
        Code.one_framing,
        Code.faces_not_looked_for,
    }
)


class CheckFinding(Contract):
    """One thing that the check found, and of which pictures, by id; `groups` are pictures that are nearly the same.

    `fix` is what one click would do to `fixed` of them; `none` where nothing can be done so.
    """

    code: Code
    severity: Severity
    title: str
    explanation: str
    pictures: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    fix: FixAction
    fixed: tuple[str, ...]


class Preflight(Contract):
    """What is known of a dataset: what blocks first. `pending` pictures were not looked at yet: ask again. `unreadable` can't be.

    Of a character's photos, which a training without a dataset learns from, `dataset` is empty, and no click fixes anything.
    """

    dataset: str
    version: int
    pictures: int
    pending: int
    unreadable: tuple[str, ...]
    findings: tuple[CheckFinding, ...]


Lookable = DatasetPicture | Picture
"""What can be looked at: a dataset's picture or a character's photo. Both lie in the data root."""


class DatasetCheck:
    """The checks of one studio's datasets."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._database = datasets.database
        self._looking = threading.Lock()
        self._unreadable: set[str] = set()
        self._told_before: dict[tuple[object, ...], Preflight] = {}

    def check(self, dataset_id: str, *, resolution: int | None = None, patience_s: float = PATIENCE_S) -> Preflight:
        """Look at some of what was not looked at yet, for so many seconds at most, and say what is known. Raises NotFound.

        `resolution` is the side in pixels that will be trained at; None takes what suits the pictures.
        """
        dataset = self._datasets.dataset(dataset_id)
        character = self._datasets.owner(dataset_id)
        key = (dataset.id, dataset.version, resolution, character.version, _agreed(character))
        if (told := self._told_before.get(key)) is not None:
            return told
        pictures = self._datasets.every_picture(dataset_id)
        said, known = self._examined(character, pictures, resolution, patience_s)
        said = said.model_copy(update={"dataset": dataset_id, "version": dataset.version})
        if known:
            self._flag(dataset_id, pictures, known, said.findings)
        if not said.pending and not said.unreadable:
            self._remember(key, said)
        return said

    def check_photos(
        self, character: Character, photos: Sequence[Picture], *, resolution: int | None = None, patience_s: float = PATIENCE_S
    ) -> Preflight:
        """The same of a character's photos, which become a dataset when they are trained first. Nothing is marked on them."""
        said, _ = self._examined(character, photos, resolution, patience_s)
        unfixed = {"fix": FixAction.none, "fixed": ()}
        return said.model_copy(update={"findings": tuple(one.model_copy(update=unfixed) for one in said.findings)})

    def _examined(
        self, character: Character, pictures: Sequence[Lookable], resolution: int | None, patience_s: float
    ) -> tuple[Preflight, Mapping[str, Examined]]:
        self._look(pictures, patience_s)
        looked = self._looked_at(pictures)
        broken = tuple(one.id for one in pictures if one.sha256 in self._unreadable and one.sha256 not in looked)
        pending = sum(one.sha256 not in looked for one in pictures) - len(broken)
        findings: list[CheckFinding] = []
        known: Mapping[str, Examined] = {}
        # To compare thousands takes seconds: not after every look at some of them.
        if not pending or len(pictures) <= _AT_ONCE:
            known = self._known(pictures)
            findings = self._findings(character, pictures, known, resolution)
        said = Preflight(dataset="", version=0, pictures=len(pictures), pending=pending, unreadable=broken, findings=tuple(findings))
        return said, known

    def fix(self, dataset_id: str, code: Code, *, resolution: int | None = None) -> DatasetChange:
        """Do what the finding proposes, as one change that can be undone. Raises NotFound, and Conflict where there is nothing to fix."""
        pictures = self._datasets.every_picture(dataset_id)
        known = self._known(pictures)
        there, owner = [one for one in pictures if one.sha256 in known], self._datasets.owner(dataset_id)
        found = next((one for one in self._told(owner, there, known, resolution) if one.code is code), None)
        if found is None or found.fix.action is FixAction.none or not fixable(found):
            raise Conflict("There is nothing here that one click could fix.", field="code", remedy="Look at the check again.")
        before = self._datasets.dataset(dataset_id).undo
        ids = [there[index].id for index in found.fix.pictures]
        if found.fix.action is FixAction.remove:
            self._datasets.remove(dataset_id, ids)
        elif found.fix.action is FixAction.crop:
            self._datasets.cut_many(dataset_id, {one: _box(box) for one, box in zip(ids, found.fix.boxes, strict=True)})
        elif found.fix.action is FixAction.fill_captions:
            self._caption(dataset_id, CaptionAct.write, ids, plain_caption(self._datasets.owner(dataset_id)))
        elif found.fix.action is FixAction.add_trigger:
            self._caption(dataset_id, CaptionAct.trigger, ids)
        done = self._datasets.dataset(dataset_id).undo
        if done is None or done == before:
            raise Conflict("That was fixed already.", field="code", remedy="Look at the check again.")
        return done

    def _caption(self, dataset_id: str, act: CaptionAct, ids: Sequence[str], text: str = "") -> None:
        edit = CaptionEdit.model_validate({"act": act, "text": text, "ids": tuple(ids)})
        self._datasets.edit_captions(dataset_id, edit)

    # Looking

    def _look(self, pictures: Sequence[Lookable], patience_s: float) -> None:
        until = time.monotonic() + patience_s
        # Two pages that ask share one pair of lanes.
        if not self._looking.acquire(timeout=patience_s):
            return
        try:
            known = self._looked_at(pictures)
            open_ = {one.sha256: one for one in pictures if one.sha256 not in known and one.sha256 not in self._unreadable}
            waiting = iter(list(open_.values()))
            with ThreadPoolExecutor(_LANES) as pool:
                for lane in [pool.submit(self._lane, waiting, until) for _ in range(_LANES)]:
                    lane.result()
        finally:
            self._looking.release()

    def _lane(self, waiting: Iterator[Lookable], until: float) -> None:
        # A list's iterator hands each picture to one lane alone.
        while time.monotonic() < until:
            one = next(waiting, None)
            if one is None:
                return
            self._look_at(one)

    def _look_at(self, one: Lookable) -> None:
        try:
            found = examine(self._datasets.files.file(one.path))
        except LikenessError as error:
            log.warning("The picture %s can't be looked at: %s", one.path, error)
            self._unreadable.add(one.sha256)
            return
        body = found.model_dump_json()
        try:
            with self._database.begin() as connection:
                mine = examined_table.c.sha256 == one.sha256
                if connection.execute(sa.update(examined_table).where(mine).values(body=body)).rowcount == 0:
                    connection.execute(sa.insert(examined_table).values(sha256=one.sha256, body=body))
        except IntegrityError:
            # Another process looked at the same picture at the same moment, and saw the same.
            return

    def _looked_at(self, pictures: Sequence[Lookable]) -> set[str]:
        """The contents that were looked at, by this version."""
        this = examined_table.c.body.startswith(f'{{"version":{VERSION},')
        found: set[str] = set()
        with self._database.read() as connection:
            for some in _parts(pictures):
                mine = sa.select(examined_table.c.sha256).where(examined_table.c.sha256.in_(some), this)
                found.update(connection.execute(mine).scalars())
        return found

    def _known(self, pictures: Sequence[Lookable]) -> dict[str, Examined]:
        found: dict[str, Examined] = {}
        with self._database.read() as connection:
            for some in _parts(pictures):
                for row in connection.execute(sa.select(examined_table).where(examined_table.c.sha256.in_(some))):
                    try:
                        seen = Examined.model_validate_json(row.body)
                    except ValidationError:
                        continue  # an older version's look
                    if seen.version == VERSION:
                        found[row.sha256] = seen
        return found

    def _remember(self, key: tuple[object, ...], said: Preflight) -> None:
        self._told_before[key] = said
        while len(self._told_before) > _REMEMBERED:
            self._told_before.pop(next(iter(self._told_before)), None)

    # Telling

    def _findings(
        self, character: Character, pictures: Sequence[Lookable], known: Mapping[str, Examined], resolution: int | None
    ) -> list[CheckFinding]:
        there = [one for one in pictures if one.sha256 in known]
        whole = len(there) == len(pictures)
        return [_view(one, there) for one in self._told(character, there, known, resolution) if whole or one.code not in _WHOLE]

    def _told(
        self, character: Character, there: Sequence[Lookable], known: Mapping[str, Examined], resolution: int | None
    ) -> tuple[Finding, ...]:
        seen = [known[one.sha256] for one in there]
        faces = sum(1 for one in seen if one.face)
        # Programs that know photographed faces find few in drawings.
        drawn = not character.kind.real and faces * 2 < len(seen)
        return preflight(
            seen,
            [one.caption for one in there],
            trigger=character.trigger_word,
            illustrated=drawn,
            resolution=resolution or _resolution(seen),
            consent=_agreed(character),
        )

    def _flag(
        self, dataset_id: str, pictures: Sequence[DatasetPicture], known: Mapping[str, Examined], findings: Sequence[CheckFinding]
    ) -> None:
        codes: dict[str, list[str]] = {one.id: [] for one in pictures if one.sha256 in known}
        for finding in findings:
            for picture_id in finding.pictures:
                codes[picture_id].append(finding.code.value)
        changed = {one.id: codes[one.id] for one in pictures if one.id in codes and tuple(codes[one.id]) != one.flags}
        self._datasets.set_flags(dataset_id, changed)


def fixable(finding: Finding) -> bool:
    """Whether a click helps: captions that are alike are not told apart by one more that is."""
    return finding.fix.action is not FixAction.none and finding.code is not Code.captions_alike


def _parts(pictures: Sequence[Lookable]) -> Iterator[Sequence[str]]:
    wanted = list({one.sha256 for one in pictures})
    return (wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE))


def _view(one: Finding, there: Sequence[Lookable]) -> CheckFinding:
    fix = one.fix.action if fixable(one) else FixAction.none
    return CheckFinding(
        code=one.code,
        severity=one.severity,
        title=one.title,
        explanation=one.explanation,
        pictures=tuple(there[index].id for index in one.pictures),
        groups=tuple(tuple(there[index].id for index in group) for group in one.groups),
        fix=fix,
        fixed=tuple(there[index].id for index in one.fix.pictures) if fix is not FixAction.none else (),
    )


def _agreed(character: Character) -> bool | None:
    if not character.kind.real:
        return None
    try:
        check_consent(character.consent, character.name)
    except ConsentMissing:
        return False
    return True


def _resolution(seen: Sequence[Examined]) -> int:
    if not seen:
        return _TRAINING
    return _SMALL_TRAINING if statistics.median(one.side for one in seen) < _SMALL_PICTURES else _TRAINING


def _box(box: tuple[int, int, int, int]) -> Cut:
    left, top, right, bottom = box
    return Cut.model_validate({"left": left, "top": top, "width": right - left, "height": bottom - top})
