"""The grammar that `studio.safety` reads requests to exchange faces with: a verb, a face, and somebody else to put it on, in any language.

The text is normalised (lower case, no accents), and whoever the asker knows or everybody knows reads `SOMEBODY`.
"""

# ruff: noqa: E501 - word lists and patterns read better unbroken

from __future__ import annotations

import re

SOMEBODY = "xsomebodyx"


def _any(*patterns: str) -> str:
    return r"\b(?:" + "|".join(patterns) + r")\b"


def _one(text: str) -> str:
    return "(?:" + "|".join(text.split()) + ")"


# Faces that are nobody's: taken out before reading.
_CREATURE = _one(r"""
cats? kittens? dogs? pupp(?:y|ies) lions? lioness(?:es)? tigers? wol(?:f|ves) fox(?:es)? horses? ponies pony bears? pandas? eagles? owls? birds? ravens? crows? parrots? frogs? toads? fish sharks? snakes? dragons? unicorns? goats? sheep rams? cows? bulls? pigs? monkeys? apes? gorillas? rabbits? bunn(?:y|ies) mouse mice rats? deers? stags? elephants? giraffes? zebras? leopards? panthers? crocodiles? lizards? turtles? ducks? chickens? roosters? goose swans? insects? bees? ants? spiders? butterfl(?:y|ies) dinosaurs?
animals? robots? androids? aliens? monsters? zombies? vampires? demons? devils? skulls? skeletons? ghosts? goblins? orcs? trolls? gargoyles? medusa minotaur sphinx statues? sculptures? busts? dolls? puppets? toys? teddy mannequins? snowm[ae]n scarecrows? pumpkins? emojis? smileys? smiley clowns? masks? suns? moons? planets? flowers? sunflowers? clocks? watch(?:es)? dials? compass coins? dice cards? mountains? cliffs? rocks? buildings? dominos? cubes? hammers? golf axes? spears? arrows? buddhas? buddha pharaohs? oc characters? avatars? mascots? logos?
katzen?\w* hunde?\w* lowen?\w* tigers? wolfs?\w* pferde?\w* chats? chiens? loups? cheva(?:l|ux) ours gatos? perros? leon(?:es)? lobos? caballos? gatt[oi] can[ei] leon[ei] lup[oi] caval(?:lo|li) cachorros? leao leoes cavalos? tigres? calabaza abobora zucca citrouille kurbis\w*
""")  # fmt: skip
NOBODYS_FACE = re.compile(
    _any(
        r"(?:my|the|his|her|their) (?:own )?faces? (?:\w+ ){0,4}?(?:with|by|under|behind) (?:an? )?(?:\w+ )?(?:emojis?|smileys?|blur|stickers?|pumpkin|masks?|drawing|logos?|black bars?|pixels|mosaic)",
        r"(?:my|his|her|their|our) faces? as (?:an? )?(?:lego|action|toy|clay|wax|marble|stone|pixar|anime|cartoon|chess|paper|wooden|bronze) [\w-]+",
        r"(?:face|head)[- ]?swap\w* (?:for|of|between|with|on) (?:\w+ ){0,2}" + _CREATURE,
        _CREATURE + r"(?:'s|'|s')?[ -](?:\w+ )?(?:faces?|heads?)(?: swap\w*)?",
        r"(?:faces?|heads?|gesichte?r?|kopf|tete|cara|rostro|cabeza|visage|volto|viso|faccia|testa|rosto|cabeca) (?:of|from|von|de|d'|di|do|da|del|della|eines|einer|des) ?(?:(?:an?|the|une?|un|una|um|uma|einem|einer|el|la|le|il|lo|l'|einen) ?)?(?:\w+ )?" + _CREATURE,
        r"(?:north|south|east|west|rock|cliff|clock|watch|type|poker|wall|mountain|dial|quarry|coal|ice|inner|outer|blank|straight|smiley|paper|pretty|game|cube)[ -]?faces?",
        r"faces?[ -](?:paint\w*|masks?|creams?|powders?|shields?|cloths?|scar(?:f|ves)|bands?|wash|serums?|cards?|value|lifts?|id|yoga|packs?|oils?|rollers?|moisturi[sz]er|covers?|tattoos?|gems|glitter|down|up|to[ -]face|forwards?|away|off|plate|first|detail\w*|sheet)",
        r"heads? of (?:state|states|government|garlic|lettuce|cabbage|cauliflower|broccoli|hair|school|department|sales|design|marketing|security|cattle|household|house|table|stairs|the (?:table|line|queue|class|department|family|household|stairs|river|bed|school|valley|column|parade|company|delegation)|a (?:nail|pin|match|bed|table|hammer|comet|spear|river|family|department))",
        r"heads?[ -](?:scar(?:f|ves)|bands?|lights?|lamps?|phones?|sets?|boards?|dress(?:es)?|pieces?|gear|shots?|first|start|over heels|to toe|on collision|and tails|and shoulders|count|room|stands?|wraps?|torch|massage|wear|rests?|to head|high|down|up|tilt\w*|turned)",
        r"(?:shower|drum|cylinder|print|sprinkler|letter|mast|arrow|spear|bed|egg|thunder|talking|red|block|bridge|trail|mop|axe|hammer|golf club|guitar|match|pin|nail|screw)[ -]?heads?|(?:head|face) transplant (?:st?urgeon|surgery|patient|operation)s?|cara de (?:sorpresa|surpresa|asco|nojo|feliz|enfado|susto|miedo|medo|tristeza|alegria|poker|poquer|malo|bueno|perro|pocos)|(?:make|making|pull|pulling) (?:a |silly |funny )*faces?",
        r"tetes? (?:de (?:lit|mort|liste|pont|serie|veau|ail|gondole)|d'ail|d'affiche|a tete)|en tete|cara (?:norte|sur|este|oeste|oculta|a cara|b|a)|cabeza de (?:ajo|serie|cartel)|cabeca de (?:alho|serie|cartaz)|testa (?:d'aglio|di serie|di ponte|a testa)|kopf bis fuss|kopf an kopf|von angesicht",
        r"character'?s? (?:face|head)s?|face (?:and \w+ )?(?:of|from) (?:my |the |this |our )?(?:own |original |main )?character|(?:faces?|heads?) (?:of|from) (?:the |my )?(?:reference|character|model) sheet",
    )
)  # fmt: skip

