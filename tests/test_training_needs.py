"""What a training takes, as far as it was measured, and orders that this computer can't carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_trainings import drawn, order

from app import _check_toolkit, _toolkit_arches, open_studio
from engines.aitoolkit import ARCHES
from engines.aitoolkit.config import Places, config
from studio import training
from studio.contracts import CharacterFields, Job, JobState, TrainRequest
from studio.errors import DependencyMissing, DiskFull, InvalidFieldValue, ModelGated, OutOfMemory
from studio.meters import Card, Meters
from studio.settings import Settings, load_settings
from studio.studio import Studio
from studio.training import ToolkitOptions, TrainRecipe
from studio.training_needs import Earlier, check_video_memory, disk_for, lora_bytes, save_every_for, seconds_for, video_memory_for
from studio.training_presets import toolkit_recipe_for

HOME = Path(__file__).resolve().parent.parent
STARTER = HOME / "engines" / "embedded" / "starter_model"
NOWHERE = Path("somebody/something")


def recipe(**changes: object) -> TrainRecipe:
    return TrainRecipe.model_validate({"model": "starter", "steps": 200, "rank": 16, "resolution": 128, "batch": 4} | changes)


def earlier(seconds: float | None = 50.0, vram_mb: float | None = None, lora: int | None = None, **changes: object) -> Earlier:
    return Earlier("embedded", recipe(**changes), seconds, vram_mb, lora)


# Estimates


def test_time_is_what_earlier_ones_took_for_as_much_work() -> None:
    assert seconds_for("embedded", recipe(), []) is None
    before = [earlier(50), earlier(None), earlier(1000, model="other"), earlier(999, gradient_checkpointing=True)]
    assert seconds_for("embedded", recipe(), before) == 50
    assert seconds_for("embedded", recipe(steps=400), before) == 100
    assert seconds_for("embedded", recipe(resolution=256), before) == 200
    assert seconds_for("aitoolkit", recipe(), before) is None


def test_video_memory_is_known_for_the_same_settings_alone() -> None:
    before = [earlier(vram_mb=5 * 1024), earlier(vram_mb=6.5 * 1024), earlier()]
    assert video_memory_for("embedded", recipe(steps=9999, seed=3), before) == 6.5
    for other in ({"batch": 1}, {"rank": 4}, {"resolution": 64}, {"gradient_checkpointing": True}, {"model": "other"}):
        assert video_memory_for("embedded", recipe(**other), before) is None


def test_the_size_of_a_lora_follows_from_its_model() -> None:
    guess = lora_bytes("embedded", recipe(), STARTER, [])
    assert guess is not None and lora_bytes("embedded", recipe(rank=32), STARTER, []) == 2 * guess
    attention = lora_bytes("embedded", recipe(targets="attention"), STARTER, [])
    assert attention is not None and attention < guess / 2
    assert lora_bytes("embedded", recipe(), NOWHERE, []) is None
    assert lora_bytes("embedded", recipe(rank=8), NOWHERE, [earlier(lora=1000)]) == 500, "as an earlier one, by its rank"


def test_disk_grows_with_checkpoints_samples_and_pictures() -> None:
    def disk(pictures: tuple[int, ...] = (), *, toolkit: bool = False, **changes: object) -> int:
        found = disk_for("embedded", recipe(**changes), STARTER, pictures, [], toolkit=toolkit)
        assert found is not None
        return found

    lora = lora_bytes("embedded", recipe(), STARTER, [])
    assert lora is not None
    few = disk(save_every=100)
    assert few >= 2 * lora + 12 * lora, "two checkpoints, and what two of them need to go on"
    assert disk(save_every=50) - few == pytest.approx(2 * lora * 1.1, rel=0.01)
    assert disk(samples=("a", "b")) > disk(samples=())
    with_pictures = disk((10**6,) * 10, toolkit=True)
    assert with_pictures - disk(toolkit=True) >= 10**7
    assert disk_for("aitoolkit", recipe(), NOWHERE, [], [], toolkit=True) is None


def test_a_remedy_names_settings_that_fit() -> None:
    check_video_memory("SDXL", recipe(), None, 8 * 1024, [])
    check_video_memory("SDXL", recipe(), 11.2, 12 * 1024, [])
    check_video_memory("SDXL", recipe(), 11.2, 0, [])
    before = [earlier(vram_mb=11.2 * 1024), earlier(vram_mb=5.1 * 1024, batch=1, gradient_checkpointing=True)]
    with pytest.raises(OutOfMemory) as refused:
        check_video_memory("SDXL", recipe(), 11.2, 8 * 1024, before)
    assert "11.2 GB" in refused.value.message and "card has 8" in refused.value.message
    assert "1 at a time" in refused.value.remedy and "gradient checkpointing took 5.1 GB" in refused.value.remedy
    with pytest.raises(OutOfMemory) as refused:
        check_video_memory("SDXL", recipe(), 11.2, 8 * 1024, before[:1])
    assert "unknown until measured" in refused.value.remedy


def test_fewer_checkpoints_are_proposed_where_those_fit() -> None:
    many = recipe(save_every=5)
    least = disk_for("embedded", recipe(save_every=200), STARTER, [], [], toolkit=False)
    assert least is not None
    assert save_every_for("embedded", many, STARTER, [], [], least, toolkit=False) == 200
    assert save_every_for("embedded", many, STARTER, [], [], least // 2, toolkit=False) is None


def test_the_most_video_memory_is_remembered(tmp_path: Path) -> None:
    assert training.video_memory(tmp_path) is None
    for mb in (100.0, 250.5, 30.0):
        training.note_video_memory(tmp_path, mb)
    assert training.video_memory(tmp_path) == 250.5
    (tmp_path / training.MEASURED).write_text("{}")
    assert training.video_memory(tmp_path) is None


# Orders


class OneCard(Meters):
    """A computer with one card of so many GB: there is none where these tests run, so what would be read is given."""

    def __init__(self, gb: float) -> None:
        super().__init__()
        self._cards._read = lambda: ((Card(name="a card", use=0, memory_mb=0, memory_total_mb=gb * 1024, temperature=40),), 1.0)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DATABASE_URL", "HF_TOKEN", "LIKENESS_HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    toolkit = tmp_path / "ai-toolkit"
    (toolkit / "venv" / "bin").mkdir(parents=True)
    (toolkit / "venv" / "bin" / "python").touch(mode=0o755)
    (toolkit / "run.py").touch()
    monkeypatch.setenv("AITOOLKIT_PATH", str(toolkit))
    return load_settings()


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def mara(studio: Studio) -> str:
    character = studio.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    studio.add_photos(character.id, [(f"{number}.png", drawn(number)) for number in range(4)])
    return character.id


def flux(studio: Studio, mara: str, **values: object) -> Job:
    whole = {"preset": "balanced", "engine": "aitoolkit", "model": "flux", "rank": None, "batch": None, "resolution": None, "targets": None}
    return order(studio, mara, **(whole | values))


def put_cards(studio: Studio, gb: float) -> None:
    """As if a card of so many GB were in this computer (0: none)."""
    meters = OneCard(gb) if gb else Meters()
    assert meters.video_memory_mb(30) == gb * 1024
    studio.trainings._offers._meters = meters


def nothing_ordered(studio: Studio) -> bool:
    return studio.jobs().items == () and studio.trainings.trainings() == () and studio.datasets.datasets() == ()


def test_a_card_that_is_too_small_is_said_before_anything_is_ordered(studio: Studio, mara: str) -> None:
    put_cards(studio, 12)
    with pytest.raises(OutOfMemory) as refused:
        flux(studio, mara)
    assert "24 GB" in refused.value.message and "card has 12" in refused.value.message and "low VRAM on" in refused.value.remedy
    assert nothing_ordered(studio)
    offer = next(one for one in studio.trainings.offer(mara).toolkit if one.arch == "flux")
    assert [[each.code for each in one.obstacles] for one in offer.presets] == [["OUT_OF_MEMORY"]] * 3
    assert [(one.id, one.vram_gb, one.vram_measured, one.recipe.steps) for one in offer.presets] == [
        ("quick", 24, False, 800),
        ("balanced", 24, False, 2000),
        ("high", 24, False, 3000),
    ]
    others = [one for arch in studio.trainings.offer(mara).toolkit if arch.arch != "flux" for one in arch.presets]
    assert {one.vram_gb for one in others} == {None}, "what nobody said is unknown until measured"


def test_what_a_remedy_names_can_be_asked_for_and_is_what_ai_toolkit_is_told(studio: Studio, mara: str) -> None:
    put_cards(studio, 12)
    for leaner in ({"resolution": 512}, {"quantize_te": False}):
        # Nobody knows what it takes then, so the next thing that is missing is told: the model's token.
        with pytest.raises(ModelGated):
            flux(studio, mara, **leaner)
    asked = {"resolution": 512, "low_vram": True, "quantize": False, "optimizer": "prodigy"}
    request = TrainRequest.model_validate({"character": mara, "model": "flux", **asked})
    recipe = toolkit_recipe_for(request, "zmara", None, _toolkit_arches(), seed=1)
    told = config(
        recipe, ARCHES["flux"], Path("x/y"), Places(Path("a"), Path("b"), Path("c")), trainer="diffusion_trainer", device="cuda", seen=False
    )
    process = told["config"]["process"][0]
    assert process["datasets"][0]["resolution"] == [512] and process["train"]["optimizer"] == "prodigy"
    assert (process["model"]["low_vram"], process["model"]["quantize"], process["model"]["quantize_te"]) == (True, False, True)
    with pytest.raises(InvalidFieldValue) as refused:
        order(studio, mara, low_vram=True)
    assert refused.value.field == "low_vram"
    with pytest.raises(InvalidFieldValue) as refused:
        order(studio, mara, optimizer="adamw")
    assert refused.value.field == "optimizer"
    assert nothing_ordered(studio)


def test_a_gated_model_wants_its_token_before_anything_is_ordered(studio: Studio, mara: str, tmp_path: Path) -> None:
    put_cards(studio, 48)
    with pytest.raises(ModelGated) as refused:
        flux(studio, mara)
    assert "huggingface.co/settings/tokens" in refused.value.remedy and nothing_ordered(studio)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("somebody signed in here")
    assert flux(studio, mara).state is JobState.queued


def test_a_computer_without_a_card_is_said_before_anything_is_ordered(studio: Studio, mara: str) -> None:
    put_cards(studio, 0)
    with pytest.raises(DependencyMissing, match="NVIDIA"):
        flux(studio, mara, model="sdxl")
    assert nothing_ordered(studio)


def test_what_is_measured_goes_before_what_was_said(settings: Settings) -> None:
    lean = next(one for one in _toolkit_arches() if one.arch == "sdxl").recipe
    model = Path(lean.model)
    _check_toolkit(settings, lean, model, 8 * 1024, None)
    with pytest.raises(OutOfMemory, match="takes 14 GB"):
        _check_toolkit(settings, lean, model, 8 * 1024, 14.0)
    unknown = lean.model_copy(update={"toolkit": ToolkitOptions(arch="sdxl"), "resolution": 512})
    _check_toolkit(settings, unknown, model, None, None)


def test_a_disk_that_is_too_small_is_said_before_anything_is_ordered(studio: Studio, mara: str) -> None:
    # A checkpoint after each of 100,000 steps is more than any disk of a test machine holds.
    with pytest.raises(DiskFull) as refused:
        order(studio, mara, steps=100_000, save_every=1, rank=256, targets="everything")
    assert "writes about" in refused.value.message and "GB" in refused.value.message
    assert "one every 10000 steps fits" in refused.value.remedy
    assert nothing_ordered(studio)


def test_an_offer_says_how_much_disk_a_preset_takes(studio: Studio, mara: str) -> None:
    offer = studio.trainings.offer(mara)
    sizes = [one.disk_gb for one in offer.presets]
    assert all(size and 0.01 < size < 1 for size in sizes) and all(one.obstacles == () for one in offer.presets)
    assert all(one.vram_gb is None and not one.vram_measured for one in offer.presets)
