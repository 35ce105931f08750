"""The library and the analytics over HTTP and on the command line: filters, changes, facets, ZIPs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app import main, open_studio
from studio.contracts import CharacterFields, Picture, new_id
from studio.settings import Settings
from studio.studio import Studio
from tests.test_api import png, refused, serve, upload
from tests.test_gallery import RECIPE, drawn


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return open_studio(settings)


@pytest.fixture
def client(studio: Studio) -> Iterator[httpx.Client]:
    served = serve(studio)
    with served.client() as client:
        yield client
    served.stop()


def keep(studio: Studio, **changes: object) -> Picture:
    """A picture that a job could have made."""
    recipe = RECIPE.model_copy(update=changes)
    picture = studio._gallery.save(drawn(), job_id=new_id(), recipe=recipe, model_name="Starter model")
    with studio.database.begin() as connection:
        studio._gallery.record([picture], connection)
    return picture


def found(client: httpx.Client, **query: object) -> list[str]:
    answer = client.get("/images", params=query)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_every_filter_of_the_list_is_heard(client: httpx.Client, studio: Studio) -> None:
    mira = studio.create_character(CharacterFields(name="Mira"))
    of_mira, other = keep(studio, character=mira.id), keep(studio, preset="neon_v1")
    changed = client.patch(f"/images/{of_mira.id}", json={"favourite": True, "caption": " On the pier ", "category": "sea"})
    assert changed.status_code == 200
    assert (changed.json()["favourite"], changed.json()["caption"], changed.json()["category"]) == (True, "On the pier", "sea")
    assert changed.json()["thumbnail_url"]
    for query in ({"character": mira.slug}, {"character": mira.id}, {"favourite": True}, {"category": "sea"}, {"search": "pier red"}):
        assert found(client, **query) == [of_mira.id], query
    assert found(client, favourite=False) == found(client, preset="neon_v1") == [other.id]
    day = of_mira.created_at.strftime("%Y-%m-%d")
    assert len(found(client, since=day, until=day)) == 2
    assert found(client, since="2999-01-01") == found(client, until="2001-01-01T00:00:00Z") == []
    assert found(client, kind="photo") == []
    refused(client.get("/images", params={"since": "last week"}), 422, "INVALID_FIELD_VALUE", "since")
    refused(client.get("/images", params={"until": "9999-12-31"}), 422, "INVALID_FIELD_VALUE", "until")
    refused(client.get("/images", params={"kind": "drawn"}), 422, "INVALID_FIELD_VALUE", "kind")


def test_uploads_are_kept_as_what_they_are_sent_as(client: httpx.Client) -> None:
    answer = client.post(
        "/images", params={"kind": "reference", "category": " poses "}, files={"file": ("../Pose eins 🦊.png", png(), "image/png")}
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["kind"], body["category"], body["name"]) == ("reference", "poses", "Pose eins 🦊.png")
    assert found(client, kind="reference", category="poses") == [body["id"]]
    assert upload(client)["kind"] == "upload"
    assert len(found(client, kind="all")) == 2
    refused(client.post("/images", params={"kind": "generated"}, files={"file": ("a.png", png())}), 422, "INVALID_FIELD_VALUE", "kind")
    refused(client.post("/images", params={"category": "x" * 61}, files={"file": ("a.png", png())}), 422, "INVALID_FIELD_VALUE", "category")


def test_many_pictures_change_at_once(client: httpx.Client, studio: Studio) -> None:
    ids = [keep(studio).id for _ in range(3)]
    answer = client.post("/images/change", json={"ids": [*ids[:2], "nothing"], "change": {"favourite": True}})
    assert answer.json() == {"ok": True, "count": 2}
    assert set(found(client, favourite=True)) == set(ids[:2])
    refused(client.patch("/images/nothing", json={"favourite": True}), 404, "NOT_FOUND")
    refused(client.patch(f"/images/{ids[0]}", json={"seed": 3}), 422, "CONTRACT_MISMATCH", "seed")
    refused(client.patch(f"/images/{ids[0]}", json={"caption": "a\0b"}), 422, "INVALID_FIELD_VALUE", "caption")
    refused(client.post("/images/change", json={"ids": [], "change": {}}), 422, "INVALID_FIELD_VALUE", "ids")


def test_facets_carry_the_names_of_today(client: httpx.Client, studio: Studio) -> None:
    mira = studio.create_character(CharacterFields(name="Mira"))
    keep(studio, character=mira.id)
    keep(studio)
    facets = client.get("/images/facets").json()
    preset = studio.preset("portrait_v1")
    assert facets["characters"] == [{"id": mira.id, "name": "Mira", "count": 1}]
    assert facets["presets"] == [{"id": preset.id, "name": preset.name, "count": 2}]
    assert sum(month["count"] for month in facets["months"]) == 2
    assert client.get("/images/facets", params={"kind": "upload"}).json()["months"] == []


def test_a_selection_comes_as_a_zip(client: httpx.Client, studio: Studio) -> None:
    mira = studio.create_character(CharacterFields(name="Mira"))
    ids = [keep(studio, character=mira.id).id, keep(studio).id, upload(client)["id"]]
    answer = client.post("/images/zip", json={"ids": ids})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"].startswith('attachment; filename="likeness-3-pictures-')
    parcel = zipfile.ZipFile(io.BytesIO(answer.content))
    notes = json.loads(parcel.read("manifest.json"))
    assert [note["id"] for note in notes] == ids
    assert "_mira_" in notes[0]["file"] and notes[2]["file"].endswith("_me.png")
    for note in notes:
        with Image.open(io.BytesIO(parcel.read(note["file"]))) as image:
            image.load()
    refused(client.post("/images/zip", json={"ids": ["nothing"]}), 404, "NOT_FOUND")
    refused(client.post("/images/zip", json={"ids": ["x"] * 10_001}), 422, "INVALID_FIELD_VALUE", "ids")


def test_analytics_over_http(client: httpx.Client, studio: Studio) -> None:
    fresh = client.get("/analytics").json()
    assert (fresh["empty"], fresh["days"], len(fresh["per_day"]), fresh["success_rate"]) == (True, 30, 30, None)
    picture = keep(studio)
    client.patch(f"/images/{picture.id}", json={"favourite": True})
    body = client.get("/analytics", params={"days": 7, "utc_offset": 120}).json()
    assert (body["empty"], body["pictures"], body["favourite_rate"], len(body["per_day"])) == (False, 1, 1.0, 7)
    assert body["by_preset"][0]["name"] == studio.preset("portrait_v1").name
    refused(client.get("/analytics", params={"days": 0}), 422, "INVALID_FIELD_VALUE", "days")
    refused(client.get("/analytics", params={"utc_offset": 9999}), 422, "INVALID_FIELD_VALUE", "utc_offset")


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, object]:
    capsys.readouterr()
    assert main([*words, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_library_on_the_command_line(studio: Studio, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mira = studio.create_character(CharacterFields(name="Mira"))
    first, second = keep(studio, character=mira.id).id, keep(studio).id
    assert said(capsys, "images", "favourite", first, "nothing") == {"ok": True, "count": 1}
    assert said(capsys, "images", "caption", second, "by the sea")["caption"] == "by the sea"
    for options, wanted in (
        (("--favourites",), first),
        (("--character", mira.slug), first),
        (("--search", "sea"), second),
        (("--character", mira.slug, "--since", "2020-01-01", "--until", "2999-01-01"), first),
    ):
        assert [item["id"] for item in said(capsys, "images", "list", *options)["items"]] == [wanted], options  # pyright: ignore
    assert said(capsys, "images", "unfavourite", first)["count"] == 1
    assert said(capsys, "images", "favourite", "nothing", status=1)["error"]["code"] == "NOT_FOUND"  # pyright: ignore
    out = tmp_path / "some.zip"
    assert said(capsys, "images", "zip", "--out", str(out), first, second)["ok"]
    assert len(zipfile.ZipFile(out).namelist()) == 3
    missing = said(capsys, "images", "zip", "--out", str(tmp_path / "no" / "some.zip"), first, status=1)
    assert missing["error"]["field"] == "out"  # pyright: ignore
    assert [path.name for path in tmp_path.glob("*.zip")] == ["some.zip"] and not list(tmp_path.glob(".some*"))


def test_analytics_on_the_command_line(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analytics"]) == 0
    assert "Nothing was made yet" in capsys.readouterr().out
    keep(studio)
    assert said(capsys, "analytics", "--days", "7")["pictures"] == 1
    assert main(["analytics"]) == 0
    assert "No character" in capsys.readouterr().out
    assert said(capsys, "analytics", "--days", "0", status=1)["error"]["field"] == "days"  # pyright: ignore
