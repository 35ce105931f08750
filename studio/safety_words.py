"""The words and patterns that `studio.safety` reads requests with, for normalised text: lower case, no accents, ñ of niña as ny."""

# ruff: noqa: E501 - word lists and patterns read better unbroken

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(patterns) + r")\b")


# Words

MINOR = _words("""
child children childs kid kids kiddie kiddo toddler toddlers infant infants baby babies preteen preteens pre-teen tween tweens teen teens teeny teenie teenies teenager teenagers teenage
underage underaged under-age minor minors schoolgirl schoolgirls schoolboy schoolboys schoolchild schoolchildren schoolkid schoolkids schooler schoolers middleschooler highschooler highschoolers boy boys girlchild loli lolita lolis shota jailbait
kindergartner kindergarten preschooler preschoolers prepubescent pubescent adolescent adolescents juvenile juveniles daughter daughters stepdaughter stepdaughters stepson granddaughter quinceanera nymphet nymphets pubescents prepubescents youngster youngsters ageplay underaged tot tots
kinder kindes kindern kleinkinder kleinkindern minderjahrig minderjahrige minderjahriger minderjahrigen minderjahriges schulmadchen schuler schulerin schulerinnen grundschulerin grundschuler gymnasiastin schulkind schulkinder schuljunge schuljungen teenagerin teenagerinnen madchen maedchen saugling kleinkind jugendliche jugendlicher jugendlichen konfirmandin tochter
enfant enfants mineur mineurs mineure mineures gamin gamine gamins gamines gosse gosses ecolier ecoliere ecolieres collegien collegienne collegiennes lyceen lyceenne lyceennes fillette fillettes ado ados bebe bebes garconnet
ninya ninyo ninyas ninyos menor menores colegiala colegialas colegial chiquilla chiquillas jovencita jovencitas adolescente adolescentes infantil quinceanyera hija hijita alumna
crianca criancas menina menino meninas meninos menininha garotinha garotinho garotinhas novinha novinhas adolescencia aluna colegiais filha pirralha
bambina bambino bambini bambine minorenne minorenni ragazzina
""")
# Words of two languages at once: they count beside a word of the language in which they mean a child.
MINOR_BESIDE = {
    "kind": _words("ein eine einem das des dem kleines kleine nackt nackte nackter nacktes unbekleidet ohne mit und im am bett sexuell erotisch unterwasche jahre"),
    "nina": _words("desnuda desnudo desnudas erotica sexual ropa una la de anos sin con"),
    "nino": _words("desnudo desnuda desnudos erotico sexual ropa un el de anos sin con"),
    "ninas": _words("desnudas desnuda sexual ropa unas las de sin"),
    "ninos": _words("desnudos desnudo sexual ropa unos los de sin"),
    "pupil": _words("underwear lingerie provocative sexy nude topless undressing"),
    "pupils": _words("underwear lingerie provocative sexy nude topless undressing"),
}  # fmt: skip
YOUNG = _any(
    r"(?:little|young|small|barely legal|underage|petite young|kleine|kleines|kleinen|junges|petite|jeune|pequena|pequeno|joven)\s+(?:girls?|boys?|sister|brother|madchen|maedchen|fille|fillette|garcon|nina|nino|ninya|ninyo|menina|menino)",
    r"school[\s-](?:girls?|boys?|child(?:ren)?|kids?)",
    r"(?:high|middle|primary|elementary|grade|junior|secondary|grammar)[\s-](?:school|schooler)(?:[\s-](?:students?|pupils?|girls?|boys?|freshman|sophomore|junior|senior|cheerleader|teacher's daughter))?(?:ers?)?",
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d{1,2}th)[\s-]graders?",
    r"(?:ein|der|kleiner|nackter|dieser|kleinen|nackten|eines|einem|einen|den|dem|und) jungen?(?! (?:mann\w*|frau\w*|dame\w*|leute\w*|paar\w*|erwachsene\w*|hund\w*|katze\w*|nackte\w*|model\w*))",
    r"(?:girls?|boys?|sister|brother) (?:not )?(?:under|below) (?:18|eighteen)",
    r"(?:under|below|younger than|not yet|almost|nearly|just under|unter|fast|noch nicht|moins de|menos de|menor de|pas encore|menor que) (?:the age of )?(?:18|17|16|15|14|13|12|11|10|eighteen|achtzehn|dix-huit|dieciocho|dezoito)(?! ?(?:%|percent|cm|mm|kg|dollars|euros?|minut|second|hour|people|shots))",
    r"(?:1[0-7]|[1-9])(?:st|nd|rd|th) birthday",
    r"born (?:in|on) (?:\w+ )?(?:201[0-9]|202\d)",
    r"1[0-7] ?/? ?f",
    r"sweet sixteen",
    r"(?:looks?|looking|dressed|acts?|acting) like an? (?:\w+ )?(?:child|kid|teen|toddler|minor|baby)|child-?like (?:body|figure|face)|(?:child|kid|teen|loli)-?looking",
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d{1,2}th)[ -]grade|junior high|(?:boy|girl|cub) scouts?",
    r"(?:not|isn't|is not|hasn't|has not|hardly|barely)(?: yet)? (?:of legal age|legal|of age|an adult|turned 18|18|16|17)|below (?:the )?legal age|before (?:she|he) turned 18",
    r"(?:estudiante|alumn[oa]|alun[oa]|estudante) d[eo] (?:secundaria|instituto|primaria|preparatoria|ensino medio|ensino fundamental)",
)
# What shows or does too much, whoever it is said of …
EXPLICIT = _words("""
nude nudes nudity nudist nudism naked nakedness nekkid topless bottomless undressed unclothed unclad undress undressing disrobed porn porno pornos pornographic pornography nsfw xxx x-rated hentai smut sex sexual sexually sexualized
sexualised sexualize sexualise erotic erotica erotically explicit orgasm orgasmic masturbating masturbation masturbate intercourse fellatio blowjob handjob genitals genitalia rape raped raping molest molested incest
penis vagina vulva pussy cock tits titties boobs boob boobies breast breasts nipple nipples areola stripping striptease stripper fetish bdsm bondage cum horny upskirt barenaked lewds nood noods pr0n
unbekleidet unbekleidete unbekleideter unbekleidetes sexuell sexuelle busen bruste barbusig entblosst entblosste ausgezogen hullenlos
nu nue nus nues nudite denude denudee denudes denudees deshabille deshabillee deshabillees devetu devetue devetues erotique erotiques sexuel sexuelle sexe seins porno
desnuda desnudo desnudas desnudos desnudez erotica erotico eroticas sexo pezones tetas encuerada encuerado
nua nuas despida despido despidas erotismo pelada pelado peladas nudez peitos seios pornografica
nuda nudo nude svestita
""")
EXPLICIT_STEMS = re.compile(
    r"(?:\w*nackt(?!schnecke|mull|samer|samig)\w*|porno\w*|pornogra\w+|sexuali[sz]\w+|sex(?:foto|bild|szene|video|puppe)\w*|desnud[aeo]\w*|entkleid\w+|nudif\w+|undress\w+|erotisch\w*)"
)
# … and what is only too much said of a child, or of somebody whom the asker knows.
SUGGESTIVE = _words("""
sexy lewd seductive seductively aroused cleavage lingerie panties panty bra bras brassiere underwear undies thong thongs g-string dessous sensual sensually sultry provocative provocatively skimpy slutty busty see-through seduction seducing suggestive suggestively sexily arousing fishnets lewdly flirtatious flirtatiously nipslip sensuality
unterwasche reizwasche strapse hoschen bh lasziv aufreizend aufreizende verfuhrerisch freizugig
lascive lascif aguicheuse coquine sous-vetements sensuelle soutien-gorge nuisette
lenceria seductora provocativa sensuales braguitas sujetador tanga
calcinha calcinhas sutia sedutora provocante fio-dental
""")
SUGGESTIVE_PHRASES = _any(
    r"(?:revealing|transparent|sheer) (?:outfit|clothes|clothing|dress|top|shirt|lingerie)", r"spread(?:ing)? (?:her |his )?legs", r"bedroom eyes",
    r"(?:micro|string) bikini", r"(?:lifted|raised|hitched|flipped)(?: up)? (?:her )?skirt", r"skirt (?:is )?(?:lifted|raised|hitched|flipped)", r"petite tenue", r"ropa interior", r"roupas? intimas?", r"see through (?:\w+ )?(?:dress|shirt|top|clothes|blouse)",
)  # fmt: skip
EXPLICIT_PHRASES = _any(
    r"a poil", r"oben[ -]ohne", r"en cueros", r"en pelotas", r"birthday suit", r"in the buff", r"bare[ -](?:breast(?:s|ed)?|bottom(?:ed)?|bottoms|ass)", r"without a stitch",
    r"no bra", r"skinny[ -]dipping", r"rule 34", r"only ?fans", r"adult (?:clips?|videos?)",
)  # fmt: skip
UNDRESSING = _words("""
undress undressing undressed strip stripped unclothe unclothed disrobe nudify deepnude deepfake denude
ausziehen entkleiden entkleide deshabiller deshabille desnudar desnudala desvestir desviste despir despe dispa spogliare
""")
# Names of the thing itself: nothing has to stand beside them.
ALWAYS = _words(
    "loli lolis lolicon shotacon toddlercon childporn kiddieporn kinderporno kinderpornos pedo pedos pedophile pedophilia paedophile paedophilia pedophil pedopornographie pedopornografia csam jailbait"
)
ALWAYS_ON_PEOPLE = _words("nudify nudifier nudification deepnude deepnudes undressai")

