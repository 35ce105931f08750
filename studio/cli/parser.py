"""The grammar of the command line. docs/cli.md and the tests are made from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from studio import VERSION
from studio.contracts import MAX_COUNT, CaptionStyle, CharacterKind, CharacterStatus, EnlargeWay, JobState, PictureKind, Quality, Tone


class Usage(Exception):
    """The command line can't be read. `text` is what to show, `message` the fault alone."""

    def __init__(self, message: str, text: str) -> None:
        self.message = message
        self.text = text
        super().__init__(message)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises Usage instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise Usage(message, f"{self.format_usage()}{self.prog}: {message}")


def build_parser(version: str = VERSION) -> argparse.ArgumentParser:
    """The whole grammar: every verb, every option, with its help."""
    parser = Parser(
        prog="python launch.py",
        description="Likeness, a studio for consistent AI characters. Without a verb it runs the studio.",
        epilog="`python launch.py` also knows setup, test, check, fix and bench. Exit status: 0 success, 1 error, 2 wrong command line, "
        "130 stopped by Ctrl-C.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Likeness {version}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data folder; goes before or after any verb")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON value; logs go to stderr")
    verbs = _group(parser, "verb")
    _studio_verbs(verbs)
    _generate(verbs)
    _jobs(verbs)
    _images(verbs)
    _characters(verbs)
    _variants(verbs)
    _datasets(verbs)
    _captions(verbs)
    _choices(verbs)
    _training(verbs)
    _engines(verbs)
    _access(verbs)
    return parser


def with_verb(argv: Sequence[str]) -> list[str]:
    """The command line with `run` put in where no verb stands: `python launch.py --port 8000` runs the studio."""
    first = 0
    while first < len(argv) and argv[first].startswith(("--data", "--json")):
        first += 2 if argv[first] == "--data" else 1
    word = argv[first] if first < len(argv) else ""
    has_verb = word in ("-h", "--help", "--version") or (word and not word.startswith("-"))
    return list(argv) if has_verb else ["run", *argv]


_Verbs = argparse._SubParsersAction  # type: ignore[type-arg]  # argparse has no public name for what add_subparsers gives


def _group(parser: argparse.ArgumentParser, name: str) -> _Verbs:
    return parser.add_subparsers(dest=name, metavar=name.upper(), required=True, title=f"{name}s")


def _verb(verbs: _Verbs, name: str, about: str, act: str = "") -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
    # SUPPRESS: where the option is not given here, what stood before the verb stays.
    parser.add_argument("--data", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="the data folder")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print exactly one JSON value")
    if act:
        parser.set_defaults(act=act)
    return parser


def _studio_verbs(verbs: _Verbs) -> None:
    run = _verb(verbs, "run", "run the studio: the page and the worker (this is what happens without a verb)")
    web = _verb(verbs, "web", "run the page alone; `run` starts it")
    for parser in (run, web):
        parser.add_argument("--port", type=int, help="the port of the page; the next free one is taken if it is in use")
        parser.add_argument("--listen", metavar="ADDRESS", help="the address to listen on; anything but loopback makes everyone sign in")
    run.add_argument("--no-browser", action="store_true", help="don't open the browser")
    _verb(verbs, "worker", "run the worker alone; `run` starts it")
    _verb(verbs, "migrate", "create or upgrade the database")
    _verb(verbs, "diagnose", "check everything that a studio needs, and say what to do about what is missing")
    smoke = _verb(verbs, "smoke", "walk through a running studio from outside and say what fails")
    smoke.add_argument("--url", metavar="URL", help="the studio's address; by default the one that runs on the data folder")
    smoke.add_argument("--token", default="", metavar="TOKEN", help="an API token, for a studio on another computer")
    _verb(verbs, "docs", "rewrite the pages of docs/ that are made from the code")