_W = r"[\w'&+-]+"
_FACE = (
    r"(?:(?:faces?|heads?|mugs?|noggin|visages?|likeness|facial (?:features|identity|structure|likeness|traits|data)|identity|features|above the neck|(?:above|from) (?:the )?(?:neck|collar|shoulders) up(?:wards?)?|tetes?|gueules?|gesichte?r?s?|gesichtszuge|kopfe?s?|antlitz|caras?|rostros?|cabezas?|jeta|volt[oi]|vis[oi]|facc(?:ia|e)|teste|testa|lineamenti|rostos?|cabecas?|gezicht(?:en)?|hoofd(?:en)?)(?:'s)?"
    r"(?! (?:(?:to|toward|towards|in) (?:the )?(?:camera|viewer|profile|left|right|light|focus|sun|shadow)|turned|tilted|bowed|hidden|lit|visible|sculpte)))"
)
# Moods are not persons: "add a surprised face to the man in this picture".
_MOOD = _one(r"""
clean(?:er)? clear(?:er)? sharp(?:er)? blurr?(?:y|ed) smil(?:e|ing) surprised shocked happy sad angry calm kind serious funny silly grumpy tired sleepy laughing crying scared worried bored blank confused neutral winking grinning frowning painted hand hands hat hats crown smile glasses makeup freckles beard moustache mustache helmet veil scarf flower flowers mask tattoo sticker light shadow sunlight bandage blush scar snow spotlight filter blur emoji frame lachelnde\\w* sonrisa sourire sorriso expression expressions expresion expressao espressione sorpresa surpresa asco enfado susto
""")  # fmt: skip
_ONTO = _one(
    "on onto over into upon in to atop auf in ins im an uber sur dans en sobre encima su sul sulla sull' sullo sui sugli nel nella nell' nello alla alle al no na nos nas num numa neste nesta nesse nessa naquele naquela em ao op"
)
_WITH = _one(
    "with for by to into and mit durch gegen und zu in par avec contre pour et en por con contra y a al e pel[oa]s? com met door voor"
)
# Where a head may honestly rest, and where in a picture it may be.
_REST = _one(r"""
shoulders? chest lap pillows? hands? arms? knees? back stomach necks? palms? cushions? desks? tables? bed beds sofa couch floor bench walls? window coins? stamps? t-?shirts? shirts? posters? cakes? banners? balloons? magazines? covers? cards? billboards? medals? plates? pedestal cups? bills? banknotes? flags? locket
cent(?:er|re) middle corner left right top bottom side foreground background distance frame light lights shadows? shade profile focus sun moonlight water mirrors? reflection puddle screens? crowd
schulter brust schoss kissen handen tisch epaule genoux oreiller poitrine hombro pecho almohada regazo ombro colo travesseiro spalla petto cuscino grembo schouder kussen
""")  # fmt: skip
_BY = r"(?:with|by|durch|gegen|par|avec|por|con|pel[oa]|com|door)"
_INSTEAD_OF = r"instead of|in place of|in lieu of|anstelle (?:von|des|der)|anstatt|statt|a la place d\w+|au lieu d\w+|en lugar d\w+|en vez d\w+|al posto d\w+|invece d\w+|no lugar d\w+|em vez d\w+|in plaats van"
_STILL = (
    r"(?:photo(?:graph|graphie|shoot)?s?|pictures?|images?|pics?|selfies?|portraits?|(?:mug)?shots?|headshots?|stills?|videos?|clips?|movies?|films?|scenes?|footage|gifs?|memes?|reels?|screen(?:shot|grab)s?|snap(?:shot)?s?|uploads?|mug|cctv|stock photo|(?:img|dsc|pic|photo|image)_?\d\w*"
    r"|\w*(?:foto|bild|video|aufnahme|abbildung)(?:s|es|er|ern|en|n)?|clichés?|imagen(?:es)?|immagin[ei]|filmat[oi]|imagens?|imagem|fotografias?|fotografi[ea]|afbeelding(?:en)?|plaatjes?|montage|cuadro)"
)
_BODY = r"(?:body|bodies|torsos?|\w*korpers?|corps|cuerpos?|corp[oi]|lichaam|lijf|physique|figure)"
_PERSON = _one(r"""
m[ae]n wom[ae]n persons? people girls? guys? lad(?:y|ies) dudes? chicks? strangers? models? actors? actress(?:es)? brides? grooms? bridesmaids? dancers? singers? drivers? players? athletes? wrestlers? boxers? bodybuilders? soldiers? officers? cops? policem[ae]n criminals? robbers? thie(?:f|ves) suspects? prisoners? convicts? politicians? strippers? pornstars? hosts? anchors? heros? heroes? heroines? leads? stars? celebrity celebrities passengers? dudes? kids? child bab(?:y|ies) footballers? goalkeepers? goalies quarterbacks? wrestlers? skaters? rappers? musicians? guitarists? drummers? waiters? waitress(?:es)? pilots? farmers? cowboys? sailors? fishermen priests? nuns? drunks? drunkard surfers? swimmers? gymnasts? cheerleaders? weightlifters? teachers? boss uncles? aunts? someone somebody everyone others? another else mine hers theirs him them me myself
mann(?:es)? frau(?:en)? manner leuten? personen? typen? kerls? kerl braut brautigams? schauspielers? schauspielerin models? sangers? sangerin tanzerin fussballers? torwarts? torhuters? spielerin sportlers? ringers? tanzers? kochs? pianisten? rennfahrers? polizisten? betrunkenen? fremden? jemand\\w* anderen? anderer
hommes? femmes? personnes? mecs? gars nanas? filles? mariee? acteurs? actrices? mannequins? danseuses? danseurs? joueurs? joueuses? footballeurs? gardiens? boxeurs? nageurs? chanteurs? chanteuses? musiciens? policiers? inconnue?s? quelqu'un autre autres
hombres? mujer(?:es)? personas? chic[oa]s? tip[oa]s? novi[oa]s? actor(?:es)? actriz modelos? futbolistas? jugador(?:es|as?)? porter[oa]s? boxeador(?:es)? bailarin(?:a|es)? cantantes? torer[oa]s? policias? alguien otr[oa]s?
uom(?:o|ini) donn[ae] person[ae] ragazz[aoie] tizi[oa] spos[oae] attor[ei] attric[ei] modell[aoie] calciator[ei] giocator[ei] portier[ei] pugil[ei] ballerin[oae] cantant[ei] poliziott[oi] qualcuno qualcun altr[oaie]
homens? mulher(?:es)? pessoas? mocas? rapaz rapazes noiv[oa]s? ator atores atriz modelos? jogador(?:es|as?)? goleir[oa]s? lutador(?:es|as?)? dancarin[oa]s? cantor(?:es|as?)? alguem outr[oa]s?
vrouw(?:en)? persoon mensen meisje jongen acteurs? actrice bruid bruidegom voetballers? spelers? keepers? dansers? zangers? zangeres iemand ander(?:e|en)?
""")  # fmt: skip
_THING = _one(r"""
mugs? cups? statues? pumpkins? banners? cookies? keychains? stickers? logos? lego cartoons? toys? dolls? avatars? paintings? canvas frames? dollars? rushmore puzzle calendar blanket mask masks socks phone gingerbread snowman balloon pinata tapestry tattoo
""")
_NOT_ITS = r"(?!'s? (?:\w+ )?" + _REST + r")(?! (?:paint|calls?|albums?|booths?|walls?|papers?|books?|screens?|frames?|session|games?)\b)"
_TARGET = r"(?:" + _STILL + "|" + _BODY + "|" + _PERSON + "|" + SOMEBODY + r")\b" + _NOT_ITS

_PUT = _one(r"""
put putting puts past(?:e|es|ed|ing) plac(?:e|es|ed|ing) transfer(?:s|red|ring)? st(?:ick|icks|uck|icking) superimpos(?:e|es|ed|ing) graft(?:s|ed|ing)? insert(?:s|ed|ing)? photoshop(?:s|ped|ping)? morph(?:s|ed|ing)? blend(?:s|ed|ing)? cop(?:y|ies|ied|ying) mov(?:e|es|ed|ing) map(?:s|ped|ping)? overlay(?:s|ed|ing)? lay(?:er)? attach(?:ed|ing)? add(?:s|ed|ing)? edit(?:s|ed|ing)? merg(?:e|es|ed|ing) impos(?:e|ed|ing) transplant(?:s|ed|ing)? appl(?:y|ies|ied|ying) drop(?:s|ped|ping)? slap(?:s|ped|ping)? composit(?:e|es|ed|ing) swap(?:s|ped|ping)? swop project(?:s|ed|ing)? render(?:ed)? fus(?:e|ed|ing) glu(?:e|ed|ing) clon(?:e|ed|ing) mount(?:ed)? bolt tape plaster(?:ed)? slid(?:e|ing) lift stitch(?:ed|ing)? sew splic(?:e|ed|ing) port plug fit pin weld shop warp(?:ed|ing)? replac(?:e|ing) implant(?:ed|ing)? deepfake mash pop plonk whack chuck throw match bring
setze?n?t? gesetzt tue? hau(?:e|en)? knall(?:e|en)? schieb(?:e|en)? klatsch kleben? klebe? klebt montieren? montiere?t? packe?n? pack tue? lege?n? ubertragen? ubertrage?t? verpflanze?n? transplantiere?n? fuge?n? einfugen kopiere?n? baue?n? stecke?n? pflanze?n? retuschiere?n? schneide?n? projiziere?n? bringe? klatsche?n? bastele? mache?n? hange?n?
mets?(?:-moi)? mettre mettez mis colle[rzs]? pose[rz] place[rz]? greffe[rzs]? incruste[rzs]? transpose[rzs]? ajoute[rzs]? transfere[rzs]? superpose[rzs]? insere[rzs]? applique[rzs]? fusionne[rzs]? implante[rz]? fous flanque transplante[rz]? copie[rz]?
pon ponle pone poner ponga ponme pega pegar pegue pegale coloca colocar coloque colocale monta montar mete meter inserta insertar copia copiar transfiere transferir aplica aplicar superpon superponer injerta injertar fusiona incrusta trasplanta trasplantar traslada
metti mettere mettimi mettigli mettile incolla incollare incollami appiccica applica applicare trasferisci trasferire trapianta trapiantare sovrapponi sovrapporre innesta innestare inserisci inserire piazza piazzare monta montare copia sposta
coloca colocar coloque poe por ponha bota botar bote cola colar cole insere inserir insira monta montar transfere transferir transfira aplica aplicar sobrepoe sobrepor encaixa encaixar enfia implanta transplanta transplante passa passe copia copie
zet zetten plak plakken plaats plaatsen monteer monteren kopieer kopieren breng
""")  # fmt: skip
_USE = _one(
    "use using take taking takes grab extract steal borrow with give giving verwende?n? benutze?n? nimm nehme?n? utilise[rz]? prends? prendre usa use usar usando utiliza toma coge usa usare prendi gebruik neem pak pega pegue"
)
_EXCHANGE = _one(r"""
swap(?:s|ped|ping)? swop(?:s|ped|ping)? switch(?:ed|ing)? exchang(?:e|ed|ing) trad(?:e|ed|ing) interchang(?:e|ed|ing) replac(?:e|es|ed|ing) substitut(?:e|es|ed|ing) chang(?:e|es|ed|ing) flip revers(?:e|ing) blend(?:ing)? merg(?:e|ing) mix(?:ing)? morph(?:ing)? inpaint(?:s|ed|ing)? repaint(?:ed|ing)? redraw regenerat(?:e|ed|ing) overrid(?:e|ing) overwrit(?:e|ing) trad(?:e|ing) sub combin(?:e|ing) fus(?:e|ing)
tausche?n?t? vertausche?n? austauschen austausche? wechsle wechsele? wechseln ersetze?n?t? vermische? kombiniere
echange[rzs]? remplace[rzs]? change[rzs]? permute[rz]? interverti[rs]? intervertissez substitue[rz]? fusionne[rz]? inverse[rz]?
intercambia(?:r|me)? intercambie cambia(?:r|le|me)? cambie reemplaza(?:r|le)? reemplace sustituye sustituir fusiona(?:r)? combina(?:r)? mezcla(?:r)? invierte
scambi(?:a|are|ami|ate)? sostitui(?:sci|re|scimi)? cambi(?:a|are|ami) fondi fondere unisci combina mescola inverti
troca(?:r)? troque substitui(?:r)? substitua muda(?:r)? mude inverte inverter inverta mistura(?:r)? funde combina
verwissel(?:en)? vervang(?:en)? wissel(?:en)? ruil(?:en)? omwisselen
""")  # fmt: skip