# What the words of a list mean in this company is something else: taken out before reading.
HARMLESS = _any(
    r"naked (?:mole rats?|eyes?|flames?|truth|cakes?|trees?|branch(?:es)?|twigs?|(?:light ?)?bulbs?|rocks?|wood|brick|hills?|hillsides?|bikes?|oats|singularity|steel|metal|concrete|blades?|swords?)",
    r"(?:naked|nude|bald) (?:baby |newborn )?(?:birds?|chicks?|hatchlings?|mice|mouse|rats?|cats?|dogs?|sphynx)(?:lings?)?",
    r"baby (?:birds?|chicks?|goats?|elephants?|mouse|mice|dragons?|seals?|animals?|kangaroos?|cats?|dogs?|fox(?:es)?|bears?|carrots?|spinach|corn|oil|powder|monitors?|bottles?|carriages?|doll|dolls|yoda|groot|face|faced|steps)",
    r"nude[ -](?:colou?r(?:ed)?|lipsticks?|palette|nail polish|nails|heels|pumps|shades?|tones?|make-?up|beige|pink|lips?)",
    r"(?:lip|eye)?\s*(?:stick|shadow) in nude",
    r"child-?like wonder|inner child|child's play|kid gloves|kid leather|girl boss|boy-? ?shorts?|boyfriend (?:jeans|shirt)|game ?boys?|boy bands?|bad[ -]boy (?:biker|look|image|vibe|attitude)",
    r"baby (?:blue|pink|hair|bangs|grand piano|breath|'s breath|bump|shower|doll (?:dress|top))|babydoll",
    r"(?:no|without|without any|not a|zero|keine?|sans|sin|sem|aucun) (?:child(?:ren)?|kids?|minors?|teen(?:ager)?s?|bab(?:y|ies)|boys?|nudity|nudes?|nsfw|sex|kinder|minderjahrigen?|enfants?|mineurs?|ninyos|menores|criancas|nudite|desnudos|nudez|nacktheit)",
    r"minor (?:key|details?|scratch(?:es)?|chord|changes?|damage|scale|characters?|edits?|flaws?|issues?|corrections?|injur(?:y|ies)|league|arcana|planets?|role|third)|(?:asia|ursa|canis|leo) minor|(?:mode|en|do|re|mi|fa|sol|la|si) mineure?",
    r"(?:a|en|por|de|la|el|con) menor(?: (?:escala|medida|detalle|cantidad|detalhe|importancia|grado|grau|tamanyo|tamano|tamanho))",
    r"same-? ?sex|opposite sex|sex and the city|sex education|safe sex|teen titans|essex|sussex|cowboys?|explicit (?:instructions?|detail|shapes?|geometry|lyrics)|sexual dimorphism|parental advisory explicit",
    r"cocktails?|peacocks?|cock-?a-?doodle|weather ?cock|cock crow\w*|cock of the rock|(?:blue|great|coal|marsh|willow|crested|long-tailed) tits?|pussy (?:willows?|cats?|riot)|pussycats?",
    r"(?:chicken|turkey|duck|goose) breasts?|breast (?:pocket|feeding|stroke|plate|milk|cancer)|(?:red|orange|white|yellow|speckled|robin's|bird's)[ -]breast(?:s|ed)?|chicken thighs?|bare walls?",
    r"(?:bottle|grease|pipe|brake) nipples?|(?:summa|magna)? ?cum laude|topless (?:car|convertible|bus|jeep|tower)s?|horny toads?",
    r"strip(?:ed)? (?:lights?|mall|shirt|steaks?|poker)|strips? of (?:\w+ )?(?:sun)?(?:light|land|paper|fabric|cloth|sky|grass|film|wood|neon)|comic strips?|(?:rest|resting|rests|lay|laying|lays|lean|leaning|leans|laid) (?:her|his|their|my) head on (?:her|his|their|my) (?:\w+ )?body|(?:photo )?booth strips?|film strips?|led strips?|sunset strip|landing strip",
    r"strip(?:s|ped|ping)?[ -](?:down )?(?:back )?(?:the |off |away |of |all )*(?:old |peeling )?(?:pine |wooden |oak )?(?:paint|wallpaper|walls?|floors?|wood|bark|varnish|pine|oak|bed|bikes?|bicycles?|cars?|engines?|door|planks?|cables?|wires?|boards?|leaves|down)",
    r"strip(?:s|ped|ping)? (?:him|her|them) of (?:his |her |their |all |the )?(?:armou?r|rank|titles?|medals?|power|powers|honou?rs?|crown|weapons?|badge|command|dignity)",
    r"undress(?:ed)? (?:salad|the salad|stone|timber|wood|the tree|the christmas tree|window)",
    r"pieds? nus?|nu-pieds|tete nue|bras nus|mains nues|jambes nues|oeil nu|oeuf nu|nu jazz|nu metal|art nu|mise? a nu|epaules nues|torse nu|arbres? nus?|murs? nus?",
    r"nackte[nrsm]? (?:fusse?n?|arme?n?|baume?n?|beine?n?|hande?n?|schultern?|wande?n?|wand|gluhbirne\w*|angst|wahrheit|fels\w*|beton\w*|aste?n?|erde)|nackt(?:schnecke|mull)\w*",
    r"pies desnudos|pies descalzos|(?:arbol(?:es)?|rama|ramas|pared(?:es)?|roca|montanya|verdad) desnud[oa]s?|manos desnudas|hombros desnudos|a simple vista|ojo desnudo",
    r"nua e crua|a olho nu|pes nus|olho nu|arvores? nuas?|paredes? nuas?|maos nuas|verdade nua",
    r"(?:pelad[ao]s? (?:de futebol)|bola pelada|jugar a la pelota|naranja pelada|batata pelada|despedida)",
    r"\d{1,2}[ -]years?[ -]old (?:single )?(?:malt|whisk(?:e)?y|scotch|bourbon|rum|cognac|port|wine|cheese|house|building|tree|oak|car|castle|dog|cat|horse|tradition)",
    r"\d{1,2} years? (?:of (?!age)\w+|ago|later|together|married)",
    r"(?:whisk(?:e)?y|rhum|ron|rum|vinho|vino|vin|wein|cognac|porto|queso|fromage|kase) (?:de |von )?\d{1,2} (?:ans|anyos|anos|jahren?)|(?:il y a|depuis|pendant|hace|desde hace|ha|vor|seit|durante|depois de) \d{1,2} (?:ans|anyos|anos|jahren?)|\d{1,2} (?:ans|anyos|anos) (?:d'experience|de experiencia|apres|despues|depois|de mariage|de casados|juntos|de historia)",
)

