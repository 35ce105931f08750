"""The lines that never move: no sexualised minors, no undressing or sexualising of real people, no face of one person on another's photo.

Words are normalised first (Unicode, accents, look-alike digits, spaced-out letters), then read sentence by sentence: a request is refused when
the two halves of a forbidden thing meet in one text, such as a minor and sexual content. Word lists, not a language model: docs/safety.md says what
that can and can't do.
"""

# ruff: noqa: E501 - word lists and patterns read better unbroken

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from studio.errors import SafetyFilter

_MINOR_WORDS = """
child children childs kid kids toddler toddlers infant baby babies preteen preteens pre-teen tween tweens teen teens teenager teenagers teenage
underage underaged minor minors schoolgirl schoolgirls schoolboy schoolboys boy boys girlchild loli lolita lolicon shota shotacon jailbait
kindergartner kindergarten prepubescent pubescent adolescent adolescents juvenile daughter
kind kinder minderjahrig minderjahrige minderjahriger schulmadchen schulerin grundschulerin teenagerin madchen
enfant enfants mineur mineure mineures gamin gamine ecoliere collegienne lyceenne fillette
nino nina ninos ninas menor colegiala adolescente adolescentes
crianca criancas menina menino meninas menores adolescencia
bambina bambino bambini minorenne
"""
_SEXUAL_WORDS = """
nude nudes nudity naked topless bottomless undressed unclothed undress undressing porn porno pornographic pornography nsfw hentai sex sexual sexy sexually sexualized
sexualised erotic erotica lewd explicit seductive seductively aroused orgasm masturbating masturbation intercourse fellatio blowjob handjob genitals genitalia
penis vagina vulva pussy cock tits boobs nipple nipples areola cleavage lingerie thong stripping striptease stripper fetish bdsm bondage cum
nackt nackte nackter nacktes oben-ohne unbekleidet erotisch erotische sexuell unterwasche dessous
nu nue nus nues denudee deshabillee erotique sexuelle seins
desnuda desnudo desnudas desnudos erotica erotico sensual pezones
nua despida despido erotismo pelada pelado
nuda nudo svestita
"""
_UNDRESS = """
undress undressing undressed strip stripped unclothe unclothed disrobe nudify deepnude deepfake denude
ausziehen entkleiden deshabiller deshabille desnudar despir spogliare
"""
_SEXUAL = frozenset(_SEXUAL_WORDS.split())
_MINOR = frozenset(_MINOR_WORDS.split())
_UNDRESSING = frozenset(_UNDRESS.split())

# Words of one list that mean something else in these company: taken out before reading.
_HARMLESS = re.compile(
    r"\b(?:naked mole rats?|naked eyes?|naked flames?|naked truth|nude (?:colou?r(?:ed)?|lipsticks?|palette|nail polish|heels|shades?|tones?|make-?up)"
    r"|(?:lip|eye)?\s*(?:stick|shadow) in nude|nude beige|child-?like wonder|inner child|child's play|baby (?:blue|pink|hair|bangs|grand piano|breath|'s breath)"
    r"|kid gloves|kid leather|minor (?:key|details?|scratch(?:es)?|chord|changes?|damage|scale)|asia minor|ursa minor|sex and the city|teen titans|essex|sussex|cowboy|cowboys"
    r"|explicit (?:instructions?|detail|shapes?|geometry)|not? nudity|no nude|cocktails?|peacocks?|cock-?a-?doodle|weather ?cock|strip(?:ed)? (?:light|lights|mall|shirt)|comic strips?"
    r"|film strips?|led strips?|sunset strip|chicken thighs?|bare walls?|girl boss|nu jazz|nu metal|art nu|of a kind|kind (?:eyes|smile|face|person|woman|man|of)|a kind|very kind|kind,)"
)
_AGE = re.compile(
    r"\b(?:aged?\s+|age\s*[:=]?\s*)?(?P<years>\d{1,2})\s*-?\s*(?:years?|yrs?|yo|y/o|jahre|jahrige|jahriges|ans|anos|anni)\b(?:\s*-?\s*old)?|\baged?\s*[:=]?\s*(?P<aged>\d{1,2})\b"
)
_NUMBER_WORDS = {
    "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17,
}  # fmt: skip
_SPELLED_AGE = re.compile(r"\b(" + "|".join(_NUMBER_WORDS) + r")[\s-]+years?[\s-]+old\b")
_YOUNG = re.compile(
    r"\b(?:little|young|small|barely legal|underage|petite young|kleine|petite|pequena)\s+(?:girls?|boys?|madchen|fille|fillette|garcon|nina|nino|menina)\b"
)
_GIRL = re.compile(r"\bgirls?\b")

