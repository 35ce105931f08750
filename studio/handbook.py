"""The pages that are made from the code, so that they can't be wrong: .env.template, settings, errors, command line."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from studio import errors, settings
from studio.errors import all_errors
from studio.files import write_atomically
from studio.settings import HOME, Settings

MADE = "<!-- Made from the code by `python launch.py docs`: change it there. -->"

ORDER = """\
A setting is looked up in this order: the command line (`--data`, `--port`, `--listen`, `--no-browser`), the environment, the file
`.env` beside `launch.py` (copy `.env.template` to begin), what was changed on the Setup tab or with `settings set` (kept in
`settings.json` in the data folder), the default below. Secrets are only read from the environment or `.env`."""


def write_all(home: Path, parser: argparse.ArgumentParser) -> list[Path]:
    """Rewrite every page that is made from the code; gives their paths. Raises OSError."""
    written = []
    for name, text in pages(home, parser).items():
        write_atomically(home / name, text.encode())
        written.append(home / name)
    return written


def pages(home: Path, parser: argparse.ArgumentParser) -> dict[str, str]:
    """Every page by its path inside the project."""
    return {
        ".env.template": env_template(),
        "docs/settings.md": settings_page(),
        "docs/errors.md": errors_page(),
        "docs/cli.md": cli_page(parser, launch_verbs(home)),
    }


def env_template() -> str:
    """Every setting, commented out at its default, under its line of help."""
    lines = [
        "# Copy this file to .env and take the # away from what you want to change.",
        "# The environment goes before .env, .env before what was changed in the app. Made from the code: python launch.py docs",
    ]
    for name, field in Settings.model_fields.items():
        first, *others = env_names(name, field)
        also = f" (Also read: {', '.join(others)}.)" if others else ""
        lines += ["", f"# {field.description}{also}", f"#{first}={_default(field)}"]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """docs/settings.md: where settings come from, and every one of them."""
    lines = [
        "# Settings",
        "",
        MADE,
        "",
        ORDER,
        "",
        "| Variable | Default | What it does |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        variables = "<br>".join(f"`{variable}`" for variable in env_names(name, field))
        default = _default(field)
        lines.append(f"| {variables} | {f'`{default}`' if default else 'empty'} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """docs/errors.md: every code with its HTTP status, when it is raised and what to do, in the groups of studio/errors.py."""
    lines = [
        "# Errors",
        "",
        MADE,
        "",
        "An error has the same code, message and remedy in the page, the API, the command line and the logs. The API answers it as",
        "",
        "```json",
        '{"ok": false, "error": {"code": "…", "message": "…", "remedy": "…", "field": null, "correlation_id": "…"}}',
        "```",
        "",
        "with the HTTP status below. Codes are stable; messages name the case at hand and may change.",
        "",
        "```",
        *_drawn_tree(),
        "```",
    ]
    for error in sorted(all_errors(), key=lambda each: each is not errors.UnknownError and inspect.getsourcelines(each)[1]):
        about = inspect.cleandoc(error.__doc__ or "")
        lines += ["", f"## {error.code}", "", f"HTTP {error.status}. {about}", "", f"*{error.default_message}* {error.default_remedy}"]
    return "\n".join(lines) + "\n"


def cli_page(parser: argparse.ArgumentParser, own_verbs: dict[str, str] | None = None) -> str:
    """docs/cli.md: every verb and option of the parser, after the verbs that launch.py handles by itself."""
    lines = ["# Command line", "", MADE, "", parser.description or "", ""]
    if own_verbs:
        lines += ["## Around the studio", "", "| Command | What it does |", "|---|---|"]
        lines += [f"| `{parser.prog} {verb}` | {_cell(about)} |" for verb, about in own_verbs.items()]
        lines.append("")
    lines += ["## Everywhere", "", *_options(parser), ""]
    for words, verb, about in _verbs(parser, ()):
        lines += [f"{'#' * (len(words) + 1)} {' '.join(words)}", "", _sentence(about), ""]
        if not any(isinstance(action, argparse._SubParsersAction) for action in verb._actions):
            lines += ["```", f"{parser.prog} {' '.join(words)}{_usage(verb)}", "```", ""]
            options = _options(verb, without=("--data", "--json"))
            lines += [*options, ""] if options else []
    if parser.epilog:
        lines += ["## Good to know", "", parser.epilog, ""]
    return "\n".join(lines).rstrip() + "\n"


def launch_verbs(home: Path) -> dict[str, str]:
    """The verbs that launch.py handles by itself, each with its line of help."""
    spec = importlib.util.spec_from_file_location("launch", home / "launch.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(home / "launch.py")
    launch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch)
    return dict(launch.OWN_VERBS)


def env_names(name: str, _field: FieldInfo | None = None) -> list[str]:
    """The environment variables that set a field, the first one being its own."""
    return list(settings.env_names(name))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path) and value.is_relative_to(HOME):
        return value.relative_to(HOME).as_posix()
    return str(value)


def _drawn_tree() -> list[str]:
    # The tree is drawn once, in the module's docstring.
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    return inspect.cleandoc(drawing).splitlines()


def _verbs(parser: argparse.ArgumentParser, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, verb in action.choices.items():
                yield (*before, name), verb, about.get(name, "")
                yield from _verbs(verb, (*before, name))


def _usage(verb: argparse.ArgumentParser) -> str:
    # Written by hand: argparse draws usage differently from one Python to the next.
    words = []
    for action in verb._actions:
        if isinstance(action, argparse._HelpAction) or {"--data", "--json"} & set(action.option_strings):
            continue
        value = _value_of(action)
        many = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)
        word = " ".join([*action.option_strings[-1:], *([value] if value else [])]) + (" …" if many else "")
        words.append(word if action.required and action.nargs not in ("?", "*") else f"[{word}]")
    return "".join(f" {word}" for word in words)


def _options(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> list[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or set(without) & set(action.option_strings):
            continue
        value = _value_of(action)
        name = " ".join([", ".join(action.option_strings), *([value] if value else [])]).strip()
        about = action.help or (f"one of {', '.join(map(str, action.choices))}" if action.choices else "")
        rows.append(f"| `{name}` | {_cell(about)} |")
    return ["| Option | What it does |", "|---|---|", *rows] if rows else []


def _value_of(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")