# Ages

NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
    "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40,
    "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "elf": 11, "zwolf": 12, "dreizehn": 13, "vierzehn": 14, "funfzehn": 15, "sechzehn": 16, "siebzehn": 17,
    "sept": 7, "huit": 8, "neuf": 9, "dix": 10, "onze": 11, "douze": 12, "treize": 13, "quatorze": 14, "quinze": 15, "seize": 16, "dix-sept": 17,
    "siete": 7, "ocho": 8, "nueve": 9, "diez": 10, "once": 11, "doce": 12, "trece": 13, "catorce": 14, "quince": 15, "dieciseis": 16, "diecisiete": 17,
    "sete": 7, "oito": 8, "nove": 9, "dez": 10, "doze": 12, "treze": 13, "dezesseis": 16, "dezasseis": 16, "dezessete": 17, "dezassete": 17,
}  # fmt: skip
NUMBER = r"(?P<years>(?<![\d.,])\d{1,2}|" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + r")"
# "Twenty-eight" is no eight.
GROWN = _any(
    r"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[ -](?:one|two|three|four|five|six|seven|eight|nine)",
    r"dix-?(?: )?(?:huit|neuf)",
    r"(?:vingt|trente|quarante|cinquante|soixante|quatre-vingts?)(?:[ -]et)?[ -](?:une?|deux|trois|quatre|cinq|six|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize|dix-sept)",
    r"(?:veinte|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|vinte|trinta|quarenta|cinquenta|sessenta|setenta|oitenta) (?:y|e) (?:uno|un|um|uma|dos|dois|duas|tres|cuatro|quatro|cinco|seis|siete|sete|ocho|oito|nueve|nove)",
)
AGES = tuple(
    re.compile(pattern.replace("N", NUMBER))
    for pattern in (
        r"\bN[\s-]*(?:years?|yrs?|y\.? ?o\.?|y/o|jahre|jahrige[rsnm]?|ans|anyos|anos|anni)\b",
        r"\b(?:aged?|age|edad|alter|idade)\s*(?:of |de )?[:=]?\s*N\b",
        r"\b(?:she|he|they|her|sie|er|elle|ella|ela)(?:'?s|'?re| is| are| was| looks?| just turned| turned| turns| ist| wird| a| tiene| tem)\s+(?:only |just |about |barely |erst )?N\b(?!\s*(?:cm|feet|foot|meters?|metres?|m|kg|pounds|times|o'clock)\b)",
        r"\b(?:girls?|boys?|son|student|model|pupil|sister|brother|niece|nephew|madchen|schulerin|fille|chica|menina|garota)\s*[(,:]\s*N\s*(?=[),;.\n]|$)",
        r"\bwho (?:looks?|is|seems?) (?:about |only |barely |like )?N\b(?!\s*(?:cm|feet|foot|meters?|metres?|m|kg|pounds|times))",
        r"\b(?:girls?|boys?|child|kid|madchen|fille|chica|menina|garota) (?:of|von|de) N\b(?!\s*(?:cm|colou?rs?|parts?|people))",
    )
)
AGE_WORDS = re.compile(r"(?:sieb|acht|neun|zehn|elf|zwolf|dreizehn|vierzehn|funfzehn|sechzehn|siebzehn)(?:en)?jahrig\w*")