def _generate(verbs: _Verbs) -> None:
    about = "make pictures; here and now when no studio runs on the data folder, in that studio when one does"
    parser = _verb(verbs, "generate", about, "generate")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", default="", help="what the picture shows; may be left out with a character")
    parser.add_argument("--character", metavar="ID", help="whom it shows: an id or a slug")
    parser.add_argument("--as-written", action="store_true", help="take the prompts as they stand, with nothing added")
    parser.add_argument("--image", metavar="ID|FILE", help="start from this picture: an id of the library, or a file")
    parser.add_argument(
        "--mask", metavar="ID|FILE", help="draw only the white of this mask anew; without a size, the picture keeps its own"
    )
    parser.add_argument("--denoise", metavar="X", type=float, help="how much of the picture is drawn anew, above 0 to 1")
    parser.add_argument("--real-person", choices=["yes", "no"], help="whether an uploaded picture shows a real person")
    _consent(parser, "who agreed, where an uploaded picture shows a real person who is no character")
    parser.add_argument(
        "--reference", metavar="ID", action="append", default=[], help="a reference to start from; may be given several times"
    )
    parser.add_argument("--variations", metavar="N", type=int, default=1, help="how many jobs of each, 1 to 5")
    parser.add_argument("--grid-x", metavar="FIELD=A,B,…", help="vary a field along a row, such as steps=8,16,24")
    parser.add_argument("--grid-y", metavar="FIELD=A,B,…", help="vary another one down the columns")
    parser.add_argument("--no-wildcards", action="store_true", help="leave {a|b} and __name__ in the prompt as they are")
    parser.add_argument("--negative", metavar="TEXT", default="", help="what it should not show")
    parser.add_argument("--prompt-suffix", metavar="TEXT", default="", help="words to put after the prompt and the preset's")
    parser.add_argument("--negative-suffix", metavar="TEXT", default="", help="words to put after the negative prompt")
    parser.add_argument("--preset", metavar="ID", help="a preset; `presets list` shows them")
    parser.add_argument("--variant", metavar="NAME", help="a face variant of the character, drawn over each picture's face")
    parser.add_argument("--style", metavar="ID", help="a style beside the preset; `presets list --category style` shows them")
    parser.add_argument("--quality", choices=[quality.value for quality in Quality], default=Quality.standard.value)
    parser.add_argument("--engine", metavar="NAME", help="the engine; by default the model's")
    parser.add_argument("--model", metavar="ID", help="a model, or the path of one; `models list` shows them")
    parser.add_argument("--lora", metavar="PATH:STRENGTH", action="append", default=[], help="a LoRA; may be given several times")
    parser.add_argument("--workflow", metavar="ID", help="the ComfyUI workflow that makes it; `workflows list` shows them")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a value of the workflow's own, a picture as its id or a file; may be given several times",
    )
    parser.add_argument("--count", metavar="N", type=int, default=1, help=f"how many pictures, 1 to {MAX_COUNT}")
    parser.add_argument("--seed", metavar="S", type=int, default=-1, help="the first picture's seed; -1 takes a random one")
    parser.add_argument("--steps", metavar="N", type=int, help="how many steps the engine takes")
    parser.add_argument("--cfg", metavar="X", type=float, help="how closely the prompt is followed (CFG scale)")
    parser.add_argument("--sampler", metavar="NAME", help="the sampler")
    parser.add_argument("--scheduler", metavar="NAME", help="the scheduler")
    parser.add_argument("--grain", metavar="X", type=float, help="film grain, 0 to 1")
    parser.add_argument("--tone", choices=[tone.value for tone in Tone], help="tone mapping")
    parser.add_argument("--tone-strength", metavar="X", type=float, help="how strong the tone mapping is, 0 to 1")
    parser.add_argument("--width", metavar="W", type=int, help="in pixels")
    parser.add_argument("--height", metavar="H", type=int, help="in pixels")
    parser.add_argument("--out", metavar="DIR", type=Path, help="put copies of the pictures here")
    parser.add_argument("--no-wait", action="store_true", help="give the job's id and leave; a running studio does the work")


