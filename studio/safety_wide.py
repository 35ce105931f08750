"""The coarsest reading of a request: which kinds of things are spoken of together, in whatever order and with whatever grammar.

The text is normalised, and whoever the asker or the world knows reads `SOMEBODY`. Where it says that it is about somebody invented, nothing is read.
"""

# ruff: noqa: E501 - word lists and patterns read better unbroken

from __future__ import annotations

import re

from studio.safety_swap import _BODY, _DEM, _FACE, _STILL, HONEST, NOBODYS_FACE, SOMEBODY
from studio.safety_swap import _PERSON as _PEOPLE

_PERSON = (
    "(?:"
    + _PEOPLE
    + r"|\w*models?|influencers?|queens?|kings?|presidents?|princes?(?:ses|s)?|presenters?|newsreaders?|reporters?|ballerinas?|cheerleaders?|sumos?|pope|emperor|sheriff|villains?|speakers?|guitarists?|performers?|champions?|dudes?|bros?|konigin|konig|sangerin|kaiser|prasident\w*|rois?|reines?|presidente?|reina|rey|regina|rei|rainha|atleta|lottatore|lutador\w*|koning\w*)"
)


KIN = re.compile(
    r"\b(?:my|our|mein\w*|unser\w*|ma|mon|mi|mia|mio|mijn|minha|meu) (?:\w+ )?(?:nan|nana|nanna|gran|gramps|grampa|pops|old (?:man|lady)|ma|pa|(?:better|other) half|kids?|bub|missus|mrs|boo|bae|gal|lass|fella|bloke|squad|homies?|homegirl|bro|sis|mutti|mama|papa|vati|omi|opi|schatz\w*|mamie|papi|maman|cherie?|viej[oa]|abuelit[ao]|mami|amor|nonn[ao]|mamma|babbo|vo|vovo|painho|mainha|mozao|schat|moeke|omaatje)\b"
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(patterns) + r")\b")


INVENTED = _any(
    r"(?:my|our|an?|the|original|same|main|this|her|his) (?:own |original |main )?(?:characters?|ocs?|mascot|avatar)|character sheet|reference sheet|model sheet|fictional|fictitious|fiktiv\w*|fictifs?|fictives?|ficticia|ficticio|fittizi\w|meine[rn]? (?:figur|charakter)|mein charakter|(?:mon|du) personnage|mi personaje|(?:mio|del) personaggio|m(?:eu|inha) personagem|mijn personage"
)

# Exchanges of faces

