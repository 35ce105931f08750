"""The lines that never move: no sexualised minors, no undressing or sexualising of real people, no face of one person on another's photo.

Words are normalised first (Unicode, accents, look-alike letters and digits, letters pulled apart or repeated), then a request is refused when the
two halves of a forbidden thing meet in one text, such as a minor and sexual content. Word lists, not a language model: docs/safety.md says what
that can and can't do.
"""

# ruff: noqa: E501, SIM905 - word lists and patterns read better unbroken

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from studio.errors import SafetyFilter

_MINOR = frozenset(
    """
child children childs kid kids kiddie toddler toddlers infant infants baby babies preteen preteens pre-teen tween tweens teen teens teenager teenagers teenage
underage underaged minor minors schoolgirl schoolgirls schoolboy schoolboys schoolchild schoolchildren schoolkid schoolkids highschooler highschoolers boy boys girlchild loli lolita lolis shota jailbait
kindergartner kindergarten preschooler prepubescent pubescent adolescent adolescents juvenile daughter
kinder minderjahrig minderjahrige minderjahriger schulmadchen schulerin grundschulerin teenagerin madchen saugling kleinkind
enfant enfants mineur mineure mineures gamin gamine ecoliere collegienne lyceenne fillette
ninya ninyo ninyas ninyos menor colegiala adolescente adolescentes
crianca criancas menina menino meninas menores adolescencia
bambina bambino bambini minorenne
""".split()
)
# Words of two languages at once: they count beside a word of the language in which they mean a child.
_MINOR_BESIDE = {
    "kind": frozenset("ein eine einem das des dem kleines kleine nackt nackte nackter nacktes unbekleidet ohne mit und im am bett sexuell erotisch unterwasche jahre".split()),
    "nina": frozenset("desnuda desnudo desnudas erotica sexual ropa una la de anos sin con".split()),
    "nino": frozenset("desnudo desnuda desnudos erotico sexual ropa un el de anos sin con".split()),
    "ninas": frozenset("desnudas desnuda sexual ropa unas las de sin".split()),
    "ninos": frozenset("desnudos desnudo sexual ropa unos los de sin".split()),
}  # fmt: skip
# What shows or does too much, whoever it is said of …
_EXPLICIT = frozenset(
    """
nude nudes nudity naked topless bottomless undressed unclothed undress undressing porn porno pornographic pornography nsfw hentai sex sexual sexually sexualized
sexualised erotic erotica explicit orgasm masturbating masturbation intercourse fellatio blowjob handjob genitals genitalia rape raped raping molest molested incest
penis vagina vulva pussy cock tits boobs breast breasts nipple nipples areola stripping striptease stripper fetish bdsm bondage cum
nackt nackte nackten nackter nacktes oben-ohne unbekleidet erotisch erotische sexuell
nu nue nus nues denudee deshabillee erotique sexuelle seins
desnuda desnudo desnudas desnudos erotica erotico pezones
nua despida despido erotismo pelada pelado
nuda nudo svestita
""".split()
)
# … and what is only too much said of a child, or of somebody whom the asker knows.
_SUGGESTIVE = frozenset(
    "sexy lewd seductive seductively aroused cleavage lingerie panties bra brassiere underwear thong dessous unterwasche sensual".split()
)
_UNDRESSING = frozenset(
    """
undress undressing undressed strip stripped unclothe unclothed disrobe nudify deepnude deepfake denude
ausziehen entkleiden deshabiller deshabille desnudar despir spogliare
""".split()
)
# Names of the thing itself: nothing has to stand beside them.
_ALWAYS = frozenset(
    "lolicon shotacon toddlercon childporn kiddieporn pedo pedos pedophile pedophilia paedophile paedophilia csam jailbait".split()
)