def _jobs(verbs: _Verbs) -> None:
    jobs = _group(_verb(verbs, "jobs", "see and steer the queue"), "action")
    listing = _verb(jobs, "list", "list jobs, newest first", "jobs.list")
    states = [state.value for state in JobState]
    listing.add_argument("--state", action="append", default=[], choices=states, help="only such jobs; may be given several times")
    listing.add_argument("--batch", metavar="ID", help="only jobs of this batch")
    listing.add_argument("--character", metavar="ID", help="only jobs of this character")
    _paging(listing, 50)
    _verb(jobs, "show", "show one job", "jobs.show").add_argument("id", metavar="ID")
    cancel = _verb(jobs, "cancel", "cancel one job, a batch, or all", "jobs.cancel")
    which = cancel.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?")
    which.add_argument("--batch", metavar="ID", help="every job of this batch")
    which.add_argument("--all", action="store_true", help="every queued and running job")
    _verb(jobs, "retry", "start an ended job again with the same recipe", "jobs.retry").add_argument("id", metavar="ID")
    move = _verb(jobs, "move", "move a queued job to the front or the end", "jobs.move")
    move.add_argument("id", metavar="ID")
    move.add_argument("to", choices=["first", "last"])
    waiting = _verb(jobs, "waiting", "say whether a picture waits for a training, how long, and what else could make it", "jobs.waiting")
    waiting.add_argument("id", metavar="ID")
    elsewhere = _verb(jobs, "elsewhere", "have a queued picture made by ComfyUI instead", "jobs.elsewhere")
    elsewhere.add_argument("id", metavar="ID")
    elsewhere.add_argument("model", metavar="MODEL", nargs="?", help="one that `jobs waiting` names; by default the first")
    logs = _verb(jobs, "logs", "show what was logged while a job ran", "jobs.logs")
    logs.add_argument("id", metavar="ID")
    logs.add_argument("--level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default="DEBUG", help="the least important lines to show")
    logs.add_argument("--last", metavar="N", type=int, help="only the newest so many lines")


def _images(verbs: _Verbs) -> None:
    images = _group(_verb(verbs, "images", "see and sort the pictures"), "action")
    listing = _verb(images, "list", "list pictures, newest first", "images.list")
    kinds = [*(kind.value for kind in PictureKind), "all"]
    listing.add_argument("--kind", choices=kinds, default="generated", help="made here, taken in (and as what), or everything")
    listing.add_argument("--trashed", action="store_true", help="what is in the trash instead")
    listing.add_argument("--job", metavar="ID", help="only pictures of this job")
    listing.add_argument("--preset", metavar="ID", help="only pictures made with this preset")
    listing.add_argument("--style", metavar="ID", help="only pictures of this style")
    listing.add_argument("--model", metavar="ID", help="only pictures made with this model")
    listing.add_argument("--character", metavar="ID", help="only pictures of this character: its id or slug")
    listing.add_argument("--category", metavar="NAME", help="only pictures of this category")
    listing.add_argument("--favourites", action="store_true", help="only favourites")
    listing.add_argument("--since", metavar="DATE", help="not older than this date or ISO time (UTC unless it says so)")
    listing.add_argument("--until", metavar="DATE", help="up to the end of this date, or before this ISO time")
    listing.add_argument("--search", metavar="WORDS", default="", help="words in the prompt, the caption or the character's name")
    _paging(listing, 100)
    _verb(images, "show", "show one picture with all its parameters", "images.show").add_argument("id", metavar="ID")
    _verb(images, "trash", "move pictures to the trash", "images.trash").add_argument("ids", metavar="ID", nargs="+")
    _verb(images, "restore", "take pictures out of the trash", "images.restore").add_argument("ids", metavar="ID", nargs="+")
    _verb(images, "empty-trash", "delete what is in the trash for good", "images.empty-trash")
    _verb(images, "favourite", "make pictures favourites", "images.favourite").add_argument("ids", metavar="ID", nargs="+")
    _verb(images, "unfavourite", "make pictures favourites no more", "images.unfavourite").add_argument("ids", metavar="ID", nargs="+")
    caption = _verb(images, "caption", "describe a picture in words of your own", "images.caption")
    caption.add_argument("id", metavar="ID")
    caption.add_argument("text", metavar="TEXT", help="the caption; empty words take it away")
    parcel = _verb(images, "zip", "pack pictures and a manifest into one ZIP", "images.zip")
    parcel.add_argument("--out", metavar="FILE", type=Path, required=True, help="where to write it; a file that is there is replaced")
    parcel.add_argument("ids", metavar="ID", nargs="+")
    upload = _verb(images, "upload", "take pictures in from outside", "images.upload")
    upload.add_argument("files", metavar="FILE", type=Path, nargs="+")
    kinds = [PictureKind.upload.value, PictureKind.reference.value, PictureKind.mask.value]
    upload.add_argument("--kind", choices=kinds, default=kinds[0], help="what they are to be used as (a reference stays in the library)")
    upload.add_argument("--category", metavar="NAME", default="", help="the category to sort them under")
    enlarge = _verb(images, "enlarge", "make pictures larger on ComfyUI; each becomes a new picture", "images.enlarge")
    enlarge.add_argument("ids", metavar="ID", nargs="+")
    enlarge.add_argument("--by", choices=[way.value for way in EnlargeWay], default=EnlargeWay.twice.value, help="how (by default 2x)")
    enlarge.add_argument("--real-person", choices=["yes", "no"], help="whether uploads among them show real people")
    _waiting(enlarge)


def _variants(verbs: _Verbs) -> None:
    variants = _group(_verb(verbs, "variants", "give a character named looks, and draw their faces over pictures"), "action")

    def about(name: str, words: str) -> argparse.ArgumentParser:
        parser = _verb(variants, name, words, f"variants.{name}")
        parser.add_argument("character", metavar="CHARACTER", help="an id or a slug")
        if name != "list":
            parser.add_argument("name", metavar="NAME", help="what the variant is called")
        return parser

    about("list", "list the face variants of a character")
    setting = about("set", "make a face variant, or change the one of that name")
    setting.add_argument("--lora", metavar="NAME", required=True, help="the LoRA that draws its face, as `loras list` shows it")
    setting.add_argument("--strength", metavar="X", type=float, default=1.0, help="how strongly it acts (1: as trained)")
    setting.add_argument("--portrait", metavar="ID", help="one of the character's pictures that stands for it")
    setting.add_argument("--handle", metavar="CHANNEL=NAME", action="append", default=[], help="a social handle; several times for more")
    about("remove", "take a face variant away; its LoRA and its pictures stay")
    use = about("use", "draw its face over pictures of the character: a new picture of each")
    use.add_argument("pictures", metavar="PICTURE", nargs="+", help="ids of pictures that were made of the character")
    use.add_argument("--denoise", metavar="X", type=float, help="how much of the face is drawn anew, from 0 to 1 (by default 0.6)")
    use.add_argument("--wait", action="store_true", help="wait until the pictures are made")


def _characters(verbs: _Verbs) -> None:
    characters = _group(_verb(verbs, "characters", "invent characters, give them photos, take them along"), "action")
    listing = _verb(characters, "list", "list characters by name", "characters.list")
    statuses = [status.value for status in CharacterStatus]
    listing.add_argument("--status", choices=statuses, default=CharacterStatus.active.value, help="where they are kept")
    _verb(characters, "show", "show one character", "characters.show").add_argument("id", metavar="ID", help="an id or a slug")
    create = _verb(characters, "create", "make a character", "characters.create")
    create.add_argument("name", metavar="NAME", help="the character's name")
    create.add_argument("--template", metavar="ID", help="start from a ready-made one, such as nova")
    edit = _verb(characters, "edit", "change a character; what is left out stays", "characters.edit")
    edit.add_argument("id", metavar="ID", help="an id or a slug")
    edit.add_argument("--name", metavar="NAME", help="another name")
    edit.add_argument("--status", choices=statuses, help="archive it, or bring it back")
    edit.add_argument("--portrait", metavar="ID", help="a picture that stands for the character")
    for parser in (create, edit):
        _character_fields(parser)
    for name, about in (
        ("delete", "move a character to the trash; its pictures stay"),
        ("duplicate", "make another one with the same words and looks"),
    ):
        _verb(characters, name, about, f"characters.{name}").add_argument("id", metavar="ID", help="an id or a slug")
    photos = _verb(characters, "add-photos", "add photos of a character: PNG, JPEG, WebP or HEIC", "characters.add-photos")
    photos.add_argument("id", metavar="ID", help="an id or a slug")
    photos.add_argument("files", metavar="FILE", type=Path, nargs="+")
    export = _verb(characters, "export", "write a character with its photos into one file", "characters.export")
    export.add_argument("id", metavar="ID", help="an id or a slug")
    export.add_argument("--out", metavar="PATH", type=Path, help="a folder or a file name; by default here")
    _verb(characters, "import", "take in an exported character", "characters.import").add_argument("file", metavar="FILE", type=Path)
    _sheets(_group(_verb(characters, "sheet", "make views of one portrait, and keep the good ones as photos"), "step"))


def _sheets(steps: _Verbs) -> None:
    offer = _verb(steps, "offer", "say what a sheet can be made with, and what is missing", "characters.sheet.offer")
    make = _verb(steps, "make", "make a sheet: one picture for each view", "characters.sheet.make")
    listing = _verb(steps, "list", "list a character's sheets, newest first", "characters.sheet.list")
    for parser in (offer, make, listing):
        parser.add_argument("id", metavar="ID", help="the character: an id or a slug")
    make.add_argument("--portrait", metavar="PICTURE", help="a photo or picture of the character; by default its portrait")
    make.add_argument("--workflow", metavar="ID", help="what makes it; by default the first that runs")
    make.add_argument("--view", metavar="NAME", action="append", default=[], help="a view; may be given several times; by default all")
    make.add_argument("--seed", metavar="N", type=int, help="the same seed makes the same views")
    _waiting(make)
    for name, about in (
        ("show", "show each view of a sheet and what was decided of it"),
        ("keep", "keep views; without names all that are undecided"),
        ("throw", "throw views to the trash; without names all that are undecided"),
        ("add", "make photos of the character of what was kept"),
    ):
        parser = _verb(steps, name, about, f"characters.sheet.{name}")
        parser.add_argument("sheet", metavar="SHEET", help="its id")
        if name in ("keep", "throw"):
            parser.add_argument("views", metavar="VIEW", nargs="*", help="the name of a view")


def _datasets(verbs: _Verbs) -> None:
    sets = _group(_verb(verbs, "datasets", "choose what a character is learned from: pictures, captions, tags"), "action")
    which = "a dataset, or a character's slug for its newest one"

    def about(name: str, words: str) -> argparse.ArgumentParser:
        parser = _verb(sets, name, words, f"datasets.{name}")
        parser.add_argument("id", metavar="ID", help=which)
        return parser

    listing = _verb(sets, "list", "list datasets, newest first", "datasets.list")
    listing.add_argument("--character", metavar="ID", help="only datasets of this character: its id or slug")
    create = _verb(sets, "create", "make a dataset", "datasets.create")
    create.add_argument("character", metavar="CHARACTER", help="whose it is: an id or a slug")
    create.add_argument("--name", metavar="NAME", help="how it is called")
    create.add_argument("--photos", action="store_true", help="begin with the character's photos")
    create.add_argument("--picture", metavar="ID", action="append", default=[], help="a picture of the library; may be given several times")
    everywhere = _verb(sets, "pictures", "list the pictures of all datasets", "datasets.pictures")
    everywhere.add_argument("--character", metavar="ID", help="only pictures of this character: its id or slug")
    for parser in (about("show", "show a dataset and its pictures"), everywhere):
        parser.add_argument("--tag", metavar="TAG", help="only pictures with this tag")
        parser.add_argument("--flag", metavar="CODE", help="only pictures of which the check found this")
        parser.add_argument("--caption", choices=["missing", "present"], help="only pictures without a caption, or with one")
        parser.add_argument("--search", metavar="WORDS", default="", help="words in the caption, the name or a tag")
        _paging(parser, 100)
    add = about("add", "add pictures: PNG, JPEG, WebP or HEIC, and .txt files with captions beside them")
    add.add_argument("files", metavar="FILE", type=Path, nargs="*")
    add.add_argument("--picture", metavar="ID", action="append", default=[], help="a picture of the library; may be given several times")
    remove = about("remove", "take pictures out of a dataset")
    remove.add_argument("pictures", metavar="PICTURE", nargs="+", help="ids, as `datasets show` gives them")
    caption = about("caption", "change captions: of all pictures, or of some")
    acts = caption.add_mutually_exclusive_group(required=True)
    acts.add_argument("--write", metavar="TEXT", help="this caption for each")
    acts.add_argument("--find", metavar="TEXT", help="look for this; goes with --replace")
    acts.add_argument("--prefix", metavar="TEXT", help="put this before each")
    acts.add_argument("--suffix", metavar="TEXT", help="put this behind each")
    acts.add_argument("--trigger", action="store_true", help="put the character's trigger word first")
    caption.add_argument("--replace", metavar="TEXT", default="", help="what stands where --find was found; left out: nothing")
    caption.add_argument("--pattern", action="store_true", help="--find is a regular expression")
    caption.add_argument("--case", action="store_true", help="tell capitals from small letters")
    caption.add_argument("--words", action="store_true", help="find whole words only")
    caption.add_argument("--picture", metavar="ID", action="append", default=[], help="only this picture; may be given several times")
    caption.add_argument("--preview", action="store_true", help="only show what would change")
    tag = about("tag", "give pictures tags, or take them away")
    move = about("move", "move pictures into another dataset")
    for parser in (tag, move):
        parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="ids, as `datasets show` gives them")
    tag.add_argument("--add", metavar="TAG", action="append", default=[], help="may be given several times")
    tag.add_argument("--remove", metavar="TAG", action="append", default=[], help="may be given several times")
    move.add_argument("--to", metavar="DATASET", required=True, help="the other dataset's id")
    crop = about("crop", "turn and crop a picture")
    crop.add_argument("picture", metavar="PICTURE", help="its id")
    crop.add_argument("--turns", metavar="N", type=int, default=0, help="quarter turns clockwise, before the crop")
    for name, side in (("left", "the left edge"), ("top", "the upper edge")):
        crop.add_argument(f"--{name}", metavar="PIXELS", type=int, default=0, help=f"how much is cut off at {side}")
    for name in ("width", "height"):
        crop.add_argument(f"--{name}", metavar="PIXELS", type=int, help=f"the {name} that is kept; by default all that is left")
    check = about("check", "say what is good and what is missing before it is trained; fails where something blocks")
    fix = about("fix", "do what the check proposes")
    fix.add_argument("code", metavar="CODE", help="what to fix, as `datasets check` names it")
    for parser in (check, fix):
        parser.add_argument("--resolution", metavar="PIXELS", type=int, help="the side that will be trained at; by default what suits them")
    about("changes", "list what can be taken back, the newest first")
    undo = about("undo", "take the last change back, also that it was deleted")
    undo.add_argument("--to", metavar="CHANGE", help="take back this change, as `datasets changes` names it, and all newer ones")
    export = about("export", "write a dataset as a ZIP: pictures with a caption file beside each")
    export.add_argument("--out", metavar="PATH", type=Path, help="a folder or a file name; by default here")
    export.add_argument("--repeats", metavar="N", type=int, default=0, help="in a folder as kohya names them, such as 10_nova woman")
    taking = about("import", "take in a folder or a ZIP of pictures with captions, as kohya and AI-Toolkit keep them")
    taking.add_argument("path", metavar="PATH", type=Path, help="the folder or ZIP")
    about("rename", "give a dataset another name").add_argument("name", metavar="NAME")
    about("delete", "delete a dataset; `datasets undo` brings it back")