_FACES = re.compile(
    r"\b"
    + _FACE
    + r"\b|\b[\w-]*(?:gesicht|kopf)\b|\bsomeone else's (?:features|looks)\b|\b(?:kisser|bonce|phiz|fizzog|tronche|bouille|trogne|fresse|birne|visage|schadel|antlitz|careto|jeto|semblante|muso|grugno|fuca|smoel|snoet|kop|facce|physiognomy|countenance)\b"
)
_FACE_ON = re.compile(
    r"\b" + _FACE + r" (?:\w+ )?(?:on|onto|over|in|into|auf|sur|sobre|su|sulla|sul|op|em|en|no|na) |\b" + _FACE + r" ?[+:=>&]"
)
_PIECES = re.compile(
    r"\b(?:cheekbones?|eyes?|nose|mouth|jaw(?:line)?|lips|eyebrows|augen|nase|mund|yeux|nez|bouche|ojos|nariz|boca|occhi|naso|bocca|olhos|ogen|neus|mond)(?:,| and| und| et| y| e| en) (?:\w+,? ){0,2}?(?:cheekbones?|eyes?|nose|mouth|jaw(?:line)?|lips|eyebrows|augen|nase|mund|yeux|nez|bouche|ojos|nariz|boca|occhi|naso|bocca|olhos|ogen|neus|mond)\b"
)
_BOTH = _any(
    _FACE
    + r" (?:of|from|von|vom|des|der|de|du|del|della|di|do|da|van|uit|aus)\b.{1,60}?\b"
    + _BODY
    + r" (?:of|from|von|vom|des|der|de|du|del|della|di|do|da|van|uit|aus)",
    _BODY
    + r" (?:of|from|von|vom|des|der|de|du|del|della|di|do|da|van|uit|aus)\b.{1,60}?\b"
    + _FACE
    + r" (?:of|from|von|vom|des|der|de|du|del|della|di|do|da|van|uit|aus)",
    r"(?:different|new|another|other|anderes?|anderen|neues|autre|nouve\w+|otr[ao]|nuev[ao]|altr[ao]|nuov[ao]|outr[ao]|nov[ao]|ander|nieuw) "
    + _FACE
    + r"(?:(?: [-\w',:]+){0,8}? (?:from|of|like|aus|von|de|da|di|del|van) (?:[\w'-]+ ){0,2}?(?:"
    + _STILL
    + r"|[\w-]+\.(?:jpe?g|png|webp)|"
    + SOMEBODY
    + r")|[,:;] "
    + SOMEBODY
    + r")",
)
_FACE_OFF = re.compile(
    r"\b(?:face|head)s? off (?:of )?(?=(?:one|him|her|them|this|that|my|mine|the (?:first|second|one|left|right|other|top|photo|picture)|"
    + SOMEBODY
    + r"|[\w-]+'s)\b)"
)
# He is called like a thing.
_THE_ROCK = re.compile(r"\bthe rock'?s(?= (?:face|head) (?:on|onto|over|instead))")
_TWO = re.compile(
    r"\b(?:2|two|both|zwei|beiden?|deux|dos|ambas|due|dois|duas|twee)(?: of)?(?: my| these| the| this| die| les| las| le| as| de)? (?:\w+ )?"
    + _STILL
    + r"\b"
)
_OWN_FACE = re.compile(
    r"\b(?:my|mein\w*|mon|ma|mi|la mia|il mio|minha|meu|mijn|me|mich|moi|"
    + SOMEBODY
    + r"(?:'s)?|[\w-]+'s) (?:own )?"
    + _FACE
    + r"|\b"
    + _FACE
    + r" (?:of|from|von|vom|de|di|da|do|del|van) (?:\w+ ){0,2}?"
    + SOMEBODY
)
_THEIR_BODY = re.compile(
    r"\b(?:his|her|their|the|this|that|another|someone's|"
    + SOMEBODY
    + r"(?:'s)?|[\w-]+'s|ihr\w*|sein\w*|son|sa|su|sus|suo|sua|seu|haar|zijn|rest of|everything else) (?:\w+ )?(?:"
    + _BODY
    + r"|pose)\b|\b"
    + _BODY
    + r" (?:of|from|von|de|di|da|do|van) \w+"
)
_ON_THEM = re.compile(
    r"\b(?:on|onto|over|auf|sur|sobre|su|op|em|en) (?:her|him|them|ihr|ihm|ihn|ihnen|lui|elle|eux|ella|el|lei|loro|ela|ele|haar|hem|hen|someone|somebody|a stranger)\b(?! (?:shoulder|lap|chest|back|\w*'s))"
)
_MY = r"(?:my|mein\w*|mon|ma|mi|la mia|il mio|mia|mio|minha|meu|mijn|m'n)"
# The asker.
_SELF = re.compile(
    r"\b(?:" + _MY + r" (?:own |eigene\w* |propre |propria |proprio |propia |eigen |pretty |ugly |beautiful )?" + _FACE
    + r"|mine|myself|selfies?|(?<!make )(?<!give )(?<!show )(?<!draw )(?<!for )(?<!paint )(?<!create )(?<!generate )(?<!help )(?<!do )(?<!get )(?<!send )(?<!let )me\b(?! (?:an?|the|some|in|look)\b)|mich|moi(?!ns)|mim|meins|mienne?|mijne|meinem|le mien|la mienne|(?:la|el|a|o|il) (?:mia|mio|minha|meu)(?=$|[,.;!?]))\b"
)  # fmt: skip
_FAMILY = re.compile(
    r"\b(?:mom|mum|mommy|mummy|mama|dad|daddy|papa|grandma|grandpa|granny|nana|oma|opa|mamie|papi|maman|abuela|abuelo|nonna|nonno|vovo)s?(?:'s)?\b"
)
_POSSESSOR = re.compile(
    r"\b(?!(?:it|he|she|that|this|who|what|there|here|let|where|how|one|today|men|women|children|kids|people|everyone|nobody)'s)([a-z-]+)'s\b"
)
_BARE_POSSESSOR = re.compile(
    r"\b(?!this|his|whose|across|less|class|its|these|those|yours|as|is|was|has|does|clear|famous|gorgeous|bas|plus|mes|ses|des|les|tes|las|los|unas|sus|mis|towards|sides|kids|boys|girls|childrens|various|numerous|serious|precious)([a-z]{3,}s) (?:face|head|mug)\b"
)
_OTHER = re.compile(
    r"\b(?:hers|theirs|him|them|ihm|ihn|ihre?s|seine?s|(?:la|el|il|a|o) (?:suya|suyo|sua|suo|sienne?|dela|dele)|le sien|celle de|celui de|quella d\w*|quello d\w*|la del?|el del?|(?<!make )(?<!show )(?<!give )her(?=$|[,.;!?\n]| (?:own )?(?:face|head|body|mug)\b| (?:with|for|into|onto|to|in|on)\b)|(?:his|their) (?:own )?(?:face|head|body|mug)s?|ihr\w* (?:gesicht|kopf|korper)|sein\w* (?:gesicht|kopf|korper)|so[na] (?:visage|tete|corps)|leurs? (?:visages?|tetes?)|sus? (?:caras?|rostros?|cabezas?|cuerpos?)|su[ao] (?:volto|faccia|testa|corpo|cara|rosto)|(?:haar|zijn) (?:gezicht|hoofd|lichaam)"
    r"|(?:the|this|that|these|those|another|other|some|die|der|den|dem|das|dies\w+|le|la|les|l'|cette|ce|cet|el|los|las|este|esta|ese|esa|il|lo|i|gli|questa|questo|quel\w*|o|os|as|essa|esse|desse|dessa|nesse|nessa|do|da|del|della|al|alla|du|de|het|deze|dit|die|auf|on|onto|on an?|onto an?|over an?|eines?|einer|einem|un|une|una|um|uma) ?(?:(?!own\b)[\w-]+ )?" + _PERSON
    + r"|(?:the|l[ae]|der|die|el|o|a|il|de) (?:one|celle|quella|degene) (?:on|in|who|that|doing|at|giving|with)|someone(?: else)?|somebody(?: else)?|strangers?|everyone(?: else)?|a different (?:person|woman|man|girl|guy)|jemand\w*|quelqu'un|alguien|alguem|qualcuno|iemand|" + _BODY
    + r"|(?:on|onto|over|into|auf|sur|sobre|su|sulla|op) (?:" + _DEM + r"|the|a|an|my|someone's) (?:[\w'-]+ ){0,3}?" + _STILL + r")\b(?!'s? (?:shoulder|lap))"
)  # fmt: skip
_CHANGE = _any(
    r"put|puts|putting|place[ds]?|past(?:e|ed|ing)|swap\w*|swop\w*|replac\w*|chang(?:e|ed|ing)|exchang\w*|switch\w*|trad(?:e|ed|ing)|transfer\w*|add|stick|insert\w*|edit(?:ed|ing)?|merg\w*|blend\w*|fus(?:e|ed|ing)|combin\w*|morph\w*|use|using|take|copy|move|apply|make|give|giving|gets?|turn|want|need|wears?|wearing|should|slap|shop|photoshop\w*|graft\w*|superimpos\w*|overlay\w*|mount|attach\w*|drop|fit|splice|render|project\w*|match|have|has|having|instead|onto|but (?:with|it's|its|now|the|my|his|her)|with the (?:face|head)|same \w+ but|lieu|becomes?|belongs?|in place of|wanna|gonna|would look|imagine|what if|with (?:\w+ )?"
    + SOMEBODY
    + r"(?:'s)? (?:face|head|mug)|on top|except|not (?:his|hers|mine)|=|->|goes on|go on|going on|lend|borrow|steal|rip|cut out|crop out|bring|throw|pop|whack|chuck|slap|plonk|swaparoo",
    r"misch\w*|vermisch\w*|setz\w*|kleb\w*|montier\w*|tausch\w*|ersetz\w*|wechs\w*|pack\w*|mach\w*|tu|hau|nimm|gib|lege?n?|baue?n?|kopier\w*|ubertrag\w*|anstelle|statt|soll\w*|will|mochte|hatte|bekommt|kriegt|aber mit",
    r"mets|mettre|met|melang\w*|colle[rz]?|remplac\w*|echang\w*|prends|donne|greff\w*|incrust\w*|ajoute\w*|veux|voudrais|a la place|au lieu|fais|change[rz]?|mais avec|ait",
    r"mezcla\w*|combina\w*|mescola\w*|mistura\w*|pon|pones|poner|ponle|ponme|ponga|pega\w*|coloca\w*|cambia\w*|usa\w*|reemplaz\w*|sustitu\w*|intercambi\w*|quiero|en lugar|en vez|dale|haz|que (?:salga|aparezca|tenga)|pero con|metele",
    r"metti\w*|mettere|incoll\w*|sostitu\w*|scambi\w*|prendi|monta(?:re|mi)?|inserisci|voglio|vorrei|al posto|invece|dagli|dalle|fai|abbia|ma con",
    r"bota\w*|col[ae]|troca\w*|troque|poe|por|ponha|coloque|substitu\w*|quero|queria|no lugar|em vez|faz|faca|mas com|tenha",
    r"zet|plak\w*|vervang\w*|verwissel\w*|wissel\w*|neem|geef|wil|in plaats|maar met|maak|ruil\w*|krijgt",
)
# What may be done with the faces of several people.
_GENTLE = _any(
    r"side by side|both (?:smil\w+|laugh\w+|looking)|next to|hug\w*|kiss\w*|cheek|together|smile\w*|smiling|lacheln\w*|sourire\w*|sonri\w*|sorri\w*|expressions?|eyes (?:open|closed)|happier|tired|tears?|freckles|glasses|sunglasses|hats?|caps?|crown|helmet|beard|moustache|mustache|makeup|make[- ]?up|wrinkles?|pimples?|skin tone|consisten\w+|keep (?:\w+ )?(?:face|faces|head)|wedding cake|portraits? of|carved|statues?|bust|sculpture|coins?|stamps?|mount rushmore|snow globe|cookies?|pumpkin|puppets?|caricature|cartoons?|painting|oil|watercolou?r|embroider\w*|mosaic|tattoo|blur(?:red|ry)?|pixelat\w*|anonymi[sz]\w*|censor|emojis?|unkenntlich|verpixel\w*|flouter?|floute\w*|pixela\w*|desenfoca\w*|difumina\w*|sfoca\w*|borra(?:r|d)?|desfoca\w*|vervaag\w*|hut|hute|mutze|brille|krone|chapeau|lunettes|sombrero|gafas|corona|cappello|occhiali|chapeu|oculos|hoed|bril|colou?r|lighting|shirts?|sweaters?|dress(?:es)?"
)
_PICTURES = re.compile(
    r"\b(?:(?:first|1st|second|2nd|other|one|left|right|source|target|ersten?s?|zweiten?s?|anderen?s?|premiere?|deuxieme|seconde?|autre|primer[ao]?|segund[ao]|otr[ao]|prim[ao]|altr[ao]|second[ao]|primeir[ao]|outr[ao]|eerste|tweede|andere) (?:one|" + _STILL
    + r")|" + _STILL + r" (?:number |no\.? ?|nr\.? ?|#)?(?:\d|[ab]|one|two|uno|due|deux|eins|zwei|dos|dois)|(?:person|wom[ae]n|m[ae]n|girl|guy|model|subject|actor|frau|mann|femme|homme|mujer|hombre|donna|uomo|mulher|homem|persona|pessoa|personne|persoon)s? (?:number |#)?(?:\d|[ab]|one|two)|(?:img|dsc|pic|photo|image)_?\d\w*|[\w-]+\.(?:jpe?g|png|webp)|#[12]|here and|(?:den|das|die|the|la|le|el|il|a|o) (?:zweite[ns]?|second|deuxieme|segund[ao]|second[ao]|tweede|ersten?s?|first|premiere?|primer[ao]?|prim[ao]|primeir[ao]|eerste|other|andere[sn]?|otr[ao]|autre|altr[ao]|outr[ao]))\b"
)  # fmt: skip
_STEAD = re.compile(
    r"\b(?:instead of|in place of|in lieu of|rather than|anstelle (?:von|des|der)|anstatt|statt|a la place d\w+|au lieu d\w+|en lugar d\w+|en vez d\w+|al posto d\w+|invece d\w+|no lugar d\w+|em vez d\w+|in plaats van) ?(?:[\w'-]+ ){0,3}?(?:" + _PERSON + "|" + SOMEBODY + r"|him|her|them|hers|ihm|ihre?s?|seine?s|lui|elle|el|ella|lei|ele|ela|hem|haar|(?:la|el|a) (?:sienne?|suya|sua|dela|dele))\b"
)  # fmt: skip
_ME_OR_SOMEBODY = re.compile(
    r"\b(?:"
    + SOMEBODY
    + r"|(?<!make )(?<!give )(?<!show )(?<!draw )(?<!for )me|myself|mich|moi|mim|it's me|its me|soy yo|sono io|ben ik|sou eu)\b"
)
_FOR_ME = re.compile(
    r"\b(?:swap|replac|exchang|switch|sub|substitut|trad|ersetz|tausch|remplac|echang|cambi|reemplaz|sustitu|sostitu|scambi|troc|troqu|vervang|verwissel)\w* (?:out )?(?:[\w'-]+ ){1,5}?(?:with|for|by|durch|gegen|mit|par|avec|contre|por|con|pel[oa]|com|door|met) (?:"
    + SOMEBODY
    + r"(?!'s)|me\b|myself\b|mich\b|moi\b|mim\b|mij\b)"
)
_SCENE = re.compile(r"\b(?:" + _STILL + r"|poster|cover|scene|scena|escena|cena|szene|plakat|affiche|locandina|cartel|filmszene)\b")
# Without any of these, none of the rules below can hold.
_HINT = re.compile(
    r"\b(?:me|myself|mine|mich|moi|mim|mij|eu|yo|io|ik|i|ich|fammi|hazme|convierteme|quero|quiero|voglio|sou|soy|sono|suis|who|fak\w+|re-?fac\w+|\w*fake\w*|swap\w*|switch\w*)\b|face|"
    + _FACES.pattern
    + "|"
    + _PIECES.pattern
)
_SAME = re.compile(
    r"\b(?:same|this|that|gleiche[sn]?|selbe[sn]?|dieses|meme|cette|misma|esta|stessa|questa|mesma|essa|esta|zelfde|deze) (?:[\w'-]+ ){0,2}?" + _STILL
    + r"(?: [\w',-]+){0,6}?,? (?:but|now|just|except|only|aber|nur|mais|pero|ma|mas|maar|so|and|und|et|y|e) (?:[\w'-]+ ){0,2}?(?:it's|its|it is|make it|make her|make him|make them|he's|she's|be|is|as|of|starring|shows?|showing|featuring|becomes?|turn\w*|mit|ist|c'est|avec|es|con|sea|sia|e|com|seja|met|is) (?:now |the |actually |really )*(?:" + SOMEBODY + r"|me|mich|moi|yo|io|eu|ik)\b(?! (?:wear|in a|in the|with|smil|look|hold|stand|sit|laugh|younger|older|and|by|at|on|'))"
)  # fmt: skip
_BECOMES = _any(
    r"aus (?:dem|der|den|diesem|dieser) (?:[\w-]+ ){0,3}?" + _PERSON + r" (?:[\w'-]+ ){0,4}?" + SOMEBODY,
    r"(?:make|turn|edit|change|so|should|must|morph|want|mach\w*|lass\w*|fais|faire|haz\w*|fai|fallo|falla|faz|faca|maak|laat|soll\w*) (?:[\w'-]+ ){0,6}?(?:look\w* (?:exactly |just |more |a lot |identical )*like|(?:identical|similar) to|pass(?:es)? (?:for|as)|resembl\w+|mistaken for|aus(?:sieht|sehen|schaut|schauen) wie|ressembl\w+ a|parezca\w*(?: a)?|se parezca a|(?:as)?somigli\w+ a|sembr\w+|parec\w+(?: com)?|igual a|lijken? op|eruitzien als) (?:[\w'-]+ ){0,2}?"
    + SOMEBODY
    + r"(?! (?:hair|style|dress|outfit))(?=.{0,120})",
    SOMEBODY
    + r" (?:[\w'-]+ ){0,2}?(?:plays|playing|starring as|cast as|portraying|taking over|as) (?:the )?(?:lead|main|hero|heroine|role|bride|groom|james bond|joker|batman|rose|jack)\b",
)
_WHOM = r"(?:" + SOMEBODY + r"(?!'s)|(?<!make )(?<!give )(?<!show )(?<!draw )(?<!for )me\b|myself\b|mich\b|moi\b|mij\b|eu\b|yo\b|io\b)"
_PART = (
    r"(?:(?:the|this|that|these|der|die|das|den|dem|diese\w*|le|la|l'|cette|ce|el|este|esta|il|lo|questa|questo|o|a|esse|essa|do|da|al|alla|du|de|het|deze|dit) ?(?:[\w-]+ ){0,2}?"
    + _PERSON
    + r"|him\b|her\b|them\b|hers\b)"
)
_TURNED = _any(
    r"(?:swap\w*|swop\w*|switch\w*|replac\w*|exchang\w*|trad(?:e|ing)|sub|substitut\w*|tausch\w*|vertausch\w*|ersetz\w*|echang\w*|remplac\w*|interverti\w*|intercambi\w*|reemplaz\w*|sustitu\w*|cambia\w*|scambi\w*|sostitu\w*|troca\w*|troque|substitu\w*|vervang\w*|verwissel\w*|ruil\w*) (?:out )?(?:(?:a|al|l') ?)?(?:"
    + _WHOM
    + r" (?:and|with|for|by|und|mit|durch|gegen|et|avec|par|contre|y|con|por|e|com|pel[oa]|en|met|door) (?:\w+ )?(?:"
    + _PART
    + "|"
    + _PERSON
    + r"\b|"
    + SOMEBODY
    + ")|"
    + _PART
    + r" (?:[\w'-]+ ){0,5}?(?:and|with|for|by|und|mit|durch|gegen|et|avec|par|contre|y|con|por|e|com|pel[oa]|en|met|door|to|into) (?:\w+ )?"
    + _WHOM
    + ")",
    r"(?:change|turn|transform|convert|morph|make|swap|verwandle|verwandel\w*|mach\w*|transforme\w*|change\w*|convierte|transforma\w*|cambia|trasforma\w*|verander) (?:"
    + _PART
    + r"|(?:uncle|aunt|auntie|cousin|grandma|grandpa) \w+|everyone|everybody|all of (?:us|them)|"
    + SOMEBODY
    + r"|me) (?:[\w'-]+ ){0,5}?(?:into|to|in|en|em) "
    + SOMEBODY
    + r"(?!'s)",
    r"(?:where|so|so that|in which|as if|as though|like|version|dass|damit|wo|ou|pour que|donde|para que|que|dove|onde|waar|zodat|want|makes?|thinks?) (?:\w+ ){0,2}?"
    + _WHOM
    + r"(?: is| was| are| were| am|'m| ist| bin| ware| est| suis| soit| es| soy| sea| e| sono| sia| seja| sou| ben) (?:actually |now |really )?"
    + _PART,
    r"(?:except|but|only|where|now|and|aber|nur|mais|pero|ma|mas|maar) (?:now |that )?"
    + _PART
    + r"(?:'s| is| are| ist| est| es| e| is) (?:actually |now |really )?"
    + _WHOM,
    r"(?:make|turn|mach\w*|fais|haz|fai|faz|maak) (?:the|this|that|der|die|das|den|le|la|el|il|o|a|de|het) [\w-]+ (?:on|in|from|of|auf|im|sur|en|su|in|na|no|op) (?:the|this|that|my|dem|diesem|la|cette|esta|questa|nesta|deze) ?"
    + _STILL
    + r" (?:to |into |be |zu |en |in )?"
    + _WHOM,
    r"(?:chang\w*|swap\w*|switch\w*|replac\w*|alter\w*|edit) who(?:'s| is| are| appears)? (?:\w+ )?(?:in|on) (?:this|the|that|my)",
    _FACE
    + r" (?:\w+ ){0,2}?(?:swapped|replaced|exchanged|switched|traded|ersetzt|ausgetauscht|getauscht|remplacee?|echangee?|reemplazad[oa]|sustituid[oa]|cambiad[oa]|sostituit[oa]|scambiat[oa]|trocad[oa]|substituid[oa]|vervangen|verwisseld)\b(?! (?:with|by|durch|par|por|con|door) (?:an? |the |une? |el |la |ein\w* )?(?:\w+ )?(?:flower|skull|mask|clock|light|galaxy|void|moon|sun|tv|screen|mirror|smile|emoji|blume|fleur|flor|fiore))",
    r"instead of [^.;!?]{1,60}[,;] ?(?:it's|its|it is|make it|put|use|i want|have|show|be|with) " + _WHOM,
    r"(?:but|where|and|aber|mais|pero|ma|mas|maar) (?:i'm|im|i am|ich bin|je suis|yo soy|soy|io sono|sono|eu sou|sou|ik ben) (?:actually |now )?(?:him|her|them|sie|er|elle|lui|ella|el|lei|ela|ele|hem|haar|"
    + SOMEBODY
    + "|"
    + _PART
    + r")(?=$|[ ,.;!])",
    r"(?:fammi (?:diventare|essere)|voglio (?:essere|diventare)|hazme|convierteme en|quiero ser|transforme-moi en|fais de moi|mach mich zu[mr]?|ich will|me transforma n?em?|me faz (?:virar|ser)|quero ser|maak (?:me|mij)|make me|turn me into|let me be|i want to be|i wanna be|cast me as|put me as) (?:the |l'|this |that |der |die |den |le |la |el |il |lo |o |a |de )(?:[\w-]+ )?"
    + _PERSON
    + r" (?:[\w'-]+ ){0,3}?(?:this|that|the (?:photo|pic|picture|video|clip|scene|movie|film)|dies\w+|cette|esta|este|questa|questo|dessa|desse|nesta|deze)",
    r"(?:" + _PART + "|" + _PERSON + r"\b)(?: [\w'-]+){0,5}? ?(?:->|=>|\u2192|=|:) ?" + _WHOM,
    r"(?:but|except|only|aber|mais|pero|ma|mas|maar) (?:then |now )?(?:make it|it's|its|it is|he's|she's|he is|she is|mit|es ist|c'est|es|sea|e|con|seja|het is) (?:actually |now |really )?"
    + _WHOM
    + r"(?! (?:wear|in|with|smil|look|hold|stand|sit|laugh|younger|older|and|by|at|on|who))(?=$|[ ,.;!?])",
    _WHOM
    + r" (?:to be |should be |as (?!an? )|be |being |becomes? |playing |plays? |als |en tant que |comme |como |come |soll |fa |hace de |faz )+"
    + _PART
    + r"(?: (?:[\w'-]+ ){0,3}?(?:on|in|at|from|who|with|links|rechts|auf|im|in|sur|dans|a|de|en|nella|sulla|na|no|op) )",
    r"(?:the|this|that|der|die|das|le|la|l'|el|il|o|a|de) ?(?:[\w-]+ )?"
    + _PERSON
    + r" (?:[\w'-]+ ){0,5}?(?:should be|must be|needs? to be|has to be|ought to be|to be|becomes?|turns? into|be|soll|sollte|doit etre|devrait etre|deberia ser|debe ser|sea|dovrebbe essere|deve essere|diventi|sia|deve ser|devia ser|seja|vire|moet) (?:actually |now |really |instead )?"
    + _WHOM
    + r"(?! (?:and|und|et|y|e|en)\b)",
    r"(?:blend|past|merg|superimpos|map|overlay|graft|morph|fus|transfer|composit|photoshop|splic|transplant)\w* (?:"
    + _WHOM
    + r"|it|that|"
    + SOMEBODY
    + r"(?:'s)? \w+|my (?:\w+ )?"
    + _STILL
    + r"|(?:a|the|this) selfie) (?:[\w'-]+ ){0,4}?(?:onto|on|over|into|with|on top of) (?:[\w'-]+ ){0,3}?(?:"
    + _PERSON
    + "|"
    + _BODY
    + "|"
    + SOMEBODY
    + ")",
    r"(?:put|stick|edit|photoshop|insert|paste|cast|use|have|make|setz\w*|mets|pon|metti|poe|bota|zet) "
    + _WHOM
    + r" (?:[\w'-]+ ){0,3}?(?:as|into the role of|in the role of|in the (?:body|place|spot|shoes) of|for|als|comme|como|come) "
    + _PART,
)
_SHOT = re.compile(r"\b" + _STILL + r"\b")
_NAMED = _any(
    r"(?:deep|cheap|shallow)[ -]?fak(?:e|es|ed|ing|er)|face[ -]?(?:swap|swop|switch|morph|fus|graft|transplant|replac|clon|hijack|chang|merg)\w*|(?:re|swap|switch)[ -]?fac(?:e|ed|ing)\b|head[ -]?(?:swap|switch|replac|graft)\w*|gesichts?(?:er)?(?:tausch|wechsel|austausch)\w*|(?:face|head)[ -]?off (?:style|effect|like)|body[ -]?double (?:with|using) \w+ face"
)