def _gap(most: int, *without: str) -> str:
    """At most so many words, none of which is one of these."""
    unless = r"(?!(?:" + "|".join(without) + r")\b)" if without else ""
    return "(?:" + unless + _W + r" ){0," + str(most) + r"}?"


_NOT_OBJECT = (_ONTO, r"(?:with|from|mit|avec|con|com|met|sans|sin|ohne)", _MOOD, _FACE)
_OF = r"(?: (?:of|from|von|vom|des|der|de|du|d'\w+|del|della|dell'\w+|di|da|do|das|dos|in|on|aus|van|uit|meine[rsmn]?)\b)?"
_THAT_OF = (
    r"(?:" + SOMEBODY + r"|mine|hers|theirs|yours|me|myself|(?:that|the one|those) (?:of|from|in|on)|(?:an)?other (?:person|wom[ae]n|m[ae]n|girl|guy|one|photo|picture|face|head|actor|actress)\w*|(?:an)?other(?:'s)?|someone|somebody|a stranger|a celebrity|[\w-]+'s(?! (?:mask|smile|hat|helmet))"
    r"|(?:the )?(?:first|second|other|left|right) (?:person|wom[ae]n|m[ae]n|girl|guy|one|photo|picture|image|pic)|(?:photo|picture|image|pic|foto|bild|imagen|imagem|immagine) (?:\d|[ab]\b|one|two)"
    r"|(?:das|den|dem|die|der) (?:von|vom|des|meine[rs]?|ihre[rs]?|seine[rs]?|eine[rs]?|anderen?|der (?:frau|person))|meins|meinem|meinen|ihrem|seinem|eine[mnr] (?:andere[nrm]?|fremde[nrm]?|prominenten)"
    r"|(?:celui|celle|ceux|celles) (?:de|du|des|d'\w+|qui|sur)|(?:le|la) (?:mien(?:ne)?|sien(?:ne)?)|(?:l[ae]|el) (?:mi[oa]|suy[oa]|de|del)\b|(?:quell[oaie]|il|la|le) (?:di|del|della|dell'\w+|dei|mi[oa]|su[oa])\b|(?:[oa]|pel[oa]) (?:meu|minha|d[eoa]|del[ea])\b|pel[oa] (?:d[eoa]|meu|minha)|d[eoa] (?:outr[oa]|meu|minha)|die van|dat van)"
)  # fmt: skip
_REF = (
    r"(?:(?:the|my|this|that|his|her|dem|der|das|die|den|la|le|el|il|lo|l'|mi|mia|o|a|de|het|first|second|other|left|right|ersten?|zweiten?|anderen?|premiere?|deuxieme|seconde?|autre|primer[ao]?|segund[ao]|otr[ao]|prim[ao]|second[ao]|altr[ao]|primeir[ao]|outr[ao]|eerste|tweede|andere) ?){0,3}(?:"
    + _STILL
    + r"|file|source|reference|img|input|one)\b"
)
_FROM = r"(?:from|of|in|on|out of|aus|vom|von|auf|im|de|du|des|del|della|dell'|dalla|dal|dall'|da|do|na|no|van|uit|sur|en)"
_KEEPER = r"(?:body|bodies|rest|everything else|torso|korper|corps|cuerpo|corpo|lichaam|reste|resto)"
_WHO_SHOWN = (
    r"(?:the |this |that |these |those |die |der |den |das |dies\w+ |le |la |les |l'|cette |cet |ce |el |los |las |esta |este |esa |ese |il |lo |i |gli |questa |questo |o |a |os |as |essa |esse |de |het |deze |dit )+(?:\w+ )?(?:"
    + _PERSON
    + r")"
)
_SHOWING = r"(?:photo(?:graph)?s?|pictures?|images?|pics?|selfies?|mugshots?|stills?|videos?|clips?|movies?|films?|scenes?|footage|gifs?|screenshots?|snapshots?|uploads?|cctv|\w*foto|\w*bild|imagen|immagine|imagem)"
_LIKE = r"(?:look(?:s|ing)? (?:exactly |just |more |a lot )*like|resembl\w+|(?:in)?to be(?:come)?|into|become|is actually|aussehen wie|aussieht wie|ressembl\w+ a|devien\w+|parezca|parecer(?:se)?|somigli\w+ a|sembr\w+|ficar (?:igual|como)|lijken op)"

