"""Characters keep their names to themselves, are adults, and real ones agreed; no edit is lost, nothing half made is left."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

import app
from app import STARTER_MODEL
from studio.characters import Characters, load_templates, slug_of, trigger_of
from studio.contracts import (
    Character,
    CharacterChange,
    CharacterFields,
    CharacterKind,
    CharacterStatus,
    Consent,
    GenerateRequest,
    LoraUse,
    PhotosAdded,
    PictureKind,
)
from studio.dataset_contracts import DatasetFields, PicturesChange
from studio.db import Database
from studio.errors import (
    Conflict,
    ConsentMissing,
    ContractMismatch,
    FileTooLarge,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    NotFound,
    SafetyFilter,
    from_validation,
)
from studio.models import find_models
from studio.prompts import compose, fill, prompts_of
from studio.settings import Settings
from studio.studio import TEMPLATES, Studio


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return app.open_studio(settings)


def fields(**said: Any) -> CharacterFields:
    return CharacterFields.model_validate({"name": "Nova", **said})


def change(**said: Any) -> CharacterChange:
    return CharacterChange.model_validate(said)


def photo(seed: int = 1, size: tuple[int, int] = (48, 40)) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "JPEG")
    return out.getvalue()


AGREED = Consent(who="Mia Example", what_for="pictures for her own channel")


# Names


def test_a_slug_and_a_trigger_word_are_suggested_and_never_given_twice(studio: Studio) -> None:
    first, second, third = (studio.create_character(fields(name="Zoë Ünal")) for _ in range(3))
    assert (first.slug, first.trigger_word) == ("zoe-unal", "zoeunal_lk")
    assert len({each.slug for each in (first, second, third)}) == 3
    assert len({each.trigger_word for each in (first, second, third)}) == 3
    assert studio.suggest_names("Zoë Ünal") == ("zoe-unal-4", "zoeunal_lk4")


@pytest.mark.parametrize(("name", "slug"), [("Ada Lovelace", "ada-lovelace"), ("  --  ", "character"), ("北京", "character"), ("É!", "e")])
def test_a_slug_is_plain(name: str, slug: str) -> None:
    assert slug_of(name) == slug
    assert trigger_of(name) == slug.replace("-", "") + "_lk"


def test_a_taken_slug_or_trigger_word_names_the_field_and_a_free_one(studio: Studio) -> None:
    studio.create_character(fields(slug="nova", trigger_word="nvx"))
    with pytest.raises(InvalidFieldValue) as refused:
        studio.create_character(fields(slug="nova"))
    assert refused.value.field == "slug"
    assert "nova-2" in refused.value.remedy
    with pytest.raises(InvalidFieldValue) as refused:
        studio.create_character(fields(name="Other", trigger_word="NVX"))
    assert refused.value.field == "trigger_word"
    assert len(studio.characters()) == 1


def test_many_threads_that_want_one_name_all_get_their_own(studio: Studio) -> None:
    made: list[Character] = []
    faults: list[LikenessError] = []

    def one() -> None:
        try:
            made.append(studio.create_character(fields()))
        except LikenessError as error:
            faults.append(error)

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len({each.slug for each in made}) == 10


def test_either_database_keeps_names_apart_and_counts(database: Database) -> None:
    characters = Characters(database)
    first, second = (characters.create(fields()) for _ in range(2))
    assert (first.slug, second.slug) == ("nova", "nova-2")
    with pytest.raises(InvalidFieldValue):
        characters.change(second.id, change(slug="nova"))
    changed = characters.change(second.id, change(version=1, voice="short", consent=AGREED))
    assert characters.character(second.slug) == changed
    with pytest.raises(Conflict):
        characters.change(second.id, change(version=1, voice="long"))
    with database.begin() as connection:
        characters.adopt_portrait(first.id, "a picture", connection)
        characters.adopt_portrait(first.id, "another one", connection)
    assert characters.character(first.id).portrait == "a picture"
    assert characters.counts([first.id, second.id])[first.id].pictures == 0
    characters.change(first.id, change(status="archived"))
    assert [each.id for each in characters.characters()] == [second.id]


# Changing


def test_ten_browsers_that_edit_one_character_lose_nothing_silently(studio: Studio) -> None:
    made = studio.create_character(fields())
    done: list[str] = []
    refused: list[Conflict] = []

    def edit(number: int) -> None:
        try:
            studio.change_character(made.id, change(version=made.version, personality=f"number {number}"))
            done.append(f"number {number}")
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert len(refused) == 9
    kept = studio.character(made.id)
    assert (kept.personality, kept.version) == (done[0], made.version + 1)


def test_what_a_change_leaves_out_stays_and_what_it_takes_away_is_gone(studio: Studio) -> None:
    made = studio.create_character(fields(personality="calm", preset="portrait_v1", appearance={"hair": "red hair", "age": 30}))
    after = studio.change_character(made.slug, change(name="Nova Two", preset=None))
    assert (after.name, after.personality, after.preset, after.slug) == ("Nova Two", "calm", None, made.slug)
    assert after.appearance.age == 30


def test_a_character_is_archived_deleted_and_brought_back(studio: Studio) -> None:
    made = studio.create_character(fields())
    studio.change_character(made.id, change(status="archived"))
    assert studio.characters() == ()
    assert [each.id for each in studio.characters(CharacterStatus.archived)] == [made.id]
    studio.change_character(made.id, change(status="trashed"))
    with pytest.raises(InvalidFieldValue, match="trash"):
        studio.generate(GenerateRequest(prompt="smiling", character=made.slug))
    studio.change_character(made.id, change(status="active"))
    assert studio.generate(GenerateRequest(prompt="smiling", character=made.slug)).ok


def test_a_portrait_must_be_a_picture(studio: Studio) -> None:
    made = studio.create_character(fields())
    with pytest.raises(InvalidFieldValue) as refused:
        studio.change_character(made.id, change(portrait="nothing"))
    assert refused.value.field == "portrait"


def test_a_duplicate_has_the_words_and_none_of_the_photos(studio: Studio) -> None:
    made = studio.create_character(fields(backstory="A long story.", appearance={"hair": "black hair"}))
    studio.add_photos(made.id, [("a.jpg", photo())])
    copy = studio.duplicate_character(made.id)
    assert (copy.backstory, copy.appearance) == (made.backstory, made.appearance)
    assert copy.slug != made.slug
    assert studio.photos(copy.id) == ()


@pytest.mark.parametrize("age", [17, 0, -3, 121])
def test_a_character_is_an_adult(age: int) -> None:
    with pytest.raises(ValueError, match="age"):
        fields(appearance={"age": age})


def test_what_is_written_about_a_character_is_judged_too(studio: Studio) -> None:
    with pytest.raises(SafetyFilter):
        studio.create_character(fields(appearance={"build": "schoolgirl"}, wardrobe="naked"))
    made = studio.create_character(fields())
    with pytest.raises(SafetyFilter):
        studio.change_character(made.id, change(backstory="a naked child"))
    assert studio.character(made.id).backstory == ""


# Consent


def test_a_real_person_without_consent_is_refused_everywhere(studio: Studio) -> None:
    made = studio.create_character(fields(kind="consented"))
    for act in (
        lambda: studio.generate(GenerateRequest(prompt="smiling", character=made.id)),
        lambda: studio.add_photos(made.id, [("a.jpg", photo())]),
    ):
        with pytest.raises(ConsentMissing) as refused:
            act()
        assert refused.value.field == "consent"
    assert studio.jobs().items == ()
    assert studio.photos(made.id) == ()


def test_a_consent_that_ended_is_none(studio: Studio) -> None:
    today = datetime.now(UTC).date()
    made = studio.create_character(fields(kind="me", consent={**AGREED.model_dump(), "until": today - timedelta(days=1)}))
    with pytest.raises(ConsentMissing, match="ended"):
        studio.generate(GenerateRequest(prompt="smiling", character=made.id))
    studio.change_character(made.id, change(consent={**AGREED.model_dump(), "until": date(2999, 1, 1)}))
    assert studio.generate(GenerateRequest(prompt="smiling", character=made.id)).ok


def test_the_consent_stands_in_every_jobs_recipe(studio: Studio) -> None:
    made = studio.create_character(fields(kind="consented", consent=AGREED))
    job = studio.job(studio.generate(GenerateRequest(prompt="smiling", character=made.id)).job_id)
    assert job.recipe.real_person
    assert job.recipe.consent == AGREED


def test_an_uploaded_picture_must_say_whether_it_shows_a_real_person(studio: Studio) -> None:
    picture = studio.upload(photo(), "pose.jpg", kind=PictureKind.reference)
    for request in (GenerateRequest(prompt="smiling", image=picture.id), GenerateRequest(references=(picture.id,))):
        with pytest.raises(MissingRequiredField) as refused:
            studio.generate(request)
        assert refused.value.field == "real_person"
        with pytest.raises(ConsentMissing):
            studio.generate(request.model_copy(update={"real_person": True}))
        with pytest.raises(SafetyFilter, match="looked at"):
            studio.generate(request.model_copy(update={"real_person": True, "consent": AGREED}))
        assert studio.generate(request.model_copy(update={"real_person": False})).ok


def test_no_face_is_put_on_another_persons_photo(studio: Studio) -> None:
    mia = studio.create_character(fields(name="Mia", kind="consented", consent=AGREED))
    own = studio.add_photos(mia.id, [("mia.jpg", photo())]).items[0]
    nova = studio.create_character(fields())
    with pytest.raises(SafetyFilter, match="never put on another"):
        studio.generate(GenerateRequest(prompt="smiling", character=nova.id, image=own.id))
    strange = studio.upload(photo(2), "stranger.jpg")
    with pytest.raises(SafetyFilter, match="not one of"):
        studio.generate(GenerateRequest(prompt="smiling", character=nova.id, image=strange.id, real_person=True, consent=AGREED))
    assert studio.jobs().items == ()


def test_a_mask_of_another_size_is_refused(studio: Studio) -> None:
    picture = studio.upload(photo(), "a.png")
    mask = studio.upload(photo(size=(20, 20)), "mask.png", kind=PictureKind.mask)
    with pytest.raises(InvalidFieldValue) as refused:
        studio.generate(GenerateRequest(prompt="x", image=picture.id, mask=mask.id, real_person=False))
    assert refused.value.field == "mask"
    assert "48×40" in refused.value.message


def test_a_mask_keeps_the_size_of_its_picture_unless_one_is_asked_for(studio: Studio) -> None:
    picture, mask = (studio.upload(photo(size=(1500, 1000)), "a.png", kind=kind) for kind in (PictureKind.upload, PictureKind.mask))
    request = GenerateRequest(prompt="x", image=picture.id, mask=mask.id, real_person=False)
    sizes: list[tuple[int, int]] = []
    for change in ({}, {"preset": "night_v1"}, {"width": 96, "height": 64}, {"mask": None}):
        recipe = studio.job(studio.generate(request.model_copy(update=change)).job_id).recipe
        sizes.append((recipe.width, recipe.height))
    assert sizes == [(1500, 1000), (1500, 1000), (96, 64), (128, 128)]
    with pytest.raises(InvalidFieldValue) as refused:
        studio.generate(request.model_copy(update={"width": 1500, "height": 1000}))
    assert refused.value.field == "width"


def test_a_masked_picture_of_too_many_pixels_is_refused(studio: Studio) -> None:
    picture, mask = (studio.upload(photo(size=(1500, 1000)), "a.png", kind=kind) for kind in (PictureKind.upload, PictureKind.mask))
    # The limit was lowered since it came.
    strict = app.open_studio(studio.settings.model_copy(update={"max_upload_megapixels": 1}))
    with pytest.raises(FileTooLarge) as refused:
        strict.generate(GenerateRequest(prompt="x", image=picture.id, mask=mask.id, real_person=False))
    assert refused.value.field == "image"


# Prompts


def test_the_template_leaves_out_what_is_not_known(studio: Studio) -> None:
    made = studio.create_character(fields(appearance={"hair": "long red hair"}))
    assert fill("{trigger_word}, {hair}, {skin} skin, {caption}", made, "smiling") == "nova_lk, long red hair, smiling"
    assert fill("a photo of {name}, {age} years old", made, "x") == "a photo of Nova"


@pytest.mark.parametrize(
    ("looks", "caption", "said"),
    [
        ({"age": 34, "gender": "man"}, "smiling", "34-year-old man, smiling"),
        ({"age": 34, "gender": "man"}, "portrait of a person, smiling", "portrait of a 34-year-old man, smiling"),
        ({"age": 34, "gender": "man"}, "A man at the sea", "a 34-year-old man at the sea"),
        ({"age": 34, "gender": "man"}, "talking to a man", "34-year-old man, talking to a man"),
        ({"age": 34, "gender": "man"}, "photo of a person's hands", "34-year-old man, photo of a person's hands"),
        ({"age": 34, "gender": "man"}, "as a 70-year-old", "as a 70-year-old"),
        ({"age": 81, "gender": "woman"}, "a person", "an 81-year-old woman"),
        ({"age": 30}, "a person", "a 30-year-old person"),
        ({"age": 21, "gender": "girl"}, "portrait of a girl", "portrait of a 21-year-old woman"),
        ({"gender": "non-binary person"}, "portrait of a person", "portrait of a non-binary person"),
        ({"eyes": "brown eyes"}, "smiling", "brown eyes, smiling"),
    ],
)
def test_age_and_gender_are_said_once_and_where_the_prompt_says_a_person(
    studio: Studio, looks: dict[str, Any], caption: str, said: str
) -> None:
    made = studio.create_character(fields(appearance=looks))
    assert fill("{person}, {eyes} eyes, {caption}", made, caption) == said
    # A template of one's own that does not ask for them stays as it is.
    assert fill("{caption}", made, caption) == caption


def test_the_starter_model_reads_no_ages(studio: Studio) -> None:
    made = studio.create_character(fields(appearance={"age": 34, "gender": "man", "skin": "tan"}))
    assert studio.compose(GenerateRequest(character=made.slug)).prompt == "nova_lk, tan skin, portrait of a man"
    assert prompts_of(GenerateRequest(), None, made, family="sdxl")[0] == "nova_lk, tan skin, portrait of a 34-year-old man"


@pytest.mark.parametrize(
    ("words", "dressed"),
    [
        ("smiling, round glasses", False),
        ("wearing a hat and sunglasses", False),
        ("on top of a hill", False),
        ("at her new address", False),
        ("wearing a dirndl", True),
        ("in two red dresses", True),
        ("a navy suit", True),
        ("topless", True),
    ],
)
def test_the_wardrobe_is_worn_where_the_prompt_names_no_clothes(studio: Studio, words: str, dressed: bool) -> None:
    made = studio.create_character(fields(wardrobe="a navy suit, white shirt"))
    composed = studio.compose(GenerateRequest(prompt=words, character=made.slug)).prompt
    assert composed == (f"nova_lk, {words}" if dressed else f"nova_lk, wearing a navy suit, white shirt, {words}")
    masked = prompts_of(GenerateRequest(prompt=words, image="a", mask="b"), None, made)[0]
    assert masked == f"nova_lk, {words}"


def test_character_preset_and_person_all_speak_in_the_prompts(studio: Studio) -> None:
    made = studio.create_character(
        fields(appearance={"hair": "long red hair", "skin": "tan"}, negative_prompt="hat", preset="night_v1", lora="me.safetensors")
    )
    composed = studio.compose(GenerateRequest(prompt="smiling", negative_prompt="blurry", character=made.slug))
    assert composed.prompt.startswith("nova_lk, long red hair, tan skin, smiling, dark blue background")
    assert composed.negative_prompt == "hat, white background, yellow background, blurry"
    bare = studio.compose(GenerateRequest(prompt="smiling", character=made.slug, preset="none"))
    assert bare.prompt == "nova_lk, long red hair, tan skin, smiling"
    own = studio.compose(GenerateRequest(prompt="only this", character=made.slug, as_written=True))
    assert own.prompt == "only this"


def test_a_character_is_drawn_without_what_was_learned_where_that_is_asked_for(studio: Studio) -> None:
    starter = find_models(studio.settings.models_path, [STARTER_MODEL])[0]
    made = studio.create_character(fields(lora="me.safetensors", lora_strength=0.8))

    def drawn_with(*uses: LoraUse) -> list[tuple[str, float]]:
        recipe = compose(GenerateRequest(prompt="smiling", loras=uses), None, starter, seed=1, character=made)
        return [(use.path, use.strength) for use in recipe.loras]

    other = LoraUse(path="film.safetensors", strength=0.5)
    assert drawn_with(other) == [("me.safetensors", 0.8), ("film.safetensors", 0.5)]
    assert drawn_with(LoraUse(path="me.safetensors", strength=0), other) == [("film.safetensors", 0.5)]
    assert drawn_with(LoraUse(path="me.safetensors", strength=1)) == [("me.safetensors", 1)]


def test_photos_keep_the_order_in_which_they_were_chosen(studio: Studio) -> None:
    made = studio.create_character(fields())
    # The large ones take longest to read.
    files = [(f"{number:02}.jpg", photo(number, (side, side))) for number, side in enumerate((1600, 64, 1200, 64, 800, 64))]
    studio.add_photos(made.id, files)
    assert [each.name for each in studio.photos(made.id)] == [name for name, _ in files]


def test_each_job_takes_its_own_references_caption(studio: Studio) -> None:
    made = studio.create_character(fields(appearance={"skin": "tan"}))
    first, second = (studio.upload(photo(seed), "pose.jpg", kind=PictureKind.reference) for seed in (1, 2))
    studio._gallery.set_caption(first.id, "at the sea")
    request = GenerateRequest(character=made.slug, references=(first.id, second.id), variations=2, real_person=False)
    submitted = studio.generate(request)
    jobs = [studio.job(job_id) for job_id in submitted.job_ids]
    assert [(job.recipe.reference, job.recipe.prompt) for job in jobs] == [
        (first.id, "nova_lk, tan skin, at the sea"),
        (first.id, "nova_lk, tan skin, at the sea"),
        (second.id, "nova_lk, tan skin, portrait of a person"),
        (second.id, "nova_lk, tan skin, portrait of a person"),
    ]
    assert {job.batch_id for job in jobs} == {submitted.batch_id}


def test_words_that_a_wildcard_brings_in_are_judged(studio: Studio) -> None:
    folder = studio.settings.data / "wildcards"
    folder.mkdir()
    (folder / "who.txt").write_text("a naked child\n", encoding="utf-8")
    with pytest.raises(SafetyFilter):
        studio.generate(GenerateRequest(prompt="a picture of __who__"))
    assert studio.jobs().items == ()


# Photos


def test_bad_files_are_named_and_good_ones_kept(studio: Studio) -> None:
    made = studio.create_character(fields())
    sent = [("a.jpg", photo(1)), ("notes.png", b"hello"), ("../../b.jpg", photo(2)), ("again.jpg", photo(1)), ("empty.jpg", b"")]
    added = studio.add_photos(made.id, sent)
    assert [each.name for each in added.items] == ["a.jpg", "b.jpg"]
    assert [(each.name, each.error.code) for each in added.refused] == [
        ("notes.png", "IMAGE_INVALID"),
        ("again.jpg", "CONFLICT"),
        ("empty.jpg", "IMAGE_INVALID"),
    ]
    files = {path.name for path in (studio.settings.data / "photos").rglob("*.jpg")}
    assert files == {Path(each.path).name for each in added.items}
    assert studio.character_counts([made.id])[made.id].photos == 2


def test_photos_that_come_twice_at_once_are_kept_once(studio: Studio) -> None:
    made = studio.create_character(fields())
    sent = [(f"{number}.jpg", photo(number)) for number in range(4)]
    start = threading.Barrier(4)

    def one(_turn: int) -> PhotosAdded:
        start.wait()
        return studio.add_photos(made.id, sent)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(4)))
    kept = [each for answer in answers for each in answer.items]
    assert sorted(each.name for each in kept) == [name for name, _ in sent]
    assert {each.id for each in studio.photos(made.id)} == {each.id for each in kept}
    assert {each.error.code for answer in answers for each in answer.refused} == {"CONFLICT"}
    assert sum(len(answer.refused) for answer in answers) == 12
    # Nobody's file was removed with its double, and no double stays.
    assert {path.name for path in (studio.settings.data / "photos").rglob("*") if path.is_file()} == {Path(each.path).name for each in kept}


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"slug": "Mara Lind"}, "slug", "“slug”: small letters from a to z, digits and single hyphens"),
        ({"trigger_word": "two words"}, "trigger_word", "“trigger_word”: one word of letters"),
        ({"name": "x" * 81}, "name", "“name” can have 80 characters at most."),
        ({"appearance": {"age": "old"}}, "appearance.age", "“appearance.age” must be a whole number."),
    ],
)
def test_what_is_written_wrong_is_said_in_words(said: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        fields(**said)
    fault = from_validation(refused.value)
    assert fault.field == field
    assert fault.message.startswith(words)


def test_only_its_own_photos_are_removed(studio: Studio) -> None:
    one, other = (studio.create_character(fields(name=name)) for name in ("One", "Other"))
    mine = studio.add_photos(one.id, [("a.jpg", photo(1))]).items[0]
    theirs = studio.add_photos(other.id, [("b.jpg", photo(2))]).items[0]
    assert studio.remove_photos(one.id, [mine.id, theirs.id]) == 1
    assert studio.photos(one.id) == ()
    assert len(studio.photos(other.id)) == 1
    studio.restore([mine.id])
    assert [each.id for each in studio.photos(one.id)] == [mine.id]


# Identity lock


def test_marks_that_the_starter_model_has_no_words_for_are_left_out_and_said(studio: Studio) -> None:
    made = studio.create_character(fields(name="Zoë", appearance={"marks": "freckles, round glasses, a small nose ring"}))
    found = studio.compose(GenerateRequest(character=made.slug, prompt="smiling"))
    assert "round glasses" in found.prompt and "freckles" not in found.prompt and "nose ring" not in found.prompt
    assert found.left_out == ("freckles", "a small nose ring")
    written = studio.compose(GenerateRequest(character=made.slug, prompt="freckles", as_written=True))
    assert (written.prompt, written.left_out) == ("freckles", ()), "what somebody writes is theirs"
    assert "freckles, round glasses, a small nose ring" in prompts_of(GenerateRequest(), None, made, family="sdxl")[0]


def test_identity_lock_starts_from_the_portrait_where_no_lora_or_other_picture_leads(studio: Studio) -> None:
    made = studio.create_character(fields())
    request = GenerateRequest(prompt="in the rain", character=made.id, preset="identity_lock_v1")
    with pytest.raises(InvalidFieldValue) as refused:
        studio.generate(request)
    assert refused.value.field == "preset" and "portrait" in refused.value.remedy
    added = studio.add_photos(made.id, [("a.jpg", photo(1)), ("b.jpg", photo(2))]).items
    studio.change_character(made.id, change(portrait=added[1].id))
    recipe = studio.job(studio.generate(request).job_id).recipe
    assert (recipe.image, recipe.denoise, recipe.reference) == (added[1].id, 0.35, None)
    led = request.model_copy(update={"references": (added[0].id,)})
    recipe = studio.job(studio.generate(led).job_id).recipe
    assert (recipe.image, recipe.denoise, recipe.reference) == (added[0].id, 0.35, added[0].id)


def test_a_preset_that_requires_consent_asks_for_it(studio: Studio, tmp_path: Path) -> None:
    own = tmp_path / "presets"
    own.mkdir()
    words = "id: close_v1\nname: Close\ncategory: portrait\ntooltip: A real face, close.\nrequires_consent: true\n"
    (own / "close.yaml").write_text(words, encoding="utf-8")
    studio.preset_shelf.folder = own
    asked = GenerateRequest(prompt="smiling", preset="close_v1")
    with pytest.raises(ConsentMissing):
        studio.generate(asked)
    ran_out = AGREED.model_copy(update={"until": date(2020, 1, 1)})
    with pytest.raises(ConsentMissing, match="ended"):
        studio.generate(asked.model_copy(update={"consent": ran_out}))
    assert studio.jobs().items == ()
    recipe = studio.job(studio.generate(asked.model_copy(update={"consent": AGREED})).job_id).recipe
    assert recipe.consent == AGREED
    nobody_to_ask = studio.create_character(fields())
    assert studio.generate(asked.model_copy(update={"character": nobody_to_ask.id})).ok


# Taking along


def test_an_exported_character_comes_back_whole(studio: Studio) -> None:
    made = studio.create_character(fields(kind="me", consent=AGREED, voice="Short sentences.", handles={"instagram": "@nova"}))
    added = studio.add_photos(made.id, [("a.jpg", photo(1)), ("b.jpg", photo(2))]).items
    studio._gallery.set_caption(added[1].id, "in the rain")
    studio.change_character(made.id, change(portrait=added[1].id))
    studio.keep_evidence(made.id, "letter.pdf", b"%PDF-1.4 signed")
    name, data = studio.export_character(made.slug)
    assert name == "nova.likeness.zip"
    back = studio.import_character(data)
    assert back.slug != made.slug
    assert (back.voice, back.kind, back.handles) == (made.voice, CharacterKind.me, made.handles)
    assert back.consent is not None
    assert back.consent.evidence == "letter.pdf"
    photos = studio.photos(back.id)
    assert sorted(each.sha256 for each in photos) == sorted(each.sha256 for each in added)
    assert [each.caption for each in photos if each.id == back.portrait] == ["in the rain"]
    assert (studio.settings.data / "consent" / back.id / "evidence.pdf").read_bytes() == b"%PDF-1.4 signed"


def test_its_datasets_come_along_with_captions_and_tags(studio: Studio) -> None:
    made = studio.create_character(fields())
    studio.add_photos(made.id, [("a.jpg", photo(1)), ("b.jpg", photo(2))])
    first, _ = studio.datasets.create(DatasetFields.model_validate({"character": made.id, "name": "Photos", "photos": True}))
    studio.datasets.add_files(first.id, [("c.jpg", photo(3)), ("c.txt", f"{made.trigger_word}, at the sea".encode())])
    ids = [one.id for one in studio.datasets.every_picture(first.id)]
    studio.datasets.change_pictures(first.id, ids[:1], PicturesChange(caption=f"{made.trigger_word} laughs", add_tags=("profile",)))
    studio.datasets.create(DatasetFields.model_validate({"character": made.id, "name": "Nothing in it"}))
    _, data = studio.export_character(made.id)
    with zipfile.ZipFile(io.BytesIO(data)) as parcel:
        pictures = [name for name in parcel.namelist() if name.endswith(".jpg")]
    assert sorted(pictures) == ["learned/00000.jpg", "photos/0000.jpg", "photos/0001.jpg"], "what is a photo, too, lies in it once"
    back = studio.import_character(data)
    assert back.trigger_word != made.trigger_word, "the first one is there still"
    assert [(one.name, one.pictures) for one in studio.datasets.datasets(back.id)] == [("Photos", 3), ("Nothing in it", 0)]
    (again, _) = studio.datasets.datasets(back.id)
    word = back.trigger_word
    plain = studio.datasets.every_picture(first.id)[1].caption.replace(made.trigger_word, word)
    assert [(one.name, one.caption, one.tags) for one in studio.datasets.every_picture(again.id)] == [
        ("a.jpg", f"{word} laughs", ("profile",)),
        ("b.jpg", plain, ()),
        ("c.jpg", f"{word}, at the sea", ()),
    ]
    assert studio.datasets.frozen(again.id), "it can be learned from"


def _parcel(**said: Any) -> bytes:
    out = io.BytesIO()
    extra = said.pop("files", {})
    with zipfile.ZipFile(out, "w") as parcel:
        parcel.writestr("character.json", json.dumps(said))
        for name, data in extra.items():
            parcel.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a zip", "not a character"),
        (_parcel(hello="world"), "not a character"),
        (_parcel(schema=99, character={"name": "X"}), "newer version"),
        (_parcel(schema=1, character={"name": "X", "appearance": {"age": 12}}), "adults"),
        (_parcel(schema=1, character={"name": "X"}, photos=[{"file": "../../../evil.jpg"}]), "not a character"),
        (_parcel(schema=1, character={"name": "X"}, photos=[{"file": "photos/0000.jpg"}]), "not a character"),
        (_parcel(schema=1, character={"name": "X", "surprise": 1}), "no field"),
        (_parcel(schema=1, character={"name": "X"}, datasets="all"), "not a character"),
        (_parcel(schema=1, character={"name": "X"}, datasets=[{"name": "a", "pictures": [{"file": "../evil.jpg"}]}]), "not a character"),
        (_parcel(schema=1, character={"name": "X"}, datasets=[{"pictures": [{"file": "learned/00000.jpg"}]}]), "not a character"),
        (_parcel(schema=1, character={"name": "X"}, datasets=[{"pictures": ["a"]}]), "not a character"),
    ],
    ids=[
        "foreign",
        "other zip",
        "newer",
        "minor",
        "outside",
        "missing photo",
        "unknown field",
        "no datasets",
        "picture outside",
        "missing picture",
        "no picture",
    ],
)
def test_a_file_that_is_no_character_leaves_nothing_behind(studio: Studio, data: bytes, words: str) -> None:
    with pytest.raises(ContractMismatch, match=words):
        studio.import_character(data)
    assert studio.characters(None) == ()
    assert not (studio.settings.data / "photos").exists()
    assert not list(studio.settings.data.rglob("evil*"))


def test_a_lora_in_a_file_is_looked_at_before_it_is_kept(studio: Studio) -> None:
    data = _parcel(schema=1, character={"name": "X"}, lora="lora.safetensors", files={"lora.safetensors": b"\x80\x04not weights at all"})
    with pytest.raises(LikenessError):
        studio.import_character(data)
    assert studio.characters() == ()
    assert not list(studio.settings.loras_path.glob("*"))


def test_every_template_makes_a_character(studio: Studio) -> None:
    templates = load_templates(TEMPLATES)
    assert len(templates) >= 6
    for template in templates:
        made = studio.create_character(template.fields)
        assert made.appearance.age
        assert made.appearance.hair
        assert template.about.endswith(".")


def test_nobody_is_found_under_a_name_that_nobody_has(studio: Studio) -> None:
    with pytest.raises(NotFound):
        studio.character("nobody")
    with pytest.raises(InvalidFieldValue) as refused:
        studio.generate(GenerateRequest(prompt="x", character="nobody"))
    assert refused.value.field == "character"