def _waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, help="put copies of the pictures here")
    parser.add_argument("--no-wait", action="store_true", help="give the job's id and leave; a running studio does the work")


def _character_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slug", metavar="SLUG", help="its name in addresses and files")
    parser.add_argument("--kind", choices=[kind.value for kind in CharacterKind], help="invented, yourself, or somebody who agreed")
    parser.add_argument("--trigger-word", metavar="WORD", help="the made-up word that stands for it in prompts")
    parser.add_argument("--age", metavar="YEARS", type=int, help="18 or more")
    for name in ("gender", "skin", "hair", "eyes", "build", "marks"):
        parser.add_argument(f"--{name}", metavar="WORDS", help="how it looks")
    for name in ("personality", "voice", "wardrobe", "backstory"):
        parser.add_argument(f"--{name}", metavar="TEXT", help="who it is")
    parser.add_argument("--negative-prompt", metavar="TEXT", help="what its pictures should not show")
    for name in ("preset", "engine", "model", "lora"):
        parser.add_argument(f"--{name}", metavar="ID", help=f"its own {'LoRA' if name == 'lora' else name}")
    parser.add_argument("--lora-strength", metavar="X", type=float, help="how strongly its LoRA acts")
    parser.add_argument("--handle", metavar="CHANNEL=NAME", action="append", help="a social handle; several times for more")
    _consent(parser, "who agreed, for a real person")
    parser.add_argument("--evidence", metavar="FILE", type=Path, help="the proof of that: kept on this computer's disk, shown to nobody")