# Words of one list that mean something else in this company: taken out before reading.
_HARMLESS = re.compile(
    r"\b(?:naked (?:mole rats?|eyes?|flames?|truth|cakes?|trees?|branch(?:es)?|twigs?|(?:light ?)?bulbs?|rocks?|wood|brick|hills?|hillsides?)"
    r"|nude (?:colou?r(?:ed)?|lipsticks?|palette|nail polish|heels|shades?|tones?|make-?up|beige)|(?:lip|eye)?\s*(?:stick|shadow) in nude"
    r"|child-?like wonder|inner child|child's play|kid gloves|kid leather|girl boss|boy-? ?shorts?|boyfriend (?:jeans|shirt)"
    r"|baby (?:blue|pink|hair|bangs|grand piano|breath|'s breath|bump|shower|doll (?:dress|top))"
    r"|(?:no|without|without any|not a|zero) (?:child(?:ren)?|kids?|minors?|teen(?:ager)?s?|bab(?:y|ies)|boys?|nudity|nudes?|nsfw|sex)"
    r"|minor (?:key|details?|scratch(?:es)?|chord|changes?|damage|scale)|(?:asia|ursa) minor|(?:mode|en|do|re|mi|fa|sol|la|si) mineure?"
    r"|same-? ?sex|opposite sex|sex and the city|teen titans|essex|sussex|cowboys?|explicit (?:instructions?|detail|shapes?|geometry)"
    r"|cocktails?|peacocks?|cock-?a-?doodle|weather ?cock|(?:blue|great|coal|marsh|willow|crested|long-tailed) tits?"
    r"|(?:chicken|turkey|duck) breasts?|breast (?:pocket|feeding|stroke|plate)|chicken thighs?|bare walls?"
    r"|strip(?:ed)? (?:lights?|mall|shirt)|strips? of (?:\w+ )?(?:sun)?(?:light|land|paper|fabric|cloth|sky|grass|film|wood|neon)|comic strips?|film strips?|led strips?|sunset strip"
    r"|pieds? nus?|nu-pieds|tete nue|bras nus|mains nues|oeil nu|nu jazz|nu metal|art nu|nackten? (?:fusse?n?|arme?n?|baume?n?)|pies desnudos"
    r"|\d{1,2}[ -]years?[ -]old (?:single )?(?:malt|whisk(?:e)?y|scotch|bourbon|rum|cognac|port|wine|cheese|house|building|tree|oak|car|castle|dog|cat|horse|tradition)"
    r"|\d{1,2} years? (?:of (?!age)\w+|ago|later|together|married))\b"
)
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
    "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40,
}  # fmt: skip
_NUMBER = r"(?P<years>\d{1,2}|" + "|".join(_NUMBERS) + r")"
_AGES = tuple(
    re.compile(pattern.replace("N", _NUMBER))
    for pattern in (
        r"\bN[\s-]*(?:years?|yrs?|yo|y/o|y\.\s?o\.?|jahre|jahrige[rsn]?|ans|anos|anni)\b",
        r"\b(?:aged?|age)\s*[:=]?\s*N\b",
        r"\b(?:she|he|they)(?:'?s|'?re| is| are| was| looks?| just turned| turned)\s+(?:only |just |about |barely )?N\b(?!\s*(?:cm|feet|foot|meters?|metres?|m|kg|pounds)\b)",
        r"\b(?:girls?|boys?|son|student|model|pupil|sister|brother|niece|nephew)\s*[(,:]\s*N\s*(?=[),;.\n]|$)",
    )
)
_YOUNG = re.compile(
    r"\b(?:(?:little|young|small|barely legal|underage|petite young|kleine|kleines|petite|pequena)\s+(?:girls?|boys?|madchen|fille|fillette|garcon|nina|nino|menina)"
    r"|school[\s-](?:girls?|boys?|child(?:ren)?|kids?)|(?:high|middle|primary|elementary|grade|junior)[\s-]school(?:[\s-](?:students?|pupils?|girls?|boys?|teacher's daughter))?(?:ers?)?"
    r"|(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d{1,2}th)[\s-]graders?)\b"
)