def swaps(told: str) -> bool:
    """Whether two people, a face or a place between them, and a change are spoken of."""
    if (SOMEBODY not in told and not _HINT.search(told)) or INVENTED.search(told):
        return False
    told = _THE_ROCK.sub(SOMEBODY, told)
    told = NOBODYS_FACE.sub("thing", _FACE_OFF.sub("face from ", told))
    if _NAMED.search(told):
        return True
    people = min(told.count(SOMEBODY), 2)
    picture = bool(_SHOT.search(told))
    if (_STEAD.search(told) and _ME_OR_SOMEBODY.search(told)) or (picture and _SAME.search(told)):
        return True
    if _FOR_ME.search(told) and _SCENE.search(told):
        return True
    if (picture and _BECOMES.search(told)) or _TURNED.search(told):
        return True
    if _BOTH.search(told):
        return True
    if not (_FACES.search(told) or _PIECES.search(told)) or HONEST.search(told):
        return False
    if _OWN_FACE.search(told) and (_THEIR_BODY.search(told) or _ON_THEM.search(told)):
        return True
    if _GENTLE.search(told):
        return False
    if len(set(_PICTURES.findall(told))) > 1:
        return True
    if _TWO.search(told) and _CHANGE.search(told):
        return True
    if not _CHANGE.search(told) and not _FACE_ON.search(told):
        return False
    owners = {found[1] for found in _POSSESSOR.finditer(told)} | {found[1][:-1] for found in _BARE_POSSESSOR.finditer(told)}
    people += len({owner for owner in owners if owner != SOMEBODY}) + bool(_FAMILY.search(told))
    people += bool(_SELF.search(told)) + bool(_OTHER.search(told))
    return people > 1