SWAP_GRAMMAR = re.compile(
    _any(
        # Put a face on somebody else, his picture or her body.
        _PUT + " " + _gap(7, *_NOT_OBJECT) + _FACE + _OF + " " + _gap(8, _REST, r"(?:with|mit|avec)") + _ONTO + " " + _gap(5, _REST) + _TARGET,
        # Put on somebody's picture the face of another.
        _PUT + " " + _ONTO + " " + _gap(5, _REST, _FACE) + r"(?:" + _STILL + "|" + _BODY + "|" + _PERSON + "|" + SOMEBODY + ") " + _gap(3, _FACE, _ONTO, _MOOD) + _FACE + r" (?:of|from|von|vom|de|du|d'|del|di|della|do|da|van|aus)",
        _PUT + " " + _gap(3, *_NOT_OBJECT) + SOMEBODY + r"(?:'s)? " + _gap(2, _ONTO) + _FACE + " (?:there|here|instead|in there|on it|drauf|darauf|rein|dessus|ahi|aqui|encima|sopra|la|ali)",
        # … the face of somebody, on whatever else.
        _PUT + " " + _gap(3, *_NOT_OBJECT) + r"(?:" + SOMEBODY + r"(?:'s)? (?:\w+ )?" + _FACE + "|" + _FACE + r" (?:of|von|vom|des|de|du|d'|del|della|di|do|da|van) " + _gap(1) + SOMEBODY + r") (?:on|onto|over|atop|auf|sur|sobre|encima|su|sul|sulla|sullo|no|na|op) " + _gap(4, _REST, _THING) + r"(?!" + _REST + "|" + _THING + ")" + _W + r"(?=$|[,.;!?\n])",
        _FACE + r" (?:\w+ )?(?:austauschen|tauschen|vertauschen|ersetzen|wechseln|swappen|verwisselen|wisselen|ruilen)",
        r"(?:make|turn|let|have|cast|use|mach|fais|haz|fai|faz) " + SOMEBODY + r" (?:as |into |be |become |to be |appear as |look like |play |pose as )?" + _WHO_SHOWN + " " + _gap(4) + _SHOWING,
        # Use a face for somebody else.
        _USE + " " + _gap(5, *_NOT_OBJECT) + _FACE + _OF + " " + _gap(8, _REST, r"(?:with|mit|avec)") + r"(?:on|onto|over|for|as|auf|fur|als|sur|pour|en|sobre|para|su|sul|sulla|per|op|voor|no|na) " + _gap(4, _REST) + r"(?:" + _BODY + "|" + _PERSON + "|" + SOMEBODY + r"|videos?|clips?|movies?|films?|scenes?|footage|gifs?)\b" + _NOT_ITS,
        r"(?:give|giving|gib|donne|dale|dagli|dalle|de|geef) " + _gap(6) + r"(?:" + SOMEBODY + r"(?:'s)? (?:\w+ )?" + _FACE + "|" + _FACE + r" (?:of|von|vom|de|du|d'|del|della|di|do|da|van) " + _gap(1) + SOMEBODY + ")",
        # Exchange a face for that of another.
        _EXCHANGE + " " + _gap(6, *_NOT_OBJECT) + _FACE + _OF + " " + _gap(7, _BY) + _WITH + " " + _gap(2, _MOOD, _WITH) + _THAT_OF,
        _EXCHANGE + " (?:out )?" + _gap(4, *_NOT_OBJECT) + _FACE + r"[,;]? (?:and |und |et |y |e )?(?:use|using|take|insert|put|with|nimm|prends|usa|usando|pon|metti|coloca) " + _gap(2, _MOOD, _WITH) + _THAT_OF,
        _FACE + r" (?:[\w',-]+ ){0,8}?(?:" + _INSTEAD_OF + r") ?" + _gap(3) + r"(?:" + _FACE + "|" + _PERSON + "|" + SOMEBODY + r"|celle|celui|quell[oa]|hers|mine|his|[\w-]+'s)\b",
        _EXCHANGE + " " + _gap(4, *_NOT_OBJECT) + r"(?:(?:the|their|these|both|our|two|those|all|die|ihre|beide|les|leurs|nos|las|los|sus|los dos|i|le|as|os|de) )+(?:\w+ )?(?:faces|heads|gesichter|kopfe|visages|tetes|caras|rostros|cabezas|volti|facce|visi|teste|rostos|cabecas|gezichten|hoofden)(?! (?:in |to |toward|up|down|a bit|slightly|less|more|look))",
        _EXCHANGE + r" (?:de |les |i |le |di |as |os |las |los )?(?:faces|heads|gesichter|visages|tetes|caras|rostros|volti|facce|visi|rostos|gezichten) (?:between|of|in|on|with|zwischen|entre|tra|fra|mit|avec|con|com|met|tussen|de|di|auf)",
        _EXCHANGE + " " + _gap(3, *_NOT_OBJECT) + _FACE + r"s? (?:between|zwischen|entre|tra|fra|tussen)",
        # What it is called.
        r"(?:face|head|body|identity|gesichter?s?|kopf|kopfe)[ -]?(?:swap|swop|switch|exchange|tausch|wechsel|austausch|montage|replac|transplant|transfer|verpflanz)\w*|(?:swap|swop|switch)[ -]?faces?",
        r"(?:echange|permutation|greffe|transfert|transplantation|remplacement|intercambio|trasplante|cambio|reemplazo|transferencia|scambio|trapianto|sostituzione|trasferimento|troca|transplante|substituicao|montagem|montaje|fotomontage) (?:facial|(?:de|des|di|del|dei|da|do|du|d'|dos|das) ?(?:la |el |il |un )?" + _FACE + r")(?! (?:de (?:moneda|cartas)|luna|piscina))",
        r"gezichten? (?:om|ver)?(?:wisselen|ruilen)|gezichts?(?:wissel|ruil)\w*",
        r"(?:fase|faec|fce|fayce|phace|vace|faze)[ -]?swap\w*|face[ -]?(?:swp|swapp|sawp|swup|shwap)\w*",
        r"(?:in|sim|ghost)swap\w*|roop(?:-?unleashed)?|deep-?face-?l(?:ab|ive)\w*|face-?fusion|face-?shifter|hififace|face-?magic|swapface|reface\w*|fakeapp|zao app|deep-?live-?cam|face ?hijack\w*",
        # A face of one, on another, with no verb.
        r"(?:" + SOMEBODY + r"(?:'s)?|[\w-]+'s|my|his|her|their|someone else's|another \w+'s) (?:own |pretty |smiling )?(?:face|head|mug|likeness|features) (?:\w+ )?(?:on|onto|over|atop) (?:to )?" + _gap(4, _REST, r"(?:of|and|with)") + r"(?:" + _BODY + "|" + _PERSON + "|" + SOMEBODY + r"|[\w-]+'s (?:\w+ )?" + _STILL + r")\b" + _NOT_ITS,
        _FACE + r" (?:of|von|vom|des|de|du|d'|del|della|di|do|da|dos|van) ?(?:\w+ )?" + SOMEBODY + r" (?:[\w-]+ )?(?:on|onto|over|atop|auf|sur|sobre|encima|su|sul|sulla|sull'|op) " + _gap(5, _REST) + _TARGET,
        _FACE + r" (?:of|von|vom|des|de|du|d'|del|della|di|do|da|dos|van) ?(?:\w+ )?" + SOMEBODY + r" (?:[\w-]+ )?" + _ONTO + " " + _gap(5, _REST) + "(?:" + _BODY + "|" + _PERSON + r")\b" + _NOT_ITS,
        r"(?:have|has|had|having|wears?|wore|wearing|gets?|got|gotten) (?:the )?(?:" + SOMEBODY + r"(?:'s)? (?:\w+ )?" + _FACE + "|" + _FACE + r" of " + _gap(1) + SOMEBODY + ")",
        _FACE + r"(?: [\w',-]+){0,8}?[,;]? (?:and|then|und|et|y|e|en|dann|puis|luego|poi|depois) " + _PUT + r"(?:-l[ae]|l[oa])? ?(?:it|this|that|them|es|ihn|lo|la|het)? ?" + _ONTO + " " + _gap(5, _REST) + _TARGET,
        r"(?:want to be|wanna be|let me be|make me|turn me into|cast me as) " + _WHO_SHOWN + " " + _gap(4) + _SHOWING,
        # The face from here, the body from there; from the first picture onto the second.
        _FACE + " " + _gap(3) + _FROM + " " + _REF + r"(?=.{0,120}\b" + _KEEPER + " " + _gap(2) + _FROM + " " + _REF + ")",
        _KEEPER + " " + _gap(2) + _FROM + " " + _REF + r"(?=.{0,120}\b" + _FACE + " " + _gap(3) + _FROM + " " + _REF + ")",
        _FACE + r"(?: [\w',-]+){0,8}? " + _FROM + " " + _REF + r"(?: [\w',-]+){0,4}? (?:on|onto|to|into|over|auf|sur|dans|en|sobre|su|sulla|sul|nella|na|no|para|op|for) " + _gap(3, _REST) + _REF,
        r"(?:source|target|donor) (?:face|head|body)|face donor",
        # The person in a picture becomes another.
        r"(?:turn|transform|convert|remodel|" + _EXCHANGE[3:-1] + r") (?:out )?" + _WHO_SHOWN + " " + _gap(6, _BY) + r"(?:with|for|by|into|to|durch|mit|gegen|par|avec|contre|por|con|pel[oa]|com|door|met) " + _gap(1, _ONTO) + r"(?:" + SOMEBODY + r"|myself|me(?= in\b| here\b|$|[,.;!])|mich|moi(?!ns)|mim|someone else|somebody else|a celebrity)",
        _EXCHANGE + r" (?:out )?" + _gap(1, _WITH) + SOMEBODY + r" (?:with|for|and|by|mit|durch|gegen|und|par|avec|contre|et|por|con|y|pel[oa]|com|e|met|door|en) " + _gap(1, _WITH) + SOMEBODY,
        r"(?:turn|change|transform|morph|convert|make|edit|alter|verwandle|mach|transforme|change|convierte|transforma|trasforma|transforma|verander)\w* " + _WHO_SHOWN + " " + _gap(6) + _SHOWING + " " + _gap(2) + r"(?:" + _LIKE + r"|to|in|en|em) " + _gap(2) + r"(?:" + SOMEBODY + r"|me\b(?! look))",
        r"(?:lass|lasse|fais|haz que|fai|faz|faca|laat) " + _WHO_SHOWN + " " + _gap(6) + r"(?:" + SOMEBODY + r"|" + _LIKE + " " + _gap(2) + SOMEBODY + ")",
        # As if it were somebody else.
        r"(?:looks?|seems?|appears?|thinks?|believes?|pretend\w*|as) (?:like |as if |as though |that |if |though )?" + _gap(1) + _WHO_SHOWN + " " + _gap(5) + r"(?:is|was|were) " + _gap(1) + r"(?:" + SOMEBODY + r"|me)\b",
        r"(?:look|seem|appear|looks|seems|thinks?|believes?) (?:like |as if |as though |that )?(?:it's |it is |it was )?" + _gap(1) + SOMEBODY + r" (?:(?:is|was|were|has|had|being) )?(?:actually |really )?(?:the (?:one|person|man|woman|guy|girl|driver|thief|actor|actress)|(?:being |getting )?(?:arrested|drunk|naked|robbing|stealing|cheating|kissing|committing|caught))",
        r"(?:change|swap|switch|replace|transfer|steal|alter)\w* (?:\w+ ){0,3}identit(?:y|ies)|change who (?:this|that|she|he|the \w+) (?:person |man |woman )?is\b|change who is in (?:this|that|the)|pass (?:him|her|them|this \w+|the \w+) off as " + SOMEBODY,
        r"(?:photoshop|edit|insert|paste|put|splice|composite|add|stick|drop|fake|montier\w*|setz\w*|mets|colle|pon|mete|metti|inserisci|coloca|bota|zet) (?:" + SOMEBODY + r"|me|him|her) (?:in|into|onto|on|auf|sur|dans|en|su|in|nel|no|na|op) " + _gap(4) + r"(?:mugshot|arrest|crime scene|cctv|security (?:cam\w*|footage)|surveillance|porn\w*|sex tape|jail|prison)",
        r"(?:" + _PUT[3:-1] + r"|swap|edit|replace) (?:a |al? )?(?:" + SOMEBODY + r"|me|myself|him|her|mich|ihn|moi) (?:(?!tree)[\w',-]+ ){0,7}?(?:in place of|instead of|replacing|in the role of|anstelle|statt|a la place d\w+|en lugar d\w+|en vez d\w+|al posto d\w+|no lugar d\w+|em vez d\w+|in plaats van)(?!.{0,25}\b(?:walls?|background|room|house|street|office|kitchen|garden|beach|city|sky|sea|forest|hotel|car|park)\b)",
        r"(?:recast|re-cast) " + _gap(6) + SOMEBODY,
        SOMEBODY + r"(?:'s)? (?:instead of|in place of|anstelle|statt|a la place d[eu]|en lugar de|en vez de|al posto d\w+|no lugar d\w+|em vez d\w+|in plaats van) " + _gap(2) + r"(?:" + _PERSON + "|" + SOMEBODY + ") " + _gap(3) + _SHOWING,
    )
)  # fmt: skip