# Whom the asker knows or has a photo of

_MIDDLE = r"(?:(?!not |no )[\w'-]+ ){0,2}?"
KNOWN = _any(
    r"(?:real|actual|existing) (?:person|people|woman|man|girl|guy|human being)",
    r"(?:this|that|my|his|her|our|attached|uploaded) (?:photo|picture|selfie|image|pic|snapshot|portrait)s? of",
    r"(?:photo|picture|selfie|pic|snapshot)s? of (?:my|his|her|our|this|that)",
    r"(?:this|that|my|attached|uploaded) (?:selfie|photo|snapshot)s?",
    r"(?:my|our) " + _MIDDLE + r"(?:ex|exes|ex-?girlfriend|ex-?boyfriend|ex-?wife|ex-?husband|girlfriend|boyfriend|gf|bf|wife|husband|fiancee?|neighbou?r|boss|manager|teacher|professor|tutor|classmate|schoolmate|roommate|flatmate|housemate|co-?worker|workmate|colleague|secretary|friend|bestie|sister|brother|mother|father|mom|mum|dad|aunt|uncle|cousin|niece|nephew|stepmom|stepsister|stepmother|sister-in-law|mother-in-law|brother-in-law|grandmother|crush|student|date|landlady|nurse|doctor|therapist|coach|trainer|nanny|babysitter|barista|intern|employee|roomie)(?:'s|s)?",
    r"(?:person|woman|man|girl|guy|boy|lady|people|couple|model|face) (?:\w+ )?(?:in|on|from|of) (?:the|this|that|my|her|his) (?:\w+ )?(?:photo|picture|image|selfie|pic|snapshot|video)",
    r"(?:someone|somebody|people|an? \w+|the \w+) (?:that |whom? )?(?:i|we) (?:know|knew|met|work with|like|love|dated|follow|saw)",
    r"(?:friend|colleague|classmate|neighbou?r|teacher|coworker|sister|cousin|ex) of mine",
    r"(?:from|at|in) my (?:office|work|class|school|gym|church|university|college|workplace|building|street|town|team|job)",
    r"(?:her|his|their|my|someone's|somebody's|\w+'s) (?:instagram|insta|facebook|tiktok|linkedin|snapchat|twitter|profile|yearbook|wedding|vacation|holiday|passport|tinder)",
    r"(?:without|against) (?:her|his|their) (?:consent|knowledge|permission|will|knowing)", r"(?:non-?consensual|leaked|hidden cam(?:era)?|spy ?cam|voyeur|revenge)",
    r"influencer i know",
    # German
    r"mein(?:e[rnms]?)? " + _MIDDLE + r"(?:ex|ex-?\w+|freundin|freund(?:es|in)?|freunde|nachbar\w*|chefs?|chefin|lehrer\w*|kolleg\w+|frau|mann(?:es)?|schwester\w*|bruders?|mutter|vaters?|tante|onkels?|cousine?|nichte|mitschuler\w*|klassenkamerad\w*|kommiliton\w*|mitbewohner\w*|schwarms?|bekannte[nr]?|schwagerin|schwiegermutter|stiefschwester|sekretarin|trainerin|professorin|verlobte[nr]?)",
    r"(?:auf|in|von|aus) (?:dem|diesem|meinem|ihrem|dieser|der|einem)? ?(?:\w+ )?(?:foto|selfie|bild|aufnahme|schnappschuss)s?", r"eine[rs]? (?:echten?|realen?) (?:person|frau|mannes|mann)", r"die ich kenne|den ich kenne",
    # French
    r"(?:ma|mon|mes|notre) " + _MIDDLE + r"(?:ex|copine|copain|voisine?|prof|professeure?|maitresse|collegues?|femme|mari|soeurs?|freres?|mere|pere|patronn?e?|cheff?e?|amie?s?|meilleure amie|cousine?|niece|tante|oncle|camarades?|belle-soeur|belle-mere|coloc|secretaire|fiancee?|petite amie|eleve)",
    r"(?:sur|de|dans) (?:cette|la|ma|sa) (?:\w+ )?(?:photo|image|selfie)", r"(?:vraie|reelle) (?:personne|femme)", r"que je connais",
    # Spanish
    r"(?:mi|mis|nuestra) " + _MIDDLE + r"(?:ex|novi[oa]|vecin[oa]s?|jef[ea]|profesora?|profe|maestr[oa]|espos[oa]|mujer|marido|herman[oa]s?|amig[oa]s?|companer[oa]s?|prim[oa]s?|suegra|cunyad[oa]|cunad[oa]|madre|padre|mama|tia|sobrina|colegas?|hermanastra|secretaria|alumna|conocida)",
    r"(?:en|de|del|a) (?:la|esta|mi|una|su) (?:\w+ )?(?:foto|imagen|selfie)", r"persona real|mujer real", r"que conozco",
    # Portuguese
    r"(?:minha|meu|minhas|meus|nossa) " + _MIDDLE + r"(?:ex|namorad[oa]|vizinh[oa]s?|chefe|patroa|professora?|prof|espos[oa]|mulher|marido|irmas?|irmao|amig[oa]s?|colegas?|prim[oa]s?|cunhada|sogra|mae|pai|tia|sobrinha|noiva|secretaria|aluna|enteada|crush)",
    r"(?:nesta|nessa|na|da|desta|dessa|numa) (?:\w+ )?(?:foto|imagem|selfie|fotografia)", r"pessoa real|mulher real", r"que (?:eu )?conheco",
)  # fmt: skip
# … and somebody who is known to all, or may be.
PUBLIC = _any(
    r"celebrit(?:y|ies)|celebs?|actress(?:es)?|politicians?|president|youtubers?|tiktokers?|streamers?|influencers?|pop ?stars?|movie stars?|film stars?|supermodels?|k-?pop (?:idol|star|singer)s?",
    r"famous (?:\w+ )?(?:singer|actor|model|athlete|woman|man|person|girl|player|musician|rapper|dancer|host)s?|prime minister|first lady|royal family|news ?anchors?",
    r"promis?|prominente[rn]?|schauspieler(?:in|innen)?|beruhmte[rns]? \w+|politikerin|sangerin|kanzlerin|moderatorin",
    r"(?:actrice|actrices|chanteuse|acteur|femme|mannequin|sportive|influenceuse|presentatrice)s? (?:celebres?|connue?s?)|celebres? (?:actrice|chanteuse)|actrices?|influenceuses?|vedettes? de cinema",
    r"(?:actriz|atriz|cantante|cantora|modelo|mujer|mulher|presentadora|apresentadora|deportista) (?:muy |muito )?famos[ao]s?|famosas?|actriz|atriz|politica famosa|celebridades?",
)

