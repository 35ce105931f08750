"""Character sheets and enlarging, as far as no server is needed: what is offered, ordered and refused, and what becomes of the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from app import HOME, open_studio
from app import main as run
from studio.api import create_api
from studio.contracts import CharacterFields, GenerateRequest, Inventory, Recipe, ServerState
from studio.db import INVENTORY, engine_states
from studio.db import jobs as jobs_table
from studio.engine import Artifact
from studio.gallery import Gallery
from studio.settings import load_settings
from studio.sheets import sheet_workflows
from studio.studio import Studio
from studio.workflows import load_workflows

SHIPPED = load_workflows(HOME / "workflows")
BY_ID = {workflow.id: workflow for workflow in SHIPPED}
KONTEXT = BY_ID["character_sheet_kontext"]
SAFE = ("Front", "Laughing", "Night")


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    opened = open_studio(load_settings(tmp_path / "data"))
    yield opened
    opened.database.close()


@pytest.fixture
def api(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_api(studio), base_url="http://127.0.0.1") as client:
        yield client


def seen(studio: Studio, *ids: str, **files: tuple[str, ...]) -> None:
    """Write down what a worker would have seen on a server that has everything for these workflows, and these files."""
    there: dict[str, set[str]] = {folder: set(names) for folder, names in files.items()}
    for workflow in (BY_ID[each] for each in ids):
        for model in workflow.models:
            there.setdefault(model.folder, set()).add(model.file)
    server = ServerState(url="http://127.0.0.1:8188", state="reachable", version="0.3.75")
    nodes = {node for each in ids for node in BY_ID[each].node_classes}
    body = Inventory(
        servers=(server,), files={folder: tuple(sorted(names)) for folder, names in there.items()}, nodes=tuple(sorted(nodes))
    ).model_dump_json()
    with studio.database.begin() as connection:
        connection.execute(sa.delete(engine_states).where(engine_states.c.name == f"{INVENTORY}comfyui"))
        connection.execute(sa.insert(engine_states).values(name=f"{INVENTORY}comfyui", body=body, updated_at=0.0))


def photographed(studio: Studio, tmp_path: Path, **fields: Any) -> str:
    """A character with one photo; gives its id."""
    character = studio.create_character(CharacterFields.model_validate({"name": "Mira", **fields}))
    file = tmp_path / "mira.png"
    Image.radial_gradient("L").convert("RGB").resize((96, 128)).save(file)
    studio.add_photos(character.id, [("mira.png", file.read_bytes())])
    return character.id


def drawn(studio: Studio, job_id: str, number: int = 0) -> None:
    """What a worker leaves of a job: its picture, and its end."""
    gallery = Gallery(studio.database, studio.settings.data)
    recipe = studio.job(job_id).recipe
    picture = gallery.save(
        Artifact(
            image=Image.new("RGB", (recipe.width, recipe.height), (number * 9 % 256, number * 31 % 256, 120)),
            index=0,
            seed=recipe.seed,
            model_hash="ab" * 32,
            lora_hashes={},
            duration_s=1.0,
        ),
        job_id=job_id,
        recipe=recipe,
        model_name="a model",
    )
    with studio.database.begin() as connection:
        gallery.record([picture], connection)
        connection.execute(sa.update(jobs_table).where(jobs_table.c.id == job_id).values(state="done", progress=1.0))


def test_one_portrait_becomes_a_batch_whose_good_ones_become_photos(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    seen(studio, "character_sheet_kontext")
    mira = photographed(studio, tmp_path)
    (photo,) = studio.photos(mira)
    offer = api.get(f"/api/v1/characters/{mira}/sheet").json()
    assert (offer["portrait"], offer["obstacles"], offer["open"]) == (photo.id, [], [])
    assert [each["id"] for each in offer["workflows"] if each["runs"]] == ["character_sheet_kontext"]
    assert {view["group"] for view in offer["workflows"][0]["views"]} == {"angles", "expressions", "light", "outfits"}

    answer = api.post(f"/api/v1/characters/{mira}/sheet", json={"views": [*SAFE], "seed": 7})
    assert answer.status_code == 202
    sheet = answer.json()
    assert [(shot["view"], shot["state"], shot["verdict"]) for shot in sheet["shots"]] == [(view, "queued", "open") for view in SAFE]
    jobs = [studio.job(shot["job_id"]) for shot in sheet["shots"]]
    assert {job.batch_id for job in jobs} == {sheet["id"]}
    for job, view in zip(jobs, SAFE, strict=True):
        wanted = next(each for each in KONTEXT.views if each.name == view)
        assert (job.recipe.prompt, job.recipe.workflow, job.recipe.image) == (wanted.prompt, KONTEXT.id, photo.id)
        assert (job.recipe.character, job.recipe.seed, job.recipe.preset) == (mira, 7, None)
        assert (job.recipe.width, job.recipe.height) == (96, 128), "a portrait is not cut to a square"

    # Nothing can be decided of what is not there; a closed tab finds the sheet again.
    assert judged(api, sheet, ["Front"], "kept", 409)["error"]["code"] == "CONFLICT"
    assert api.get(f"/api/v1/characters/{mira}/sheet").json()["open"] == [sheet["id"]]
    for number, job in enumerate(jobs):
        drawn(studio, job.id, number)

    judged(api, sheet, ["Front", "Night"], "kept")
    thrown = judged(api, sheet, ["laughing"], "thrown")
    assert [shot["verdict"] for shot in thrown["shots"]] == ["kept", "thrown", "kept"]
    laughing = thrown["shots"][1]["picture"]
    assert studio.picture(laughing).trashed_at is not None
    assert judged(api, sheet, ["Laughing"], "open")["shots"][1]["verdict"] == "open"
    assert studio.picture(laughing).trashed_at is None
    studio.trash([laughing])
    assert judged(api, sheet, ["Night"], "open")["open"]
    assert api.get(f"/api/v1/sheets/{sheet['id']}").json()["shots"][1]["verdict"] == "thrown", "the gallery's trash is the same one"

    added = api.post(f"/api/v1/sheets/{sheet['id']}/add").json()["items"]
    assert [each["name"] for each in added] == ["Front"]
    word = studio.character(mira).trigger_word
    assert added[0]["caption"] == f"{word}, seen from the front, looking into the camera, head and shoulders, plain grey background"
    assert (added[0]["kind"], added[0]["character_id"], added[0]["recipe"]["workflow"]) == ("photo", mira, KONTEXT.id)
    assert studio.metadata(added[0]["id"])["likeness"], "the file itself says how it was made"
    judged(api, sheet, ["Night"], "kept")
    assert [each["name"] for each in api.post(f"/api/v1/sheets/{sheet['id']}/add").json()["items"]] == ["Night"]
    assert api.post(f"/api/v1/sheets/{sheet['id']}/add").json()["items"] == [], "no photo twice"
    assert [each.name for each in studio.photos(mira)] == ["mira.png", "Front", "Night"]
    done = api.get(f"/api/v1/characters/{mira}/sheets").json()["items"][0]
    assert not done["open"] and [bool(shot["photo"]) for shot in done["shots"]] == [True, False, True]
    assert api.get(f"/api/v1/characters/{mira}/sheet").json()["open"] == []


def test_every_view_passes_the_safety_rules(studio: Studio, tmp_path: Path) -> None:
    seen(studio, "character_sheet_kontext")
    mira = photographed(studio, tmp_path)
    from studio.sheets import SheetRequest

    sheet = studio.sheets.order(mira, SheetRequest.model_validate({}))
    assert len(sheet.shots) == 20
    assert len(studio.jobs(batch_id=sheet.id).items) == 20


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({"views": ["Upside down"]}, "INVALID_FIELD_VALUE", "views"),
        ({"views": []}, "INVALID_FIELD_VALUE", "views"),
        ({"portrait": "nobody"}, "INVALID_FIELD_VALUE", "portrait"),
        ({"workflow": "sd15_text_to_image"}, "INVALID_FIELD_VALUE", "workflow"),
        ({"workflow": "character_sheet_qwen"}, "DEPENDENCY_MISSING", None),
        ({"warp": 1}, "CONTRACT_MISMATCH", "warp"),
    ],
)
def test_a_sheet_that_cannot_be_made_leaves_nothing(
    studio: Studio, api: TestClient, tmp_path: Path, wish: dict[str, Any], code: str, field: str | None
) -> None:
    seen(studio, "character_sheet_kontext")
    mira = photographed(studio, tmp_path)
    error = api.post(f"/api/v1/characters/{mira}/sheet", json=wish).json()["error"]
    assert (error["code"], error["field"]) == (code, field), error
    assert error["remedy"]
    assert studio.jobs().items == () and studio.sheets.sheets(mira) == ()


def test_what_stands_in_the_way_is_told_before(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    nobody = studio.create_character(CharacterFields.model_validate({"name": "Nobody yet"}))
    told = {each["field"]: each for each in api.get(f"/api/v1/characters/{nobody.id}/sheet").json()["obstacles"]}
    assert list(told) == ["portrait", "workflow"]
    assert "keeps the face" in told["workflow"]["message"] and "Setup" in told["workflow"]["remedy"], "the starter model is not offered"
    assert api.post(f"/api/v1/characters/{nobody.id}/sheet", json={}).json()["error"]["field"] == "portrait"

    seen(studio, "character_sheet_kontext")
    ines = photographed(studio, tmp_path, name="Ines", kind="consented", consent={"who": "Ines", "what_for": "tests"})
    told = {each["field"]: each for each in api.get(f"/api/v1/characters/{ines}/sheet").json()["obstacles"]}
    assert list(told) == ["classifier"], "edits of real people are looked at, and nothing is installed that could"
    refused = api.post(f"/api/v1/characters/{ines}/sheet", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "SAFETY_FILTER")
    studio.change_character(ines, _change(consent=None))
    assert api.get(f"/api/v1/characters/{ines}/sheet").json()["obstacles"][0]["code"] == "CONSENT_MISSING"
    assert api.post(f"/api/v1/characters/{ines}/sheet", json={}).json()["error"]["code"] == "CONSENT_MISSING"


def test_a_portrait_of_somebody_else_is_refused(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    seen(studio, "character_sheet_kontext")
    mira, nova = photographed(studio, tmp_path), photographed(studio, tmp_path, name="Nova")
    error = api.post(f"/api/v1/characters/{nova}/sheet", json={"portrait": studio.photos(mira)[0].id}).json()["error"]
    assert (error["code"], error["field"]) == ("INVALID_FIELD_VALUE", "portrait")


def test_models_that_edit_by_words_take_the_views_too() -> None:
    found = sheet_workflows(SHIPPED)
    assert [each.id for each in found[:2]] == ["character_sheet_kontext", "character_sheet_qwen"]
    edits = {each.id for each in found[2:]}
    assert {"flux2_klein_edit", "qwen_image_edit_2511"} <= edits
    assert not {"flux1_kontext_edit", "qwen_image_edit_2509"} & edits, "the same model is not offered twice"
    assert all(each.views == found[0].views for each in found)
    assert all(view.caption for each in found for view in each.views)


def test_the_command_line_shows_a_sheet_and_decides(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str], api: TestClient
) -> None:
    seen(studio, "character_sheet_kontext")
    mira = photographed(studio, tmp_path)
    assert run(["characters", "sheet", "make", "mira", "--view", "Front", "--view", "Night", "--no-wait"]) == 0
    sheet = capsys.readouterr().out.split()[-1]
    for number, shot in enumerate(studio.sheets.sheet(sheet).shots):
        drawn(studio, shot.job_id, number)
    assert run(["characters", "sheet", "throw", sheet, "Night"]) == 0
    assert run(["characters", "sheet", "keep", sheet]) == 0, "without names: what is undecided"
    assert run(["characters", "sheet", "add", sheet]) == 0
    assert run(["characters", "sheet", "list", "mira"]) == 0
    assert "done" in capsys.readouterr().out
    assert [photo.name for photo in studio.photos(mira)] == ["mira.png", "Front"]
    assert run(["characters", "sheet", "keep", sheet, "Sideways"]) == 1


# Enlarging


def made(studio: Studio, tmp_path: Path, **recipe: Any) -> str:
    """A picture that a job on ComfyUI made; gives its id."""
    submitted = studio.generate(
        GenerateRequest.model_validate(
            {"prompt": "a cat", "model": "comfyui/checkpoints/v1-5-pruned-emaonly-fp16.safetensors", "seed": 5, **recipe}
        )
    )
    drawn(studio, submitted.job_id)
    return studio.artifacts(submitted.job_id)[0].id


def test_a_picture_is_enlarged_into_a_new_one_that_names_it(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    seen(studio, "sd15_text_to_image", "sd15_hires_fix", "upscale_to_size")
    cat = made(studio, tmp_path, width=512, height=768, negative_prompt="dog")
    ways = api.get("/api/v1/images/enlarge", params={"id": cat}).json()["items"]
    assert [(each["way"], each["runs"]) for each in ways] == [("2x", True), ("4x", True), ("detail", True)]

    larger = ordered(studio, api, cat, "4x")
    assert (larger.workflow, larger.image, larger.parent, larger.prompt) == ("upscale_to_size", cat, cat, "a cat")
    assert (larger.values["target_width"], larger.values["target_height"]) == (2048, 3072)
    assert (larger.width, larger.height) == (512, 768), "it is sent as it is"
    finer = ordered(studio, api, cat, "detail")
    assert (finer.workflow, finer.image, finer.parent) == ("sd15_hires_fix", None, cat)
    assert (finer.prompt, finer.negative_prompt, finer.seed, finer.width, finer.height) == ("a cat", "dog", 5, 512, 768)

    # Another upscaler does as well; a server without any says which one is wanted.
    seen(studio, "sd15_text_to_image", upscale_models=("4x_own.pth",))
    assert api.get("/api/v1/images/enlarge", params={"id": cat}).json()["items"][0]["why_not"].startswith("This server has no node")
    seen(studio, "upscale_to_size", upscale_models=("4x_own.pth",))
    assert ordered(studio, api, cat, "2x").values.get("upscale_model") is None
    with studio.database.begin() as connection:
        body = Inventory.model_validate_json(connection.execute(sa.select(engine_states.c.body)).scalars().one())
        own = body.model_copy(update={"files": {"upscale_models": ("4x_own.pth",)}})
        connection.execute(sa.update(engine_states).values(body=own.model_dump_json()))
    assert ordered(studio, api, cat, "2x").values["upscale_model"] == "4x_own.pth"
    with studio.database.begin() as connection:
        connection.execute(sa.update(engine_states).values(body=own.model_copy(update={"files": {}}).model_dump_json()))
    (twice, *_) = api.get("/api/v1/images/enlarge", params={"id": cat}).json()["items"]
    assert not twice["runs"] and "RealESRGAN_x4plus.safetensors" in twice["why_not"] and twice["link"].startswith("https://")
    assert api.post("/api/v1/images/enlarge", json={"ids": [cat], "by": "2x"}).json()["error"]["code"] == "DEPENDENCY_MISSING"


def test_what_cannot_be_enlarged_says_why(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    file = tmp_path / "upload.png"
    Image.new("RGB", (64, 64)).save(file)
    upload = studio.upload(file.read_bytes(), "upload.png").id
    ways = {each["way"]: each for each in api.get("/api/v1/images/enlarge", params={"id": upload}).json()["items"]}
    assert not ways["2x"]["runs"] and "Setup" in ways["2x"]["remedy"]
    assert "not made here" in ways["detail"]["why_not"]
    assert ways["detail"]["remedy"] == "", "upscaling is no way out while it is closed too"
    seen(studio, "upscale_to_size", "sd15_text_to_image")
    ways = {each["way"]: each for each in api.get("/api/v1/images/enlarge", params={"id": upload}).json()["items"]}
    assert ways["2x"]["runs"] and ways["detail"]["remedy"] == "Upscale it instead."
    error = api.post("/api/v1/images/enlarge", json={"ids": [upload], "by": "2x"}).json()["error"]
    assert error["field"] == "real_person", "an upload may show somebody real"
    assert api.post("/api/v1/images/enlarge", json={"ids": [upload], "by": "2x", "real_person": False}).status_code == 202
    assert api.get("/api/v1/images/enlarge", params={"id": "nobody"}).status_code == 404
    big = made(studio, tmp_path, width=4096, height=4096)
    ways = {each["way"]: each for each in api.get("/api/v1/images/enlarge", params={"id": [big, upload]}).json()["items"]}
    assert ways["2x"]["runs"] and "megapixels" in ways["4x"]["why_not"]


def judged(api: TestClient, sheet: dict[str, Any], views: list[str], verdict: str, status: int = 200) -> Any:
    answer = api.post(f"/api/v1/sheets/{sheet['id']}/judge", json={"views": views, "verdict": verdict})
    assert answer.status_code == status, answer.text
    return answer.json()


def ordered(studio: Studio, api: TestClient, picture: str, by: str) -> Recipe:
    answer = api.post("/api/v1/images/enlarge", json={"ids": [picture], "by": by})
    assert answer.status_code == 202, answer.text
    return studio.job(answer.json()["job_id"]).recipe


def _change(**fields: Any) -> Any:
    from studio.contracts import CharacterChange

    return CharacterChange.model_validate(fields)