# Said without a verb of the lists: whose face it is to be, whose place is taken, and who somebody in a picture is to look like.
_ME = r"(?:me|myself|mich|moi|mim|mij|io|yo|eu)\b"
_WHO = "(?:" + SOMEBODY + "|" + _ME + ")"
_OWNED = (
    r"(?:"
    + SOMEBODY
    + r"'s (?:looks|appearance)|(?:gesicht|kopf)(?:e?s|er)? "
    + SOMEBODY
    + r"|(?:"
    + SOMEBODY
    + r"(?:'s)?|my|mine|mein|meinem|meinen|meine|ma|mon|mi|la mia|il mio|o meu|a minha|meu|minha|mijn|our|someone else's|somebody else's|another (?:person|woman|man|girl|guy)'s|a (?:celebrity|stranger|different person)'s|anderes|fremdes) (?:own |eigene[snm]? |propre |propria |proprio |propio |propia |eigen )?"
    + _FACE
    + "|"
    + _FACE
    + r" (?:of|von|vom|des|der|meine[rs]|eine[rs]|de|du|d'|del|della|dell'|di|do|da|dos|van) ?"
    + _gap(2)
    + SOMEBODY
    + ")"
)
_DEM = r"(?:this|that|these|those|dies\w+|jene\w+|cette|cet|ce|esta|este|esa|ese|aquella?|questa|questo|quella|quel|quell'|essa|esse|nesse|nessa|neste|nesta|desse|dessa|deste|desta|naquele|naquela|deze|dit|die|dat)"
_ANYBODY = (
    r"(?:"
    + _WHO_SHOWN
    + "|"
    + _DEM
    + r" (?!(?:(?:old|new|first|second|family|holiday|vacation|same|whole|blurry|damaged|torn|faded|school|group|black|alten?|vieille|vieja|vecchia|antiga|oude) )?"
    + _STILL
    + r"\b)(?!"
    + _THING
    + r"\b)[\w'-]+)"
)
_IN_SHOT = r"(?:(?:in|on|from|of|auf|im|in|aus|von|sur|dans|de|en|del|della|nella|sulla|da|na|no|op|van|uit) ?" + _gap(3) + _STILL + r")\b"
_STEAD = (
    r"(?:"
    + _INSTEAD_OF
    + r"|where (?:the|this|that) [\w'-]+ (?:is|was|sits|stands)|da wo (?:der|die) \w+ (?:ist|steht|sitzt)|taking the (?:place|role|spot) of|to replace|replacing|in (?:her|his|their|its) (?:place|stead|spot|position|role)|in the (?:place|role|spot) of|(?:an|auf) (?:ihrer|seiner|deren|dessen) (?:stelle|platz)|an (?:die |der )?stelle (?:von|der|des)|in der rolle|a (?:sa|leur) place|dans le role|en (?:su|el) (?:lugar|puesto|papel)(?: del?)?|al (?:suo|loro) posto|nel ruolo|no (?:seu )?lugar(?: (?:del[ea]|d[oa]))?|no papel|in (?:haar|zijn) plaats|in de rol)"
)
_WANT = r"(?:want|had|hatte|avait|tuviera|avesse|tivesse|had|wanna|need|like|have|has|having|give|giving|get|gets|use|using|with|wear\w*|should|let|make|put|swap|show|see|render|can|could|will|mochte|will|soll\w*|hat|haben|habe|bekommt|kriegt|krieg|gib|nimm|mit|lass\w*|mach\w*|veux|voudrais|ait|a|avoir|avec|donne\w*|prend\w*|fais|faire|mets|quiero|quisiera|tenga|tener|tiene|con|usa\w*|haz|que|dale|ponle|pon|voglio|vorrei|abbia|avere|ha|metti\w*|fai|fammi|dagli|dalle|quero|queria|tenha|ter|com|faz|faca|poe|bota|wil|krijgt|heeft|met|geef|maak|laat|zet)"
_SHALL = r"(?:should|shall|must|needs? to|has to|is supposed to|is to|soll\w*|muss|doit|devrait|debe|deberia|tiene que|deve|dovrebbe|tem que|moet|ought to)"
SWAP_LOOSE = re.compile(
    _any(
        _WANT + " " + _gap(5, _OWNED) + _ANYBODY + " " + _gap(8, _REST) + _OWNED + r"(?! (?:in|on) (?:her|his|the|my) (?:hands?|lap|shoulder))",
        _OWNED + r" (?:[\w'-]+ ){0,3}?(?:on|onto|over|for|to|into|as|auf|fur|an|als|sur|pour|a|en|sobre|para|al|su|sul|sulla|per|come|em|no|na|ao|pra|op|voor|instead|here|there|with|mit|avec|con|com|met|,) ?" + _gap(2, _REST) + "(?:" + _ANYBODY + "|" + _BODY + r")\b" + _NOT_ITS,
        SOMEBODY + r" (?:[\w'-]+ ){0,2}?(?:with|have|has|having|mit|hat|haben|avec|ait|a|avoir|con|tenga|tiene|abbia|ha|com|tenha|tem|met|heeft|wearing|get|gets) " + _gap(2) + _FACE + r" (?:of|von|vom|des|der|de|du|d'|del|della|di|do|da|van) ?" + _gap(2) + SOMEBODY,
        _OWNED + r"\b (?:" + _DEM[3:-1] + r") (?!" + _STILL + r"\b)(?!" + _THING + r"\b)[\w'-]+",
        _FACE + r" (?:of|von|vom|des|der|de|du|d'|del|della|dell'|di|do|da|van) ?(?:[\w'-]+ ){1,4}?" + _ONTO + " ?" + _ANYBODY,
        _USE + " " + _gap(4) + "(?:" + _STILL + "|" + _WHO + r") (?:for|as|als|fur|pour|comme|para|como|per|come|voor) " + _gap(1) + _FACE + r"\b(?! (?:detail|shape|pose))",
        r"(?:ponle|ponele|metele|pegale|colocale|dale|dagli|dalle|mettigli|mettile|incollagli|mets-lui|colle-lui|donne-lui|donne lui|mets lui|gib ihm|gib ihr|verpass ihm|verpass ihr|setz ihm|setz ihr|geef hem|geef haar|da a ele|da pra ele|coloca nele|coloca nela|poe nele|poe nela) " + _gap(2) + _OWNED + r"(?! (?:a |al )?(?:mi |mio |meu |mon |mein )?(?:personaje|personaggio|personagem|personnage|charakter|figur|estatua|statua))",
        _WHO_SHOWN + " " + _gap(4) + _SHALL + " " + _gap(2) + r"(?:look(?:s|ing)? (?:exactly |just |more )?like|resembl\w+|be|become|wie|aussehen wie|ressembler a|etre|devenir|parecerse a|parecer|ser|sembrare|assomigliare a|somigliare a|essere|diventare|ficar (?:como|igual a?)|parecer com|lijken op|eruitzien als|als) " + _gap(2) + _WHO,
        r"(?:new|different|other|neues|neuer|nouveau|nouvelle|nuev[oa]|nuov[oa]|nov[oa]|nieuwe?|andere?r?s?) " + _FACE + r"s?[ :=]{1,3}" + _gap(2) + SOMEBODY,
        _FACE + " " + _gap(3) + _FROM + " " + _gap(2) + _REF + r"(?:[\w',-]* ){0,5}?(?:on|onto|for|to|over|auf|sur|sobre|en|a|su|sul|sulla|no|na|em|op) " + _gap(1, _REST) + "(?:" + _PERSON + "|" + _ANYBODY + r")\b" + _NOT_ITS,
        _FACE + r" ?[:=] ?\S.{0,60}?\b" + _KEEPER + r" ?[:=] ?\w+|" + _KEEPER + r" ?[:=] ?\S.{0,60}?\b" + _FACE + r" ?[:=] ?\w+",
        _EXCHANGE + " " + _gap(3, *_NOT_OBJECT) + _FACE + r" (?:of|between|on|von|bei|der|de|di|d[aeo]s?|entre|fra|tra|van|zwischen) ?" + _gap(2) + r"(?:two|both|due|entrambi|zwei|beiden|deux|dos|ambos|dois|duas|twee|couple|pair|people|persons|each other)",
        r"(?:fall[oaie]|rendil[oa]|hazl[oa]|haz que|haz|fais[- ]l[ea]|faz el[ea]|faca el[ea]|deixa el[ea]|mach (?:ihn|sie|ihm)|lass (?:ihn|sie)|(?:make|have|get) (?:him|her|them|it|this)|maak (?:hem|haar)|laat (?:hem|haar)) " + _gap(3) + r"(?:sembrare|diventare|assomigliare a|somigliare a|look(?:s|ing)? (?:exactly |just |more )?like|parecer(?:se)?(?: a)?|como|come|parecid[oa] (?:com|a)|igual a|ressembler a|aussehen wie|wie|zu|into|be|lijken op|eruitzien als) " + _gap(1) + SOMEBODY,
        r"(?:edit|photoshop|" + _PUT[3:-1] + r") " + _gap(2) + _WHO + " " + _gap(4) + r"(?:where (?:the|this|that) [\w'-]+ (?:is|was|sits|stands)|da wo (?:der|die|das) \w+ (?:ist|steht|sitzt)|donde (?:esta|sale) (?:el|la) \w+|ou (?:il y a|est|se trouve) l[ea] \w+|dove (?:c'e|sta) (?:il|la|lo) ?\w+|onde (?:esta|fica) [oa] \w+)",
        SOMEBODY + r" (?:but |just |only )?(?:as|playing|als|comme|como|come) (?:" + SOMEBODY + r"|(?:the|this|that|der|die|das|dies\w+|le|la|cette|ce|el|este|esta|il|lo|o|a|de|het) ?[\w'-]+) " + _gap(2) + _IN_SHOT,
        r"(?:give|gib|donne|dale|dagli|geef|da) (?:him|her|them|it|ihm|ihr|ihnen|lui|leur|hem|haar|" + _ANYBODY + ") " + _gap(2) + _FACE + r" " + _FROM + " " + _gap(1) + _REF,
        r"(?:give|giving|gib|donne|dale|dagli|geef|with|mit|avec|con|com|met) " + _gap(3) + SOMEBODY + r"'s (?:looks|appearance)",
        _EXCHANGE + " (?:out )?" + _gap(1, _WITH) + "(?:" + _PERSON + ") " + _gap(2, _WITH) + r"(?:with|for|by|into|durch|gegen|mit|par|avec|contre|por|con|pel[oa]|com|door|met) " + _gap(1) + SOMEBODY,
        _FACE + r",? (?:[\w',]+ ){0,5}?" + _PUT + r",? (?:la|el|das|den|die|celle|celui|quell[ao]|[ao]|dat|that|the one) (?:de|du|von|vom|of|di|del|della|do|da|van) ?" + _gap(1) + SOMEBODY,
        r"(?:" + _OWNED + r"),? (?:and|but|with|plus|on|und|aber|mit|et|mais|avec|y|pero|con|e|ma|com|mas|en|maar|met|\+|&)? ?(?:her|his|their|ihr\w*|sein\w*|son|sa|su|sus|suo|sua|il suo|o|seu|haar|zijn|this \w+'s|that \w+'s|the \w+'s|" + SOMEBODY + r"(?:'s)?|somebody else's|someone else's|another \w+'s) ?(?:\w+ )?" + _BODY + r"\b",
        r"(?:make|turn|mach|mache|fais|haz|fai|faz|maak) (?:of )?" + _DEM + r" (?:\w+ )?(?:" + _PERSON + ") " + _gap(1) + SOMEBODY,
        r"(?:que|che|dass|damit|so that|that|dat|zodat) " + _WHO_SHOWN + " " + _gap(4) + r"(?:pareca|parezca|parece|sembri|somigli|assomigli|ressemble|aussieht wie|looks like|lijkt op|se pareca|se parezca)(?: a| com| con)? " + _gap(1) + SOMEBODY,
        _FACE + r",? (?:[\w',]+ ){0,5}?" + _PUT + r",? (?:(?:la|a|o|il|el|le|de|het) (?:mi[oa]|minha|meu|mien(?:ne)?|mijne)|mein(?:s|es|en)|mine)\b",
        r"(?:with|mit|avec|con|com|met) " + SOMEBODY + r" (?:as|als|comme|come|como) " + _gap(1) + "(?:" + SOMEBODY + "|" + _PERSON + r")(?=.{0,40}\b(?:same|photo|picture|pic|scene|clip|selfie|bild|foto|imagen|immagine|imagem)\b)",
        r"(?:cambia|reemplaza|sustituye|troca|substitui|sostituisci|scambia|change|remplace|ersetze|vervang|tausche?)\w* (?:a )?" + _WHO_SHOWN + " " + _gap(4) + r"(?:por|con|com|par|durch|gegen|door|pel[oa]) " + _gap(1) + "(?:" + SOMEBODY + r"|me|mich|moi|mi\b|mij)",
        _EXCHANGE + r" l'(?:uomo|attore|attrice|homme|acteur|actrice) " + _gap(4) + r"(?:con|par|avec|per) " + _gap(1) + SOMEBODY,
        r"(?:gesicht|kopf|head|face|tete|visage|cara|faccia|testa|volto|rosto|cabeca|hoofd|gezicht) (?:[\w'-]+ ){0,4}?(?:gegen|durch|for|with|par|contre|por|con|pel[oa]|com|door|voor) (?:den|das|die|the|that|celle|celui|la|el|quell[oa]|[oa]|dat|die) (?:of |de |di |do |da |van |von )?" + SOMEBODY,
        _PUT + " " + _gap(3, _FACE) + r"(?:on|onto|over|auf|sur|sobre|en|su|sul|no|na|op) " + _gap(1) + _BODY + r" (?:of|von|des|der|de|du|del|della|di|d[ao]|van) " + _gap(1) + "(?:" + _ANYBODY + "|" + SOMEBODY + ")(?<!tattoo)",
        _OWNED + r" (?:instead|stattdessen|a la place|en su lugar|en lugar|al posto|no lugar|in plaats)\b",
        _WHO + r" (?:to be |should be |as |is |becomes? |be |being |playing |als |en tant que |comme |como |come |als )?" + _gap(1) + _FACE + r" (?:of|on|for|von|de|del|della|do|da|van) (?:this|that|the (?!company|brand|campaign|nation)) ?",
        _WHO + r" (?:as|playing|play|als|comme|como|come|en tant que|instead of|for) " + _WHO_SHOWN + " " + _gap(3) + _IN_SHOT,
        _WHO_SHOWN + " " + _gap(5) + r"(?:as|is|be|becomes?|become|being|to be|played by|should be|ist|soll|sein|wird|est|soit|devien\w+|sea|es|diventi|sia|seja|wordt|is) " + _gap(1) + _WHO + r" " + _gap(3) + _IN_SHOT,
        _WHO_SHOWN + " " + _gap(3) + _IN_SHOT + " " + _gap(3) + r"(?:as|is|be|becomes?|become|being|to be|played by|should be|with|ist|soll|sein|wird|est|soit|devien\w+|sea|diventi|sia|seja|wordt|aussehen wie|wie|igual a|como) " + _gap(1) + _WHO,
        r"(?:make|making|have|let|edit|turn|change|get|i want|want|mach\w*|lass\w*|fais|faire|rends|haz|hacer|hazme|que|fai|fammi|fa|faz|faca|deixa|maak|laat) (?:it so |that )?" + _gap(3) + _WHO + " " + _gap(2) + r"(?:look(?:s|ing)? (?:exactly |just |more )?like|into|resembl\w+|aussehen wie|wie|ressembl\w+ a|parezca(?: a)?|parecer(?:me)? a?|como|sembrare|assomigli\w+ a|somigli\w+ a|come|parec\w+ com|igual a|ficar como|lijken op|eruitzien als|als) " + _gap(1) + SOMEBODY + r"(?=.{0,60}\b" + _STILL + r"\b)",
        r"(?:make|edit|turn|change|let|mach\w*|lass\w*|fais|rends|haz|fai|fa|faz|maak|laat) " + _gap(2) + _WHO_SHOWN + r"(?:'s face)? " + _gap(5) + r"(?:look(?:s|ing)? (?:exactly |just |more )?like|aussehen wie|ressembl\w+ a|parezca a?|como|sembrare|assomigli\w+ a|somigli\w+ a|parec\w+ com|igual a|lijken op|eruitzien als|aussieht wie) " + _gap(2) + "(?:" + SOMEBODY + r"|me\b)",
        r"(?:" + _PUT[3:-1] + r"|" + _EXCHANGE[3:-1] + r"|want|wanna see|show|have|cast|use|need|see|aparezca|salga|salgamos|sia|ci sia|soit|will|mochte|quiero|voglio|quero|veux|wil) " + _gap(3) + _WHO + " " + _gap(3) + _STEAD + r"(?=.{0,80}\b(?:" + _STILL + "|" + _PERSON + r"|scena|escena|cena|szene|filmausschnitt)\b)",
        r"(?:(?:metti|inserisci|incolla|monta|piazza|aggiungi|fa)mi|mettici|(?:pon|pone|mete|coloca|monta|inserta|edita|agrega|anade|anyade)me|(?:mets|colle|place|insere|ajoute|monte)[ -]moi|(?:setz|setze|pack|packe|montier|montiere|mach|fug|fuge) mich|(?:coloca|poe|bota|insere|monta)-me|me (?:coloca|bota|poe|ponga|metta|ponha|insere)|(?:zet|plak|monteer|doe) (?:mij|me)|(?:put|stick|place|edit|photoshop|insert|paste|add|drop) me) " + _gap(4) + _STEAD + r"(?=.{0,80}\b(?:" + _STILL + "|" + _PERSON + r"|scena|escena|cena|szene)\b)",
        _STEAD + " " + _gap(3) + r"(?:" + _PERSON + ") " + _gap(4) + _STILL + r"(?: [\w'-]+){0,4}? " + _WHO,
        # One picture's person is to be another's.
        _PERSON + " " + _gap(2) + _FROM + " " + _gap(1) + _REF + r" (?:[\w'-]+ ){0,4}?(?:be|being|as|becomes?|become|replaces?|replacing|instead of|in place of|take the place of|takes the place of|playing|als|sein|sei|anstelle|statt|ersetz\w*|comme|soit|remplace\w*|a la place|au lieu|como|sea|sustituy\w*|reemplac\w*|en lugar|come|sia|sostitu\w*|al posto|seja|substitu\w*|no lugar|als|vervang\w*) " + _gap(4) + r"(?:one|" + _PERSON + "|" + _FACE + ") " + _gap(2) + _FROM,
        # The head from here, the rest from there: "the second" is enough.
        _FACE + " " + _gap(2) + _FROM + " " + _gap(1) + r"(?:" + _REF + r"|(?:first|1st|one|ersten?|premiere?|primer[ao]?|prim[ao]|eerste|a\b|1\b)).{0,60}?\b(?:" + _KEEPER + r"|hair and body|outfit|clothes|pose|scene|background|alles andere|tout le reste|todo lo demas|tutto il resto|o resto) " + _gap(2) + _FROM + " " + _gap(1) + r"(?:" + _REF + r"|(?:second|2nd|other|zweiten?|anderen?|deuxieme|seconde?|autre|segund[ao]|otr[ao]|second[ao]|altr[ao]|outr[ao]|tweede|andere|b\b|2\b))",
        _KEEPER + " " + _gap(2) + _FROM + " " + _gap(1) + r"(?:" + _REF + r"|(?:first|1st|one|ersten?|premiere?|primer[ao]?|prim[ao]|eerste|a\b|1\b|second|2nd|other|zweiten?|b\b|2\b)).{0,60}?\b" + _FACE + " " + _gap(2) + _FROM + " " + _gap(1) + r"(?:" + _REF + r"|(?:first|1st|second|2nd|other|ersten?|zweiten?|anderen?|deuxieme|seconde?|premiere?|autre|segund[ao]|primer[ao]?|otr[ao]|second[ao]|prim[ao]|altr[ao]|outr[ao]|eerste|tweede|andere|a\b|b\b|1\b|2\b))",
        _FACE + r" (?:should |must |needs? to |has to |shall |soll\w* |doit |debe |deve |moet )(?:\w+ ){0,2}?(?:come|be|look|kommen|sein|venir|etre|ser|venire|essere|vir|komen|zijn) ?" + _gap(3) + r"(?:from|of|aus|von|de|du|della?|da|do|uit|van|like|taken|wie) " + _gap(2) + r"(?:" + _REF + "|" + _PERSON + "|" + SOMEBODY + ")",
        # Exchange somebody's head, and whom for.
        r"(?:" + _EXCHANGE[3:-1] + "|" + _PUT[3:-1] + r"|edit|alter|fix|correct) " + _gap(4, _MOOD) + _FACE + r"\b.{0,60}?(?:\b(?:use|using|with|to|into|like|from|for|source|make it|be|nimm|durch|gegen|mit|wie|prends|utilise|par|avec|contre|comme|usa|usando|por|con|como|come|pel[oa]|com|gebruik|door|met)\b|[:=>])[: ]{0,2}" + _gap(3) + r"(?:" + SOMEBODY + r"|mine\b|me\b)",
    )
)  # fmt: skip
# … and where a picture is spoken of anywhere in the text, even less says it.
SWAP_NEAR = re.compile(
    _any(
        _WHO + " " + _gap(1) + _STEAD + " " + _gap(3) + "(?:" + _PERSON + "|" + SOMEBODY + "|" + _WHO_SHOWN + r"|(?:him|her|them|it|ihm|ihr|ihn|lui|elle|el|ella|lei|ele|ela|hem|haar)\b)",
        r"(?:so|so that|damit|pour que|para que|perche|affinche|zodat|like|as if|als ob|comme si|como si|come se|como se|alsof) " + _gap(1) + _WHO + r" (?:is|was|were|appears?|ist|ware|est|soit|etait|sea|fuera|es|sia|fosse|seja|is|was) " + _gap(1) + r"(?:the one|doing|saying|talking|singing|dancing|kissing|der|die|celui|celle|el que|la que|quello|quella|o que|a que|degene)\b",
        _PERSON + r"\b (?:[\w'-]+ ){0,6}?(?:be|become|becomes|is|sein|werden|wird|ist|etre|devenir|devienne|ser|sea|convierta en|diventare|diventi|essere|sia|virar|vire|seja|worden|zijn|wordt) " + _gap(2) + _WHO + r"(?! (?:and|und|et|y|e|en)\b)",
        _STEAD + " ?" + _gap(3) + "(?:" + _PERSON + "|" + SOMEBODY + r"|(?:him|her|them|it|ihm|ihr|ihn|ihrer|seiner|lui|elle|el|ella|lei|ele|ela|hem|haar)\b) (?:[\w',-]+ ){0,6}?" + _WHO,
        r"(?:as if|as though|like|als ob|als ware|comme si|come se|como si|como se|alsof)(?: \w+){0,2}? ?(?:it |it's |it is |it was |it were |c'etait |c'est |es |das |fuera |fosse |era |het |dat )(?:\w+ ){0,2}?" + _WHO,
        _EXCHANGE + " (?:out )?" + _gap(2) + _WHO + r" (?:with|for|and|mit|gegen|und|durch|avec|contre|et|con|por|y|e|com|met|en) " + _gap(1) + r"(?:the|this|that|den|die|das|dem|le|la|les|el|il|lo|o|a|de|het) ?[\w'-]+",
        SOMEBODY + r"(?=.{0,60}\b(?:real|actual|true|new|different|echte[sn]?|vrai|vraie|verdader[oa]|real|ver[oa]) " + _FACE + ")",
        r"(?:so|so that|damit|pour qu'?|pour que|para que|perche|affinche|in modo che|zodat) ?(?:she|he|it|they|sie|er|es|elle|il|ella|el|lei|lui|ela|ele|ze|hij)(?:'s|'re| is| are| becomes?| looks? like)? " + _gap(2) + SOMEBODY,
        _SHALL + " " + _gap(2) + SOMEBODY + " " + _gap(2) + "(?:" + _PERSON + ")",
        SOMEBODY + " " + _SHALL + " " + _gap(1) + r"(?:be|play|replace|become|sein|etre|ser|essere|zijn|spielen|jouer) " + _gap(2) + "(?:" + _PERSON + ")",
        r"(?:make me|turn me into|i want to be|i wanna be|i'd like to be|let me be|mach mich zu[mr]?|ich (?:will|mochte|ware gern|bin)|je (?:veux|voudrais) etre|fais de moi|transforme-moi en|quiero ser|hazme|conviérteme en|voglio essere|vorrei essere|fammi diventare|quero ser|me faz virar|me transforma n[oa]|ik wil|maak mij|maak me) (?:the|this|that|der|die|das|dem|den|dies\w+|le|la|cette|ce|cet|l'|el|este|esta|il|lo|questo|questa|o|a|esse|essa|de|het|deze|dit) ?(?:\w+ )?(?:" + _PERSON + r")\b",
        r"mach\w* mich zu[mr]? \w+|(?:haz|fai|fais|faz)(?: de|me)? \w+ (?:el|la|il|le|o|a) (?:" + _PERSON + r")\b",
        r"(?:mach\w*|make|machen) (?:aus|out of) " + _gap(3) + "(?:" + _PERSON + ") " + _gap(5) + SOMEBODY,
    )
)  # fmt: skip
# The coarsest reading: a face that is somebody's, an order to move it, and another body near, but nothing that a face may honestly get.
_MOVE = _any(
    r"put|paste|stick|place|swap\w*|switch|replac\w*|exchange|trade|transfer|graft|superimpose|photoshop|composite|transplant|insert|blend|merge|fuse|morph|use|take|nimm|tu|setz\w*|kleb\w*|montier\w*|tausch\w*|ersetz\w*|mets|mettre|colle[rz]?|remplace[rz]?|echange[rz]?|prends|pon\w*|pega\w*|coloca\w*|cambia\w*|usa|metti\w*|incolla\w*|sostitu\w*|scambia\w*|prendi|bota|cola|troca\w*|poe|zet|plak|vervang|verwissel|neem"
)
FACE_MOVES = (
    re.compile(r"\b" + _OWNED),
    re.compile(_MOVE),
    re.compile(r"\b(?:" + _BODY + "|" + _ANYBODY + r"|the (?:person|man|woman|guy|girl|groom|bride|other \w+))\b" + _NOT_ITS),
)
HONEST = re.compile(
    r"\b(?:"
    + _MOOD[3:-1]
    + r"|sharpen\w*|brighten\w*|brighter|lighter|darker|unblur|restore\w*|retouch\w*|crop\w*|zoom\w*|tilt\w*|turn\w*|closer|centred|centered|in focus|rest\w*|lean\w*|shoulders?|lap|next to|beside|left of|right of|pimples?|wrinkles?|shine|glare|reflection)\b"
)
# A face that only gets more light or sharper edges.
LIT_FACE = re.compile(
    r"\b(?:brighten|lighten|darken|soften|sharpen|denoise|helle|scharfe|eclaircis\w*|assombris|adoucis|aclara\w*|suaviza\w*|schiarisc\w*|clareia\w*|escurece"
    r"|(?=(?:make|mach|rends|haz|rendi|deixa|maak)\b.{0,60} (?:lighter|brighter|darker|sharper|heller|dunkler|scharfer|plus (?:clair|net)|mas clar[ao]|piu chiar[ao]|mais clar[ao]|lichter|donkerder|scherper)(?: (?:and|und|et|y|e|en) \w+)?[.!]?$)\w+)"
    r" (?:[\w'-]+ ){0,4}?" + _FACE + r"\b(?: (?:of|von|de|di|van|del|della|do|da) " + SOMEBODY + ")?"
)  # fmt: skip
PICTURE = re.compile(r"\b" + _STILL + r"\b")
# A face swap by its name, however the name is pulled apart.
SWAP_NAMED = re.compile(r"\b(?:face|head)s? ?[-_.~/+*|]* ?swap\w*|\bdeep ?[-_.~]? ?fak(?:e|es|ed|ing)\b|\bswap ?[-_.]? ?faces?\b")

