"""Captions of drawn portraits, as people write prompts: phrases in any order, some left out, some in other words."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

from starter.pictures import Attributes

STYLES = {
    "avataaars": ("flat avatar style", "flat vector style"),
    "toonHead": ("cartoon style", "toon style"),
    "openPeeps": ("ink comic style", "hand-drawn comic style"),
    "micah": ("clean line style", "line art style"),
}
# What is read off pictures and what the text encoder learns to tell. "none" is what is not there.
NAMED = (
    "style", "hair_color", "skin", "cloth_color", "bg", "hair", "acc", "mouth", "eyes", "scene", "framing", "age",
    "cloth", "beard", "facing", "hat", "extra",
)  # fmt: skip
NOTHING = "none"

_SAID_OTHERWISE = {
    "smiling": ("happy", "cheerful", "with a smile"),
    "laughing": ("very happy", "grinning"),
    "angry": ("furious", "mad"),
    "sad": ("unhappy", "with a sad face"),
    "surprised": ("astonished", "amazed"),
    "serious": ("neutral", "with a straight face"),
    "screaming": ("shouting", "yelling"),
    "concerned": ("worried",),
    "eyes closed": ("closed eyes", "with closed eyes", "calm eyes"),
    "winking": ("with a wink",),
    "happy eyes": ("smiling eyes",),
    "t-shirt": ("shirt", "tee", "top"),
    "v-neck shirt": ("shirt", "t-shirt"),
    "scoop neck top": ("top", "shirt"),
    "collared shirt": ("shirt", "button-up shirt"),
    "collared sweater": ("sweater", "pullover"),
    "turtleneck": ("sweater", "pullover"),
    "blazer": ("suit", "jacket"),
    "blazer over a sweater": ("suit", "blazer"),
    "open jacket": ("jacket", "coat"),
    "tank top": ("top", "dress"),
    "an undercut": ("short hair",),
    "a full beard": ("a beard",),
    "a short beard": ("a beard",),
    "a long beard": ("a big beard", "a beard"),
    "a twirled moustache": ("a moustache",),
    "a thick moustache": ("a moustache",),
    "a goatee and moustache": ("a goatee",),
    "retro sunglasses": ("sunglasses", "dark glasses"),
    "sunglasses": ("dark glasses", "shades"),
    "glasses": ("square glasses", "eyeglasses"),
    "in a city at night": ("in the city at night", "city at night", "a city at night in the background"),
    "in a city": ("in the city", "on a street", "city background"),
    "in a park": ("park", "in the park", "park background", "between trees in a park"),
    "on a beach": ("beach", "on the beach", "at the sea", "beach background"),
    "in a forest": ("forest", "in the forest", "in the woods", "forest background"),
    "in the mountains": ("mountains", "mountain background", "before mountains"),
    "in the desert": ("desert", "desert background"),
    "in a field of flowers": ("flower meadow", "in a meadow", "among flowers"),
    "in the snow": ("snow", "in winter", "snowy background"),
    "under a starry sky": ("starry sky", "under the stars", "at night"),
    "at sunset": ("sunset", "by the sea at sunset", "sunset background"),
    "in a living room": ("in a room", "at home", "living room"),
    "in a library": ("library", "before bookshelves", "library background"),
    "in a café": ("in a cafe", "cafe", "in a coffee shop"),
    "close-up": ("a close-up", "close-up of the face", "face close-up"),
    "from afar": ("seen from afar", "small in the picture", "wide shot"),
    "full body": ("whole body", "full-body", "standing", "full figure"),
    "portrait": ("head and shoulders", "bust"),
    "young": ("young adult",),
    "elderly": ("old", "senior", "aged"),
    "head tilted": ("tilted head", "leaning"),
    "facing left": ("looking left",),
    "facing right": ("looking right",),
}  # fmt: skip
# Eyebrows belong to a mood; people ask for them by name as well.
_BROWS = {"angry": "angry eyebrows", "sad": "worried eyebrows", "concerned": "worried eyebrows", "surprised": "raised eyebrows"}
# A close-up ends at the chin, and a whole body has a face of thirty pixels.
_UNSEEN = {"close-up": ("cloth", "cloth_color"), "full body": ("mouth", "eyes", "age", "facing")}
_LENGTHS = (("long", "long"), ("short", "short"), ("cropped", "short"), ("curly", "curly"), ("dreadlocks", "long"))


@dataclass(frozen=True)
class Caption:
    """A caption and the attributes that it tells."""

    text: str
    said: frozenset[str]


def label(attributes: Attributes, name: str) -> str:
    """What `name` is on the picture, "none" where there is nothing of it, or nothing to be seen of it."""
    if name in _UNSEEN.get(attributes["framing"], ()):
        return NOTHING
    if name == "extra":
        # The thing alone: its colour is told by the caption.
        return attributes.get(name, NOTHING).split()[-1]
    return attributes.get(name, NOTHING)


def full_caption(attributes: Attributes) -> str:
    """Everything in a settled order, in the words of the labels: what figures are taken from."""
    return _sentence(attributes, _Whole()).text


def caption(attributes: Attributes, dice: random.Random, keep: float = 0.86) -> Caption:
    """A prompt somebody might have written: phrases kept with probability `keep`, mostly shuffled, sometimes with a made-up name."""
    return _sentence(attributes, _Loose(dice, keep))


class _Whole:
    """Says everything in the first words for it."""

    def keeps(self, _share: float = 1.0) -> bool:
        return True

    def chance(self, share: float) -> bool:
        return share >= 1.0

    def words(self, phrase: str, _share: float = 0.2) -> str:
        return phrase

    def order(self, phrases: list[tuple[str, str]]) -> None:
        """As they come."""

    def choice(self, choices: Sequence[str]) -> str:
        return choices[0]

    def name(self) -> str:
        return ""


class _Loose:
    """Leaves out, shuffles and says otherwise, as the dice fall."""

    def __init__(self, dice: random.Random, keep: float) -> None:
        self._dice, self._keep = dice, keep

    def keeps(self, share: float = 1.0) -> bool:
        return self._dice.random() < self._keep ** (1 / share)

    def chance(self, share: float) -> bool:
        return self._dice.random() < share

    def words(self, phrase: str, share: float = 0.2) -> str:
        others = _SAID_OTHERWISE.get(phrase)
        return self._dice.choice(others) if others and self.chance(share) else phrase

    def order(self, phrases: list[tuple[str, str]]) -> None:
        if self.chance(0.7):
            self._dice.shuffle(phrases)

    def choice(self, choices: Sequence[str]) -> str:
        return self._dice.choice(choices)

    def name(self) -> str:
        """Sometimes a made-up name: unknown words are tolerated then."""
        return "".join(self._dice.choices(string.ascii_lowercase, k=self._dice.randint(3, 7))) if self.chance(0.12) else ""


def _sentence(about: Attributes, how: _Whole | _Loose) -> Caption:
    said: set[str] = set()
    withs: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []

    def add(group: list[tuple[str, str]], names: str, phrase: str, share: float = 1.0) -> None:
        if how.keeps(share):
            group.append((names, phrase))

    if "hair" in about:
        phrase, names = _hair(about, how)
        add(withs, names, phrase)
    add(withs, "skin", about["skin"])
    if "acc" in about:
        add(withs, "acc", how.words(about["acc"]), 2)
    if "beard" in about:
        beard = how.words(about["beard"])
        # Under a hat nothing else tells the colour.
        if "hair_color" in about and beard.startswith("a ") and ("hair" not in about or how.chance(0.3)):
            add(withs, "beard hair_color", f"a {about['hair_color']} {beard[2:]}", 2)
        else:
            add(withs, "beard", beard, 2)
    if about.get("extra", "").endswith("earrings"):
        add(withs, "extra", about["extra"], 2)
    # Moods are the hardest to learn: they are said more often than the rest.
    add(rest, "mouth", how.words(about["mouth"]), 2)
    if about["mouth"] in _BROWS and how.chance(0.15):
        add(rest, "mouth", _BROWS[about["mouth"]])
    if "eyes" in about:
        add(rest, "eyes", how.words(about["eyes"]), 2)
    if about["framing"] != "close-up":
        garment = how.words(about["cloth"], 0.25)
        add(rest, "cloth_color cloth", f"wearing {_counted(about['cloth_color'] + ' ' + garment)}")
    if "hat" in about:
        add(rest, "hat", f"wearing {_counted(about['hat_color'] + ' ' + about['hat'])}", 2)
    if "extra" in about and not about["extra"].endswith("earrings"):
        add(rest, "extra", f"wearing {_counted(about['extra'])}", 2)
    if "tilt" in about and not how.chance(0.5):
        add(rest, "tilt", how.words(about["tilt"]))
    if "facing" in about and not how.chance(0.5):
        add(rest, "facing", how.words(about["facing"]))
    if about["framing"] != "portrait" or how.chance(0.2):
        add(rest, "framing", how.words(about["framing"], 0.4 if about["framing"] != "portrait" else 1.0), 3)
    if "scene" in about:
        add(rest, "scene", how.words(about["scene"], 0.35), 2)
    else:
        ground = f"{about['bg']} background"
        add(rest, "bg", f"on a {ground}" if how.chance(0.2) else ground)
    subject, aged = _subject(about, how)
    if aged:
        said.add("age")
    elif about["age"] != "young" or how.chance(0.4):
        add(rest, "age", how.words(about["age"], 0.3), 2)

    phrases = [*withs, *rest]
    how.order(phrases)
    style = how.choice(STYLES[about["style"]])
    if how.keeps():
        said.add("style")
        if how.chance(0.3):
            subject = f"{style} {subject}"
        else:
            phrases.append(("style", style))
    for names, _ in phrases:
        said.update(names.split())
    if phrases and phrases[0] in withs and (isinstance(how, _Whole) or how.chance(0.7)):
        return Caption(f"{subject} with {_list(phrases)}", frozenset(said))
    return Caption(_list([("", subject), *phrases]), frozenset(said))


def _list(phrases: Sequence[tuple[str, str]]) -> str:
    return ", ".join(words for _, words in phrases)


def _counted(words: str) -> str:
    """With its article: “an orange hoodie”, “overalls”."""
    if words.endswith(("overalls", "headphones", "earrings")):
        return words
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _subject(about: Attributes, how: _Whole | _Loose) -> tuple[str, bool]:
    """Who it is, and whether that tells the age."""
    who = about["subject"] if how.chance(0.5) else "person"
    aged = how.chance(0.35)
    if aged:
        age = how.words(about["age"], 0.4)
        who = f"{age} {who}"
    name = how.name()
    if name:
        return how.choice((f"{name} {who}", f"portrait of {name} {who}", f"photo of {name} {who}", name, f"portrait of {name}")), False
    one = _counted(who)
    choices = (f"portrait of {one}", one, f"avatar of {one}", f"picture of {one}")
    plain = ("a portrait", "a character")
    return how.choice(choices if aged or who != "person" else (*choices, *plain)), aged


def _hair(about: Attributes, how: _Whole | _Loose) -> tuple[str, str]:
    """The hair with its colour, and which attributes that tells: “long red hair”, “a brown hair bun”, “a big black afro”."""
    shape, colour = about["hair"], about.get("hair_color", "")
    if shape == "bald":
        return "a bald head", "hair"
    if how.chance(0.22):
        length = next((word for part, word in _LENGTHS if part in shape), "")
        return f"{length} {colour} hair".strip(), "hair_color"
    article = next((word for word in ("a ", "an ") if shape.startswith(word)), "")
    bare = shape.removeprefix(article)
    return f"{_coloured(bare, colour, bool(article))}", "hair hair_color"


def _coloured(bare: str, colour: str, counted: bool) -> str:
    if bare.endswith("hair"):
        words = f"{bare[:-4]}{colour} hair"
    elif "hair " in bare and not bare.startswith("hair"):
        words = bare.replace("hair ", f"{colour} hair ", 1)
    elif bare.startswith("big "):
        words = f"big {colour} {bare[4:]}"
    else:
        words = f"{colour} {bare}"
    return _counted(words) if counted else words
