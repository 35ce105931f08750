"""The page in other languages: the English sentence is the key, a catalogue for each language lies in languages/."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.i18n import I18nData

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "languages"
ENGLISH = "en"

Catalogue = dict[str, str]


def t(english: str) -> I18nData:
    """A text of a Gradio component; the browser shows it in its own language."""
    return I18nData(english)


def later(english: str) -> str:
    """Marks an English text that somebody else translates: the page's scripts when they show it, or `said`."""
    return english


def said(catalogue: Mapping[str, str], english: str, **values: object) -> str:
    """An English text in a catalogue's language with its {places} filled; left English where the catalogue has no word for it."""
    text = catalogue.get(english) or english
    return _PLACE.sub(lambda match: str(values.get(match[1], match[0])), text)


def catalogues(*folders: Path) -> dict[str, Catalogue]:
    """Every language there is a readable catalogue for, by its tag; what a later folder says wins. English is the key and needs none."""
    found: dict[str, Catalogue] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        try:
            texts = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("it is not one object of texts")
        except (OSError, ValueError) as error:
            log.warning("the language file %s was left out: %s", path, error)
            continue
        # An empty text is one that nobody has translated yet.
        found.setdefault(path.stem, {}).update({english: text for english, text in texts.items() if text})
    found.pop(ENGLISH, None)
    return found


def i18n(found: Mapping[str, Catalogue]) -> gr.I18n:
    """What Gradio puts into the page's configuration, where the page's own scripts find it too."""
    return gr.I18n(**found)


# Kept in order


def collect(home: Path = HERE) -> Catalogue:
    """Every English text of the sources. A plural has a line for each of English's two forms. Raises ValueError for what can't be read."""
    found: Catalogue = {}
    for path in sorted(home.glob("*.py")):
        found |= {text: text for text in _in_python(path)}
    for path in sorted((home / "assets").glob("*.js")):
        if path.name != "language.js":
            found |= _in_javascript(path)
    if home == HERE:
        # The check's sentences come from the studio, and the page translates them as they stand.
        from studio.preflight import WORDS

        found |= {text: text for words in WORDS.values() for text in words}
    return dict(sorted(found.items()))


def faults(english: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """What is wrong with a catalogue: texts that nobody asks for, and {places} that are missing or invented. Missing texts stay English."""
    found = []
    for key, text in other.items():
        name, form = _form(key)
        source = english.get(f"{name} [other]") if form else english.get(key)
        if not source:
            found.append(f"nobody says “{key}”")
            continue
        wanted, there = set(_PLACE.findall(source)), set(_PLACE.findall(text))
        # One thing may be said without its number.
        missing = wanted - there - ({"count"} if form and form != "other" else set())
        if text and (missing or there - wanted):
            found.append(f"“{key}” has the places {sorted(wanted)}, its translation {sorted(there)}")
    return found


def written(texts: Mapping[str, str]) -> str:
    """A catalogue as its file holds it."""
    return json.dumps(texts, ensure_ascii=False, indent=2) + "\n"


_PLACE = re.compile(r"\{(\w+)\}")
_FORM = re.compile(r"(.*) \[(zero|one|two|few|many|other)\]", re.DOTALL)
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_CALL = re.compile(r"(?<![\w.$#])(tn?)\(\s*")
_ONE = re.compile(rf"({_STRING})\s*[,)]")
_TWO = re.compile(rf"({_STRING}),\s*({_STRING}),")


def _form(key: str) -> tuple[str, str]:
    match = _FORM.fullmatch(key)
    return (match[1], match[2]) if match else (key, "")


def _in_python(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ("t", "later", "said"):
            continue
        given = node.args[1] if node.func.id == "said" else node.args[0]
        if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
            raise ValueError(f"{path.name}:{node.lineno}: the text must stand in the call itself, so that it can be collected")
        yield given.value


def _in_javascript(path: Path) -> Catalogue:
    source = path.read_text(encoding="utf-8")
    found: Catalogue = {}
    for call in _CALL.finditer(source):
        match = (_ONE if call[1] == "t" else _TWO).match(source, call.end())
        if match is None:
            line = source.count("\n", 0, call.start()) + 1
            raise ValueError(f"{path.name}:{line}: the text must stand in the call itself, so that it can be collected")
        texts = [json.loads(text) for text in match.groups()]
        if call[1] == "t":
            found[texts[0]] = texts[0]
        else:
            found |= {f"{texts[1]} [one]": texts[0], f"{texts[1]} [other]": texts[1]}
    return found


def main(files: Sequence[str]) -> int:
    """Write en.json anew, and say of every other catalogue, and of `files`, what is wrong with it and how much is still English."""
    english = collect()
    (FOLDER / "en.json").write_text(written(english), encoding="utf-8")
    lines, bad = [f"en.json: {len(english)} texts"], False
    for path in [*sorted(path for path in FOLDER.glob("*.json") if path.stem != ENGLISH), *map(Path, files)]:
        texts = json.loads(path.read_text(encoding="utf-8"))
        wrong = faults(english, texts)
        missing = {_form(key)[0] for key in english} - {_form(key)[0] for key, text in texts.items() if text}
        lines += [f"{path.name}: {len(missing)} texts still in English, {len(wrong)} wrong", *(f"  {fault}" for fault in wrong)]
        bad = bad or bool(wrong)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