_CLOTHES = r"(?:clothes|clothing|dress|bikini|bra|underwear|top and bra|panties)"
_BARE = re.compile(
    r"\b(?:(?:remove|removing|take off|taking off|without|erase|delete|get rid of|see through|x-?ray)\s+(?:all\s+)?(?:of\s+)?(?:her|his|their|the|all|any|my \w+'s)?\s*"
    + _CLOTHES.replace("dress|", "")
    + r"|(?:take|pull|rip|tear)\s+(?:all\s+)?(?:her|his|their|the|my \w+'s)\s+"
    + _CLOTHES
    + r"\s+off|no clothe(?:s|ing)(?!\s?-?line)|wearing nothing|nothing on\b(?! the| a)|not wearing (?:any ?thing|any clothe(?:s|ing)|a thing|clothes)"
    r"|(?:sem|sin|sans|ohne|senza)\s+(?:roupas?|ropa|vetements?|kleidung|kleider|vestiti))\b"
)

# Somebody whom the asker knows or has a photo of …
_KNOWN = re.compile(
    r"\b(?:real (?:person|people|woman|man|girl)|(?:this|that|my|his|her|our) (?:photo|picture|selfie|image|pic) of|(?:photo|picture|selfie|pic) of (?:my|his|her|our|this|that) "
    r"|my (?:ex|ex-?girlfriend|ex-?boyfriend|girlfriend|boyfriend|wife|husband|neighbou?r|boss|teacher|classmate|co-?worker|colleague|friend|sister|mother|mom|crush|student)"
    r"|(?:the )?(?:person|woman|man|girl|lady|people) (?:in|on|from) (?:the|this|that|my) (?:photo|picture|image|selfie|pic)"
    r"|meine[rn]? (?:ex|freundin|nachbarin|chefin|lehrerin|kollegin|frau|schwester)|ma (?:copine|voisine|prof|collegue|femme|soeur)|mi (?:novia|vecina|jefa|profesora|esposa|hermana)"
    r"|minha (?:namorada|vizinha|chefe|professora|esposa|irma)|influencer i know)\b"
)
# … and somebody who is known to all, or may be.
_PUBLIC = re.compile(r"\b(?:celebrit(?:y|ies)|actress|politician|president|youtuber)\b")

_SWAP = re.compile(
    r"\b(?:(?:face|head)-?\s?swap(?:s|ped|ping)?|swap(?:ped|ping)?\s+(?:the\s+|her\s+|his\s+|their\s+)?(?:faces?|heads?)|deep-?\s?fakes?"
    r"|(?:put|paste|place|transfer|replace|stick)\s+(?!(?:\w+\s+)?hands?\b)(?:[\w']+\s+){0,4}(?:face|head)\s+(?:\w+\s+){0,2}(?:on|onto|over|with|to|into)\s+(?:[\w']+\s+){0,4}(?:photo|picture|body|video|face|image|pic)"
    r"|gesichts?tausch|gesicht(?:er)?\s+(?:aus)?tauschen|gesicht\s+(?:[\w']+\s+){0,4}(?:auf|in)\s+(?:[\w']+\s+){0,4}(?:foto|bild|korper)"
    r"|echang\w*\s+(?:de\s+|les\s+|leurs\s+)?(?:visages?|tetes?)|visage\s+(?:[\w']+\s+){0,4}sur\s+(?:[\w']+\s+){0,4}(?:photo|image|corps)"
    r"|(?:intercambi\w*|cambi\w*)\s+(?:de\s+|las\s+|los\s+)?(?:caras?|rostros?)|(?:cara|rostro)\s+(?:[\w']+\s+){0,4}(?:en|sobre|no|na)\s+(?:[\w']+\s+){0,4}(?:foto|imagen|imagem|cuerpo|corpo)"
    r"|troca\w*\s+(?:de\s+|os\s+|as\s+)?(?:rostos?|caras?)|scambi\w*\s+(?:di\s+|i\s+|le\s+)?(?:volt[oi]|facc(?:ia|e)))\b"
)

