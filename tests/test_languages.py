"""Languages: every text of the page is collected, catalogues are checked, and the page carries them to the browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app import open_studio
from studio.settings import Settings
from studio.studio import Studio
from tabs import languages, page
from tabs.languages import FOLDER, catalogues, collect, faults, said, written

ENGLISH = {"Cancel": "Cancel", "Edit {name}": "Edit {name}", "{count} jobs [one]": "{count} job", "{count} jobs [other]": "{count} jobs"}


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    folder = settings.data / "languages"
    folder.mkdir(parents=True)
    (folder / "de.json").write_text(json.dumps({"Setup": "Einrichten & <los>"}), encoding="utf-8")
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "one.py").write_text('label=t("Prompt")\nname = later("Wide")\nwords = said(catalogue, "{count} others", count=3)\n')
    (tmp_path / "assets" / "two.js").write_text(
        'set(t("Say \\"{name}\\"", { name }), tn("{count} job", "{count} jobs", left));\nget("no", it.t("no"), act("no"));\n'
    )
    return tmp_path


def test_english_is_up_to_date() -> None:
    assert (FOLDER / "en.json").read_text(encoding="utf-8") == written(collect()), "run `python -m tabs.languages`"


def test_every_catalogue_says_what_the_page_asks_for() -> None:
    english = collect()
    files = [path for path in sorted(FOLDER.glob("*.json")) if path.stem != "en"]
    wrong = {path.name: faults(english, json.loads(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_texts_are_collected_from_python_and_javascript(sources: Path) -> None:
    assert collect(sources) == {
        'Say "{name}"': 'Say "{name}"',
        "Prompt": "Prompt",
        "Wide": "Wide",
        "{count} jobs [one]": "{count} job",
        "{count} jobs [other]": "{count} jobs",
        "{count} others": "{count} others",
    }


@pytest.mark.parametrize("call", ["t(name)", "t(`Edit ${name}`)", 't("Edit " + name)', 'tn("{count} job", count)'])
def test_a_text_that_can_not_be_collected_is_refused(sources: Path, call: str) -> None:
    (sources / "assets" / "three.js").write_text(f"\nshow({call});\n")
    with pytest.raises(ValueError, match=r"three\.js:2"):
        collect(sources)


@pytest.mark.parametrize("call", ["t(name)", 't(f"Edit {name}")', "later(NAMES[0])"])
def test_python_is_held_to_the_same(sources: Path, call: str) -> None:
    (sources / "three.py").write_text(f"\n{call}\n")
    with pytest.raises(ValueError, match=r"three\.py:2"):
        collect(sources)


@pytest.mark.parametrize(
    "texts",
    [
        {"Cancel": "Abbrechen", "Edit {name}": "{name} bearbeiten"},
        {"Cancel": ""},
        {"{count} jobs [one]": "ein Auftrag", "{count} jobs [few]": "{count} Aufträge", "{count} jobs [other]": "{count} Aufträge"},
    ],
)
def test_a_good_catalogue_has_no_faults(texts: dict[str, str]) -> None:
    assert faults(ENGLISH, texts) == []


@pytest.mark.parametrize(
    "texts",
    [
        {"Stand still": "Halt"},
        {"Edit {name}": "bearbeiten"},
        {"Edit {name}": "{Name} bearbeiten"},
        {"Cancel": "{count} abbrechen"},
        {"Cancel [other]": "Abbrechen"},
        {"{count} jobs": "{count} Aufträge"},
        {"{count} jobs [other]": "Aufträge"},
    ],
)
def test_a_bad_catalogue_has_faults(texts: dict[str, str]) -> None:
    assert len(faults(ENGLISH, texts)) == 1


def test_a_later_folder_wins_and_a_broken_file_stops_nobody(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name, text in (
        (first, "de.json", '{"Setup": "Einrichten", "Cancel": "Abbrechen", "Edit": ""}'),
        (first, "en.json", '{"Setup": "Setup"}'),
        (first, "fr.json", '["Setup"]'),
        (second, "de.json", '{"Setup": "Einrichtung"}'),
        (second, "it.json", "{"),
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    assert catalogues(first, second, tmp_path / "third") == {"de": {"Setup": "Einrichtung", "Cancel": "Abbrechen"}}


def test_what_nobody_translated_is_said_in_english() -> None:
    assert said({"{count} others": "{count} weitere"}, "{count} others", count=3) == "3 weitere"
    assert said({}, "{count} others", count=3) == "3 others"
    assert said({}, "{day}: {count} pictures", day="%{x|%a}", count="%{y:,}") == "%{x|%a}: %{y:,} pictures"


def test_the_page_carries_the_catalogues_as_text(studio: Studio) -> None:
    home = asyncio.run(_home(studio))
    config = home.split("window.gradio_config = ")[1].split(";</script>")[0]

    assert json.loads(config)["i18n_translations"] == {"de": {"Setup": "Einrichten & <los>"}}
    assert "<los>" not in home


async def _home(studio: Studio) -> str:
    app = page.mount(FastAPI(), studio)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        return (await client.get("/")).text


def test_writing_english_anew_changes_nothing_and_reports_on_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = tmp_path / "de.json"
    draft.write_text('{"Cancel": "Abbrechen", "Stand still": "Halt"}', encoding="utf-8")

    assert languages.main([str(draft)]) == 1
    assert "nobody says “Stand still”" in capsys.readouterr().out