# Taking clothes off

_GARMENT_BARE = r"(?:clothes|clothing|bikini|bras?|underwear|undies|panties|lingerie|swimsuit|top and bra|knickers|boxers|briefs)"
_GARMENT = r"(?:clothes|clothing|dress|bikini|bra|underwear|top and bra|panties|lingerie|swimsuit|shirt|blouse|skirt|pants)"
_NO_ROPE = (
    r"(?! (?:line|rack|hanger|pegs?|pin|shop|store|basket|from the (?:line|photo of|floor|chair|bed)|on the (?:line|floor|chair|bed)))"
)
_TAKE = r"(?:remove|removing|take off|taking off|erase|delete|get rid of|edit out|photoshop out|strip off|rip off|tear off|peel off|cut off|see through|look through|x-?ray|dissolve)"
_ROBE_FR = r"(?:vetements?|habits?|robe|culotte|soutien-gorge|maillot|bikini|jupe|chemisier|fringues|sous-vetements)"
_ROPA = r"(?:ropas?|roupas?|vestidos?|bikini|biquini|sujetador|sutia|bragas|calcinhas?|blusa|falda|saia|lenceria|camiseta)"
_KLEID = r"(?:kleidung|kleider|kleid|klamotten|bikini|bh|unterwasche|bluse|hose|rock|oberteil|dessous|sachen)"
_OFF_LINE = r"(?! (?:sucias?|sujas?|sales|propres|limpias?|d[aeo]l? (?:la )?(?:varal|tendedero|lavadora|maquina|cama|corde|armario|mala|maleta|cesto|secadora|chao|suelo)|de la (?:corde|machine|valise|secadora|lavadora|cama)|du (?:fil|sechoir|placard)|von der leine|vom (?:boden|stuhl)|aus (?:dem|der) (?:schrank|koffer|waschmaschine)))"
BARE = _any(
    r"(?:"
    + _TAKE
    + r"|without) (?:all )?(?:of )?(?:her |his |their |the |all |any |my [\w-]+'s |this \w+'s |\w+'s )?(?:\w+ )?"
    + _GARMENT_BARE
    + _NO_ROPE,
    r"(?:take|pull|rip|tear) (?:all )?(?:her|his|their|the|my [\w-]+'s) " + _GARMENT + r" off",
    r"no clothe(?:s|ing)(?! ?-?line)|wearing nothing|nothing on(?! the| a)|not wearing (?:any ?thing|any clothe(?:s|ing)|a thing|clothes)",
    r"(?:sem|sin|sans|ohne|senza) (?:nenhuma |ninguna |aucuns? |jede |ihre |ses |sus? |suas? |as |la |les )?(?:roupas?|ropa|vetements?|habits|kleidung|kleider|klamotten|vestiti)"
    + _OFF_LINE,
    r"(?:under|underneath|beneath|through) (?:her|his|their|the) (?:clothes|clothing|dress|shirt|underwear|bikini|skirt)",
    r"(?:enlev|retir|ot|supprim|effac)\w* (?:\w+ ){0,2}" + _ROBE_FR + _OFF_LINE,
    r"(?:quit|sac|elimin|borr|tir|remov|retir|arranc|apag)\w* (?:\w+ ){0,2}" + _ROPA + _OFF_LINE,
    r"(?:entfern|losch|nimm|nehm|reiss)\w* (?:\w+ ){0,2}" + _KLEID + _OFF_LINE,
    r"(?:zieh|ziehe|zieht) (?!(?:ihren?|seinen?|den|die|das|sich die|sich den) (?:\w+ )?(?:mantel|jacke|schuhe?|stiefel|handschuhe?|hut|helm|socken|mutze|schal|schurze))(?:\w+ ){1,5}aus(?! (?:dem|der|den|einem|einer))",
)
# An order about somebody who must be in a picture at hand: nothing has to stand beside it.
_THEM = r"(?:her|him|them|this (?:person|woman|man|girl|guy|lady|photo|picture|image|pic|selfie|model)|that (?:person|woman|man|girl|guy|lady)|the (?:person|woman|man|girl|guy|lady|subject))"
_ORDER = r"(?:^|(?<=[.,;:!?\n] )|(?<=please )|(?<=can you )|(?<=could you )|(?<=and )|(?<=then )|(?<=now )|(?<=just )|(?<=to )|(?<=ai ))"
_INSTEAD = r"(?!.{0,80}\b(?:replace|instead|put on|puts on|with a|in a|and wear|dress (?:her|him) in|hang|fold|wash|por|par|durch|gegen|con un|com um)\b)"
ORDER = re.compile(
    _ORDER
    + r"(?:"
    + "|".join(
        (
            r"(?:undress|unclothe|disrobe|denude) " + _THEM + r"\b",
            r"strip (?:her|him|them)\b",
            r"(?:make|turn|render|photoshop|edit) " + _THEM + r" (?:\w+ ){0,3}(?:naked|nude|topless|undressed|unclothed|bottomless)\b",
            _TAKE + r" (?:all )?(?:of )?(?:her|his|their|this \w+'s|the (?:woman|girl|man|person|lady|model|guy)'s) (?:\w+ )?(?:clothes|clothing|bras?|underwear|undies|panties|bikini|lingerie|swimsuit|knickers|top and bra|shirt|blouse)\b" + _NO_ROPE + _INSTEAD,
            r"take (?:all )?(?:her|his|their) (?:clothes|clothing|bra|underwear|panties|bikini|top|shirt|dress) off\b" + _INSTEAD,
            r"(?:deshabille|denude)[sz]?(?:r|z)?[ -](?:la|le|les|moi)\b(?! poupee)",
            r"(?:enlev|retir|ot|supprim|effac)\w*(?:-lui)? (?:tous |toute )?(?:ses|sa|son|leurs) (?:\w+ )?" + _ROBE_FR + r"\b" + _INSTEAD,
            r"(?:mets|rends|met|mettez|rendez)-?(?: )?(?:la|le|les)[ -](?:toute |tout )?nue?s?\b",
            r"(?:quit|sac)[ae]?r?(?:le|les|rle)[s]? (?:toda )?(?:la|el|su|sus|las) (?:\w+ )?" + _ROPA + r"\b" + _OFF_LINE + _INSTEAD,
            r"(?:quit|sac|elimin|borr|tir|remov|retir|arranc)\w* (?:toda )?(?:su|sus|sua|suas) (?:\w+ )?" + _ROPA + r"\b" + _INSTEAD,
            r"(?:tir|remov|retir|arranc)\w* (?:toda )?(?:a|as|o|os|toda a) " + _ROPA + r" del[ae]s?\b" + _INSTEAD,
            r"(?:desnud|desvist)[ae]?(?:r)?(?:la|lo|las|los)\b",
            r"(?:deja|dejala|pon|ponla|haz|hazla)(?: ella)? (?:desnuda|sin ropa)\b",
            r"(?:deix[ae]|coloque|faca|faz) (?:ela|ele|essa mulher|esta mulher) (?:nua?|pelad[ao]|sem roupa)\b",
            r"(?:desp[ei]r?|dispa) (?:ela|ele|essa|esta)\b",
            r"(?:zieh|ziehe|zieht) (?:sie|ihn|diese (?:frau|person)|die (?:frau|person)) (?:\w+ ){0,2}aus\b(?! (?:dem|der|den|einem|einer))",
            r"(?:entfern|losch|nimm|nehm)\w* (?:ihre?n?|seine?n?|ihr die|ihm die) (?:\w+ )?" + _KLEID + r"\b" + _INSTEAD,
            r"(?:mach|mache) (?:sie|ihn|diese (?:frau|person)) (?:\w+ )?nackt\b|entkleide (?:sie|ihn|diese)\b",
        )
    )
    + r")"
    + r"|\b(?:(?:what|how) (?:she|he|they|my \w+) looks? (?:like )?(?:naked|nude|undressed|without (?:\w+ )?clothes|under))",
)  # fmt: skip

