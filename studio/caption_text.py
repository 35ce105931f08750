"""What a vision model is asked for, and its answer made into a caption: pure text.

A LoRA learns under its trigger word whatever no caption names. So captions leave out what belongs to the person (face, hair, eyes, skin,
age, body) and say what changes from picture to picture: pose, expression, clothes, place, light, framing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from studio.captions import tags_of, tidied, with_trigger
from studio.contracts import CaptionStyle

LONGEST = 600
MOST_TAGS = 40
_MOST_READ = 4000


def instruction(style: CaptionStyle, trigger: str = "") -> str:
    """What the model is told beside the picture. Without a trigger word, as for poses and places, the person is “a person”."""
    who = f"Call the person “{trigger}”" if trigger else "Call the person “a person”"
    if style is CaptionStyle.tags:
        form = (
            "Answer with 8 to 25 short tags in lower case, in one line with commas between them, the most important first. "
            + (f"The first tag is “{trigger}”. " if trigger else "")
            + "No sentences."
        )
    else:
        form = f"Answer with one or two plain English sentences of 60 words at most. {who} and begin with that. Say only what can be seen."
    return f"{_ASKED} {form} {_ALONE}"


_ASKED = (
    "Write a caption for this picture, for training an image model that knows already what the person in it looks like. "
    "Describe the pose and gesture, the facial expression, clothes and accessories, what is held, the place and the background, the light, "
    "the framing (close-up, upper body, full body) and the camera's angle. "
    "Leave out what belongs to the person: the face, hair, eyes, skin, age, body, ethnicity. Don't say or guess who it is."
)
_ALONE = "Answer with the caption alone: no heading, no quotation marks, no remarks."


def said_in(answer: str) -> str:
    """What a model says, without what it thinks before."""
    # Some begin their thoughts in the prompt's template, so that only the end of them is seen.
    text = re.sub(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", "", answer, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"\A.*</(?:think|thinking|reasoning)>", "", text, flags=re.DOTALL | re.IGNORECASE).strip()


def refuses(said: str) -> bool:
    """Whether the model declines to describe the picture."""
    return bool(_REFUSAL.match(_straight(said)))


def sees_nothing(said: str) -> bool:
    """Whether the model says that there is no picture, as those do that can't see."""
    return bool(_BLIND.search(_straight(said)[:300]))


def cleaned(answer: str, style: CaptionStyle, trigger: str = "") -> str:
    """The caption in an answer, as one line with the trigger word first; empty where there is none."""
    lines = _lines(_unwrapped(said_in(answer)[:_MOST_READ]))
    if style is CaptionStyle.tags:
        return _tags(lines, trigger)
    text = " ".join(lines)
    text = _OPENING.sub("", _unquoted(text)).strip()
    text = _without_traits(_begun(text, trigger))
    if text.strip(" .,;") in ("", trigger):
        return trigger if text else ""
    if not trigger:
        return _cut(text[0].upper() + text[1:])
    begins_anew = re.match(r"(?:An?|The|In|On|At)\b", text)
    return with_trigger(_cut(text[0].lower() + text[1:] if begins_anew else text), trigger)


def traits_in(caption: str) -> tuple[str, ...]:
    """What a caption says of the person that a LoRA should learn by itself: “brown hair”, “young”."""
    found = (match[0].strip() for match in _TRAIT.finditer(caption))
    return tuple(dict.fromkeys(trait for trait in found if not _PASSING.search(trait)))


_REFUSAL = re.compile(
    r"(?:unfortunately,? |apologies,? (?:but )?|sorry[,.]? (?:but )?|(?:i'm|i am) (?:very |really |so |terribly )?sorry[,.]? (?:but )?)*"
    r"(?:as an ai\b|i (?:can't|cannot|can not|won't|will not|must decline|have to decline|don't feel comfortable|do not feel comfortable)"
    r"|i'm (?:not able|unable|not comfortable)|i am (?:not able|unable|not comfortable))"
    r"|(?:i'm|i am) (?:very |really |so )?sorry\b",
    re.IGNORECASE,
)
_BLIND = re.compile(
    r"(?:don't|do not|can't|cannot|unable to|not able to|didn't|did not)(?: actually| directly)? "
    r"(?:see|view|access|process|open|analy[sz]e|interpret|receive|find)\b[^.]{0,30}\b(?:images?|pictures?|photos?|attachments?|files?)\b"
    r"|no (?:image|picture|photo)\b[^.]{0,20}(?:attached|provided|visible|here|shared|uploaded)"
    r"|(?:image|picture|photo) (?:isn't|is not|wasn't|was not) (?:attached|visible|provided|included|shown)"
    r"|please (?:upload|provide|attach|share|send) (?:an?|the|your) (?:image|picture|photo)",
    re.IGNORECASE,
)