def _consent(parser: argparse.ArgumentParser, who: str) -> None:
    parser.add_argument("--consent-by", metavar="WHO", help=who)
    parser.add_argument("--consent-for", metavar="WHAT", help="to what they agreed")
    parser.add_argument("--consent-until", metavar="DATE", help="until when, as 2027-12-31; left out: until it is taken back")


def _captions(verbs: _Verbs) -> None:
    captions = _group(_verb(verbs, "captions", "have captions written by a vision model"), "action")
    offer = _verb(captions, "offer", "say what could be written, by which model, and where pictures would go", "captions.offer")
    write = _verb(captions, "write", "have captions written: of a dataset, or of references", "captions.write")
    for parser in (offer, write):
        parser.add_argument("id", metavar="ID", nargs="?", help="a dataset, or a character's slug for its newest one")
        parser.add_argument("--references", action="store_true", help="of the reference library instead")
        parser.add_argument("--category", metavar="NAME", default="", help="only references of this category")
        parser.add_argument("--picture", metavar="ID", action="append", default=[], help="only this picture; may be given several times")
        styles = [style.value for style in CaptionStyle]
        parser.add_argument("--style", choices=styles, default=CaptionStyle.natural.value, help="sentences (by default), or tags")
        parser.add_argument("--all", action="store_true", help="write those anew that have a caption, too")
        parser.add_argument("--captioner", metavar="NAME", help="a model in the folder `captioners`; by default the one at the address")
        parser.add_argument("--real-person", choices=["yes", "no"], help="whether references show real people, where they are sent away")
        parser.add_argument("--allow-remote-for-real", action="store_true", help="the real people shown agreed that they are sent there")
    write.add_argument("--wait", action="store_true", help="wait until it has ended; Ctrl-C cancels it")
    listing = _verb(captions, "list", "list caption jobs, newest first", "captions.list")
    listing.add_argument("--limit", metavar="N", type=int, default=50, help="the most to show (by default 50)")
    _verb(captions, "show", "show how one went, and what failed", "captions.show").add_argument("id", metavar="ID")
    retry = _verb(captions, "retry", "ask again for the pictures that failed or were not asked for", "captions.retry")
    retry.add_argument("id", metavar="ID")
    retry.add_argument("--wait", action="store_true", help="wait until it has ended; Ctrl-C cancels it")
    undo = _verb(captions, "undo", "put the captions back that were there before, where nobody changed them since", "captions.undo")
    undo.add_argument("id", metavar="ID")
    _verb(captions, "try", "try the vision model of the settings with a small drawing", "captions.try")