# Real people

_SINGS = r"(?:sings?|sang|sung|plays?|played|hosts?|hosted|presents?|presented|won|wins|stars?|starred|wrote|writes|does|did|reads?|runs?|founded|owns?|married|dated|dates|voices?|voiced|directed|works?|worked|lives?|lived|teaches|taught|serves?|served|sells?|sold|delivers?|cuts?|sits?|sat|trains?|coaches|babysits|streams?|posts?|tweets?|played in|used to|got|always|that i|is (?:on|in|from|at)|was (?:on|in|from|at)|i (?:know|saw|met|like|follow|work|dated|love|fancy|went))"
_ONE = r"(?:girl|woman|lady|guy|man|dude|chick|person|one|actress|actor|singer|kid|boy|blonde|brunette|redhead|couple|mom|mum|dad|babe|hottie|model|player|dancer|presenter|host|reporter|teacher|nurse|barista|waitress|cashier|receptionist|trainer|instructor|coach|doctor|dentist|lawyer|cop|stylist|hairdresser|babysitter|manager|clerk|librarian|secretary|driver|neighbou?r|student|vet|baker|bartender)s?"
_DEIXIS = _any(
    r"(?:the|that|this|those|these|dat|da) (?:[\w'-]+ ){0,2}?" + _ONE + r",? (?:who|that|whom|i|we|which) (?:\w+ )?" + _SINGS,
    r"(?:the|that|this|those|these) (?:[\w'-]+ ){0,2}?" + _ONE + r" (?:from|off|at the|at my|down|over|on (?:the )?(?:channel|tv|news|reception|till|bus|train|team|5|telly|insta\w*|tiktok|youtube|fox|cnn|bbc)|behind the (?:counter|bar|till|desk)|of (?:the )?(?:band|show|series|movie|film|team|group|channel))(?! (?:behind|above|below|the (?:side|front|back|village|future|past|sea|planet|painting|myth|legend|renaissance|forest|north|mountains|tribe|\d0s)))",
    r"(?:that|dat) (?!painting|drawing|scene|style|dress|look|image|statue|is\b|are\b|was\b|looks\b|shows\b|has\b|hugs?\b|reveals?\b|the\b|she\b|he\b)(?:\w+ ){0,1}?" + _ONE,
    r"(?:the|that) (?:lead|star|main (?:actress|actor|guy|girl)|actress|actor|singer|girl|woman|guy) (?:from|in|of|off) (?!the (?:painting|bath|garden|forest|sea|rain|mirror|village|tavern|water|field|shower|window|middle|center|centre|front|back|corner|left|right)|an?\b|red\b|black\b|white\b|blue\b|lingerie|bed\b|bikini|stockings|front|profile|her\b|his\b|silk|lace|love)",
    r"(?:from|off|on|via|stolen from|saved from) (?:her |his |their |my |the )?(?:insta(?:gram)?|ig|onlyfans|only fans|of page|tik-?tok|facebook|fb|snap(?:chat)?|reddit|twitter|linkedin|tinder|bumble|hinge|twitch|youtube|discord|whatsapp|telegram|yearbook|class photo|zoom call|teams call|webcam)(?! (?:style|aesthetic|format|filter|ready|post|ad|banner|campaign))",
    r"(?:die|der|den|dem|das) (?:\w+ ){0,2}?(?:frau|madchen|typ|kerl|mann|tussi|schauspieler(?:in)?|sanger(?:in)?|moderator(?:in)?|verkauferin|kellner(?:in)?|bedienung|lehrer(?:in)?|barista|nachbar(?:in)?),? (?:aus (?:der|dem|meine\w|unsere\w)|von (?!hinten|vorne|der seite)|vom|die (?:bei|neben|in|im|das|den|mit|immer)|der (?:bei|neben|in|im|das|den|mit|immer)|bei (?:mir|uns|meine\w)|im (?:buro|fernsehen|bus|zug|haus)|neben (?:mir|uns))",
    r"(?:la|le|l') ?(?:\w+ ){0,1}?(?:fille|femme|nana|meuf|mec|gars|type|dame|actrice|acteur|chanteuse|chanteur|presentatrice|vendeuse|serveuse|prof|voisine|caissiere|boulangere) (?:du (?!sud|nord|tableau|monde)|de chez|d'en face|d'a cote|qui (?:chante|joue|presente|travaille|habite|bosse|vit|sert|vend)|a cote|au bureau|de mon|de ma|de la (?:meteo|tele|pub|banque|salle|compta|pharmacie|boulangerie))",
    r"(?:la|el|a|o) (?:\w+ ){0,1}?(?:chica|mujer|tia|tipa|tipo|chico|senora|actriz|cantante|presentadora|camarera|cajera|profe|vecina|moca|mulher|garota|atriz|cantora|apresentadora|vendedora|garconete|mina) (?:de(?:l)? (?:la |el )?(?:tele|tv|tiempo|telediario|noticias|bar|gimnasio|banco|oficina|super\w*|tienda|farmacia|panaderia|trabajo|clase|bus|metro|al lado|enfrente|arriba|abajo)|d[ao] (?:tv|tempo|jornal|bar|academia|banco|escritorio|mercado|loja|farmacia|padaria|trabalho|onibus|novela)|que (?:canta|sale|presenta|trabaja|vive|hace|conoc\w+|sirve|vende|trabalha|mora|faz|apresenta|senta|atende))",
    r"(?:la|il|quella|quel) (?:\w+ ){0,1}?(?:ragazza|donna|tipa|tipo|tizia|signora|attrice|attore|cantante|conduttrice|cameriera|barista|cassiera|commessa|prof|vicina) (?:del (?:bar|tg|meteo|piano|supermercato|negozio|palazzo|banco)|della (?:tv|palestra|banca|farmacia|porta|pubblicita|segreteria|mensa)|in (?:tv|ufficio|segreteria|palestra)|che (?:canta|fa|conduce|lavora|abita|vive|serve|vende|conosco|presenta))",
    r"(?:de|die|het) (?:\w+ ){0,1}?(?:vrouw|meid|meisje|man|actrice|zangeres|presentatrice|kassiere|serveerster|juf|buurvrouw) (?:van (?:het|de|mijn|hiernaast|beneden|boven)|die (?:bij|naast|in|op|altijd|het|zingt|werkt|woont))",
    r"(?:here'?s|here is|heres|attached|meet|hier ist|voici|aqui esta|ecco|hier is) (?:\w+ ){0,2}?(?:" + SOMEBODY + r"|her|him|\w+'s)",
    r"(?:a|o|la|el|il|die|der|the) (?:reporter\w*|journalist\w*|giornalista|jornalista|periodista|reportera|journaliste|moderator\w*|anchor\w*|presentador\w*|apresentador\w*|conduttric\w*|atriz|ator|actriz|actor|attrice|actrice|cantor\w*|cantante|chanteu\w*|sanger\w*|schauspieler\w*|jogador\w*|jugador\w*|calciatric\w*|joueu\w*|spieler\w*|influencer\w*) (?:of|from|on|d[aeo]l?|della|d'|du|von|vom|aus|bei|que|che|qui|die|who)\b ?(?!epoca|opera|circo|teatro|corte|pueblo|aldeia)",
    r"(?:edit|change|alter|modify|retouch|photoshop|redo|make|turn|render|put|get|have|show) (?:this|it so|her|him|them|that|these)\b(?=.{0,60}\b(?:she|he|her|him|they|them|naked|nude|nudes|topless|undressed|nothing)\b)",
    r"(?:la|el|l'|a|die|de) (?:profe|profesora|maestra|jefa|vecina|doctora|enfermera|entrenadora|monitora|cajera|camarera|directora|secretaria|professoressa|vicina|dottoressa|professora|vizinha|chefe|diretora|voisine|maitresse|patronne|juf|buurvrouw|lerares|lehrerin|nachbarin|chefin|arztin|kellnerin|commessa|barista|cassiera|vendeuse|serveuse|caissiere|boulangere|kassierin|verkauferin|bedienung)\b",
    r"the one (?:across|next (?:to|door)|who|from|that|at (?:my|the|work)|in my|on (?:my|the) (?:street|bus|floor)|upstairs|downstairs|i )|(?:hot|cute|sexy|fit|new|old|favou?rite|pretty|cheeky|annoying) (?:neighbou?r|co-?worker|teacher|boss|classmate|colleague|landlady|roommate|babysitter|nanny|flatmate|step-?\w+|professor|secretary|sister-in-law|mother-in-law)s?",
    r"you know (?:the |that |who )|u know (?:the |that )",
)  # fmt: skip