# From an answer to its text


def _unwrapped(text: str) -> str:
    """The text inside a code fence or a JSON object."""
    fenced = re.search(r"```[\w-]*\n(.*?)(?:```|\Z)", text, re.DOTALL)
    if fenced:
        text = fenced[1].strip()
    if text.startswith(("{", "[")):
        try:
            said = json.loads(text)
        except ValueError:
            # Cut off, or not quite JSON: what stands behind the first name is the caption.
            found = re.search(r'"(?:caption|description|tags|text)"\s*:\s*\[?\s*"((?:[^"\\]|\\.)*)', text)
            return found[1].replace('\\"', '"') if found else text
        if isinstance(said, dict):
            known = (said[name] for name in ("caption", "description", "text", "tags", "answer") if name in said)
            said = next(known, next(iter(said.values()), ""))
        return ", ".join(map(str, said)) if isinstance(said, list) else str(said)
    return text


_MARK = re.compile(r"\A(?:#{1,6}\s+|[-*•]\s+|\d{1,2}[.)]\s+|>\s+)")
_HEADING = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay|ok|absolutely|great)\b[^:\n]{0,20}[!.,]\s*)?"
    r"(?:here(?:'s| is| are)\b[^:\n]{0,90}:"
    r"|(?:the |a |my |suggested |training |image )*(?:caption|description|tags?|answer|output)\s*:)\s*",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"\A(?:let me know|note\b|\(?note:|i hope|feel free|would you|if you|this caption|these tags|please let|is there anything)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"\A(?:in (?:this|the) (?:image|picture|photo\w*|portrait|shot)[,:]? (?:we (?:can )?see |there (?:is|are) )?"
    r"|(?:this|the) (?:image|picture|photo\w*|portrait|scene|shot) "
    r"(?:shows|depicts|features|captures|portrays|displays|presents|is of|is)\s+"
    r"|(?:an? )?(?:image|picture|photo(?:graph)?) of\s+)",
    re.IGNORECASE,
)


