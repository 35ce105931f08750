"""What kind of thing a word names, in seven languages: the learned reading sees kinds beside letters, so that one language teaches another.

Words are normalised: lower case, no accents. A word may be of several kinds, or of none.
"""

# ruff: noqa: E501 - word lists read better unbroken

from __future__ import annotations

import re
from functools import lru_cache

from studio.safety_swap import _FACE, _PERSON, _STILL, SOMEBODY
from studio.safety_wide import _CHANGE, INVENTED
from studio.safety_words import AGE_WORDS, EXPLICIT, EXPLICIT_STEMS, MINOR, SUGGESTIVE, UNDRESSING

_ADULT = 18


def _words(text: str) -> re.Pattern[str]:
    return re.compile("|".join(text.split()))


_KINDS: dict[str, re.Pattern[str]] = {
    "face": re.compile(_FACE + r"|\w*(?:gesicht|kopf)s?|mugs?|visages?|features|likeness|identit\w+|kisser|noggin|phiz|figure|tronche|bouille|semblante|rasgos|traits|lineamenti|tracos|gelaat|facial|faccia"),
    "picture": re.compile(_STILL + r"|uploads?|attach\w*|anhang|anbei|\w*foto\w*|\w*bild\w*|snap\w*|screenshots?|screengrab|screen|frame|clip|poster|plakat|affiche|cartel|cartaz|locandina|jpe?g|png|webp|story|reel|feed|profile?|adjunt\w+|allegat\w+|joint\w*|anex\w+|print|captura|bijlage|scans?"),
    "medium": _words("painting oil watercolou?r pencil charcoal drawing sketch sculpture statue marble bronze poster comic cartoon illustration anime render mural mosaic engraving gemalde zeichnung aquarell kohle kohlezeichnung skulptur statue marmor tableau peinture dessin aquarelle fusain cuadro pintura dibujo acuarela escultura estatua marmol dipinto disegno acquerello scultura statua marmo desenho aquarela escultura schilderij tekening aquarel beeld museum galerie gallery museo musee"),
    "change": re.compile(_CHANGE.pattern + r"|graft\w*|transplant\w*|overlay\w*|superimpos\w*|splic\w+|map|mapped|mapping|port|reface|recast|montier\w*|verpass\w*|greff\w*|incrust\w*|innest\w*|traspas\w*|transf\w+|insert\w*|composite|blend|photoshop\w*|swap\w*|faceswap\w*|deepfake\w*|roop|reactor|instantid|pulid|insightface"),
    "garment": re.compile(r"\w*(?:clothes|clothing|dress|shirt|skirt|blouse|kleid|kleidung|klamotten|hose|hemd|rock|bluse|badeanzug|pyjamas?|wear|suit|coat|jacket|mantel|jacke)s?|outfits?|tops?|bra|bras|panties|jeans|pants|shorts|leggings|leotards?|uniforms?|robes?|towels?|bikinis?|hoodie|sweater|jumper|scrubs|tights|stockings|fabric|garments?|vetements?|robes?|jupes?|chemise|chemisier|maillot|serviette|manteau|culotte|soutien|vestidos?|ropa|falda|camisa|blusa|banador|toalla|abrigo|sujetador|bragas|vestit\w+|costume|gonna|camicetta|maglia|cappotto|reggiseno|mutandine|roupas?|saia|camisa|biquini|casaco|calcinha|sutia|kleren|kleding|jurk|rok|bloes|zwempak|jas|badpak|broek|bh|blanket|sheet"),
    "outer": _words("coats? jackets? raincoat scarf scarves hats? caps? gloves? boots? shoes? socks? helmet glasses sunglasses goggles belt tie apron cape mask masks mantel jacke schal hut mutze handschuhe stiefel schuhe helm brille manteau veste echarpe chapeau gants bottes chaussures casque lunettes abrigo chaqueta bufanda sombrero guantes botas zapatos casco gafas cappotto giacca sciarpa cappello guanti stivali scarpe casco occhiali casaco jaqueta chapeu luvas botas sapatos capacete oculos jas sjaal hoed muts handschoenen laarzen schoenen helm bril"),
    "gone": _words("off without minus remove[sd]? removing removal gone lose drop delete erase strip peel transparent invisible no none nothing zero zilch nada see-through weg ohne aus ausziehen entfern\\w* runter nichts kein\\w* durchsichtig zieh\\w* enleve\\w* retire\\w* ote sans rien quitte sin quita\\w* quitar fuera saca\\w* nada borra\\w* senza togli\\w* via niente leva\\w* spoglia\\w* sem tira\\w* tirar zonder haal uit doe niets verwijder underneath under beneath hides? darunter drunter dessous debajo sotto debaixo onder eronder"),
    "minor": re.compile(r"|".join(map(re.escape, sorted(MINOR))) + r"|tweens?|toddlers?|(?:daughter|son|niece|nephew|nichte|neffe|niece|neveu|sobrin\w|nipotin\w|sobrinh\w|nichtje|neefje|tochter|sohn|fille|fils|hij\w|figli\w|filh\w|dochter|zoon)s?"),
    "school": _words("school\\w* \\w+school\\w* pupils? students? grade graders? freshm[ae]n sophomores? kindergarten nursery homework classroom class yearbook prom scouts? \\w*schul\\w* \\w*klass\\w* schuler\\w* konfirm\\w* ecole college lycee eleve collegien\\w* lyceen\\w* classe escuela colegio instituto eso alumn\\w+ secundaria primaria scuola liceo media medie alunn\\w+ student\\w+ escola serie fundamental ensino leerling\\w* klas brugklas\\w* groep"),
    "years": _words("years? yrs? yo old aged? birthday born jahre? jahrig\\w* \\w+jahrig\\w* geboren ans an nee? anos anios anni nat[ao] jaar jarig\\w* nascid\\w puberty pubescent prepubescent preteen teen teens teenage\\w* underage legal minor younger child-?like youthful"),
    "adult": _words("adults? grown mature erwachsen\\w* adultes? adult[aoe]s? volwassen\\w* woman man women men thirties forties fifties sixties twenties elderly dreissig\\w* vierzig\\w* trentaine quarantaine treintena cuarentena trentina quarantina"),
    "sexual": re.compile(r"|".join(map(re.escape, sorted(SUGGESTIVE))) + r"|explicit\w*|porn\w*|lewd\w*|nsfw|onlyfans|boudoir|spicy|kinky|steamy|horny|verfuhrerisch\w*|scharf\w*|seduis\w+|seducent\w+|sedutt\w+|sensu\w+|provocat\w+|provoc\w+|pikant\w*|geil\w*|caliente|hot"),
    "bare": re.compile(r"|".join(map(re.escape, sorted(EXPLICIT))) + "|(?:" + EXPLICIT_STEMS.pattern + r")|nudes?|naked|bare|topless|skin|nud[oaie]|nackt\w*|nus?|nues?|desnud\w*|pelad\w+|naakt\w*|bloot|blote|oben|uncovered|exposed"),
    "undress": re.compile(r"|".join(map(re.escape, sorted(UNDRESSING))) + r"|undress\w*|nudif\w*|deepnude\w*|strip\w*|deshabill\w*|desnuda\w*|spogli\w*|despi\w*|uitkled\w*|auszieh\w*"),
    "person": re.compile("(?:" + _PERSON + r")|\w*models?|actors?|actress\w*|singers?|players?|goalkeeper|goalie|keeper|groom|bride|bridesmaids?|streamers?|influencers?|cosplayers?|reporters?|teacher|acteur|actrice|schauspieler\w*|sanger\w*|spieler|torwart|brautigam|braut|marie|mariee|joueur|joueuse|gardien|chanteuse|actriz|jugador|portero|novi[oa]|cantante|attore|attrice|giocatore|portiere|spos[oa]|ator|atriz|jogador|goleiro|noiv[oa]|acteur|speler|keeper|bruid\w*"),
    "known": re.compile(SOMEBODY + r"|ex|exes|boss|coworkers?|colleagues?|neighbou?rs?|landlord|roommate|flatmate|classmates?|celebrit\w+|celeb|tinder|hinge|bumble|insta\w*|facebook|linkedin|tiktok|onlyfans|snapchat|twitter|discord|twitch"),
    "mine": _words("my our mine mein\\w* unser\\w* mon ma mes notre nos mi mis mio mia miei mie nuestr\\w+ nostr\\w+ meu minha meus minhas noss\\w mijn m'n onze me myself mich mir moi mim mij i ich je yo io eu ik selfies?"),
    "pointed": _words("this that these those here attached uploaded dies\\w* jene\\w* cette ce cet ces cett est[aoe] es[aoe] quest[aoi] quell[aoie] nest\\w+ ness\\w+ dess\\w+ deze dit die dat first second third other another left right source target 1 2 ersten? zweiten? anderen? premiere? deuxieme autre primer\\w* segund\\w otr[ao] prim[ao] second[ao] altr[ao] primeir\\w outr[ao] eerste tweede andere"),
    "someone": _words("she he her hers him his they them their theirs sie er ihr\\w* ihm ihn sein\\w* elle il lui son sa ses ella el su sus lei suo sua ela ele dela dele zij ze hij haar hem zijn"),
    "place": _words("on onto over instead place with auf statt anstelle durch gegen mit sur place par avec en lugar por con sobre al posto con su sul sulla no na lugar pel[ao] com op plaats door met into to from of von vom aus de du des del della di do da van als as"),
    "invented": re.compile(INVENTED.pattern + r"|invented|fictional|fictitious|imaginary|made-?up|characters?|oc|ocs|erfunden\w*|fiktiv\w*|figur|personnages?|imaginaire\w*|invente\w*|fictifs?|fictive|personajes?|inventad\w+|ficticia|ficticio|personaggi\w*|inventat\w+|immaginari\w+|personage[mns]*|imaginari\w+|verzonnen|fictieve?|heroine|hero|elf|wizard|knight|vampire|mermaid|pirate|robot"),
    "tool": _words("lora loras ksampler sampler checkpoint controlnet openpose depth denoise cfg steps seed upscal\\w+ ip-?adapter facedetailer adetailer workflow comfyui inpaint\\w* mask\\w* prompt caption trigger reference\\w* referen\\w+ consisten\\w+ pose\\w* posa identity style lighting background hintergrund fond fondo sfondo fundo achtergrond sheet expression"),
    "care": _words("restore\\w* sharpen\\w* brighten\\w* colou?ri[sz]e\\w* retouch\\w* soften\\w* crop\\w* scratch\\w* crease blur\\w* noise red-?eye smile\\w* smiling lachel\\w* sourire sonr\\w+ sorri\\w+ freckles make-?up paint\\w* painted geschmink\\w* bemalt\\w* maquill\\w* pintad\\w dipint\\w pintur\\w schmink\\w* mirror spiegel miroir espejo specchio espelho"),
    "same": _words("same keep\\w* like before again consistent gleich\\w* selbe\\w* meme mism[ao] stess[ao] mesm[ao] zelfde but except only"),
}  # fmt: skip


@lru_cache(maxsize=1 << 13)
def kinds(word: str) -> tuple[str, ...]:
    """The kinds of a normalised word."""
    if word.isdigit():
        return ("grown" if _ADULT <= int(word[:3]) < 100 else "small" if len(word) < 3 else "number",)
    return (*(kind for kind, words in _KINDS.items() if words.fullmatch(word)), *(("small",) if AGE_WORDS.fullmatch(word) else ()))