def _choices(verbs: _Verbs) -> None:
    presets = _group(_verb(verbs, "presets", "see the presets"), "action")
    listing = _verb(presets, "list", "list presets", "presets.list")
    listing.add_argument("--category", metavar="NAME", help="only this category")
    listing.add_argument("--engine", metavar="NAME", help="only those that this engine can run")
    listing.add_argument("--model", metavar="ID", help="say of each whether it runs with this model, and why not")
    showing = _verb(presets, "show", "show one preset", "presets.show")
    showing.add_argument("id", metavar="ID")
    showing.add_argument("--model", metavar="ID", help="say whether it runs with this model, and why not")
    models = _group(_verb(verbs, "models", "see the models"), "action")
    _verb(models, "list", "list models; the first is the default", "models.list")
    samplers = _verb(models, "samplers", "list the samplers and schedulers that can be chosen with a model", "models.samplers")
    samplers.add_argument("model", metavar="ID", nargs="?", help="by default the first one")
    samplers.add_argument("--workflow", metavar="ID", help="with this ComfyUI workflow, whatever the model")
    loras = _group(_verb(verbs, "loras", "see the LoRAs, and the versions of characters' own"), "action")
    _verb(loras, "list", "list LoRAs", "loras.list")
    versions = _verb(loras, "versions", "list the LoRAs that became a character's", "loras.versions")
    versions.add_argument("character", metavar="CHARACTER", nargs="?", help="only of this one: an id or a slug")
    _verb(loras, "use", "go back to an older version", "loras.use").add_argument(
        "path", metavar="NAME", help="as `loras versions` shows it"
    )
    deleting = _verb(loras, "delete", "move a LoRA to the trash; none that a character is drawn with", "loras.delete")
    deleting.add_argument("path", metavar="NAME", help="as `loras list` shows it")
    deleting.add_argument("--confirm", metavar="NAME", help="its name once more, for a version of a character's LoRA")
    _verb(loras, "restore", "take a LoRA out of the trash", "loras.restore").add_argument("path", metavar="NAME")
    compare = _verb(
        loras, "compare", "put two versions or checkpoints side by side: settings, and pictures at the same seeds", "loras.compare"
    )
    compare.add_argument("one", metavar="NAME", help="as `loras versions` shows it, or a checkpoint as TRAINING@STEP")
    compare.add_argument("other", metavar="NAME")
    compare.add_argument("--prompt", metavar="TEXT", help="make the same picture with both, from these words at one seed")
    compare.add_argument("--seed", metavar="S", type=int, default=-1, help="the seed of both; a random one by default")
    compare.add_argument("--wait", action="store_true", help="wait until both pictures are made")
    workflows = _group(_verb(verbs, "workflows", "see the workflows of ComfyUI, take in your own"), "action")
    _verb(workflows, "list", "list workflows, those that run on your servers first", "workflows.list")
    _verb(workflows, "show", "show one workflow and what can be set in it", "workflows.show").add_argument("id", metavar="ID")
    inspect = _verb(workflows, "inspect", "list the inputs of a ComfyUI graph that could be set", "workflows.inspect")
    inspect.add_argument("file", metavar="FILE", type=Path, help="JSON of Export (API), or a picture that ComfyUI saved")
    taking = _verb(workflows, "import", "take in a ComfyUI graph, or a workflow that was exported here", "workflows.import")
    taking.add_argument("file", metavar="FILE", type=Path, help="JSON of Export (API), or a picture that ComfyUI saved")
    taking.add_argument("--name", metavar="NAME", help="what it is to be called; by default as the file")
    taking.add_argument(
        "--expose",
        metavar="NODE.INPUT=LABEL",
        action="append",
        default=[],
        help="an input that can be set; may be given several times; by default those that most people set",
    )
    export = _verb(workflows, "export", "write a workflow into one file", "workflows.export")
    export.add_argument("id", metavar="ID")
    export.add_argument("--out", metavar="PATH", type=Path, help="a folder or a file name; by default here")
    export.add_argument(
        "--format",
        choices=["likeness", "api"],
        default="likeness",
        help="likeness: all that `import` takes back; api: the graph alone with its defaults, which ComfyUI's page opens",
    )
    edit = _verb(workflows, "edit", "change the words of a workflow of your own", "workflows.edit")
    edit.add_argument("id", metavar="ID")
    edit.add_argument("--name", metavar="NAME", help="another name")
    edit.add_argument("--about", metavar="TEXT", help="another description")
    edit.add_argument("--label", metavar="PARAMETER=LABEL", action="append", default=[], help="another label; may be given several times")
    _verb(workflows, "delete", "move a workflow of your own to the trash", "workflows.delete").add_argument("id", metavar="ID")
    _verb(workflows, "restore", "bring a deleted workflow back", "workflows.restore").add_argument("id", metavar="ID")
    analytics = _verb(verbs, "analytics", "show the last days in numbers", "analytics")
    analytics.add_argument("--days", metavar="N", type=int, default=30, help="how many days, today being the last (by default 30)")
    _verb(verbs, "health", "say how the studio is", "health")
    _verb(verbs, "system", "say how busy the computer is: processor, memory, graphics cards", "system")
    _verb(verbs, "doctor", "check everything that a studio needs, without packing a bundle", "doctor")
    _verb(verbs, "where", "say where pictures, models, logs and the database lie", "where")