_REAL = re.compile(
    r"\b(?:real (?:person|people|woman|man|girl|photo)|(?:this|that|the|my|his|her|our) (?:photo|picture|selfie|image|pic) of"
    r"|my (?:ex|ex-?girlfriend|ex-?boyfriend|girlfriend|boyfriend|wife|husband|neighbou?r|boss|teacher|classmate|co-?worker|colleague|friend|sister|mother|mom|crush|student)"
    r"|(?:the )?(?:person|woman|man|girl|lady|people) (?:in|on|from) (?:the|this|that|my) (?:photo|picture|image|selfie|pic)"
    r"|meine[rn]? (?:ex|freundin|nachbarin|chefin|lehrerin|kollegin|frau|schwester)|ma (?:copine|voisine|prof|collegue|femme|soeur)|mi (?:novia|vecina|jefa|profesora|esposa|hermana)"
    r"|minha (?:namorada|vizinha|chefe|professora|esposa|irma)|celebrit(?:y|ies)|actress|politician|president|youtuber|influencer i know)\b"
)
_TAKE_OFF = re.compile(
    r"\b(?:remove|removing|take off|taking off|without|erase|delete|get rid of|see through|x-?ray)\s+(?:all\s+)?(?:of\s+)?(?:her|his|their|the|all|any|my \w+'s)?\s*"
    r"(?:clothes|clothing|bikini|bra|underwear|dress and underwear|top and bra|panties)\b"
)
_SWAP = re.compile(
    r"\b(?:face-?\s?swap(?:s|ped|ping)?|swap(?:ped|ping)?\s+(?:the\s+|her\s+|his\s+|their\s+)?faces?|deep-?\s?fakes?"
    r"|(?:put|paste|place|transfer|replace|stick)\s+(?:[\w']+\s+){0,4}face\s+(?:\w+\s+){0,2}(?:on|onto|over|with|to|into)\s+(?:[\w']+\s+){0,4}(?:photo|picture|body|video|face|image|pic))\b"
)

_LOOKALIKES = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i", "|": "l", "€": "e"})
_SPACED = re.compile(r"\b(?:[a-z][ .\-_*]){2,}[a-z]\b")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")


def check(texts: Sequence[str]) -> None:
    """Refuse what crosses a line. Every text of a request is read by itself and together with the others. Raises SafetyFilter."""
    read = [normalise(text) for text in texts if text]
    joined = "\n".join(read)
    for text in {*read, joined}:
        reason = _crossed(text)
        if reason:
            raise SafetyFilter(reason, field="prompt")


def normalise(text: str) -> str:
    """Lower case without accents, invisible characters and letters pulled apart; digits stay (ages need them)."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(ch for ch in plain if not unicodedata.combining(ch) and unicodedata.category(ch) != "Cf")
    together = _SPACED.sub(lambda found: re.sub(r"[\s.\-_*]+", "", found[0]), plain)
    # One space at most: patterns that may skip spaces would otherwise try every way to share a long run of them.
    return " ".join(together.split())


def _crossed(text: str) -> str | None:
    text = _HARMLESS.sub(" ", text)
    words = set(_WORD.findall(text))
    words |= set(_WORD.findall(text.translate(_LOOKALIKES)))
    words |= {part for word in words for part in word.split("-")}
    sexual = bool(words & _SEXUAL) or bool(_TAKE_OFF.search(text))
    if sexual and _has_minor(text, words):
        return "Likeness never makes sexual pictures of minors."
    if _SWAP.search(text):
        return "Likeness never puts one person's face on another's photo."
    undressing = bool(words & _UNDRESSING) or bool(_TAKE_OFF.search(text))
    if _REAL.search(text) and (sexual or undressing):
        return "Likeness never undresses or sexualises a real person."
    return None


def _has_minor(text: str, words: set[str]) -> bool:
    if words & _MINOR or _YOUNG.search(text) or _SPELLED_AGE.search(text):
        return True
    ages = (int(found["years"] or found["aged"]) for found in _AGE.finditer(text))
    return any(0 < age < 18 for age in ages)
