"""Datasets keep each picture once, say what is wrong with the others, and take every change back; the same over HTTP and by command."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from app import main as run
from app import open_studio
from studio.api import create_api
from studio.characters import Characters
from studio.contracts import Character, CharacterChange, CharacterFields, PictureChange
from studio.dataset_check import DatasetCheck
from studio.dataset_contracts import CaptionEdit, CaptionState, Cut, Dataset, DatasetFields, PicturesChange
from studio.dataset_rows import MOST_CHANGES
from studio.datasets import Datasets
from studio.db import Database, dataset_pictures, examined
from studio.errors import Conflict, ConsentMissing, InvalidFieldValue, NotFound, SafetyFilter
from studio.gallery import Gallery
from studio.photos import read_photo
from studio.preflight import Code, FixAction
from studio.settings import Settings


@pytest.fixture
def people(database: Database) -> Characters:
    return Characters(database)


@pytest.fixture
def store(database: Database, settings: Settings, people: Characters) -> Datasets:
    return Datasets(database, settings, Gallery(database, settings.data), people)


@pytest.fixture
def nova(people: Characters) -> Character:
    return people.create(fields())


def fields(**said: Any) -> CharacterFields:
    return CharacterFields.model_validate({"name": "Nova", "trigger_word": "nova_lk", "appearance": {"gender": "woman"}, **said})


def jpeg(seed: int, size: tuple[int, int] = (96, 64), kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(out, kind, **options)
    return out.getvalue()


def new(store: Datasets, who: Character, name: str = "Photos", **said: Any) -> Dataset:
    return store.create(DatasetFields.model_validate({"character": who.slug, "name": name, **said}))[0]


def filled(store: Datasets, who: Character, count: int = 4, name: str = "Photos") -> tuple[Dataset, list[str]]:
    made = new(store, who, name)
    added = store.add_files(made.id, [(f"{number}.jpg", jpeg(number)) for number in range(count)])
    assert not added.refused
    return store.dataset(made.id), [one.id for one in added.items]


def shown(store: Datasets, dataset: Dataset, **filters: Any) -> list[str]:
    return [one.id for one in store.pictures(dataset.id, **filters).items]


def edit(**said: Any) -> CaptionEdit:
    return CaptionEdit.model_validate(said)


def of(said: dict[str, Any]) -> PicturesChange:
    return PicturesChange.model_validate(said)


def state(store: Datasets, dataset: Dataset) -> list[dict[str, Any]]:
    return [one.model_dump() for one in store.pictures(dataset.id, limit=500).items]


def test_bad_files_are_named_with_their_reason_and_the_good_ones_kept(store: Datasets, nova: Character) -> None:
    made = new(store, nova)
    sent = [
        ("good.jpg", jpeg(1)),
        ("cmyk.jpg", _saved(Image.new("CMYK", (80, 80), (10, 200, 30, 0)), "JPEG")),
        ("deep.png", _saved(Image.fromarray(np.full((80, 80), 40000, dtype=np.uint16)), "PNG")),
        ("cut.jpg", jpeg(2)[:400]),
        ("empty.png", b""),
        ("old.bmp", jpeg(3, kind="BMP")),
        ("moving.webp", _animated()),
        ("again.jpg", jpeg(1)),
        ("../../evil.png", jpeg(4, kind="PNG")),
    ]
    added = store.add_files(made.id, sent)
    assert [one.name for one in added.items] == ["good.jpg", "cmyk.jpg", "deep.png", "evil.png"]
    assert {one.name for one in added.refused} == {"cut.jpg", "empty.png", "old.bmp", "moving.webp", "again.jpg"}
    assert all(one.error.message and one.error.remedy for one in added.refused)
    for one in added.items:
        path = store.file(made.id, one.id)
        assert path.stem == one.sha256 and path.is_relative_to(store.files.data / "datasets" / "files" / one.sha256[:2])
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (one.width, one.height))
        with Image.open(store.thumbnail(made.id, one.id)) as thumbnail:
            assert thumbnail.format == "WEBP"
    after = store.dataset(made.id)
    assert (after.pictures, after.version) == (4, 2)
    assert [one.id for one in after.covers] == [one.id for one in added.items]


def test_a_text_file_beside_a_picture_is_its_caption(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova, 2)
    sent = [
        ("10_nova/a.jpg", jpeg(10)),
        ("10_nova/a.txt", "nova_lk, am Fenster, größer".encode()),
        ("5_nova/a.png", jpeg(11, kind="PNG")),
        ("5_nova/A.caption", b"nova_lk, by the sea"),
        ("1.txt", b"nova_lk, laughing"),
        ("broken.txt", b"\xff\xfe\xfa\x00\xd8"),
        ("long.txt", b"x" * 10_001),
        ("nobody.txt", b"nobody"),
        ("bad.txt", b"a nude 12-year-old girl"),
    ]
    added = store.add_files(made.id, sent)
    assert [one.caption for one in added.items] == ["nova_lk, am Fenster, größer", "nova_lk, by the sea"]
    assert {one.name for one in added.refused} == {"broken.txt", "long.txt", "nobody.txt", "bad.txt"}
    assert store.picture(made.id, ids[1]).caption == "nova_lk, laughing"
    store.undo(made.id)
    assert (store.picture(made.id, ids[1]).caption, store.dataset(made.id).pictures) == ("", 2)


def test_a_dataset_of_photos_has_their_captions_and_shares_their_files(
    store: Datasets, people: Characters, nova: Character, settings: Settings
) -> None:
    gallery = Gallery(store.database, settings.data)
    photos = [_photo(gallery, nova, number) for number in range(3)]
    gallery.change([photos[0]], PictureChange(caption="laughing"))
    made = store.for_character(nova.slug)
    assert store.for_character(nova.id) == made, "made once"
    assert made.name == "Photos"
    assert [one.caption for one in store.frozen(made.id)] == ["nova_lk, laughing", *["nova_lk, a picture of a woman"] * 2]
    assert [one.source for one in store.pictures(made.id).items] == photos
    again = store.create(DatasetFields.model_validate({"character": "nova", "name": "Two", "pictures": [*photos[:2], "nobody"]}))
    assert again[0].pictures == 2
    assert [(one.name, one.error.code) for one in again[1]] == [("nobody", "NOT_FOUND")]
    assert len(list((settings.data / "datasets" / "files").rglob("*.*"))) == 3
    assert [one.id for one in store.datasets("nova")] == [again[0].id, made.id]
    assert store.for_character("nova").id == again[0].id, "the newest"


def test_a_real_persons_pictures_wait_for_consent(store: Datasets, people: Characters) -> None:
    ada = people.create(fields(name="Ada", trigger_word="ada_lk", kind="consented"))
    made = new(store, ada)
    with pytest.raises(ConsentMissing):
        store.add_files(made.id, [("a.jpg", jpeg(1))])
    assert not (store.files.data / "datasets").exists()
    people.change(ada.id, CharacterChange.model_validate({"consent": {"who": "Ada", "what_for": "portraits"}}))
    assert len(store.add_files(made.id, [("a.jpg", jpeg(1))]).items) == 1
    assert store.frozen(made.id)[0].caption == "ada_lk, a photo of a woman"
    people.change(ada.id, CharacterChange.model_validate({"consent": {"who": "Ada", "what_for": "portraits", "until": "2020-01-01"}}))
    with pytest.raises(ConsentMissing):
        store.frozen(made.id)


def test_captions_change_by_the_many_after_a_preview_and_come_back(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova)
    assert store.edit_captions(made.id, edit(act="write", text="a woman in red", ids=ids[:3])).changes[0].after == "a woman in red"
    assert store.edit_captions(made.id, edit(act="trigger", ids=ids)).changes[-1].after == "nova_lk"
    before = state(store, made)
    wish = edit(act="replace", find="RED", text="blue", words=True)
    preview = store.preview_captions(made.id, wish)
    assert [one.after for one in preview.changes] == ["nova_lk, a woman in blue"] * 3
    assert state(store, made) == before, "a preview changes nothing"
    assert store.edit_captions(made.id, wish) == preview
    assert store.edit_captions(made.id, wish).changes == (), "and then there is nothing left to change"
    store.edit_captions(made.id, edit(act="suffix", text="soft light"))
    assert store.picture(made.id, ids[0]).caption == "nova_lk, a woman in blue, soft light"
    assert [one.kind.value for one in store.changes(made.id)] == ["captioned"] * 4 + ["added"]
    store.undo(made.id)
    assert store.undo(made.id).count == 3
    assert state(store, made) == before
    for text in ("a nude 12-year-old girl", "x" * 10_001, "a\0b"):
        with pytest.raises((SafetyFilter, ValueError)):
            store.edit_captions(made.id, edit(act="write", text=text))
    with pytest.raises(InvalidFieldValue):
        store.preview_captions(made.id, edit(act="replace", find="(", text="", pattern=True))
    assert state(store, made) == before


def test_every_change_can_be_undone_and_the_version_only_grows(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova)
    other = new(store, nova, "Other")
    steps: list[Callable[[], object]] = [
        lambda: store.change_pictures(made.id, ids[:2], of({"caption": "nova_lk"})),
        lambda: store.change_pictures(made.id, ids, of({"add_tags": ["Outdoor", "smile"]})),
        lambda: store.change_pictures(made.id, ids[1:], of({"remove_tags": ["SMILE"]})),
        lambda: store.remove(made.id, ids[3:]),
        lambda: store.change_pictures(made.id, ids[:1], of({"to": other.id})),
        lambda: store.cut(made.id, ids[1], Cut.model_validate({"turns": 1, "width": 32, "height": 48})),
        lambda: store.add_files(made.id, [("new.jpg", jpeg(77))]),
        lambda: store.rename(made.id, "Best"),
        lambda: store.delete(made.id),
    ]
    seen, versions = [(state(store, made), "Photos")], [store.dataset(made.id).version]
    for step in steps:
        step()
        if step is not steps[-1]:
            seen.append((state(store, made), store.dataset(made.id).name))
            versions.append(store.dataset(made.id).version)
    with pytest.raises(NotFound):
        store.dataset(made.id)
    for expected in reversed(seen):
        store.undo(made.id)
        assert (state(store, made), store.dataset(made.id).name) == expected
        versions.append(store.dataset(made.id).version)
    assert versions == sorted(set(versions))
    assert store.pictures(other.id).total == 0
    assert store.undo(made.id).kind.value == "added"
    with pytest.raises(Conflict):
        store.undo(made.id)


def test_a_change_that_changes_nothing_is_none(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova)
    store.change_pictures(made.id, ids, of({"caption": "", "remove_tags": ["nobody"]}))
    store.remove(made.id, ["nobody"])
    store.rename(made.id, "Photos")
    store.add_files(made.id, [("0.jpg", jpeg(0))])
    assert store.dataset(made.id) == made
    last = store.changes(made.id)[0]
    with pytest.raises(Conflict):
        store.undo(made.id, "another")
    assert store.undo(made.id, last.id) == last


def test_only_the_last_changes_are_kept(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova, 1)
    for number in range(MOST_CHANGES + 5):
        store.change_pictures(made.id, ids, of({"caption": f"nova_lk {number}"}))
    assert len(store.changes(made.id)) == MOST_CHANGES
    for _ in range(MOST_CHANGES):
        store.undo(made.id)
    assert store.picture(made.id, ids[0]).caption == "nova_lk 4"


def test_moving_takes_what_the_other_has_already_out_of_this_one(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova, 3)
    other, _ = filled(store, nova, 1, "Other")
    before = state(store, made), state(store, other)
    assert store.change_pictures(made.id, ids, of({"to": other.id})) == 3
    assert (store.pictures(made.id).total, store.pictures(other.id).total) == (0, 3)
    store.undo(made.id)
    assert (state(store, made), state(store, other)) == before
    # What was deleted with the other dataset comes back here all the same, and only once.
    store.change_pictures(made.id, ids, of({"to": other.id}))
    store.delete(other.id)
    store.undo(made.id)
    store.undo(other.id)
    assert (state(store, made), state(store, other)) == before
    with pytest.raises(InvalidFieldValue):
        store.change_pictures(made.id, ids, of({"to": made.id}))


def test_pictures_are_turned_and_cropped_into_a_new_file(store: Datasets, nova: Character) -> None:
    made = new(store, nova)
    two = Image.new("RGB", (80, 40), (200, 0, 0))
    two.paste((0, 0, 200), (40, 0, 80, 40))
    (one,) = store.add_files(made.id, [("two.png", _saved(two, "PNG"))]).items
    # A quarter turn clockwise: what was left is above.
    after = store.cut(made.id, one.id, Cut.model_validate({"turns": 1, "left": 0, "top": 0, "width": 40, "height": 30}))
    assert (after.width, after.height, after.id) == (40, 30, one.id)
    with Image.open(store.file(made.id, one.id)) as image:
        assert image.getcolors() == [(1200, (200, 0, 0))]
    assert after.sha256 != one.sha256 and (store.files.data / one.path).is_file()
    for box in ({"left": 30, "width": 20}, {"top": 20}, {"left": 40}):
        with pytest.raises(InvalidFieldValue):
            store.cut(made.id, one.id, Cut.model_validate(box))
    store.undo(made.id)
    assert store.picture(made.id, one.id) == one


def test_pictures_are_found_by_what_they_have(store: Datasets, nova: Character, people: Characters) -> None:
    made, ids = filled(store, nova, 5)
    store.change_pictures(made.id, ids[:2], of({"caption": "nova_lk, 100% at the sea"}))
    store.change_pictures(made.id, ids[1:3], of({"add_tags": ["profile", 'with "quotes"']}))
    store.set_flags(made.id, {ids[4]: ["blurred"]})
    assert shown(store, made, caption=CaptionState.missing) == ids[2:]
    assert shown(store, made, caption=CaptionState.present, tag="profile") == [ids[1]]
    assert shown(store, made, tag='with "quotes"') == ids[1:3]
    assert shown(store, made, tag="pro") == shown(store, made, search="100% mountains") == []
    assert shown(store, made, search="SEA 100%") == ids[:2]
    assert shown(store, made, search="3.jpg") == [ids[3]]
    assert shown(store, made, flag="blurred") == [ids[4]]
    facets = store.facets(made.id)
    assert ({one.id: one.count for one in facets.tags}, [one.id for one in facets.flags]) == (
        {"profile": 2, 'with "quotes"': 2},
        ["blurred"],
    )
    store.set_flags(made.id, {ids[0]: ["blurry"]})
    assert [(one.id, one.name) for one in store.facets(made.id).flags] == [("blurred", "blurred"), ("blurry", "Blurred pictures")], (
        "a finding is called as the check calls it, a word that no check knows as it is"
    )
    store.set_flags(made.id, {ids[0]: []})
    assert (facets.pictures, facets.captioned) == (5, 2)
    first = store.pictures(made.id, limit=2)
    assert (len(first.items), first.total) == (2, 5)
    assert shown(store, made, limit=2, cursor=first.next) == ids[2:4] == shown(store, made, limit=2, offset=2)
    # And over all datasets.
    other = people.create(fields(name="Ada", trigger_word="ada_lk"))
    filled(store, other, 2, "Hers")
    assert store.pictures().total == 7
    assert store.pictures(character="ada").total == 2
    for act in (store.dataset, store.facets, store.pictures, store.frozen, store.undo, store.delete):
        with pytest.raises(NotFound):
            act("nobody")


def test_emptying_the_trash_deletes_files_that_nothing_names(store: Datasets, nova: Character) -> None:
    made, ids = filled(store, nova, 3)
    gone, _ = filled(store, nova, 4, "Gone")
    store.cut(made.id, ids[0], Cut.model_validate({"turns": 2}))
    store.delete(gone.id)
    store.empty_trash()
    folder = store.files.data / "datasets" / "files"
    assert len(list(folder.rglob("*.*"))) == 5, "what is young may still be waited for"
    for file in folder.rglob("*.*"):
        _age(file)
    assert store.empty_trash() == 1, "three pictures, and the one before the turn"
    store.undo(made.id)
    assert len(store.frozen(made.id)) == 3
    with pytest.raises(NotFound):
        store.undo(gone.id)
    store.file(made.id, ids[1]).unlink()
    with pytest.raises(NotFound):
        store.frozen(made.id)


def test_ten_thousand_pictures_are_a_window(store: Datasets, nova: Character) -> None:
    made = new(store, nova)
    _many(store, made, 10_000)
    page = store.pictures(made.id, offset=9_900, limit=100, caption=CaptionState.present, search="number 9")
    assert page.total == 3439
    assert store.pictures(made.id, offset=9_990).items[-1].name == "9999.png"
    assert len(store.edit_captions(made.id, edit(act="prefix", text="nova_lk")).changes) == 10_000
    store.undo(made.id)
    assert store.remove(made.id, [f"p{number:05}" for number in range(10_000)]) == 10_000
    assert store.undo(made.id).count == 10_000
    assert store.dataset(made.id).pictures == 10_000


def test_a_check_tells_of_pictures_and_a_click_fixes_them(store: Datasets, nova: Character) -> None:
    checks = DatasetCheck(store)
    made, ids = filled(store, nova, 4)
    assert checks.check(made.id, patience_s=0).pending == 4
    copy = store.add_files(made.id, [("copy.jpg", jpeg(1, quality=70))]).items[0].id
    (long,) = store.add_files(made.id, [("long.jpg", jpeg(9, (640, 128)))]).items
    store.change_pictures(made.id, [*ids[1:], copy, long.id], of({"caption": "nova_lk, a portrait"}))
    said = checks.check(made.id, resolution=64, patience_s=300)
    assert (said.pending, said.pictures, said.unreadable) == (0, 6, ())
    found = {one.code: one for one in said.findings}
    assert found[Code.caption_missing].pictures == (ids[0],)
    assert found[Code.extreme_shape].pictures == (long.id,)
    assert found[Code.duplicates].groups == ((ids[1], copy),)
    assert found[Code.captions_alike].fix is FixAction.none
    assert shown(store, made, flag="extreme_shape") == [long.id]
    version = store.dataset(made.id).version
    assert checks.check(made.id, resolution=64).version == version, "looking changes nothing"
    assert checks.fix(made.id, Code.duplicates).count == 1
    assert checks.fix(made.id, Code.caption_missing).count == 1
    assert store.picture(made.id, ids[0]).caption == "nova_lk, a picture of a woman"
    assert (checks.fix(made.id, Code.extreme_shape, resolution=64).kind.value, store.picture(made.id, long.id).width) == ("cropped", 256)
    with pytest.raises(Conflict):
        checks.fix(made.id, Code.captions_alike)
    for _ in range(3):
        store.undo(made.id)
    after = store.picture(made.id, long.id)
    assert (after.sha256, after.width, store.pictures(made.id).total) == (long.sha256, 640, 6)
    store.file(made.id, ids[2]).write_bytes(b"broken")
    with store.database.begin() as connection:
        connection.execute(sa.delete(examined))
    assert DatasetCheck(store).check(made.id, patience_s=300).unreadable == (ids[2],)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    studio = open_studio(settings)
    studio.create_character(fields())
    with TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1/") as client:
        yield client
    studio.database.close()


def test_the_whole_way_over_http(api: TestClient) -> None:
    sent = [("file", (f"{number}.jpg", jpeg(number))) for number in range(4)]
    assert api.post("characters/nova/images", files=sent[:3]).status_code == 201
    answer = api.post("datasets", json={"character": "nova", "photos": True})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    base = f"datasets/{made['id']}"
    assert (made["pictures"], made["captioned"], made["refused"], len(made["covers"])) == (3, 3, [], 3)
    added = api.post(f"{base}/images", files=[*sent, ("file", ("3.txt", b"nova_lk, by the sea")), ("file", ("x.png", b"no picture"))])
    assert added.status_code == 201, added.text
    assert [one["caption"] for one in added.json()["items"]] == ["nova_lk, by the sea"]
    assert [one["error"]["code"] for one in added.json()["refused"]] == ["IMAGE_INVALID", *["CONFLICT"] * 3]
    page = api.get(f"{base}/images", params={"limit": 3}).json()
    assert (page["total"], len(page["items"]), len(api.get(f"{base}/images", params={"cursor": page["next"]}).json()["items"])) == (4, 3, 1)
    first = page["items"][0]
    for kind in ("url", "thumbnail_url"):
        where = f"http://127.0.0.1{first[kind]}"
        file = api.get(where)
        assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)
        assert api.get(where, headers={"If-None-Match": file.headers["etag"]}).status_code == 304
    cut = api.post(f"{base}/images/{first['id']}/crop", json={"turns": 1, "width": 32}).json()
    assert (cut["width"], cut["height"], cut["url"] != first["url"]) == (32, 96, True)
    ids = [one["id"] for one in page["items"]]
    wish = {"act": "replace", "find": "picture of a woman", "text": "portrait", "preview": True}
    assert api.post(f"{base}/captions", json=wish).json()["count"] == 3
    assert api.post(f"{base}/captions", json={**wish, "preview": False}).json()["items"][0]["after"] == "nova_lk, a portrait"
    assert api.patch(f"{base}/images", json={"ids": ids[:2], "change": {"add_tags": ["Profile"]}}).json()["count"] == 2
    assert api.get(f"{base}/images", params={"tag": "profile"}).json()["total"] == 2
    assert api.get(f"{base}/facets").json()["tags"] == [{"id": "profile", "name": "profile", "count": 2}]
    other = api.post("datasets", json={"character": "nova", "name": "Other"}).json()
    assert api.patch(f"{base}/images", json={"ids": ids[:1], "change": {"to": other["id"]}}).json()["count"] == 1
    assert api.request("DELETE", f"{base}/images", json={"ids": ids}).json()["count"] == 2
    assert api.get("datasets/images", params={"character": "nova"}).json()["total"] == 2
    last = api.get(base).json()["undo"]
    assert (last["kind"], last["count"]) == ("removed", 2)
    assert api.post(f"{base}/undo", json={"change": last["id"]}).json()["kind"] == "removed"
    assert api.post(f"{base}/undo").json()["kind"] == "moved"
    parcel = api.get(f"{base}/export", params={"repeats": 10})
    with zipfile.ZipFile(io.BytesIO(parcel.content)) as found:
        names = found.namelist()
        assert {Path(name).parent.as_posix() for name in names} == {"10_nova_lk woman"}
        assert len(names) == 8
    back = api.post(f"datasets/{other['id']}/import", files={"file": ("nova.zip", parcel.content)})
    assert back.status_code == 201, back.text
    assert (len(back.json()["items"]), back.json()["refused"]) == (4, [])
    check = api.get(f"datasets/{other['id']}/preflight").json()
    while check["pending"]:
        check = api.get(f"datasets/{other['id']}/preflight").json()
    assert "too_few" in [one["code"] for one in check["findings"]]
    assert api.post(f"datasets/{other['id']}/fix", json={"code": "too_few"}).status_code == 409
    assert {one["caption"] for one in back.json()["items"]} == {"nova_lk, a portrait", "nova_lk, by the sea"}
    assert api.post(f"datasets/{other['id']}/library", json={"pictures": ["nobody"]}).json()["refused"][0]["error"]["code"] == "NOT_FOUND"
    assert api.patch(base, json={"name": " Best "}).json()["name"] == "Best"
    assert api.delete(base).status_code == 200
    assert [one["id"] for one in api.get("datasets", params={"character": "nova"}).json()["items"]] == [other["id"]]
    assert api.post(f"{base}/undo").json()["kind"] == "deleted"
    assert api.get(base).json()["pictures"] == 4


def test_a_folder_from_a_browser_is_taken_in_as_one_on_the_disk_is(api: TestClient) -> None:
    made = api.post("datasets", json={"character": "nova"}).json()
    files = [
        ("10_nova woman/0.jpg", jpeg(0)),
        ("10_nova woman/0.txt", b"[trigger], laughing"),
        ("10_nova woman/1.jpg", jpeg(1)),
        ("10_nova woman/default.txt", b"[trigger], outdoors"),
        ("reg/1_woman/x.jpg", jpeg(99)),
        ("10_nova woman/_latent_cache/0.jpg", jpeg(7)),
        ("../../etc/passwd.jpg", jpeg(8)),
        ("2.jpg", jpeg(2)),
    ]
    answer = api.post(f"datasets/{made['id']}/import", files=[("file", each) for each in files])
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert [(one["name"], one["caption"]) for one in said["items"]] == [
        ("2.jpg", ""),
        ("0.jpg", "nova_lk, laughing"),
        ("1.jpg", "nova_lk, outdoors"),
    ]
    assert (said["refused"], said["left_out"]) == ([], ["reg/1_woman/x.jpg"])
    one = api.post(f"datasets/{made['id']}/import", files={"file": ("nova/3.jpg", jpeg(3))})
    assert len(one.json()["items"]) == 1, one.text


def test_the_pictures_of_everybody_are_found_together(api: TestClient) -> None:
    assert api.post("characters", json={"name": "Leo", "appearance": {"age": 30, "gender": "man"}}).status_code == 201
    for who, count in (("nova", 2), ("leo", 1)):
        made = api.post("datasets", json={"character": who}).json()
        sent = [("file", (f"{who}-{at}.jpg", jpeg(at + 10 * count))) for at in range(count)]
        ids = [one["id"] for one in api.post(f"datasets/{made['id']}/images", files=sent).json()["items"]]
        api.patch(f"datasets/{made['id']}/images", json={"ids": ids, "change": {"add_tags": [who, "both"]}})
    everybody = api.get("datasets/facets").json()
    assert {one["id"]: one["count"] for one in everybody["tags"]} == {"both": 3, "nova": 2, "leo": 1}
    assert (everybody["pictures"], everybody["captioned"]) == (3, 0)
    assert {one["id"] for one in api.get("datasets/facets", params={"character": "leo"}).json()["tags"]} == {"both", "leo"}
    assert api.get("datasets/facets", params={"character": "nobody"}).status_code == 404
    assert api.get("datasets/images", params={"tag": "both"}).json()["total"] == 3


def test_the_way_back_leads_to_any_earlier_version(api: TestClient) -> None:
    made = api.post("datasets", json={"character": "nova"}).json()
    base = f"datasets/{made['id']}"
    first = [one["id"] for one in api.post(f"{base}/images", files=[("file", ("0.jpg", jpeg(0)))]).json()["items"]]
    for caption in ("one", "two", "three"):
        api.patch(f"{base}/images", json={"ids": first, "change": {"caption": caption}})
    api.request("DELETE", f"{base}/images", json={"ids": first})
    changes = api.get(f"{base}/changes").json()["items"]
    assert [one["kind"] for one in changes] == ["removed", "captioned", "captioned", "captioned", "added"]
    to = changes[2]["id"]
    assert api.post(f"{base}/undo", json={"change": to}).status_code == 409, "one alone is taken back only if it is the last"
    taken = api.post(f"{base}/undo", json={"change": to, "with_newer": True})
    assert (taken.status_code, taken.json()["id"]) == (200, to)
    assert [one["caption"] for one in api.get(f"{base}/images").json()["items"]] == ["one"]
    assert [one["kind"] for one in api.get(f"{base}/changes").json()["items"]] == ["captioned", "added"]
    again = api.post(f"{base}/undo", json={"change": to, "with_newer": True})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CONFLICT")
    assert len(api.get(f"{base}/images").json()["items"]) == 1, "nothing else was taken back"
    assert api.get("datasets/nobody/changes").status_code == 404


def test_what_cannot_be_is_refused_over_http(api: TestClient) -> None:
    base = f"datasets/{api.post('datasets', json={'character': 'nova'}).json()['id']}"
    tries = [
        (api.get("datasets/nobody"), 404, "NOT_FOUND"),
        (api.get("datasets", params={"character": "nobody"}), 404, "NOT_FOUND"),
        (api.post("datasets", json={"character": "nova", "name": " "}), 422, "MISSING_REQUIRED_FIELD"),
        (api.get(f"{base}/images", params={"caption": "half"}), 422, "INVALID_FIELD_TYPE"),
        (api.get(f"{base}/images", params={"cursor": "x"}), 422, "INVALID_FIELD_VALUE"),
        (api.get(f"{base}/images/nobody/file"), 404, "NOT_FOUND"),
        (api.post(f"{base}/images/nobody/crop", json={}), 404, "NOT_FOUND"),
        (api.post(f"{base}/images/nobody/crop", json={"turns": 5}), 422, "INVALID_FIELD_VALUE"),
        (api.post(f"{base}/captions", json={"act": "replace", "text": "x"}), 422, "MISSING_REQUIRED_FIELD"),
        (api.post(f"{base}/captions", json={"act": "write", "text": "a nude 12-year-old girl"}), 403, "SAFETY_FILTER"),
        (api.post(f"{base}/import", files={"file": ("a.zip", b"no zip")}), 422, "CONTRACT_MISMATCH"),
        (api.post(f"{base}/images", json={}), 422, "CONTRACT_MISMATCH"),
        (api.post(f"{base}/undo"), 409, "CONFLICT"),
        (api.patch(f"{base}/images", json={"ids": ["x"], "change": {"to": "nobody"}}), 404, "NOT_FOUND"),
    ]
    for answer, status, code in tries:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.request.url
        assert answer.json()["error"]["message"] and answer.json()["error"]["remedy"]


def test_the_same_by_command(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studio = open_studio(settings)
    studio.create_character(fields())

    def said(*words: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert run(["--data", str(settings.data), "--json", "datasets", *words]) == status
        return json.loads(capsys.readouterr().out)

    folder = tmp_path / "10_nova woman"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
        (folder / f"{number}.txt").write_text(f"[trigger], picture {number}", encoding="utf-8")
    made = said("create", "nova", "--name", "Folder")
    (folder / "reg" / "1_woman").mkdir(parents=True)
    (folder / "reg" / "1_woman" / "x.jpg").write_bytes(jpeg(99))
    taken = said("import", "nova", str(folder))
    assert len(taken["items"]) == 3 and taken["ok"]
    assert taken["left_out"] == ["reg/1_woman/x.jpg"], "what a class is learned by is of others, and that is said"
    assert said("add", "nova", str(folder / "0.jpg"), status=1)["refused"][0]["error"]["code"] == "CONFLICT"
    shown_ = said("show", made["id"], "--limit", "2")
    assert (shown_["total"], shown_["items"][0]["caption"]) == (3, "nova_lk, picture 0")
    ids = [one["id"] for one in shown_["items"]]
    assert said("pictures", "--character", "nova", "--limit", "2")["items"] == shown_["items"]
    assert said("pictures", "--search", "nothing like this")["total"] == 0
    changes = said("changes", "nova")["items"]
    assert [one["kind"] for one in changes] == ["added"]
    assert said("caption", "nova", "--find", "picture", "--replace", "photo", "--preview")["count"] == 3
    assert said("caption", "nova", "--suffix", "soft light", "--picture", ids[0])["count"] == 1
    assert "too_few" in [one["code"] for one in said("check", "nova")["findings"]]
    assert said("fix", "nova", "too_few", status=1)["error"]["code"] == "CONFLICT"
    assert said("tag", "nova", ids[0], "--add", "best")["count"] == 1
    assert said("crop", "nova", ids[0], "--turns", "1")["width"] == 64
    other = said("create", "nova", "--name", "Other")
    assert said("move", made["id"], ids[0], "--to", other["id"])["count"] == 1
    assert said("remove", made["id"], ids[1])["count"] == 1
    assert said("undo", made["id"])["kind"] == "removed"
    assert zipfile.is_zipfile(said("export", made["id"], "--out", str(tmp_path / "out.zip"))["path"])
    assert said("rename", other["id"], "Best")["name"] == "Best"
    assert [one["name"] for one in said("list", "--character", "nova")["items"]] == ["Best", "Folder"]
    assert said("delete", "nova")["name"] == "Best"
    assert said("undo", other["id"])["kind"] == "deleted"
    assert said("show", "nobody", status=1)["error"]["code"] == "NOT_FOUND"
    studio.database.close()


def _many(store: Datasets, dataset: Dataset, count: int) -> None:
    rows = [
        {
            "id": f"p{number:05}",
            "dataset_id": dataset.id,
            "sha256": f"{number:064x}",
            "path": f"datasets/files/00/{number:064x}.png",
            "name": f"{number}.png",
            "width": 64,
            "height": 64,
            "caption": f"picture number {number}",
            "tags": "[]",
            "flags": "[]",
            "source": None,
            "created_at": float(number),
        }
        for number in range(count)
    ]
    with store.database.begin() as connection:
        connection.execute(sa.insert(dataset_pictures), rows)


def _saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def _animated() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 120, 240)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=80)
    return out.getvalue()


def _photo(gallery: Gallery, who: Character, number: int) -> str:
    photo = gallery.keep_photo(read_photo(jpeg(number), 100), character_id=who.id, name=f"{number}.jpg", real_person=False)
    with gallery.database.begin() as connection:
        gallery.record([photo], connection)
    return photo.id


def _age(file: Path) -> None:
    os.utime(file, (1, 1))