def _training(verbs: _Verbs) -> None:
    train = _verb(verbs, "train", "train a LoRA of a character from its photos or a dataset", "train")
    train.add_argument("character", metavar="CHARACTER", help="an id or a slug")
    train.add_argument("--dataset", metavar="ID", help="what it learns from; by default the newest dataset, or the photos")
    train.add_argument("--preset", metavar="ID", default="balanced", help="quick, balanced (by default) or high")
    train.add_argument("--engine", metavar="NAME", help="the trainer; by default embedded")
    train.add_argument("--model", metavar="ID", help="the model it is for; by default the character's")
    train.add_argument("--name", metavar="NAME", help="what the LoRA is to be called")
    train.add_argument("--steps", metavar="N", type=int, help="how many steps are learned")
    train.add_argument("--rank", metavar="N", type=int, help="how much the LoRA can hold")
    train.add_argument("--alpha", metavar="N", type=int, help="how strongly it acts, over the rank")
    train.add_argument("--batch", metavar="N", type=int, help="how many pictures a step")
    train.add_argument("--resolution", metavar="N", type=int, help="the side of the square whose area pictures are brought to, in pixels")
    train.add_argument("--learning-rate", metavar="X", type=float, help="how far a step goes")
    train.add_argument("--schedule", metavar="NAME", help="how the learning rate goes on after its warm-up: constant, linear or cosine")
    train.add_argument("--warmup", metavar="N", type=int, help="over so many steps the learning rate rises")
    train.add_argument("--targets", metavar="NAME", help="which layers it changes: attention or everything")
    train.add_argument("--caption-dropout", metavar="X", type=float, help="the share of pictures learned without their words, from 0 to 1")
    train.add_argument(
        "--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=None, help="less memory, and a third more time"
    )
    train.add_argument(
        "--prior-weight", metavar="X", type=float, help="prior preservation: how much pictures of just anybody count (0: there are none)"
    )
    train.add_argument("--prior-pictures", metavar="N", type=int, help="how many of those the model draws before the first step")
    train.add_argument("--prior-prompt", metavar="TEXT", help="what they show; by default a portrait of a person, woman or man")
    for name, words in (
        ("low-vram", "AI-Toolkit alone: what the card has no room for waits in the computer's memory"),
        ("quantize", "AI-Toolkit alone: the model's weights in 8 bits while it learns"),
        ("quantize-te", "AI-Toolkit alone: the text encoder's weights in 8 bits"),
    ):
        train.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=words)
    train.add_argument(
        "--optimizer", metavar="NAME", help="AI-Toolkit alone: adamw8bit (by default), adamw, adafactor or prodigy (with a rate of 1)"
    )
    train.add_argument("--save-every", metavar="N", type=int, help="keep a checkpoint after so many steps")
    train.add_argument("--sample-every", metavar="N", type=int, help="draw the samples after so many steps")
    train.add_argument("--seed", metavar="S", type=int, help="same seed, same LoRA; a random one by default")
    train.add_argument(
        "--sample", metavar="PROMPT", action="append", default=[], help="a prompt to draw on the way; several times for more"
    )
    train.add_argument("--wait", action="store_true", help="wait until it has ended; Ctrl-C pauses it")
    runs = _group(_verb(verbs, "training", "follow trainings, stop them, let them go on, take their LoRA"), "action")
    listing = _verb(runs, "list", "list trainings, newest first", "training.list")
    listing.add_argument("--character", metavar="ID", help="only of this one: an id or a slug")
    listing.add_argument("--limit", metavar="N", type=int, default=50, help="the most to show (by default 50)")
    offer = _verb(runs, "offer", "show what training a character takes, by preset, and what stands in the way", "training.offer")
    offer.add_argument("character", metavar="CHARACTER", help="an id or a slug")
    offer.add_argument("--model", metavar="ID", help="the model it is for; by default the character's")
    offer.add_argument("--dataset", metavar="ID", help="what it learns from; by default the newest dataset, or the photos")
    check = _verb(runs, "check", "say what is good and what is missing in what it would learn from", "training.check")
    check.add_argument("character", metavar="CHARACTER", help="an id or a slug")
    check.add_argument("--dataset", metavar="ID", help="what it learns from; by default the newest dataset, or the photos")
    check.add_argument("--resolution", metavar="PIXELS", type=int, help="the side that will be trained at; by default what suits them")
    for name, about in (
        ("show", "show how one goes, and its checkpoints"),
        ("stop", "let one save what it learned and pause"),
        ("save", "save a checkpoint now"),
        ("sample", "draw the samples now"),
    ):
        _verb(runs, name, about, f"training.{name}").add_argument("id", metavar="ID")
    resume = _verb(runs, "resume", "let one go on after its newest checkpoint", "training.resume")
    resume.add_argument("id", metavar="ID")
    resume.add_argument("--wait", action="store_true", help="wait until it has ended; Ctrl-C pauses it")
    judge = _verb(runs, "judge", "judge the checkpoints that were not judged yet, of one that does not run", "training.judge")
    judge.add_argument("id", metavar="ID")
    judge.add_argument("--wait", action="store_true", help="wait until it has ended")
    clean = _verb(runs, "clean", "say which checkpoints nobody uses; with --yes delete them", "training.clean")
    clean.add_argument("id", metavar="ID")
    clean.add_argument("--yes", action="store_true", help="delete them for good")
    pick = _verb(runs, "pick", "make a checkpoint the character's LoRA", "training.pick")
    pick.add_argument("id", metavar="ID")
    pick.add_argument("step", metavar="STEP", type=int, nargs="?", help="after so many steps; by default the proposed one, or the newest")


