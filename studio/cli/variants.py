"""The verbs `variants …`: the named looks of a character, and their faces drawn over pictures."""

from __future__ import annotations

from pydantic import ValidationError

from studio.cli.desk import FAILED, Answer, Desk, explain
from studio.cli.generating import followed, why
from studio.cli.words import handles_of, items_of, table
from studio.contracts import FaceVariant, JobState, new_id
from studio.errors import from_validation
from studio.variants import VariantUse


def list_variants(desk: Desk) -> Answer:
    found = desk.studio.variants.of(desk.args.character)
    rows = [
        (one.name, one.lora, f"strength {one.lora_strength:g}", ", ".join(f"{k}: {v}" for k, v in one.handles.items())) for one in found
    ]
    return Answer(
        items_of(found), table(rows) or "No face variants yet. `python launch.py variants set CHARACTER NAME --lora LORA` makes one."
    )


def set_variant(desk: Desk) -> Answer:
    args = desk.args
    said = {
        "name": args.name,
        "lora": args.lora,
        "lora_strength": args.strength,
        "portrait": args.portrait,
        "handles": handles_of(args.handle),
    }
    try:
        variant = FaceVariant.model_validate(said)
    except ValidationError as error:
        raise from_validation(error) from error
    character = desk.studio.variants.put(args.character, variant)
    return Answer(
        items_of(character.variants), f"{character.name} has the face variants {', '.join(one.name for one in character.variants)}."
    )


def remove_variant(desk: Desk) -> Answer:
    character = desk.studio.variants.remove(desk.args.character, desk.args.name)
    return Answer(items_of(character.variants), f"“{desk.args.name}” is gone; its LoRA and its pictures stay.")


def use_variant(desk: Desk) -> Answer:
    args = desk.args
    try:
        wish = VariantUse.model_validate({"ids": args.pictures, "denoise": args.denoise})
    except ValidationError as error:
        raise from_validation(error) from error
    made = desk.studio.variants.use(args.character, args.name, wish, correlation_id=new_id())
    value: dict[str, object] = made.model_dump(mode="json")
    if not args.wait:
        return Answer(value, f"{', '.join(made.job_ids)}: made while a studio runs, or with --wait.")
    jobs = [followed(desk, job_id) for job_id in made.job_ids]
    files = [str(desk.studio.picture_file(picture.id)) for job in jobs for picture in desk.studio.artifacts(job.id)]
    faults = [why(job) for job in jobs if job.state is not JobState.done]
    if faults and not args.json:
        explain(faults[0])
    return Answer({**value, "ok": not faults, "files": files}, "\n".join(files), FAILED if faults else 0)