def points(text: str) -> bool:
    """Whether somebody is pointed at whom the asker has seen."""
    return bool(_DEIXIS.search(text) or _AGAIN.search(text)) and not INVENTED.search(text)


# Nothing on, said otherwise.
_NOTHING = _any(
    r"(?:only|just|nothing but|nothing except|bloss|nur|que|solo|solamente|so|apenas|soltanto|alleen|slechts)(?: \w+){0,3}? (?:what (?:she|he|they|god|nature) (?:was|were|gave|had)|ihre haut|sa peau|su piel|la sua pelle|a propria pele|haar huid|her skin|his skin|air|sunlight|moonlight|steam|bubbles|a (?:towel|smile|tan|blush)|goosebumps|jewel\w*|high heels|heels|tattoos)",
    r"(?:and|but|with|und|aber|et|y|e|en|con|mit|avec) (?:(?:absolutely|literally) )?(?:nothing (?:else|underneath|under|more|on)|(?:sonst )?nichts (?:weiter|sonst|drunter|darunter|mehr|an)|sonst nichts|rien d'autre|rien dessous|nada mas|nada debajo|nient'altro|mais nada|verder niets|niets eronder)\b(?! (?:in the|on the))|(?:nur|bloss|lediglich|alleen|slechts) (?:noch )?(?:im|in|mit|in de|met)? ?(?:\w+ )?(?:slip|hoschen|tanga|unterhose|handtuch|bademantel|bh|boxershorts|socken|schurze|strumpf\w*|string|onderbroek|handdoek)",
    r"(?:what|the way|how|as|like) (?:she|he|they|god|nature|mother nature|her mother|her mama) (?:was|were|came|made|intended|gave|brought) (?:\w+ ){0,2}?(?:born|into|out|her|him|them)|born with|eve (?:costume|suit|outfit)|(?:eva|adam|adan|adamo|adao|eve)s?[ -]?(?:kostum|costume|traje|tenue)|tenue d'eve|traje de eva|costume di eva|traje de eva|evakostuum|in her (?:altogether|natural state)|au naturel|sky[ -]?clad|as nature intended|zero (?:clothes|clothing|fabric)|(?:no|minus|without|sans|lose|losing|lost|ditch\w*|drop\w*|shed\w*|out of) (?:the |her |his |any |all )?(?:shirt|top|pants|bottoms|bra|dress|swimsuit|bikini|clothes|clothing|kit|outfit|towel|robe|undies|underwear|knickers|gear|threads|garments?)\b(?! ?(?:line|rack|shop|store|hangers?|pegs?|code|brand|hat|layers?|shoes?|model|stains?))",
)


