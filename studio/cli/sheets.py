"""The verbs `characters sheet …`, and `images enlarge`."""

from __future__ import annotations

from pydantic import ValidationError

from studio.cli.desk import Answer, Desk
from studio.cli.generating import ended_or_waiting, prepare
from studio.cli.words import items_of, table
from studio.contracts import Submitted, new_id
from studio.enlarging import EnlargeRequest
from studio.errors import from_validation
from studio.sheets import Sheet, SheetRequest, ShotJudgement, ShotVerdict


def offer_sheet(desk: Desk) -> Answer:
    offer = desk.studio.sheets.offer(desk.args.id)
    lines = [f"{problem.message} {problem.remedy}" for problem in offer.obstacles]
    for each in offer.workflows:
        lines.append(f"{each.id}: {each.name}" + ("" if each.runs else f" ({each.lacks[0].message})"))
    if offer.workflows:
        lines.append(table((view.group, view.name, view.caption) for view in offer.workflows[0].views))
    return Answer(offer.model_dump(mode="json"), "\n".join(lines))


def make_sheet(desk: Desk) -> Answer:
    args = desk.args
    prepare(args.out)
    seed = -1 if args.seed is None else args.seed
    try:
        wish = SheetRequest(portrait=args.portrait, workflow=args.workflow, views=tuple(args.view) or None, seed=seed)
    except ValidationError as error:
        raise from_validation(error) from error
    sheet = desk.studio.sheets.order(args.id, wish, correlation_id=new_id())
    jobs = tuple(shot.job_id for shot in sheet.shots)
    answer = ended_or_waiting(desk, Submitted(job_id=jobs[0], job_ids=jobs, batch_id=sheet.id))
    value = {**answer.value, "sheet": sheet.id} if isinstance(answer.value, dict) else answer.value
    return Answer(value, f"{answer.text}\nsheet {sheet.id}".strip(), answer.status)


def list_sheets(desk: Desk) -> Answer:
    found = desk.studio.sheets.sheets(desk.args.id)
    rows = [(each.id, f"{len(each.shots)} views", "open" if each.open else "done", each.workflow) for each in found]
    return Answer(items_of(found), table(rows) or "No sheets yet. `python launch.py characters sheet make ID` makes one.")


def show_sheet(desk: Desk) -> Answer:
    return _shown(desk.studio.sheets.sheet(desk.args.sheet))


def keep_views(desk: Desk) -> Answer:
    return _judged(desk, ShotVerdict.kept)


def throw_views(desk: Desk) -> Answer:
    return _judged(desk, ShotVerdict.thrown)


def add_views(desk: Desk) -> Answer:
    added = desk.studio.sheets.add(desk.args.sheet)
    return Answer(items_of(added), table((photo.id, photo.caption) for photo in added) or "Nothing new was kept.")


def enlarge_images(desk: Desk) -> Answer:
    args = desk.args
    prepare(args.out)
    try:
        wish = EnlargeRequest(ids=args.ids, by=args.by, real_person=None if args.real_person is None else args.real_person == "yes")
    except ValidationError as error:
        raise from_validation(error) from error
    return ended_or_waiting(desk, desk.studio.enlarging.order(wish, correlation_id=new_id()))


def _judged(desk: Desk, verdict: ShotVerdict) -> Answer:
    sheet = desk.studio.sheets.sheet(desk.args.sheet)
    views = desk.args.views or [shot.view for shot in sheet.shots if shot.picture is not None and shot.verdict is ShotVerdict.open]
    if not views:
        return _shown(sheet)
    try:
        judgement = ShotJudgement(views=tuple(views), verdict=verdict)
    except ValidationError as error:
        raise from_validation(error) from error
    return _shown(desk.studio.sheets.judge(sheet.id, judgement))


def _shown(sheet: Sheet) -> Answer:
    rows = [
        (shot.group, shot.view, shot.state, "in the photos" if shot.photo else shot.verdict, shot.picture or "") for shot in sheet.shots
    ]
    return Answer(sheet.model_dump(mode="json"), table(rows))