# One person's face on another

_FACE = r"(?:faces?|heads?)(?! (?:paint|mask|cream|powder|shield|cloth|scarf|band))"
_OTHERS = r"(?:(?:someone|somebody|everyone|another|other|different|this|that|his|her|their|the|a|an|my|our|each|one|[\w-]+'s)\b)"
_SHOT = r"(?:photos?|pictures?|body|bodies|videos?|clips?|face|image|pic|selfie|portrait|shot|model|torso|neck|head|scenes?|movies?|film|frame|gif|footage|stranger|someone|somebody|(?:porn )?(?:actor|actress)|celebrity)"
_WORN = r"(?!clock|mask|hand|hat|crown|smile|glasses|helmet|tattoo|sticker|frame|flower|scarf|veil|paint)"
_FEW = r"(?:" + _WORN + r"(?!on |onto |over |with |to |into |in )[\w'-]+ ){0,4}"
_THEN = r"(?:(?!with |in |left |right )[\w'-]+ ){0,5}?"
_PLACE = r"(?:put|putting|paste|place|transfer|replace|stick|superimpose|graft|insert|photoshop|morph|blend|copy|move|map|overlay|attach|add|edit|merge|impose|transplant|apply|drop|slap|composite)"
_WHOSE = r"(?:my (?:[\w-]+'s )?|his |her |their |our |[\w-]+'s |(?:a |the )?celebrit(?:y|ies)(?:'s)? )"
_ANY = r"(?:the |a |an |this |that |another |my |your |someone's |[\w-]+'s )?"
_BODY = r"(?:photos?|pictures?|pics?|selfies?|body|bodies|models?|bodybuilders?|strippers?|dancers?|athletes?|images?|clips?|videos?)\b(?! (?:frames?|albums?|booths?|walls?|papers?|books?|paint|calls?|screens?|games?))"
_PERSON_SHOWN = r"(?:the |this |that )?(?:man|woman|person|girl|guy|lady|model|stranger|actor|actress|bride|groom) (?:in|on|from) (?:this|that|the|my) (?:\w+ )?(?:photo|picture|image|pic|clip|video|selfie|scene|movie) "
SWAP = _any(
    r"(?:face|head)[- ]?swap(?:s|ped|ping|per)?",
    r"(?:swap|swapped|swapping|switch|exchange|trade|interchange) (?:the |her |his |their |my |these |both |our |two |those |[\w-]+'s )*" + _FACE + r"(?! (?:side|direction|of the (?:coin|cards?)|colou?rs?))",
    r"deep-?\s?fak(?:e|es|ed|ing)",
    _PLACE + r" (?!(?:\w+ )?hands?\b)" + _FEW + _FACE + r" (?:\w+ ){0,2}?(?:on|onto|over|to|into|in place of|instead of) " + _THEN + _SHOT,
    _PLACE + r" (?!(?:\w+ )?hands?\b)" + _FEW + _FACE + r" (?:on|onto|over|with|by|for) (?:the (?:face|head|one|body|guy|man|woman|girl|person)|that of|mine|hers|(?:my|his|her) (?!shoulders?|chest|lap|pillow|hands?|arms?|knees?|back|stomach|neck|palms?)|someone|somebody|another|a different|this (?:guy|man|woman|girl|person|body)|[\w-]+'s)",
    r"(?:replace|replacing|swap|change|substitute) (?:the |her |his |their |my |this \w+'s |[\w-]+'s )?" + _FACE + r" (?:\w+ ){0,4}?(?:with|for|by|to|into) (?:the (?:face|head|one)|that of|mine|hers|my \w+|someone|somebody|another|a different|[\w-]+'s (?:face|head))",
    r"(?:(?:her|his|their|my|this|that|[\w-]+'s) (?:\w+ )?|the )(?:faces?|(?<='s )head|head(?= of)) (?:of [\w' -]{1,30} )?(?:on|onto) (?:to )?(?:the |a |an |this |that )?(?:[\w'-]+ ){0,2}(?:body|bodies|torso)(?! paint)",
    r"face[- ]?(?:replacement|transplant|transfer|morph|merge)|reface|head replacement",
    r"(?:use|using|take) (?:my|his|her|their|this|that|the|[\w-]+'s) (?:\w+ ){0,2}face (?:from (?:\w+ ){1,4})?(?:and put|and paste|on|onto|for|over) ",
    r"(?:body|photo|picture|video|selfie) (?:of|from) (?:[\w'-]+ ){1,4}(?:but )?with (?:the |my |his |her )?(?:[\w'-]+ ){0,3}(?:'s )?(?:face|head) of",
    r"(?:my|his|her|their|[\w-]+'s) (?:face|head),? (?:and )?(?:his|her|their|my|another|someone else's|somebody else's|(?:an? |the )?(?:\w+ )?[\w-]+'s) body",
    r"(?:replace|swap|turn|change) (?:the |this |that )?(?:person|man|woman|girl|guy|actor|actress|lady|model) (?:\w+ ){0,4}?(?:with|into|for) (?:my|our) (?:boss|ex|wife|husband|friend|teacher|neighbou?r|colleague|sister|brother|girlfriend|boyfriend|mother|father|coworker|classmate|crush)",
    r"(?:make|making) (?:it|this|that|the video|the photo) look like (?:my|our) (?:[\w'-]+ ){1,2}(?:is|was) (?:in|saying|doing|kissing|talking)",
    r"face (?:from|in|of) (?:the |this |that |my )?(?:first |second |other |reference )?(?:photo|picture|image|pic|person) (?:\w+ )?(?:on|onto|for|to|into) (?:the |this |that |my )?",
    r"(?:give|giving) (?:this|that|the|her|him) (?:\w+ ){0,3}the (?:face|head) of", r"with (?:my|his|her|their|[\w-]+'s) (?:\w+ )?(?:face|head) (?:instead|swapped|replaced|pasted|photoshopped)",
    _WHOSE + r"(?:\w+ )?(?:face|head),? (?:photoshopped |pasted |superimposed |put )?(?:on|onto|over) " + _ANY + r"(?:[\w'-]+ ){0,3}?" + _BODY,
    r"(?:face|head) of (?:my |his |her |the |a )?[\w' -]{1,30}? (?:on|onto|over) " + _ANY + r"(?:[\w'-]+ ){0,3}?" + _BODY,
    r"(?:use|using|take|taking|apply|clone|copy)(?:ing)? (?:[\w'-]+ ){0,4}?face (?:[\w'-]+ ){0,6}?(?:for|on|onto|to) (?:the |this |that |another |other )+(?:person|man|woman|girl|guy|model|photo|picture|image|clip|video|body)",
    r"(?:use|using) (?:[\w'-]+ ){1,4}as the (?:face|head)|face from [\w ]{1,24} and (?:apply|put|use|paste|place|add)",
    r"but with (?:[\w-]+ ){0,2}[\w-]+'s (?:face|head)\b",
    r"(?:make|making|turn|change) " + _PERSON_SHOWN + r"(?:have|look (?:exactly |just )?like|be|into) (?:my|his|her|me\b|the president|[\w-]+'s)",
    r"(?:make|making) (?:[\w'-]+ ){1,6}have " + _WHOSE + r"(?:face|head)\b",
    r"(?:insert|put|paste|add|swap|place|edit) (?:me|him|her|myself|my (?:[\w-]+ ){0,1}[\w-]+) (?:in|into|over|onto|with) (?:this|that|the) (?:photo|picture|image|clip|video|woman|man|girl|guy|person|bride|groom|actor|actress)(?: [\w'-]+){0,3}? (?:in place of|instead of|in (?:this|the|that) (?:photo|picture|image|clip|video))",
    r"change (?:his|her|their|the [\w-]+'s) face to look like",
    r"(?:swap|switch|trade|change|replace|exchange)(?:ping|ing)? (?:out )?(?:[\w'-]+ ){1,3}(?:head|face)s? (?:[\w'-]+ ){0,3}?(?:for|with) (?:mine|his|hers|theirs|another|someone)",
    r"replace (?:the|his|her) (?:head|face) in (?:this|that|the|my) (?:selfie|photo|picture|pic|image|video)",
    r"face of (?:the |my |a )?[\w' -]{1,24}?,? (?:and )?(?:the )?body of",
    r"(?:the same|same|this|that) (?:photo|picture|pic|clip|video|image),? (?:but )?(?:with )?(?:my|(?:a )?different person's|another person's|someone else's|a different|[\w-]+'s) (?:face|head)\b",
    r"(?:photo|picture|pic|video|clip|selfie) (?:in place of|instead of) (?:my|her|his|the) (?:husband|wife|groom|bride|man|woman|actor|actress|guy|girl|friend|boyfriend|girlfriend)\b",
    r"wear(?:s|ing)? (?:my|his|her|[\w-]+'s) face\b(?! (?:mask|paint|shield|cream|lightly))",
    r"(?:overlay|superimpose) (?:my|his|her) (?:[\w-]+ ){1,2}on(?:to)? (?:this|that|the) (?:actor|actress|man|woman|guy|girl|person|photo|picture|video)",
    r"fake (?:videos?|nudes?) of|(?:make|create|generate) (?:me )?a fake (?:video|nude|photo) (?:of|with)|to make a fake (?:video|photo|nude)|(?:saying|doing) things (?:he|she|they) never (?:said|did)",
    r"morph (?:these|those|the|both) (?:two )?(?:people|faces|persons)",
    r"(?:stick|drop|put|slap|paste|glue) (?:my |his |her )?[\w-]+'s (?:head|face|mug) on (?:a|an|this|that|the|my) (?!(?:[\w-]+ ){0,2}(?:pillow|table|desk|shoulder|bench|cushion|book|coin|stamp|mug|cup|t-?shirt|shirt|poster|cake|banner|balloon|statue|pumpkin|magazine|wall|cover|card|lap|bed|sofa|couch|floor|arm|knee)s?\b)",
    r"transplant (?:his|her|my|the|their|[\w-]+'s) (?:head|face)|cut out (?:his|her|my|the|their|[\w-]+'s) (?:head|face) and (?:paste|put|place|glue)",
    r"(?:have|make) [\w-]+'s (?:face|lips) (?:talk|speak|sing|say)|animate (?:this|that|the) (?:photo|picture) with (?:his|her|my|[\w-]+'s) face",
    r"(?:combine|merge|blend|mix|fuse) " + _WHOSE + r"(?:face|head) (?:with|and|into|onto?) (?:this|that|another|his|her|the|someone's) (?:[\w'-]+ ){0,2}?body",
    r"(?:give|giving) (?:the|this|that) (?:[\w'-]+ ){1,5}?(?:my|his|her|[\w-]+'s) (?:[\w-]+'s )?face\b(?! (?:a|an|some|more|shape|paint|mask))",
    # German
    r"gesichts?(?:er)?[- ]?tausch\w*|gesichter? (?:aus|ver)?tauschen|(?:tausch|vertausch|wechsl)\w* (?:\w+ ){0,2}(?:gesichter|gesicht|kopfe)(?! aus freude)",
    r"(?:gesicht|kopf)(?:s|es)? (?:[\w'-]+ ){0,4}(?:auf|in) (?:[\w'-]+ ){0,4}(?:foto|fotos|bild|bilder|korper|aktfoto|video)",
    r"(?:ersetz|tausch|austausch)\w* (?:\w+ ){0,2}(?:gesicht|kopf)(?:er|e)? (?:\w+ ){0,3}?(?:durch|mit|gegen) (?:das|den|die|dem|mein\w*|ein\w* ander\w*|ihr\w*|sein\w*)(?! (?:maske|lacheln|helm))",
    # French
    r"echang\w* (?:de |les |leurs |nos |des |son |mon )?(?:visages?|tetes?)|permut\w* (?:les |leurs )?(?:visages|tetes)",
    r"(?:mets?|mettre|mettez|colle[rz]?|pose[rz]?|place[rz]?|greffe[rz]?|incruste[rz]?|transpose[rz]?|ajoute[rz]?|transfere[rz]?)(?:-\w+)? (?:le |la |son |sa |mon |ma |leur )?(?:visages?|tetes?) (?:[\w'-]+ ){0,4}sur (?:[\w'-]+ ){0,4}(?:photo|image|corps|celui|celle|video)",
    r"visages? (?:[\w'-]+ ){0,4}sur (?:[\w'-]+ ){0,4}(?:photo|corps)",
    r"(?:remplac|chang)\w* (?:le |la |son |sa |mon |ma |leur )?(?:visage|tete)s? (?:[\w'-]+ ){0,4}?(?:par|avec|contre|pour) (?:celui|celle|le visage|la tete|mon visage|ma tete|une? autre)",
    # Spanish and Portuguese
    r"(?:intercambi|permut)\w* (?:de |las |los |sus |as |os )?(?:caras?|rostros?|cabezas?|cabecas?)|(?:cambi|troc)\w* (?:de |las |los |sus |as |os )(?:caras|rostros|cabezas|cabecas)(?! de (?:moneda|cartas))",
    r"troca\w* (?:de |os |as |o |a )?(?:rostos?|caras?)(?= (?:entre|das|dos|de)\b|$|[,.;])|montagem (?:de |com )(?:o )?rosto|montaje (?:de |con )(?:la )?cara",
    r"(?:pon|pone|poner|pega|pegar|coloca|colocar|coloque|monta|montar|cola|colar|bota|botar|poe|por|mete|meter|inserta|insere|inserir|copia|transfiere|transfere|aplica|superpon)(?:r|la|lo)? (?:la |el |su |mi |o |a |seu |sua |meu |minha )?(?:cara|rostro|rosto|cabeza|cabeca) (?!de (?:sorpresa|surpresa|asco|nojo|feliz|enfado|susto))(?:[\w'-]+ ){0,5}?(?:en|sobre|no|na|neste|nesta|nesse|nessa|num|numa|em|al?|ao) (?:[\w'-]+ ){0,3}?(?:foto|imagen|imagem|cuerpo|corpo|video|otra|outra|otro|outro)",
    r"(?:cara|rostro|rosto|cabeza|cabeca) (?:de|del|da|do) (?:[\w'-]+ ){1,4}(?:en|sobre|no|na|neste|nesta|num|numa|em) (?:[\w'-]+ ){0,3}?(?:cuerpo|corpo)",
    r"(?:cambi|reemplaz|sustitu|substitu|troc|mud)\w* (?:la |el |su |mi |o |a |seu |sua |meu |minha )?(?:cara|rostro|rosto|cabeza|cabeca)s? (?:[\w'-]+ ){0,4}?(?:por|con|pel[oa]|com) (?:la|el|o|a|mi|meu|minha|una?|outr[oa]|otr[oa]|de|d[eoa])\b(?! (?:mascara|sonrisa|sorriso|calabaza|abobora|gato|casco|expres\w+))",
    r"pel[oa] (?:rosto|cara|cabeca) d[eoa]",
    # Italian
    r"scambi\w* (?:di |i |le )?(?:volt[oi]|facc(?:ia|e))",
)  # fmt: skip