def nothing_on(told: str) -> bool:
    """Whether bare skin is meant without a word for it."""
    return bool(_NOTHING.search(told) or _GONE.search(told))


# Orders about a picture, said with no word for skin.
_GONE = re.compile(
    r"\b(?:swimsuits?|bikinis?|dress|shirts?|t-?shirts?|tops?|blouses?|skirts?|clothes|clothing|outfit|bra|leggings|jeans|pants|shorts|uniform|robe|towel|badeanzug|kleid\w*|bluse|rock|hemd|robe|maillot|jupe|vestido|blusa|falda|ropa|banador|vestit[oi]|costume|gonna|maglietta|roupa|saia|biquini|jurk|rok|badpak|kleren)\b.{0,50}\b(?:transparent\w*|see[ -]thr(?:ough|u)|invisible|disappear\w*|vanish\w*|melt\w*|dissolv\w*|evaporat\w*|durchsichtig\w*|verschwind\w*|disparai\w*|desaparec\w*|trasparent\w*|spari\w*|sumir|doorzichtig\w*|verdwijn\w*)\b"
)
_REVEAL = _any(
    r"(?:reveal\w*|show\w*|see|uncover\w*|guess|imagine|zeig\w*|montre\w*|muestra\w*|ensena\w*|mostra\w*|laat zien) (?:me )?(?:what|everything|all|skin|body|was|alles|ce qu|tout|lo que|todo|cio che|cosa|quello che|tutto|o que|tudo|wat)(?:[\w'-]* ){1,5}?(?:under(?:neath)?|beneath|below|behind|unter|sous|debajo de|bajo|sotto|por baixo d[aeo]|embaixo d[aeo]|onder) (?:her|his|their|that|ihr\w*|sein\w*|sa|son|ses|su|sus|la sua|il suo|i suoi|sua|seu|haar|zijn|del?|della) (?:\w+ )?(?:clothes|clothing|dress|skirt|shirt|t-?shirt|top|blouse|bra|bikini|swimsuit|outfit|uniform|robe|towel|jeans|pants|leggings|underwear|kleid\w*|rock|bluse|hemd|hose|robe|jupe|chemis\w+|falda|vestido|blusa|ropa|camisa|gonna|vestit\w*|camicetta|maglietta|saia|roupa|jurk|rok|kleren|bloes)",
)
_CENSOR = _any(
    r"(?:un-?|de-?)censor\w*|unzensier\w*|decensur\w*|descensur\w*|desensur\w*|(?:remove|delete|take off|get rid of|without|entfern\w*|enleve\w*|quita\w*|togli|tira) (?:the |her |his |die |la |le |a )?(?:censor\w*|censur\w*|zensur\w*|black bars? (?:on|over) (?:her|his)|mosaic|pixelation)(?= .{0,40}(?:"
    + _STILL
    + r"|her|him|body|breast|chest))"
)
_AGAIN = _any(r"(?:same|that|this|gleiche[sn]?|selbe[sn]?|meme|misma|stessa|mesma|zelfde) " + _STILL)


