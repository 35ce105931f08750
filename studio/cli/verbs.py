"""What each verb does: ask the studio, and say the answer as a value and in words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from studio.cli.captioning import (
    list_captionings,
    offer_captions,
    retry_captions,
    show_captioning,
    try_captioner,
    undo_captions,
    write_captions,
)
from studio.cli.casting import (
    add_photos,
    create_character,
    delete_character,
    duplicate_character,
    edit_character,
    export_character,
    import_character,
    list_characters,
    show_character,
)
from studio.cli.datasets import (
    add_to_dataset,
    caption_dataset,
    check_dataset,
    check_training,
    create_dataset,
    crop_picture,
    delete_dataset,
    export_dataset,
    fix_dataset,
    import_dataset,
    list_changes,
    list_dataset_pictures,
    list_datasets,
    move_pictures,
    remove_pictures,
    rename_dataset,
    show_dataset,
    tag_pictures,
    undo_dataset,
)
from studio.cli.desk import FAILED, OK, Answer, Desk
from studio.cli.engines import (
    cancel_engine,
    connect_engine,
    engine_log,
    find_engine,
    install_engine,
    list_engines,
    refresh_engine,
    remove_engine,
    show_engine,
    start_engine,
    status_of_engines,
    stop_engine,
    update_engine,
)
from studio.cli.generating import generate
from studio.cli.sheets import add_views, enlarge_images, keep_views, list_sheets, make_sheet, offer_sheet, show_sheet, throw_views
from studio.cli.sorting import caption_image, favourite_images, show_analytics, unfavourite_images, zip_images
from studio.cli.training import (
    clean_training,
    compare_versions,
    delete_lora,
    judge_training,
    list_trainings,
    list_versions,
    offer_training,
    pick_checkpoint,
    restore_lora,
    resume_training,
    sample_training,
    save_training,
    show_training,
    stop_training,
    train,
    use_version,
)
from studio.cli.variants import list_variants, remove_variant, set_variant, use_variant
from studio.cli.words import items_of, read_file, table
from studio.cli.workflows import (
    delete_workflow,
    edit_workflow,
    export_workflow,
    import_workflow,
    inspect_workflow,
    list_workflows,
    restore_workflow,
    show_workflow,
)
from studio.contracts import Job, JobState, Picture, PictureKind
from studio.doctor import Status, checkup
from studio.errors import InvalidFieldValue, LikenessError, MissingRequiredField
from studio.gallery import moment
from studio.setup import Setting, all_settings, change_settings, places

METERS_S = 5.0


def list_jobs(desk: Desk) -> Answer:
    args = desk.args
    states = [JobState(state) for state in args.state]
    page = desk.studio.jobs(states=states, batch_id=args.batch, character=args.character, limit=_limit(args.limit), cursor=args.cursor)
    rows = [(job.id, job.state, f"{job.progress:.0%}", _when(job.created_at), _short(_words(job))) for job in page.items]
    return Answer(_dumped(page), table(rows) or "No jobs yet.")


def show_job(desk: Desk) -> Answer:
    return _job(desk.studio.job(desk.args.id))


def cancel_jobs(desk: Desk) -> Answer:
    args = desk.args
    if args.id:
        return _job(desk.studio.cancel(args.id))
    count = desk.studio.cancel_all(batch_id=args.batch)
    return Answer({"ok": True, "count": count}, f"{_counted(count, 'job')} cancelled.")


def retry_job(desk: Desk) -> Answer:
    return _job(desk.studio.retry(desk.args.id))


def move_job(desk: Desk) -> Answer:
    return _job(desk.studio.move(desk.args.id, desk.args.to))


def show_waiting(desk: Desk) -> Answer:
    found = desk.studio.elsewhere.waiting(desk.args.id)
    if found.training is None:
        return Answer(found.model_dump(mode="json"), "It waits for no training.")
    how_long = "" if found.about_s is None else f", about {found.about_s:.0f} s"
    lines = [f"It waits for the training {found.training}{how_long}."]
    lines += [f"  {one.model}{' (the same model)' if one.same else ''}" for one in found.places]
    if found.places:
        lines.append(f"`python launch.py jobs elsewhere {desk.args.id} MODEL` has it made there.")
    return Answer(found.model_dump(mode="json"), "\n".join(lines))


def move_elsewhere(desk: Desk) -> Answer:
    return _job(desk.studio.elsewhere.move(desk.args.id, desk.args.model))


def job_logs(desk: Desk) -> Answer:
    if desk.args.last is not None and desk.args.last < 1:
        raise InvalidFieldValue("“last” is a number from 1 on.", field="last")
    lines = desk.studio.job_log(desk.args.id, level=desk.args.level, last=desk.args.last)
    words = "\n".join(" ".join(str(line[key]) for key in ("ts", "level", "msg", "exc") if key in line) for line in lines)
    return Answer({"items": list(lines)}, words or "Nothing was logged.")


def list_images(desk: Desk) -> Answer:
    args = desk.args
    page = desk.studio.pictures(
        kind=None if args.kind == "all" else PictureKind(args.kind),
        trashed=args.trashed,
        job_id=args.job,
        character=args.character,
        preset=args.preset,
        style=args.style,
        model=args.model,
        favourite=True if args.favourites else None,
        category=args.category,
        since=moment(args.since, field="since") if args.since else None,
        until=moment(args.until, field="until") if args.until else None,
        search=args.search,
        limit=_limit(args.limit),
        cursor=args.cursor,
    )
    rows = [
        (picture.id, f"{picture.width}×{picture.height}", picture.seed, _when(picture.created_at), _path(desk, picture))
        for picture in page.items
    ]
    items = [_picture(desk, picture) for picture in page.items]
    return Answer({"items": items, "next": page.next, "total": page.total}, table(rows) or "No pictures yet.")


def show_image(desk: Desk) -> Answer:
    picture = desk.studio.picture(desk.args.id)
    metadata = desk.studio.metadata(picture.id)
    text = f"{_path(desk, picture)}\n{metadata.get('infotext') or ''}".strip()
    return Answer({**_picture(desk, picture), "metadata": metadata}, text)


def trash_images(desk: Desk) -> Answer:
    count = desk.studio.trash(desk.args.ids)
    return Answer({"ok": True, "count": count}, f"{_counted(count, 'picture')} moved to the trash.")


def restore_images(desk: Desk) -> Answer:
    count = desk.studio.restore(desk.args.ids)
    return Answer({"ok": True, "count": count}, f"{_counted(count, 'picture')} taken out of the trash.")


def empty_trash(desk: Desk) -> Answer:
    count = desk.studio.empty_trash()
    return Answer({"ok": True, "count": count}, f"{_counted(count, 'picture')} deleted for good.")


def upload_images(desk: Desk) -> Answer:
    # All files are read before the first is kept: a wrong name among them changes nothing.
    files = [(path.name, read_file(path)) for path in desk.args.files]
    kind = PictureKind(desk.args.kind)
    kept: list[Picture] = []
    try:
        for name, data in files:
            kept.append(desk.studio.upload(data, name, kind=kind, category=desk.args.category.strip()))
    except LikenessError:
        # All or nothing: what came before the bad one goes to the trash.
        desk.studio.trash([picture.id for picture in kept])
        raise
    return Answer({"items": [_picture(desk, picture) for picture in kept]}, "\n".join(picture.id for picture in kept))


def list_presets(desk: Desk) -> Answer:
    presets = desk.studio.presets(category=desk.args.category, engine=desk.args.engine, model=desk.args.model)
    # Those that run come first, each of the others with its reason.
    rows = sorted(presets, key=lambda preset: preset.runs is False)
    about = ((preset.id, preset.category, preset.name, preset.why_not or preset.tooltip) for preset in rows)
    return Answer(items_of(presets), table(about) or "No presets.")


def show_preset(desk: Desk) -> Answer:
    preset = desk.studio.preset(desk.args.id, model=desk.args.model)
    return Answer(preset.model_dump(mode="json"), _fields(preset))


def list_models(desk: Desk) -> Answer:
    models = desk.studio.models()
    return Answer(items_of(models), table((model.id, model.family, model.engine, model.name) for model in models))


def list_samplers(desk: Desk) -> Answer:
    found = desk.studio.sampling(desk.args.model, desk.args.workflow)
    rows = [("sampler", one.id, one.name) for one in found.samplers] + [("scheduler", one.id, one.name) for one in found.schedulers]
    return Answer(found.model_dump(mode="json"), table(rows) or "This workflow leaves neither a sampler nor a scheduler to choose.")


def list_loras(desk: Desk) -> Answer:
    loras = desk.studio.loras()
    return Answer(items_of(loras), table((lora.path, lora.family, f"{lora.bytes / 2**20:.0f} MB") for lora in loras) or "No LoRAs yet.")


def health(desk: Desk) -> Answer:
    state = desk.studio.health()
    return Answer(state.model_dump(mode="json"), _fields(state), 0 if state.ok else 1)


def show_system(desk: Desk) -> Answer:
    found = desk.studio.system(wait_s=METERS_S)
    rows = [("processor", _share(found.cpu)), ("memory", _memory(found.memory_mb, found.memory_total_mb))]
    for card in found.cards:
        facts = [_share(card.use), _memory(card.memory_mb, card.memory_total_mb)]
        rows.append((card.name, ", ".join([*facts, "?" if card.temperature is None else f"{card.temperature:.0f} °C"])))
    return Answer(found.model_dump(mode="json"), table(rows))


def create_token(desk: Desk) -> Answer:
    from studio import auth

    secret = auth.create_token(desk.settings, desk.args.name, desk.args.days)
    print("Keep it now: it is not shown again.", file=sys.stderr)
    return Answer({"ok": True, "name": desk.args.name, "token": secret}, secret)


def list_tokens(desk: Desk) -> Answer:
    from studio import auth

    tokens = auth.list_tokens(desk.settings)
    items = [{**token.model_dump(mode="json"), "state": token.state} for token in tokens]
    rows = [(token.id, token.name, token.state, _when(token.created)) for token in tokens]
    return Answer({"items": items}, table(rows) or "No tokens yet.")


def revoke_token(desk: Desk) -> Answer:
    from studio import auth

    token = auth.revoke_token(desk.settings, desk.args.id)
    return Answer({"ok": True, "id": token.id, "name": token.name}, f"The token “{token.name}” is useless now.")


def set_password(desk: Desk) -> Answer:
    from studio import auth

    auth.set_password(desk.settings, _asked_password())
    return Answer({"ok": True}, "The password is set. Everyone who was signed in has to sign in again.")


def list_settings(desk: Desk) -> Answer:
    items = [_setting(item) for item in all_settings(desk.settings)]
    return Answer({"items": items}, table((item["name"], _shown(item), item["fixed_by"]) for item in items))


def set_setting(desk: Desk) -> Answer:
    return _changed(desk, desk.args.value)


def reset_setting(desk: Desk) -> Answer:
    return _changed(desk, None)


def doctor(desk: Desk) -> Answer:
    checks = checkup(desk.settings)
    ok = all(check.status is not Status.fail for check in checks)
    rows = [(check.status.value, check.name, f"{check.detail}  → {check.remedy}" if check.remedy else check.detail) for check in checks]
    value = {"ok": ok, "checks": [check.model_dump(mode="json") for check in checks]}
    return Answer(value, table(rows), OK if ok else FAILED)


def where(desk: Desk) -> Answer:
    found = places(desk.settings).model_dump()
    return Answer(found, table((name.replace("_", " "), path) for name, path in found.items() if path))


ACTS: dict[str, Callable[[Desk], Answer]] = {
    "generate": generate,
    "jobs.list": list_jobs,
    "jobs.show": show_job,
    "jobs.cancel": cancel_jobs,
    "jobs.retry": retry_job,
    "jobs.move": move_job,
    "jobs.waiting": show_waiting,
    "jobs.elsewhere": move_elsewhere,
    "jobs.logs": job_logs,
    "images.list": list_images,
    "images.show": show_image,
    "images.trash": trash_images,
    "images.restore": restore_images,
    "images.empty-trash": empty_trash,
    "images.favourite": favourite_images,
    "images.unfavourite": unfavourite_images,
    "images.caption": caption_image,
    "images.zip": zip_images,
    "images.upload": upload_images,
    "images.enlarge": enlarge_images,
    "characters.list": list_characters,
    "characters.show": show_character,
    "characters.create": create_character,
    "characters.edit": edit_character,
    "characters.delete": delete_character,
    "characters.duplicate": duplicate_character,
    "characters.add-photos": add_photos,
    "characters.export": export_character,
    "characters.import": import_character,
    "characters.sheet.offer": offer_sheet,
    "characters.sheet.make": make_sheet,
    "characters.sheet.list": list_sheets,
    "characters.sheet.show": show_sheet,
    "characters.sheet.keep": keep_views,
    "characters.sheet.throw": throw_views,
    "characters.sheet.add": add_views,
    "datasets.list": list_datasets,
    "datasets.create": create_dataset,
    "datasets.show": show_dataset,
    "datasets.pictures": list_dataset_pictures,
    "datasets.changes": list_changes,
    "datasets.add": add_to_dataset,
    "datasets.remove": remove_pictures,
    "datasets.caption": caption_dataset,
    "datasets.tag": tag_pictures,
    "datasets.move": move_pictures,
    "datasets.crop": crop_picture,
    "datasets.check": check_dataset,
    "datasets.fix": fix_dataset,
    "datasets.undo": undo_dataset,
    "datasets.export": export_dataset,
    "datasets.import": import_dataset,
    "datasets.rename": rename_dataset,
    "datasets.delete": delete_dataset,
    "captions.offer": offer_captions,
    "captions.write": write_captions,
    "captions.list": list_captionings,
    "captions.show": show_captioning,
    "captions.retry": retry_captions,
    "captions.undo": undo_captions,
    "captions.try": try_captioner,
    "presets.list": list_presets,
    "presets.show": show_preset,
    "models.list": list_models,
    "models.samplers": list_samplers,
    "loras.list": list_loras,
    "loras.versions": list_versions,
    "loras.use": use_version,
    "variants.list": list_variants,
    "variants.set": set_variant,
    "variants.remove": remove_variant,
    "variants.use": use_variant,
    "loras.compare": compare_versions,
    "loras.delete": delete_lora,
    "loras.restore": restore_lora,
    "training.clean": clean_training,
    "train": train,
    "training.offer": offer_training,
    "training.judge": judge_training,
    "training.check": check_training,
    "training.list": list_trainings,
    "training.show": show_training,
    "training.stop": stop_training,
    "training.resume": resume_training,
    "training.save": save_training,
    "training.sample": sample_training,
    "training.pick": pick_checkpoint,
    "workflows.list": list_workflows,
    "workflows.show": show_workflow,
    "workflows.inspect": inspect_workflow,
    "workflows.import": import_workflow,
    "workflows.export": export_workflow,
    "workflows.edit": edit_workflow,
    "workflows.delete": delete_workflow,
    "workflows.restore": restore_workflow,
    "engines.list": list_engines,
    "engines.show": show_engine,
    "engines.status": status_of_engines,
    "engines.connect": connect_engine,
    "engines.find": find_engine,
    "engines.refresh": refresh_engine,
    "engines.install": install_engine,
    "engines.update": update_engine,
    "engines.start": start_engine,
    "engines.stop": stop_engine,
    "engines.remove": remove_engine,
    "engines.cancel": cancel_engine,
    "engines.log": engine_log,
    "analytics": show_analytics,
    "health": health,
    "system": show_system,
    "token.create": create_token,
    "token.list": list_tokens,
    "token.revoke": revoke_token,
    "password.set": set_password,
    "settings.list": list_settings,
    "settings.set": set_setting,
    "settings.reset": reset_setting,
    "doctor": doctor,
    "where": where,
}


def _limit(asked: int) -> int:
    if not 1 <= asked <= 500:
        raise InvalidFieldValue("“limit” is a number from 1 to 500.", field="limit")
    return asked


def _asked_password() -> str:
    if not sys.stdin.isatty():
        given = sys.stdin.readline().rstrip("\r\n")
        if not given:
            raise MissingRequiredField("No password came.", remedy="Type one, or send it as one line on stdin.")
        return given
    import getpass

    first = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != first:
        raise InvalidFieldValue("The two passwords differ.", remedy="Try again; nothing was changed.")
    return first


def _job(job: Job) -> Answer:
    lines = [f"{job.id}  {job.state}  {job.progress:.0%}  {job.note}".rstrip(), _short(_words(job))]
    if job.error:
        lines.append(f"{job.error.message} ({job.error.code})\n{job.error.remedy}")
    return Answer(job.model_dump(mode="json"), "\n".join(lines))


def _picture(desk: Desk, picture: Picture) -> dict[str, Any]:
    return {**picture.model_dump(mode="json"), "path": _path(desk, picture)}


def _path(desk: Desk, picture: Picture) -> str:
    return str((desk.settings.data / picture.path).resolve())


def _dumped(value: BaseModel) -> object:
    return value.model_dump(mode="json", exclude={"total"})


def _fields(value: BaseModel) -> str:
    return table((name, shown) for name, shown in value.model_dump(mode="json").items() if shown not in (None, "", [], {}))


def _changed(desk: Desk, value: str | None) -> Answer:
    name = desk.args.name
    said = getattr(change_settings(desk.settings, {name: value}), name)
    shown = said if said is None or isinstance(said, bool | int | float) else str(said)
    return Answer({"ok": True, "name": name, "value": shown}, f"{name} is {shown} from the next start on.")


def _setting(item: Setting) -> dict[str, object]:
    return item.model_dump(mode="json", exclude={"pending", "value", "default"} if item.secret else {"pending", "set"})


def _shown(item: dict[str, object]) -> object:
    if item["secret"]:
        return "(set)" if item["set"] else "(not set)"
    return "" if item["value"] is None else item["value"]


def _when(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def _words(job: Job) -> str:
    if job.training is not None:
        return f"training of {job.training.character}"
    if job.captions is not None:
        return f"captions of {job.captions.character or 'references'}"
    return job.request.prompt if job.request else ""


def _share(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def _memory(used: float | None, total: float | None) -> str:
    return "?" if used is None or total is None else f"{used / 1024:.1f} of {total / 1024:.1f} GB"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
