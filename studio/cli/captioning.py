"""The verbs `captions …`."""

from __future__ import annotations

import time

from pydantic import ValidationError

from studio.captionings import Captioning, CaptioningLine
from studio.cli.desk import FAILED, INTERRUPTED, OK, Answer, Desk, explain
from studio.cli.generating import followed, why
from studio.cli.words import items_of, table
from studio.contracts import CaptionRequest, JobState, new_id
from studio.errors import NotFound, from_validation

LOOK_S = 0.2


def offer_captions(desk: Desk) -> Answer:
    found = desk.studio.captionings.offer(_request(desk))
    whose = f"{found.name}'s dataset" if found.name else "the references"
    lines = [f"{found.pictures} in {whose}, {found.missing} without a caption"]
    if found.way is not None:
        where = f"they leave this computer, to {found.way.host}" if found.way.sends_away else "no picture leaves this computer"
        lines.append(f"{found.way.model}{f' at {found.way.url}' if found.way.url else ''}: {where}")
    if found.usd_each is not None:
        lines.append(f"A caption cost {_usd(found.usd_each)} lately")
    lines += [f"{one.message} {one.remedy}" for one in found.obstacles]
    return Answer(found.model_dump(mode="json"), "\n".join(lines), FAILED if found.obstacles else OK)


def write_captions(desk: Desk) -> Answer:
    job = desk.studio.captionings.order(_request(desk), correlation_id=new_id())
    if desk.args.wait:
        return _waited(desk, job.id)
    text = f"{job.id}\n`python launch.py captions show {job.id}` tells how it goes; they are written while a studio runs, or with --wait."
    return Answer({"job_id": job.id, "state": job.state.value}, text)


def list_captionings(desk: Desk) -> Answer:
    found = desk.studio.captionings.captionings(limit=desk.args.limit)
    rows = [(one.job.id, one.name or "references", one.job.state, _counts(one), one.way.model) for one in found]
    return Answer(items_of(found), table(rows) or "None yet. `python launch.py captions write CHARACTER` has some written.")


def show_captioning(desk: Desk) -> Answer:
    found = desk.studio.captionings.captioning(desk.args.id)
    return Answer(found.model_dump(mode="json"), _told(found))


def retry_captions(desk: Desk) -> Answer:
    job = desk.studio.captionings.retry(desk.args.id)
    if desk.args.wait:
        return _waited(desk, job.id)
    return Answer(job.model_dump(mode="json"), f"{job.id} waits for its turn.")


def undo_captions(desk: Desk) -> Answer:
    count = desk.studio.captionings.undo(desk.args.id)
    return Answer({"ok": True, "count": count}, f"{count} caption{'' if count == 1 else 's'} put back.")


def try_captioner(desk: Desk) -> Answer:
    tried = desk.studio.captionings.start_try()
    while tried.trying:
        time.sleep(LOOK_S)
        tried = desk.studio.captionings.last_try()
    verdict = tried.verdict
    if verdict is None:
        raise NotFound("Nothing came of the try.", remedy="Try again.")
    lines = [verdict.message, *([verdict.remedy] if verdict.remedy else [])]
    lines += ["Pictures leave this computer."] if verdict.sends_away else []
    return Answer(verdict.model_dump(mode="json"), "\n".join(lines), OK if verdict.ok else FAILED)


def _request(desk: Desk) -> CaptionRequest:
    args = desk.args
    said: dict[str, object] = {
        "references": args.references,
        "category": args.category,
        "pictures": tuple(args.picture) or None,
        "style": args.style,
        "replace": args.all,
        "captioner": args.captioner,
        "real_person": None if args.real_person is None else args.real_person == "yes",
        "allow_remote_for_real": args.allow_remote_for_real,
    }
    if args.id is not None:
        try:
            said["dataset"] = desk.studio.datasets.dataset(args.id).id
        except NotFound:
            said["character"] = args.id
    try:
        return CaptionRequest.model_validate(said)
    except ValidationError as error:
        raise from_validation(error) from error


def _waited(desk: Desk, job_id: str) -> Answer:
    job = followed(desk, job_id)
    found = desk.studio.captionings.captioning(job_id)
    value: dict[str, object] = {"job_id": job.id, "state": job.state.value, "written": found.written, "failed": found.failed}
    if job.state is JobState.done:
        return Answer(value, _told(found))
    told = why(job)
    if not desk.args.json:
        explain(told)
    return Answer({"ok": False, **value, "error": told}, "", INTERRUPTED if job.state is JobState.cancelled else FAILED)


def _told(found: Captioning) -> str:
    lines = ["  ".join([found.job.id, found.name or "references", found.job.state, _counts(found), *_cost(found)])]
    if found.job.error:
        lines.append(f"{found.job.error.message} {found.job.error.remedy}")
    lines += [f"  {one.id}: {one.error.message} {one.error.remedy}" for one in found.failures if one.error]
    lines += [f"  {one.id} names {', '.join(one.traits)}: {one.caption}" for one in found.doubtful]
    if found.failed + found.waiting and found.job.state.ended:
        lines.append(f"`python launch.py captions retry {found.job.id}` asks for those again that are missing.")
    return "\n".join(lines)


def _counts(line: CaptioningLine) -> str:
    told = {"written": line.written, "failed": line.failed, "to come": line.waiting, "skipped": line.skipped}
    return ", ".join(f"{count} {word}" for word, count in told.items() if count or word == "written")


def _cost(line: CaptioningLine) -> list[str]:
    spent = line.spent
    tokens = spent.prompt_tokens + spent.completion_tokens
    return ([f"{tokens:,} tokens"] if tokens else []) + ([_usd(spent.usd)] if spent.usd else [])


def _usd(amount: float) -> str:
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"