def _engines(verbs: _Verbs) -> None:
    engines = _group(_verb(verbs, "engines", "see the engines; install, update and remove ComfyUI and AI-Toolkit"), "action")
    _verb(engines, "list", "list engines: their state, and what to do next", "engines.list")
    status = _verb(engines, "status", "how the engines are, or one of them", "engines.status")
    status.add_argument("name", metavar="NAME", nargs="?", help="embedded, comfyui or aitoolkit; all by default")
    for name, about in (
        ("show", "show one engine"),
        ("find", "look for one on this computer"),
        ("refresh", "ask the ComfyUI servers now what they have, instead of within a minute"),
        ("start", "start the ComfyUI of this computer; it starts with the studio from then on"),
        ("stop", "stop the ComfyUI of this computer"),
        ("remove", "move it to the trash folder of the engines; a folder of yours is only forgotten"),
        ("cancel", "stop what is being done; what was downloaded is kept"),
    ):
        _verb(engines, name, about, f"engines.{name}").add_argument("name", metavar="NAME", help="embedded, comfyui or aitoolkit")
    for name, about in (
        ("install", "install it into the data folder; an interrupted installation goes on"),
        ("update", "update it; a commit that doesn't start is taken back"),
    ):
        parser = _verb(engines, name, about, f"engines.{name}")
        parser.add_argument("name", metavar="NAME", help="comfyui or aitoolkit")
        parser.add_argument("commit", metavar="COMMIT", nargs="?", help="its 40 letters and digits; by default the pinned one")
    connect = _verb(engines, "connect", "use a running ComfyUI by its address, or a ComfyUI or AI-Toolkit in a folder", "engines.connect")
    connect.add_argument("name", metavar="NAME", help="comfyui or aitoolkit")
    connect.add_argument("url", metavar="URL", nargs="?", help="such as http://127.0.0.1:8188; several with commas; '' forgets them")
    connect.add_argument(
        "--folder", metavar="DIR", help="a ComfyUI to start, or an AI-Toolkit to train with as it lies there; '' forgets it"
    )
    log = _verb(engines, "log", "show the log of ComfyUI, or of an installation", "engines.log")
    log.add_argument("name", metavar="NAME", help="comfyui or aitoolkit")
    log.add_argument("--install", action="store_true", help="what its installation said")
    log.add_argument("--lines", metavar="N", type=int, default=200, help="how many (by default 200)")
    log.add_argument("--follow", "-f", action="store_true", help="go on with what is written, until Ctrl-C")


def _access(verbs: _Verbs) -> None:
    tokens = _group(_verb(verbs, "token", "API tokens, for programs on other computers"), "action")
    create = _verb(tokens, "create", "make a token and show it once", "token.create")
    create.add_argument("name", metavar="NAME", help="what the token is for")
    create.add_argument("--days", metavar="N", type=float, help="how long it is good for; for ever by default")
    _verb(tokens, "list", "list tokens, without their secrets", "token.list")
    _verb(tokens, "revoke", "make a token useless", "token.revoke").add_argument("id", metavar="ID")
    password = _group(_verb(verbs, "password", "the password of the page"), "action")
    _verb(password, "set", "set it; it is asked for, or read from stdin when that is not a terminal", "password.set")
    settings = _group(_verb(verbs, "settings", "see and change the settings"), "action")
    _verb(settings, "list", "list settings; secrets are shown as set or not set", "settings.list")
    reset = _verb(settings, "reset", "put a setting back to its default", "settings.reset")
    reset.add_argument("name", metavar="NAME")
    change = _verb(settings, "set", "change a setting for good", "settings.set")
    change.add_argument("name", metavar="NAME")
    change.add_argument("value", metavar="VALUE")


def _paging(parser: argparse.ArgumentParser, limit: int) -> None:
    parser.add_argument("--limit", metavar="N", type=int, default=limit, help=f"the most to show (by default {limit})")
    parser.add_argument("--cursor", metavar="CURSOR", help="`next` of the list before")
