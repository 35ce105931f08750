"""Pages that are made from the code are up to date, and nothing that a person can set, meet or type is missing in them."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from studio import handbook
from studio.cli import build_parser
from studio.errors import all_errors
from studio.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = handbook.pages(ROOT, build_parser())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_code_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name], "run `python launch.py docs`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_help_and_is_documented(name: str) -> None:
    field = Settings.model_fields[name]

    assert field.description
    for variable in handbook.env_names(name, field):
        assert f"`{variable}`" in PAGES["docs/settings.md"]
        assert variable in PAGES[".env.template"]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.code)
def test_every_error_code_is_documented_and_drawn(error: type) -> None:
    page = PAGES["docs/errors.md"]

    assert f"## {error.code}\n" in page
    assert error.code in page.split("```")[3], "draw it in the tree at the head of studio/errors.py"
    assert error.__doc__


def test_every_verb_and_option_is_documented() -> None:
    page = PAGES["docs/cli.md"]

    for words, parser in _verbs(build_parser(), ()):
        assert f"# {' '.join(words)}\n" in page
        for action in parser._actions:
            for option in set(action.option_strings) - {"-h", "--help"}:
                assert option in page


def test_launch_py_lists_every_verb() -> None:
    spec = importlib.util.spec_from_file_location("launch", ROOT / "launch.py")
    assert spec is not None
    assert spec.loader is not None
    launch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch)
    verbs = {words[0] for words, _ in _verbs(build_parser(), ())}

    assert set(launch.APP_VERBS) == verbs
    assert not verbs & set(launch.OWN_VERBS)
    for verb in launch.OWN_VERBS:
        assert f"python launch.py {verb}`" in PAGES["docs/cli.md"]


def test_the_template_with_every_line_in_force_changes_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = tmp_path / "used.env"
    lines = PAGES[".env.template"].splitlines()
    used.write_text("\n".join(line.removeprefix("#") if line.startswith("#LIKENESS") else line for line in lines), encoding="utf-8")
    monkeypatch.delenv("LIKENESS_DATA")
    # `data` in .env is meant beside launch.py.
    monkeypatch.chdir(ROOT)

    class FromTemplate(Settings):
        model_config = SettingsConfigDict(**{**Settings.model_config, "env_file": used})

    found = FromTemplate().model_dump()

    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert {**found, "data": found["data"].resolve()} == defaults


def test_a_folder_in_dotenv_lies_beside_launch_py_and_a_typed_one_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("LIKENESS_DATA=my-pictures")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    assert load_settings().data == ROOT / "my-pictures"
    monkeypatch.setenv("LIKENESS_DATA", "typed")
    assert load_settings().data == tmp_path / "typed"


def test_pages_come_out_the_same_on_every_run() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from studio import handbook
from studio.cli import build_parser
sys.stdout.buffer.write(repr(handbook.pages(Path({str(ROOT)!r}), build_parser())).encode())
"""
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd="/")

    assert again.stdout.decode() == repr(PAGES)


def _verbs(parser: argparse.ArgumentParser, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield (*before, name), verb
                yield from _verbs(verb, (*before, name))


PAGES_OF_PEOPLE = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES_OF_PEOPLE, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith(("#", "mailto:"))]
    assert [link for link in local if not (page.parent / link).exists()] == []