def uncensored(text: str) -> bool:
    """Whether what a picture hides is to be shown."""
    return bool(_REVEAL.search(text)) or (bool(_CENSOR.search(text)) and bool(_SHOT.search(text)))


# Minors

_SCHOOLS = _any(
    r"(?!(?:art|old|film|law|medical|med|drama|dance|cooking|ballet|business|grad|graduate|night|nursing|acting|fashion|beauty|magic|new|this|same|riding|driving|flight|language) ?-?school)(?:[a-z]+[ -])?school(?:s|ed|ing|ers?|yard|room|mates?|boy|girl|bag|days?)?\b(?<!old school)(?! (?:of|teacher|principal|nurse|librarian|style|painting|reunion|mom|bus driver|counsell?or))",
    r"sophomores?|freshm[ae]n|homeroom|recess|pigtails? and braces|braces(?! (?:and suspenders|holding))|prom (?:night|date|queen|dress)|junior (?:prom|high)|student council|kinder(?:garten)?|nursery|paediatric|pediatric|puberty|pubescen\w*|playground|lunch ?box|juniors|u1[0-8]|age of consent|jail ?bait|barely legal|teen\w*|tween\w*|youngsters?|(?:under|below) ?age|not (?:yet )?(?:an )?adults?|too young|very young|so young|virgin teen|grade \d|year \d+ (?:class|girl|boy|student)|school ?bus|training bra|gymslip|hall pass|cheer ?squad|cheerleaders?(?= .{0,40}(?:high|junior|varsity))|varsity",
    r"schul(?:e|hof|bank|klasse|tasche|ranzen|turnhalle|ausflug|abschluss|uniform|pflichtig\w*)|zahnspange|zopfe und zahnspange|klassenzimmer|abiball|konfirmation|firmung|berufsschulerin|azubine|(?:sehr|so|ganz|viel zu|zu) jung(?:e[sn]?)?|backfisch\w*|pubertier\w*|jungfrauchen|kindlich\w*",
    r"(?:college|lycee|ecole(?! (?:nue?|d))|cour de recre\w*|cartable|appareil dentaire|salle de classe|brevet|tres jeune|trop jeune|toute jeune|pucelle|(?:en|de) (?:sixieme|cinquieme|quatrieme|troisieme|6e|5e|4e|3e|6eme|5eme|4eme|3eme))(?<!college)",
    r"(?:colegio|instituto|escuela(?! d)|secundaria|primaria|recreo|brackets|aula(?! d[ei])|muy joven|demasiado joven|escola(?! d)|colegial|ensino|muito nova|novinh\w+|aparelho nos dentes|recreio|sala de aula)",
    r"scuola(?! di)|scolastic\w+|apparecchio ai denti|aula(?! d[ei])|liceo|terza media|molto giovane|troppo giovane|giovanissim\w+|medie|gita scolastica|verginella",
    r"(?:sobrin|prim|herman|vecin|hij|niet|alumn|ahijad|cuñad|muchach|chiqu|jovenc)it[ao]s?|sobrinha|priminh[ao]|irma[oz]+inh[ao]|vizinhinha|afilhadinh[ao]|netinh[ao]|filhinh[ao]|nipotin[ao]|cuginett[ao]|sorellin[ao]|fratellin[oi]|vicinett[ao]|figliolett[ao]|kleine[rn]? (?:schwester|cousine|nichte|nachbarin|bruder|cousin|tochter)|(?:petite|jeune) (?:soeur|cousine|niece|voisine)|petit (?:frere|cousin|voisin)|neveu|hermana (?:pequena|menor|chica)|prima pequena|(?:irma|prima) (?:mais nova|cacula)|sorella (?:minore|piccola)|zusje|nichtje|buurmeisje|neefje|(?:little|kid|baby|younger|wee) (?:cousin|niece|nephew|sister|brother|sis|bro|neighbou?r|girl|boy|stepsister)s?|god-?(?:daughter|child|son)|foster (?:child|daughter|kid)|niece's friend|daughter'?s (?:friend|classmate|bestie)",
    r"(?:in|from|of|aus|der) (?:year|yr|grade|form|class|klasse|groep) (?:[1-9]|1[0-2]|one|two|three|four|five|six|seven|eight|nine|ten|eleven)\b|(?:een |het |dit |^)kind (?:in|met|zonder) (?:\w+ )?(?:lingerie|ondergoed|string|bikini|slip\w*|kleren|panty)",
    r"schoolplein|klaslokaal|middelbare|beugel|heel jong\w*|erg jong\w*|te jong\w*|pubermeis\w*|schooltas",
)
_WHO = r"(?:she's|she is|he's|he is|they're|i'm|im|shes|hes|her|him|them|she|he|it|girl|boy|girls|boys|chick|babe|model|daughter|niece|cousin|sister|looks?|looking|look like|turn\w*|aged?|age:|only|just|barely|about|maybe|around|like|roughly|approx\.?|circa|ist|ca\.?|etwa|gerade|erst|knapp|a|ha|tiene|tem|heeft|is|seulement|solo|so|appena|pas|als|wie|como|come|comme|sie|er|elle|il|ella|el|lei|lui|ela|ele|ze|hij|under|below|over|than|unter|sous|menos de|fille|chica|ragazza|garota|moca|meid|tussi)"
_UNIT = r"(?:%|mm|cm|km|kg|k\b|am\b|pm\b|o'clock|uhr|th\b|st\b|nd\b|rd\b|min\w*|sec\w*|hours?|hrs|days?|weeks?|weken|months?|monate?n?|mois|meses|mesi|maand\w*|px|fps|x\b|:|/|\.\d|,\d|-|people|wom[ae]n|m[ae]n\b|models?|poses|photos?|pics?|pictures?|images?|shots?|frames?|panels?|times|steps?|stops?|inch\w*|feet|ft|foot|meters?|metres?|m\b|euros?|dollars?|frauen|manner|femmes|hommes|mujeres|hombres|donne|uomini|mulheres|homens|vrouwen|mannen|years (?:ago|older|younger|later|of (?:marriage|experience|age difference))|of\b|versions?|variations?|variants?|others?|more|different|candles|roses|layers|colou?rs|studies|figures?|nude models?|dancers?|centur\w+)"
_AGE = re.compile(
    r"\b" + _WHO + r",? (?:(?:is|was|be|to be|like|about|around|maybe|only|just|barely|looks?|at|aged?|ungefahr|etwa|uns|unos|circa) ){0,2}(?:1[0-7]|[4-9]|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|elf|zwolf|dreizehn|vierzehn|funfzehn|sechzehn|siebzehn|onze|douze|treize|quatorze|quinze|seize|dix-sept|doce|trece|catorce|quince|dieciseis|diecisiete|undici|dodici|tredici|quattordici|quindici|sedici|diciassette|doze|treze|dezesseis|dezessete|dertien|veertien|vijftien|zestien|zeventien)(?:ish)?(?!\d|[\w'])(?! ?" + _UNIT + r")"
)  # fmt: skip


def young(text: str) -> bool:
    """Whether school or a child's age is spoken of; only to be asked where there is something sexual."""
    return bool(_SCHOOLS.search(text) or _AGE.search(text))


