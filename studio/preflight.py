"""What is good and what is missing in the pictures of a dataset, told to somebody who has never trained anything.

Two steps: `examine` looks at one picture, which takes its time and can be kept; `preflight` compares what was seen, at once.
Thresholds come from measurements on photos of some 60 people and on 140 drawings of ten characters; each says what was measured.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from studio.contracts import Contract
from studio.examining import Examined as Examined
from studio.examining import Framing, SeenFace, View
from studio.examining import examine as examine
from studio.faces import SAME_PERSON, distance


class Severity(StrEnum):
    """How much a finding matters."""

    blocks = "blocks"  # training can't begin
    warns = "warns"  # the LoRA will most likely be worse for it
    hints = "hints"  # it could be better


class Code(StrEnum):
    """What can be found. Stable: pages and programs know them."""

    too_few = "too_few"
    too_many = "too_many"
    consent_missing = "consent_missing"
    duplicates = "duplicates"
    blurry = "blurry"
    small = "small"
    extreme_shape = "extreme_shape"
    too_dark = "too_dark"
    too_bright = "too_bright"
    faces_not_looked_for = "faces_not_looked_for"
    no_face = "no_face"
    several_faces = "several_faces"
    small_face = "small_face"
    odd_one_out = "odd_one_out"
    several_people = "several_people"
    one_angle = "one_angle"
    one_background = "one_background"
    one_light = "one_light"
    one_framing = "one_framing"
    caption_missing = "caption_missing"
    captions_alike = "captions_alike"
    caption_long = "caption_long"
    caption_unreadable = "caption_unreadable"
    trigger_missing = "trigger_missing"


class FixAction(StrEnum):
    """What one click would do."""

    none = "none"
    remove = "remove"
    crop = "crop"
    fill_captions = "fill_captions"
    add_trigger = "add_trigger"


class Fix(Contract):
    """A remedy: what is done to which pictures, by index. `boxes` are what to crop each of them to (left, top, right, bottom in pixels)."""

    action: FixAction = FixAction.none
    pictures: tuple[int, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()


class Finding(Contract):
    """One thing that was found. `pictures` are the indices concerned; `groups` tells of duplicates which belong together."""

    code: Code
    severity: Severity
    title: str
    explanation: str
    pictures: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    fix: Fix = Fix()


# Title and explanation of each finding. Whole sentences without places to fill: the page translates them as they stand, and shows beside
# them how many pictures are meant.
WORDS: dict[str, tuple[str, str]] = {
    "empty": (
        "There are no pictures yet",
        "Add 15 to 25 pictures of this one character. A training has nothing to learn from without them.",
    ),
    "single": ("One picture is not enough", "From a single picture only that picture is learned. Add more: 15 to 25 are a good number."),
    "too_few": (
        "Few pictures",
        "With fewer than 10 pictures the LoRA repeats what it saw: the same pose, the same clothes. 15 to 25 are a good number.",
    ),
    "too_many": (
        "More pictures than a likeness needs",
        "Training takes longer, and weaker pictures dilute the good ones. 15 to 25 that you chose with care teach a face better than 100.",
    ),
    "consent_missing": (
        "The consent record is missing",
        "This is a real person. Write down on the Characters tab who agreed to what; until then nothing is trained.",
    ),
    "duplicates": (
        "Nearly the same picture more than once",
        "What is shown twice is learned twice as much, and it crowds out the rest. Keep the best of each group.",
    ),
    "blurry": (
        "Blurred pictures",
        "These have less detail than the training looks at, by motion, focus or enlarging. The LoRA learns the softness, too.",
    ),
    "small": (
        "Pictures smaller than the training size",
        "They would be enlarged, which adds softness and no detail. Use the original files, or train at a smaller size.",
    ),
    "extreme_shape": (
        "Very long or very tall pictures",
        "Training cuts pictures to at most twice as long as wide, from the middle, and may cut off what matters. Crop them yourself.",
    ),
    "too_dark": (
        "Very dark pictures",
        "Skin, hair and eyes can hardly be told here. A few are fine for variety; many teach a dark character.",
    ),
    "too_bright": ("Very bright pictures", "Much of these is plain white, and what is white has no features to learn from."),
    "faces_not_looked_for": (
        "Faces could not be looked for",
        "The packages for finding faces are not installed on this computer. Everything else was checked; look through the faces yourself.",
    ),
    "no_face": (
        "No face found",
        "Full profiles, backs of heads and tiny faces are often missed: a few of them are fine. What doesn't show the person should go.",
    ),
    "no_face_drawn": (
        "No face that a program recognises",
        "Drawn characters often have none: the program knows photographed people. This is no fault of the pictures.",
    ),
    "several_faces": (
        "More than one face",
        "The training can't know which of them is meant and mixes them. Crop to the one, or take the picture out.",
    ),
    "several_faces_drawn": (
        "Perhaps more than one face",
        "A program that knows photographed people sees several faces here. With drawings it is often wrong; look yourself.",
    ),
    "small_face": (
        "The face is small",
        "At the training size little more than a dot is left of it. Crop closer, and keep only a few pictures of the whole figure.",
    ),
    "odd_one_out": (
        "Perhaps somebody else",
        "The face here is unlike the face in the others. Take it out if it is another person, or a photo that is unlike them.",
    ),
    "several_people": (
        "These look like several people",
        "No face is shared by most of the pictures. A LoRA is to learn one person: make a dataset for each.",
    ),
    "one_angle": (
        "Everybody looks straight ahead",
        "From the front alone the LoRA learns no other view. Add some turned half to the left and to the right, and a profile.",
    ),
    "one_side": (
        "Always turned to the same side",
        "The other half of the face is never seen. Add some from the front and some turned the other way.",
    ),
    "one_background": (
        "The background is always the same",
        "What never changes is learned as a part of the character. Add pictures taken elsewhere, or name the background in every caption.",
    ),
    "one_light": (
        "The light is always the same",
        "The LoRA will find it hard to light this face in another way. Add daylight, evening, lamps, light from the side.",
    ),
    "one_framing": (
        "Always from the same distance",
        "Close-ups alone teach no body, whole figures alone no face. Mix: half of them head and shoulders, some closer, some further.",
    ),
    "caption_missing": (
        "Captions are missing",
        "What a caption names can be changed later; what it leaves out becomes part of the character. Have them written, or write them.",
    ),
    "captions_alike": (
        "Many captions are the same",
        "Then the words can't tell the pictures apart, and clothes and places are learned as the character's own. Describe what differs.",
    ),
    "caption_long": (
        "Very long captions",
        "Most models read about the first 60 words and skip the rest. Put what matters first.",
    ),
    "caption_unreadable": (
        "Captions with broken letters",
        "The file was not written in UTF-8, so some letters were lost. Write these captions again.",
    ),
    "trigger_missing": (
        "The trigger word is not in every caption",
        "It is the word that calls the character later. Where it is missing, the picture is learned without a name.",
    ),
}

FEWEST, GOOD, MANY = 2, 10, 100


def preflight(
    examined: Sequence[Examined],
    captions: Sequence[str],
    *,
    trigger: str = "",
    illustrated: bool = False,
    resolution: int = 512,
    consent: bool | None = None,
) -> tuple[Finding, ...]:
    """What is to be said of a dataset, what blocks first. Nothing is read or changed, and the same dataset is told the same.

    `captions` are in the order of the pictures. `illustrated`: it is a drawn character, of whom little can be told by faces. `resolution`
    is the side in pixels of the training's square. `consent` is None where none is needed, otherwise whether it is there.
    """
    assert len(examined) == len(captions)
    found = [
        *_count(examined),
        *([_finding(Code.consent_missing, Severity.blocks)] if consent is False else []),
        *_duplicates(examined, illustrated),
        *_pixels(examined, resolution),
        *_faces(examined, illustrated, resolution),
        *_coverage(examined, illustrated),
        *_captions(captions, trigger),
    ]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _finding(
    code: Code,
    severity: Severity,
    pictures: Iterable[int] = (),
    *,
    words: str = "",
    groups: Iterable[tuple[int, ...]] = (),
    fix: Fix | None = None,
) -> Finding:
    title, explanation = WORDS[words or code.value]
    return Finding(
        code=code,
        severity=severity,
        title=title,
        explanation=explanation,
        pictures=tuple(pictures),
        groups=tuple(groups),
        fix=fix or Fix(),
    )


def _removing(pictures: Sequence[int], of: int) -> Fix:
    # Whoever has nothing better is not helped by taking most of it away.
    return Fix(action=FixAction.remove, pictures=tuple(pictures)) if len(pictures) * 2 <= of else Fix()


def _count(examined: Sequence[Examined]) -> list[Finding]:
    if not examined:
        return [_finding(Code.too_few, Severity.blocks, words="empty")]
    if len(examined) < FEWEST:
        return [_finding(Code.too_few, Severity.blocks, words="single")]
    if len(examined) < GOOD:
        return [_finding(Code.too_few, Severity.warns)]
    return [_finding(Code.too_many, Severity.hints)] if len(examined) > MANY else []


# Alike

# Of 255 bits 0.04 at most differ between what are known copies among photos, 0.21 after cropping 2 %, shifting 3 %, saving as a poor JPEG,
# making half as large, lighter or warmer; between different photos, of one person too, 0.28 and more.
_ALIKE = 0.24
# Drawings of one character have the same lines by design, and sometimes not one bit differs. But of 16 × 16 cells the one whose
# colour differs most differs by 27 and more (in steps of 255); by 11 at most between a drawing and its poor JPEG, by 5 to its half, and by
# 9 and more (half of them 51) where nothing but a mouth was painted over.
_ALIKE_CELL = 12


def _duplicates(examined: Sequence[Examined], illustrated: bool) -> list[Finding]:
    groups = _groups(examined, illustrated)
    if not groups:
        return []
    # The best is the one that shows most.
    spare = [i for group in groups for i in group if i != max(group, key=lambda j: (examined[j].detail, examined[j].side, -j))]
    fix = Fix(action=FixAction.remove, pictures=tuple(sorted(spare)))
    pictures = sorted(i for group in groups for i in group)
    return [_finding(Code.duplicates, Severity.warns, pictures, groups=groups, fix=fix)]


def _groups(examined: Sequence[Examined], illustrated: bool) -> list[tuple[int, ...]]:
    """Pictures that are nearly the same, two and more together."""
    if len(examined) < 2:
        return []
    import numpy as np

    hashes = np.array([np.frombuffer(bytes.fromhex(one.hash), np.uint64) for one in examined])
    cells = np.array([np.frombuffer(bytes.fromhex(one.cells), np.uint8) for one in examined], np.int16).reshape(len(examined), -1, 3)
    belongs = list(range(len(examined)))
    for i in range(1, len(examined)):
        near = np.flatnonzero(np.bitwise_count(hashes[:i] ^ hashes[i]).sum(1) <= _ALIKE * 255)
        if illustrated:
            near = [j for j in near if np.abs(cells[i] - cells[j]).mean(1).max() <= _ALIKE_CELL]
        for j in near:
            old, new = belongs[i], belongs[int(j)]
            belongs = [new if one == old else one for one in belongs]
    together: dict[int, list[int]] = {}
    for i, group in enumerate(belongs):
        together.setdefault(group, []).append(i)
    return [tuple(group) for group in together.values() if len(group) > 1]


# Pixels

# Enlarged by up to a third, a picture doesn't look it.
_SMALL = 0.75
# A picture that was enlarged twice looks soft at once, beside a sharp one.
_SOFT = 0.5
_SHAPE = 2.0
# 1 % of 151 photos have faces (or all of it) darker than 66 and brighter than 184.
_DARK, _BRIGHT = 50, 215


def _pixels(examined: Sequence[Examined], resolution: int) -> list[Finding]:
    count = len(examined)
    small = [i for i, one in enumerate(examined) if one.side < _SMALL * resolution]
    soft = [i for i, one in enumerate(examined) if i not in small and one.detail < _SOFT * resolution]
    long = [i for i, one in enumerate(examined) if not 1 / _SHAPE <= one.width / one.height <= _SHAPE]
    found: list[Finding] = []
    if soft:
        found.append(_finding(Code.blurry, Severity.warns, soft, fix=_removing(soft, count)))
    if small:
        found.append(_finding(Code.small, Severity.warns, small, fix=_removing(small, count)))
    if long:
        boxes = tuple(_in_shape(examined[i]) for i in long)
        found.append(_finding(Code.extreme_shape, Severity.warns, long, fix=Fix(action=FixAction.crop, pictures=tuple(long), boxes=boxes)))
    for code, out in (
        (Code.too_dark, [i for i, one in enumerate(examined) if one.light.level < _DARK]),
        (Code.too_bright, [i for i, one in enumerate(examined) if one.light.level > _BRIGHT]),
    ):
        if out:
            found.append(_finding(code, Severity.hints, out, fix=_removing(out, count)))
    return found


def _in_shape(one: Examined) -> tuple[int, int, int, int]:
    """The part of a long picture that is twice as long as wide, with the face in its middle as far as that goes."""
    width, height = min(one.width, round(one.height * _SHAPE)), min(one.height, round(one.width * _SHAPE))
    left, top, right, bottom = one.face.box if one.face else (0, 0, one.width, one.height)
    x = min(max(0, (left + right - width) // 2), one.width - width)
    # Somebody's body is below the face.
    y = min(max(0, (top + bottom) // 2 - height // (3 if one.face else 2)), one.height - height)
    return x, y, x + width, y + height


# Faces

# Of 55 portraits of five people the median distance to the others of the same person was 0.55 at most, of a stranger among
# them 0.69 at least.
_ODD = 0.62
# Latents have an eighth of the pixels: six cells is the least that can hold two eyes and a mouth.
_SMALL_FACE = 48
# A face beside the main one counts when it is no speck in the background.
_BESIDE = 0.4
_COMPARED = 400


def _faces(examined: Sequence[Examined], illustrated: bool, resolution: int) -> list[Finding]:
    if any(one.faces is None for one in examined):
        return [] if illustrated else [_finding(Code.faces_not_looked_for, Severity.hints)]
    none = [i for i, one in enumerate(examined) if not one.faces]
    several = [i for i, one in enumerate(examined) if len(_main_faces(one)) > 1]
    if illustrated:
        found = [_finding(Code.no_face, Severity.hints, none, words="no_face_drawn")] if none else []
        return found + ([_finding(Code.several_faces, Severity.hints, several, words="several_faces_drawn")] if several else [])
    found: list[Finding] = []
    if none:
        found.append(_finding(Code.no_face, Severity.warns, none, fix=_removing(none, len(examined) - 1)))
    meant = _meant(examined)
    if several:
        crops = [(i, box) for i in several if (face := meant[i]) and (box := _alone(examined[i], face))]
        found.append(_finding(Code.several_faces, Severity.warns, several, fix=_cropping(crops)))
    small = [
        i
        for i, (one, face) in enumerate(zip(examined, meant, strict=True))
        if face and face.side * min(1, resolution / one.side) < _SMALL_FACE
    ]
    if small:
        crops = [(i, box) for i in small if (face := meant[i]) and (box := _closer(examined[i], face, resolution))]
        # Some pictures of the whole figure belong into a dataset.
        severity = Severity.warns if len(small) * 3 > len(examined) else Severity.hints
        found.append(_finding(Code.small_face, severity, small, fix=_cropping(crops)))
    return found + _strangers(meant)


def _main_faces(one: Examined) -> list[SeenFace]:
    return [face for face in one.faces or () if one.face and face.side >= _BESIDE * one.face.side]


def _meant(examined: Sequence[Examined]) -> list[SeenFace | None]:
    """Of each picture the face that the dataset is about: the largest, but beside others the one that the pictures of one alone show."""
    meant = [one.face for one in examined]
    alone = [one.face for one in examined if one.face and len(_main_faces(one)) == 1]
    if len(alone) < 3:
        return meant
    import numpy as np

    some = np.array([face.embedding for face in alone[:: -(-len(alone) // _COMPARED)]], np.float32)
    typical = some[np.argmin([np.median(np.linalg.norm(some - one, axis=1)) for one in some])]
    for i, one in enumerate(examined):
        near = [(apart, face) for face in _main_faces(one) if (apart := distance(face.embedding, typical)) < SAME_PERSON]
        if len(_main_faces(one)) > 1 and near:
            meant[i] = min(near, key=lambda pair: pair[0])[1]
    return meant


def _cropping(crops: Sequence[tuple[int, tuple[int, int, int, int]]]) -> Fix:
    if not crops:
        return Fix()
    return Fix(action=FixAction.crop, pictures=tuple(i for i, _ in crops), boxes=tuple(box for _, box in crops))


def _alone(one: Examined, face: SeenFace) -> tuple[int, int, int, int] | None:
    """As much of the picture as has this face in it and none of the others; None where that leaves too little around the face."""
    left, top, right, bottom = face.box
    box = [0, 0, one.width, one.height]
    for other in _main_faces(one):
        if other is face:
            continue
        gaps = (left - other.box[2], top - other.box[3], other.box[0] - right, other.box[1] - bottom)
        widest = max(range(4), key=lambda i: gaps[i])
        # Half of the way between the two.
        edge = ((left + other.box[2]) // 2, (top + other.box[3]) // 2, (right + other.box[0]) // 2, (bottom + other.box[1]) // 2)[widest]
        box[widest] = max(box[widest], edge) if widest < 2 else min(box[widest], edge)
    room = 0.15 * face.side
    if box[0] > left - room or box[1] > top - room or box[2] < right + room or box[3] < bottom + room:
        return None
    return box[0], box[1], box[2], box[3]


def _closer(one: Examined, face: SeenFace, resolution: int) -> tuple[int, int, int, int] | None:
    """Head and shoulders, a square where the picture is large enough; None where it would be smaller than training wants."""
    left, top, right, bottom = face.box
    side = round(3.5 * face.side)
    x, y = (left + right) // 2 - side // 2, (top + bottom) // 2 - side * 2 // 5
    box = max(0, x), max(0, y), min(one.width, x + side), min(one.height, y + side)
    large_enough = math.sqrt(max(0, box[2] - box[0]) * max(0, box[3] - box[1])) >= _SMALL * resolution
    return box if large_enough else None


def _strangers(meant: Sequence[SeenFace | None]) -> list[Finding]:
    shown = [i for i, face in enumerate(meant) if face]
    if len(shown) < 4:
        return []
    import numpy as np

    known = np.array([face.embedding for face in meant if face], np.float32)
    # Against some hundreds of them: whom a large dataset shows is no other question than whom a part of it shows.
    some = np.arange(0, len(shown), -(-len(shown) // _COMPARED))
    squares = (known**2).sum(1)[:, None] + (known[some] ** 2).sum(1)[None] - 2 * known @ known[some].T
    apart = np.sqrt(np.maximum(0, squares))
    apart[some, np.arange(len(some))] = np.nan
    # The one that most of the others are at one with.
    if float((apart < SAME_PERSON).mean(1).max()) < 0.5:
        return [_finding(Code.several_people, Severity.warns, shown)]
    odd = [i for i, middle in zip(shown, np.nanmedian(apart, axis=1), strict=True) if middle > _ODD]
    return [_finding(Code.odd_one_out, Severity.warns, odd, fix=_removing(odd, len(meant)))] if odd else []


# What is always the same

# Said only of sets that are large enough to have variety, and where most of it is alike.
_ENOUGH = 6
_NEARLY_ALL = 0.9
# Mean colours (ΔE) of backgrounds that captions call by the same name differ by 7.5 at most, of others by 12.3 and more.
_SAME_BACKGROUND = 10
# Photos of one person from different occasions: standard deviations of level, side and warmth of 11.8, 9.7 and 8.6 at least in five sets.
_SAME_LIGHT = (6, 5, 4)


def _coverage(examined: Sequence[Examined], illustrated: bool) -> list[Finding]:
    found: list[Finding] = []
    count = len(examined)
    if count < _ENOUGH:
        return found
    views = {view: [i for i, one in enumerate(examined) if one.view is view] for view in (View.front, View.left, View.right)}
    most = max(views, key=lambda view: len(views[view]))
    if not illustrated and len(views[most]) >= _NEARLY_ALL * count:
        found.append(_finding(Code.one_angle, Severity.hints, views[most], words="" if most is View.front else "one_side"))
    framings = Counter(one.framing for one in examined if one.framing is not Framing.unknown)
    if not illustrated and framings and framings.most_common(1)[0][1] >= _NEARLY_ALL * count:
        usual = framings.most_common(1)[0][0]
        found.append(_finding(Code.one_framing, Severity.hints, [i for i, one in enumerate(examined) if one.framing is usual]))
    some = examined[:: -(-count // _COMPARED)]
    near = max(([i for i, b in enumerate(examined) if math.dist(a.background, b.background) <= _SAME_BACKGROUND] for a in some), key=len)
    if len(near) >= _NEARLY_ALL * count:
        found.append(_finding(Code.one_background, Severity.hints, near))
    faces = [i for i, one in enumerate(examined) if one.face]
    lit = [(one.light.level, one.light.side, one.light.warmth) for one in examined if one.face]
    # A drawing's colours are its own, whatever the light.
    if illustrated or len(lit) < _ENOUGH:
        return found
    if all(statistics.pstdev(values) < limit for values, limit in zip(zip(*lit, strict=True), _SAME_LIGHT, strict=True)):
        found.append(_finding(Code.one_light, Severity.hints, faces))
    return found


# Captions

# CLIP reads 77 tokens, of which 60 English words are about as many; T5 reads on, up to 512.
_LONG = 120


def _captions(captions: Sequence[str], trigger: str) -> list[Finding]:
    found: list[Finding] = []
    bare = [" ".join(_without(caption, trigger).lower().split()) for caption in captions]
    broken = [i for i, caption in enumerate(captions) if "\ufffd" in caption or any("\ud800" <= letter <= "\udfff" for letter in caption)]
    if broken:
        fix = Fix(action=FixAction.fill_captions, pictures=tuple(broken))
        found.append(_finding(Code.caption_unreadable, Severity.warns, broken, fix=fix))
    missing = [i for i, caption in enumerate(bare) if not caption.strip(" ,.")]
    if missing:
        fix = Fix(action=FixAction.fill_captions, pictures=tuple(missing))
        found.append(_finding(Code.caption_missing, Severity.warns, missing, fix=fix))
    counted = Counter(caption for i, caption in enumerate(bare) if i not in missing)
    alike = [i for i, caption in enumerate(bare) if i not in missing and counted[caption] > 1]
    # Two of twenty may well show the same.
    if len(alike) >= 3 and len(alike) * 3 >= len(captions):
        found.append(_finding(Code.captions_alike, Severity.warns, alike, fix=Fix(action=FixAction.fill_captions, pictures=tuple(alike))))
    long = [i for i, caption in enumerate(captions) if len(caption.split()) > _LONG or len(caption) > 8 * _LONG]
    if long:
        found.append(_finding(Code.caption_long, Severity.hints, long))
    without = [i for i, caption in enumerate(captions) if trigger and not _named(caption, trigger)]
    if without:
        fix = Fix(action=FixAction.add_trigger, pictures=tuple(without))
        found.append(_finding(Code.trigger_missing, Severity.warns, without, fix=fix))
    return found


def _named(caption: str, trigger: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(trigger)}(?![\w-])", caption, re.IGNORECASE) is not None


def _without(caption: str, trigger: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(trigger)}(?![\w-])", " ", caption, flags=re.IGNORECASE) if trigger else caption