def _lines(text: str) -> list[str]:
    """The lines that say something, without markdown, heading and remarks."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text, flags=re.DOTALL)
    text = re.sub(r"(?<![\w*])\*(?=\S)([^*\n]+)(?<=\S)\*(?![\w*])", r"\1", text).replace("`", "")
    lines = [_MARK.sub("", " ".join(line.split())) for line in text.splitlines()]
    lines = [line for line in lines if line and not re.fullmatch(r"[-*_=]{3,}", line)]
    while lines:
        first = _HEADING.sub("", _straight(lines[0]), count=1)
        alone = re.fullmatch(r"(?:caption|tags|description)", first.strip(" :*"), re.IGNORECASE)
        if first == _straight(lines[0]) and not alone:
            break
        lines = lines[1:] if alone or not first else [lines[0][-len(first) :], *lines[1:]]
    return [line for at, line in enumerate(lines) if not (at and _REMARK.match(line))]


def _straight(text: str) -> str:
    # One character for one: places in the text stay what they are.
    return text.replace("’", "'")


def _unquoted(text: str) -> str:
    text = text.strip()
    while len(text) > 1 and (text[0], text[-1]) in _QUOTES:
        # “A sign “open”” has quotes of its own; those around the whole go.
        if text[0] == text[-1] and text.count(text[0]) > 2:
            break
        text = text[1:-1].strip()
    return text


_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("«", "»"), ("„", "“"), ("‘", "’")}


# What belongs to the person

_PERSON = r"(?:woman|man|girl|boy|person|lady|guy|model|figure|individual|character|subject|female|male|adult|someone)"
_NOUN = (
    r"(?:hair|hairs|hairstyle|haircut|bangs|fringe|ponytail|braids?|eyes?|eyebrows?|eyelashes|skin|complexion|freckles|beard|moustache"
    r"|mustache|stubble|jawline|cheekbones|nose|lips|features|build|physique|figure|body|breasts|abs|muscles|tattoos?|wrinkles|moles?"
    r"|scars?)"
)
_AGE = r"(?:young|youthful|old|elderly|aged|middle-aged|teen|teenaged?|adolescent|mature|senior|\d{1,2}[ -]years?[ -]old)"
_LOOK = (
    r"(?:slim|slender|curvy|petite|muscular|athletic|tall|short|plus-size|blonde?|brunette|redhead(?:ed)?|bald|bearded|freckled|tanned|pale"
    r"|asian|caucasian|black|white|african|european|latina|latino|hispanic|indian|arab|beautiful|attractive|pretty|handsome"
    r"|[a-z]+-(?:haired|eyed|skinned|faced|bodied))"
)
# Not who somebody is, but what they do or how it is today.
_PASSING = re.compile(
    r"\b(?:closed|half-closed|open|wide|squint\w*|narrowed|rolling|winking|parted|pursed|wet|windblown|blowing|messy|tousled|flowing|floating"
    r"|goosebumps|painted|full body|upper body|body shot|body language)\b|eyes on|in the eyes",
    re.IGNORECASE,
)
# What follows where hair or eyes do something: "her hair blowing in the wind".
_BUSY = (
    r"(?!\s+(?:is |are )?(?:blowing|flowing|floating|flying|tied|pulled|swept|worn|styled|closed|open|wide|looking|fixed|half|in the"
    r"|up\b|down\b|back\b))"
)
_WORDS = r"(?:(?!(?:and|wearing|in|on|at|over|under|holding|of|against|near|by|a|an|the)\b)[\w'’-]+,?\s+)"
_HAS = re.compile(
    rf"(?P<lead>,?\s*\b(?:and\s+)?(?:with|has|having|featuring)\s+)(?:(?:an?|the|her|his|their)\s+)?{_WORDS}{{0,5}}?{_NOUN}\b{_BUSY}"
    rf"(?:\s+and\s+{_WORDS}{{0,4}}?{_NOUN}\b{_BUSY})*(?P<rest>\s+and\s+(?=\w))?",
    re.IGNORECASE,
)
_LISTED = re.compile(rf"(?:,\s+and|,|\s+and)\s+(?:(?:an?|her|his|their)\s+)?{_WORDS}{{0,4}}?{_NOUN}(?=[,.;]|\s+and\b|\Z)", re.IGNORECASE)
_OWN_SENTENCE = re.compile(rf"(?:(?<=\.\s)|\A)(?:Her|His|Their|The \w+['’]s)\s+{_WORDS}{{0,4}}?{_NOUN}\b[^.]*\.\s*")
_BEFORE_PERSON = re.compile(rf"\b(?:(?:{_AGE}|{_LOOK}),?\s+)+(?={_PERSON}\b)", re.IGNORECASE)
_TRAIT = re.compile(
    rf"\b(?:[\w'’-]+\s+){{0,2}}?{_NOUN}\b{_BUSY}(?!\s+(?:ornament|ribbon|clip|band|bow|tie|accessor\w*|of|shot|language|suit|brush|salon))"
    rf"|\b{_AGE}\s+(?=(?:[\w-]+\s+)?{_PERSON}\b)|\b{_LOOK}\s+(?={_PERSON}\b)",
    re.IGNORECASE,
)
_TRAIT_TAG = re.compile(rf"(?:[\w'’-]+\s+){{0,4}}{_NOUN}|(?:{_AGE}|{_LOOK})(?:\s+{_PERSON})?|(?:{_LOOK}\s+)+{_PERSON}", re.IGNORECASE)
_DOING = re.compile(
    r"\b(?:smiling|laughing|grinning|crying|frowning|serious|happy|sad|surprised|angry|pensive|seated|sitting|standing|kneeling|lying|dancing"
    r"|running|walking|sleeping|blindfolded|masked)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(?!(?:\w*glasses|jeans|\w+rings|gloves|boots|shoes|headphones)\b)[a-z]+s\s+(?:an?|the|in|on|at|by|her|his|with|under|against)\b"
)
# "A low-angle shot of a woman": how it was taken is to be kept.
_SHOT = r"(?:portrait|photo|photograph|shot|selfie|view|picture|image|close-up)"
_SUBJECT = re.compile(
    rf"\A(?:(?:an?|the)\s+(?P<shot>(?:[\w'’-]+\s+){{0,3}}?{_SHOT})\s+of\s+)?"
    rf"(?:(?:an?|the|one)\s+(?P<adjectives>{_WORDS}{{0,5}}?){_PERSON}\b|@)(?P<comma>,?)",
    re.IGNORECASE,
)


def _begun(text: str, trigger: str) -> str:
    """The text with the trigger word in the place of “a young woman”; what she does while she is called so stays."""
    if not trigger or re.match(rf"{re.escape(trigger)}(?!\w)", text):
        return text
    # The word itself, however it is written, may follow "a photo of", too.
    subject = _SUBJECT.match(re.sub(rf"\b{re.escape(trigger)}(?!\w)", "@", text, count=1, flags=re.IGNORECASE))
    if subject is None:
        return text
    said = [subject["shot"] or "", *_DOING.findall(subject["adjectives"] or "")]
    between = ", ".join(part for part in said if part)
    rest = subject.string[subject.end() :]
    return f"{trigger}, {between},{rest}" if between else f"{trigger}{subject['comma']}{rest}"


def _without_traits(text: str) -> str:
    """The sentences without the clauses that describe the person, as far as they can be told."""

    def kept(found: re.Match[str]) -> str:
        if _PASSING.search(found[0]):
            return found[0]
        if not found["rest"]:
            return ""
        # "with long hair and stands on a beach" goes on with what somebody does, "with long hair and a red coat" with what there is.
        return " " if _VERB.match(found.string, found.end()) else found["lead"]

    text = _OWN_SENTENCE.sub(lambda found: found[0] if _PASSING.search(found[0]) else "", text)
    text = _HAS.sub(kept, text)
    text = _LISTED.sub(lambda found: found[0] if _PASSING.search(found[0]) else "", text)
    return tidied(_BEFORE_PERSON.sub("", text))


def _tags(lines: list[str], trigger: str) -> str:
    # “Tags: a, b” was a heading; a line each is a list, too.
    tags = [tag for line in lines for tag in tags_of(_unquoted(line).replace(";", ",").replace("_", " "))]
    said = dict.fromkeys(tag for each in tags if (tag := _tag(each, trigger)))
    found: list[str] = []
    for tag in list(said)[:MOST_TAGS]:
        if len(", ".join([*found, tag])) > LONGEST:
            break
        found.append(tag)
    return with_trigger(", ".join(found), trigger) if trigger and found else ", ".join(found)


def _tag(text: str, trigger: str) -> str:
    text = text.strip(" .#\"'“”*")
    if trigger and text.casefold() == trigger.casefold():
        return trigger
    text = text.lower()
    if _TRAIT_TAG.fullmatch(text) and not _PASSING.search(text):
        return ""
    return text


def _cut(text: str) -> str:
    """At most `LONGEST` characters, up to the end of a sentence where one ends there, else of a clause or a word."""
    if len(text) <= LONGEST:
        return text
    start = text[: LONGEST + 1]
    ends = list(_ends(start))
    if ends:
        return start[: ends[-1]].strip()
    for mark in (", ", " "):
        if (at := start.rfind(mark)) > LONGEST // 3:
            return start[:at].rstrip(" ,;")
    return start[:LONGEST]


def _ends(text: str) -> Iterator[int]:
    for found in re.finditer(r"[.!?](?=\s)", text):
        if not re.search(r"\b(?:mr|mrs|ms|dr|st|approx|e\.g|i\.e)\.\Z", text[: found.end()], re.IGNORECASE):
            yield found.end()