_MINE = re.compile(
    r"\b(?:my|our|mi|mis|ma|mon|mes|mia|mio|minha|meu|meine[mnrs]?|mein|unsere?|notre|nuestr[ao]|nossa|nosso|mijn|onze) ((?:[\w'-]+ ){0,2}[\w'-]+)"
)
_THINGS = frozenset(
    [
        "painting",
        "paintings",
        "drawing",
        "drawings",
        "sketch",
        "sketchbook",
        "sketches",
        "portfolio",
        "style",
        "story",
        "stories",
        "novel",
        "comic",
        "book",
        "books",
        "shop",
        "store",
        "brand",
        "label",
        "collection",
        "catalog",
        "catalogue",
        "line",
        "studio",
        "bedroom",
        "bathroom",
        "living",
        "wall",
        "walls",
        "room",
        "apartment",
        "flat",
        "house",
        "home",
        "garden",
        "class",
        "classes",
        "art",
        "project",
        "gallery",
        "exhibition",
        "photography",
        "shoot",
        "photoshoot",
        "session",
        "sessions",
        "camera",
        "lens",
        "prompt",
        "idea",
        "ideas",
        "concept",
        "design",
        "designs",
        "logo",
        "poster",
        "cover",
        "album",
        "game",
        "mod",
        "character",
        "characters",
        "oc",
        "ocs",
        "heroine",
        "hero",
        "protagonist",
        "elf",
        "elves",
        "vampire",
        "demon",
        "goddess",
        "queen",
        "succubus",
        "angel",
        "mermaid",
        "fairy",
        "orc",
        "fantasy",
        "dream",
        "dreams",
        "imagination",
        "opinion",
        "taste",
        "reference",
        "references",
        "lora",
        "model",
        "checkpoint",
        "website",
        "blog",
        "channel",
        "campaign",
        "product",
        "lingerie",
        "bra",
        "bras",
        "bikini",
        "bikinis",
        "underwear",
        "dress",
        "clothes",
        "own",
        "self",
        "body",
        "legs",
        "breasts",
        "skin",
        "cat",
        "cats",
        "dog",
        "dogs",
        "pet",
        "horse",
        "birthday",
        "wedding",
        "anniversary",
        "holiday",
        "next",
        "last",
        "favourite",
        "favorite",
        "previous",
        "image",
        "images",
        "picture",
        "pictures",
        "photo",
        "photos",
        "pic",
        "pics",
        "watercolor",
        "watercolour",
        "print",
        "prints",
        "sculpture",
        "statue",
        "ceramic",
        "tattoo",
        "canvas",
        "series",
        "work",
        "piece",
        "thesis",
        "magazine",
        "calendar",
        "card",
        "deck",
        "tarot",
        "fashion",
        "runway",
        "company",
        "business",
        "spa",
        "salon",
        "clinic",
        "course",
        "textbook",
        "lecture",
        "museum",
        "world",
        "universe",
        "campaign",
        "rpg",
        "dnd",
        "tabletop",
        "roleplay",
        "script",
        "film",
        "movie",
        "screenplay",
        "play",
        "scene",
        "short",
        "set",
        "app",
        "page",
        "feed",
        "account",
        "inspiration",
        "muse",
        "style",
        "eyes",
        "mind",
        "heart",
        "head",
        "face",
        "hand",
        "hands",
        "name",
        "life",
        "love",
        "god",
        "goodness",
        "way",
        "new",
        "first",
        "second",
        "third",
        "1st",
        "2nd",
        "dear",
        "old",
        "entwurf",
        "zeichnung",
        "bild",
        "bilder",
        "gemalde",
        "skulptur",
        "figur",
        "geschichte",
        "roman",
        "buch",
        "laden",
        "marke",
        "kollektion",
        "katalog",
        "atelier",
        "schlafzimmer",
        "wand",
        "zimmer",
        "wohnung",
        "haus",
        "kurs",
        "galerie",
        "ausstellung",
        "shooting",
        "idee",
        "plakat",
        "katze",
        "hund",
        "dessin",
        "peinture",
        "tableau",
        "tableaux",
        "sculpture",
        "personnage",
        "histoire",
        "livre",
        "bd",
        "marque",
        "boutique",
        "collection",
        "atelier",
        "chambre",
        "mur",
        "maison",
        "cours",
        "galerie",
        "expo",
        "projet",
        "affiche",
        "chat",
        "chien",
        "idee",
        "dibujo",
        "pintura",
        "cuadro",
        "escultura",
        "personaje",
        "historia",
        "novela",
        "libro",
        "marca",
        "tienda",
        "coleccion",
        "estudio",
        "habitacion",
        "pared",
        "casa",
        "clase",
        "galeria",
        "exposicion",
        "proyecto",
        "cartel",
        "gato",
        "perro",
        "idea",
        "disegno",
        "dipinto",
        "quadro",
        "scultura",
        "personaggio",
        "storia",
        "romanzo",
        "libro",
        "marchio",
        "negozio",
        "collezione",
        "camera",
        "parete",
        "corso",
        "galleria",
        "mostra",
        "progetto",
        "gatto",
        "cane",
        "desenho",
        "quadro",
        "personagem",
        "livro",
        "loja",
        "quarto",
        "parede",
        "aula",
        "galeria",
        "exposicao",
        "projeto",
        "gato",
        "cachorro",
        "tekening",
        "schilderij",
        "beeld",
        "verhaal",
        "boek",
        "winkel",
        "merk",
        "collectie",
        "slaapkamer",
        "muur",
        "huis",
        "les",
        "galerie",
        "project",
        "kat",
        "hond",
        "favorito",
        "favorita",
        "preferito",
        "preferita",
        "prefere",
        "preferee",
        "liebling",
        "lieblings",
        "lieblingsbild",
        "creation",
    ]
)


def mine(text: str) -> bool:
    """Whether the asker calls theirs what is no thing: "my" and a word that no list has."""
    return any(not _THINGS.intersection(re.split("[ '-]", found[1])) for found in _MINE.finditer(text)) and not INVENTED.search(text)


_HEAT = _any(
    r"see[ -]?thr(?:ough|u)|sheer|transparent (?:\w+ )?(?:dress|top|blouse|shirt|nightgown|nightie|clothes|swimsuit|bikini)|up-?skirts?|skirt (?:lifted|hiked|raised|up|pulled up)|(?:legs|thighs) (?:spread|open|apart)|(?:spread|open) (?:her |his )?(?:legs|thighs)|bent over|bending over|bulge|crotch|cleavage|curvy|thicc|hot (?:girl|body|babe|af|pic|pics|photo|pose|version|as)|turn\w* (?:me|him|her|you) on|for adults|adult content|taking off (?:her|his) (?:shirt|top|clothes|dress|skirt|pants|bra|panties)|in (?:just |only )?a towel|only (?:a |wearing )?(?:towel|socks|panties|shirt)|kissing (?:in|on) (?:the |a )?bed|making love|bikini (?:.{0,40}\b)?(?:pose|bed|bedroom|hot|curves)|micro[ -]?(?:bikini|skirt)|fetish|kink\w*|arous\w*|lust\w*|come[ -]hither|bedroom eyes|tempt\w*|naughty|slut\w*|pleasur\w*|intimate|steamy|on (?:her|his|all) (?:knees and|fours)|wet (?:t-?shirt|shirt|top|blouse|dress|clothes)"
)


def heated(text: str) -> bool:
    """Whether what is said is too much for somebody young, though harmless elsewhere."""
    return bool(_HEAT.search(text))