_LETTERS = str.maketrans("авеёзкмнорстухіїјѕԁһԛԝɡαβεικνορτυχʟɴɪ", "abee3kmhopctyxiijsdhqwgabeiknoptuxlni")
_LOOKALIKES = tuple(
    str.maketrans({"0": "o", "1": one, "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i", "|": "l", "€": "e"})
    for one in "il"
)
_SPACED = re.compile(r"\b(?:[a-z0-9@$][ .\-_*]){2,}[a-z0-9@$]\b")
_SPLIT = re.compile(r"(?<=[a-z])[._*~^+|/\\-]+(?=[a-z])")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_NAMES = Path(__file__).with_name("public_names.txt")


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
    # The ñ of niña tells a girl from the name Nina.
    plain = unicodedata.normalize("NFC", text).casefold().replace("niñ", "niny")
    plain = unicodedata.normalize("NFKD", plain).casefold()
    plain = "".join(ch for ch in plain if not unicodedata.combining(ch) and unicodedata.category(ch) != "Cf").translate(_LETTERS)
    together = _SPACED.sub(lambda found: re.sub(r"[\s.\-_*]+", "", found[0]), plain)
    # One space at most: patterns that may skip spaces would otherwise try every way to share a long run of them.
    return " ".join(together.split())


def _crossed(text: str) -> str | None:
    text = _HARMLESS.sub(" ", text)
    words = _words(text)
    explicit = bool(words & _EXPLICIT) or bool(_BARE.search(text))
    sexual = explicit or bool(words & _SUGGESTIVE)
    if words & _ALWAYS or (sexual and _has_minor(text, words)):
        return "Likeness never makes sexual pictures of minors."
    if _SWAP.search(text):
        return "Likeness never puts one person's face on another's photo."
    explicit = explicit or bool(words & _UNDRESSING)
    if ((explicit or sexual) and (_KNOWN.search(text) or _has_public_name(text))) or (explicit and _PUBLIC.search(text)):
        return "Likeness never undresses or sexualises a real person."
    return None


def _words(text: str) -> set[str]:
    """The words of a text as they are written, and as they may be meant."""
    words: set[str] = set()
    for written in _readings(text):
        words.update(_WORD.findall(written))
    words |= {part for word in words for part in word.split("-")}
    return words | {part for word in words for part in _two_in_one(word)}


def _readings(text: str) -> Iterator[str]:
    yield text
    for table in _LOOKALIKES:
        yield text.translate(table)
    yield _SPLIT.sub("", text)
    for letters in (r"\1", r"\1\1"):
        yield _DRAWN_OUT.sub(letters, text)


def _two_in_one(word: str) -> Iterator[str]:
    """The parts of words that were written as one, where both are on a list: "nakedchild"."""
    if len(word) < _SHORTEST_PAIR or len(word) > _LONGEST_PAIR:
        return
    for at in range(3, len(word) - 2):
        if word[:at] in _LISTED and word[at:] in _LISTED:
            yield word[:at]
            yield word[at:]


_LISTED = _MINOR | _EXPLICIT | _SUGGESTIVE
_SHORTEST_PAIR, _LONGEST_PAIR = 7, 24


def _has_minor(text: str, words: set[str]) -> bool:
    if words & _MINOR or _YOUNG.search(text):
        return True
    if any(word in words and words & company for word, company in _MINOR_BESIDE.items()):
        return True
    ages = (found["years"] for pattern in _AGES for found in pattern.finditer(text))
    return any(0 < (_NUMBERS[age] if age in _NUMBERS else int(age)) < 18 for age in ages)


def _has_public_name(text: str) -> bool:
    return bool(_public_names().search(text))


@cache
def _public_names() -> re.Pattern[str]:
    """People whose pictures are abused most: full names only, so that a character may share a first name with one."""
    names = [line for line in _NAMES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return re.compile(r"\b(?:" + "|".join(re.escape(normalise(name)).replace(r"\ ", r"[\s_-]*") for name in names) + r")\b")