# Somebody pointed at.
POINTED = re.compile(
    r"\b(?:the|die|der|den|la|le|el|il|a|o|de|het) (?:\w+ )?(?:"
    + _PERSON
    + r") (?:(?:on|to|at|in) the (?:left|right|middle|cent(?:er|re)|back|front|far|corner)|links|rechts|in der mitte|vorne|hinten|a (?:la )?(?:gauche|droite|izquierda|derecha|sinistra|destra|esquerda|direita)|au milieu|en el medio|al centro|no meio)\b|"
    r"\b"
    + _DEM
    + r" (?:\w+ )?(?:"
    + _PERSON
    + r")\b|\b(?:questa|quella|esta|essa|cette|diese[rnm]?|deze|this|that) (?:signora|signorina|tipa|tizia|senora|senhora|moca|mina|tia|chica|chava|nana|meuf|dame|madame|tante|tussi|alte|dame|mevrouw|griet|chick|lady|babe)\b"
)

# A text without any of these needs no reading by the grammar.
SWAP_HINT = re.compile(
    r"\b(?:[\w-]*faces?|heads?|mug|noggin|visages?|liken|features|tetes?|gueule|\w*gesicht|kopf|antlitz|caras?\b|rostro|cabeza|jeta|volt[oi]\b|vis[oi]\b|facci?[ae]|teste?a?\b|rosto|cabeca|gezicht|hoofd|lineament|\w*swap|swop|roop|hifi|fakeapp|zao|identit|recast|re-cast|deep-?live|source|target|donor|who (?:this|that|she|he|the|is))"
    r"|"
    + SOMEBODY
    + r"|\b(?:want to be|wanna be|make me|turn me|mach mich|je veux|quiero ser|voglio essere|quero ser|bod(?:y|ies)|korper|corps|cuerpo|corpo|lichaam|instead|place of|stead|replac\w+|anstelle|statt|stelle|posto|invece|lugar|a la place|au lieu|plaats van|(?:first|second|other|1st|2nd) (?:"
    + _STILL
    + r"))\b"
)
