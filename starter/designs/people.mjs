// A person in one of the designs: what a caption may say of them, and the drawing, in 280 × 280 units.

import { createAvatar } from '@dicebear/core';
import * as designs from '@dicebear/collection';

import { darker, lighter, mix, near } from './dice.mjs';
import { AVATAAARS, CLOTH_COLOURS, HAIR_COLOURS, MICAH, OPEN_PEEPS, SKINS, TOON_HEAD } from './words.mjs';

export const UNITS = 280;
const INK = '15120f';

// Where things lie in each design, in its own units (`side` of them make the picture): eyes as [x, y], mouth, chin, ears, neck as
// [left, right, y], the face as [left, top, right, bottom], and between which x the shoulders leave the picture at the bottom.
const BUILD = {
  avataaars: { side: 280, eyes: [[114, 111], [166, 111]], eye: 13, mouth: [140, 154], ears: [[78, 133], [202, 133]], top: 16, neck: [112, 168, 196], face: [84, 46, 196, 188], shoulders: [40, 240], line: 0 },
  toonHead: { side: 768, eyes: [[308, 406], [460, 406]], eye: 44, mouth: [384, 512], ears: [[207, 486], [561, 486]], top: 112, neck: [322, 446, 622], face: [228, 200, 540, 592], shoulders: [140, 628], line: 2.2 },
  openPeeps: { side: 704, eyes: [[407, 357], [524, 357]], eye: 36, mouth: [475, 470], ears: [[250, 446]], top: 110, neck: [292, 492, 594], face: [262, 190, 578, 572], shoulders: [48, 652], line: 13 },
  micah: { side: 360, eyes: [[158, 148], [222, 138]], eye: 19, mouth: [198, 214], ears: [[106, 202]], top: 20, neck: [116, 214, 282], face: [114, 84, 262, 266], shoulders: [42, 314], line: 4.5 },
};

const stroke = (colour, width) => `fill="none" stroke="#${colour}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"`;

/** Somebody by chance. Gives {attributes, svg, face, shoulders, colours}: `face` is [left, top, right, bottom] in shares of the picture. */
export function person(d, style, framing) {
  const wide = framing === 'full body';
  const subject = d.weigh([[0.3, 'woman'], [0.3, 'man'], [0.4, 'person']]);
  const [hairColour, hairHex] = d.entry(HAIR_COLOURS);
  const [skin, skinHex] = d.entry(SKINS);
  const [clothColour, clothHex] = d.entry(CLOTH_COLOURS);
  const grey = hairColour === 'gray' || hairColour === 'white';
  const age = d.weigh(grey ? [[0.2, 'young'], [0.2, 'middle-aged'], [0.6, 'elderly']] : [[0.5, 'young'], [0.3, 'middle-aged'], [0.2, 'elderly']]);
  const colours = { skin: near(d, skinHex, 3), hair: near(d, hairHex, 4), cloth: near(d, clothHex, 5) };
  const attributes = { style, subject, age, skin, cloth_color: clothColour };
  const looks = { d, attributes, colours, wide, subject, hairColour };
  const build = BUILD[style];
  const { options, over = '' } = { avataaars, toonHead, openPeeps, micah }[style](looks, build);
  const flat = { seed: 'x', backgroundColor: ['transparent'], ...options };
  const inner = createAvatar(designs[style], flat).toString().replace(/<metadata.*?<\/metadata>/s, '');
  // A mask that works by its opacity is not read as one by resvg, which leaves mouths almost unseen: white says the same.
  const drawn = inner.replace(/<mask [^>]*mask-type:alpha[^>]*>.*?<\/mask>/gs, (mask) => mask.replace(/fill="#[0-9a-fA-F]{3,6}"/g, 'fill="#fff"'));
  const lines = ageing(age, build, colours.skin, !attributes.beard, style);
  const scale = UNITS / build.side;
  const extras = `<g transform="scale(${scale})">${lines}${over}${trinkets(looks, build)}</g>`;
  const svg = drawn.replace(/^<svg /, `<svg x="0" y="0" width="${UNITS}" height="${UNITS}" `) + extras;
  return { attributes, svg, colours, face: build.face.map((at) => at / build.side), shoulders: build.shoulders.map((at) => at * scale), line: build.line * scale };
}

/** Hair that fits who is drawn, mostly. */
function hairOf(d, shapes, subject) {
  const unlike = { woman: 'm', man: 'w' }[subject];
  return d.weigh(shapes.map((shape) => [shape[2] === unlike ? 0.08 : 1, shape]));
}

/** A mood with its parts, and eyes where they are free: sets `mouth` and `eyes` of the attributes. */
function faceOf(looks, known) {
  const { d, attributes } = looks;
  const [mood, parts] = d.pick(known.faces);
  attributes.mouth = mood;
  const hidden = attributes.acc === 'sunglasses' || attributes.acc === 'retro sunglasses';
  const fixed = parts.looks ?? { happy: 'happy eyes', surprised: 'wide eyes', wide: 'wide eyes' }[parts.eyes];
  if (fixed && !hidden) attributes.eyes = fixed;
  const free = known.eyes && !parts.eyes && !hidden && attributes.acc !== 'an eyepatch' && mood !== 'angry';
  if (!free || !d.chance(0.3)) return parts;
  const [part, words] = d.pick(known.eyes);
  attributes.eyes = words;
  return { ...parts, eyes: part };
}

function avataaars({ d, attributes, colours, wide, subject, hairColour, ...looks }) {
  const known = AVATAAARS;
  const options = {
    skinColor: [colours.skin], clothesColor: [colours.cloth], hairColor: [colours.hair], facialHairColor: [darker(colours.hair, 0.06)], accessoriesColor: ['262e33'],
    accessoriesProbability: 0, facialHairProbability: 0,
  };
  if (d.chance(0.14)) {
    const [part, words] = d.pick(known.hats);
    const [name, colour] = d.entry(CLOTH_COLOURS);
    Object.assign(options, { top: [part], hatColor: [near(d, colour)] });
    Object.assign(attributes, { hat: words, hat_color: name });
  } else {
    const [part, words] = hairOf(d, known.hair, subject);
    options.top = [part];
    Object.assign(attributes, { hair: words, hair_color: hairColour });
  }
  if (d.chance(0.34)) {
    const [part, words] = d.pick(known.accessories);
    Object.assign(options, { accessories: [part], accessoriesProbability: 100 });
    attributes.acc = words;
  }
  if (attributes.hat !== 'hijab' && d.chance({ man: 0.4, woman: 0, person: 0.08 }[subject])) {
    const [part, words] = d.pick(known.beards);
    Object.assign(options, { facialHair: [part], facialHairProbability: 100 });
    Object.assign(attributes, { beard: words, hair_color: hairColour });
  }
  const [part, words] = d.pick(known.clothes.filter(([, , sleeves]) => sleeves || !wide));
  options.clothing = [part];
  attributes.cloth = words;
  const face = faceOf({ d, attributes, ...looks }, known);
  Object.assign(options, { mouth: [face.mouth], eyebrows: [face.eyebrows], eyes: [face.eyes ?? 'default'] });
  return { options };
}

function toonHead({ d, attributes, colours, wide, subject, hairColour, ...looks }, build) {
  const known = TOON_HEAD;
  const options = { skinColor: [colours.skin], clothesColor: [colours.cloth], hairColor: [colours.hair], beardProbability: 0, rearHairProbability: 0 };
  const [front, words] = hairOf(d, known.hair, subject);
  options.hair = [front];
  Object.assign(attributes, { hair: words, hair_color: hairColour });
  if (d.chance({ woman: 0.9, man: 0.08, person: 0.5 }[subject])) {
    // What hangs down behind is seen with every front; with a bun it would be another haircut.
    if (front === 'bun') options.hair = ['sideComed'];
    const [part, rear] = d.pick(known.rear);
    Object.assign(options, { rearHair: [part], rearHairProbability: 100 });
    attributes.hair = rear;
  }
  if (d.chance({ man: 0.45, woman: 0, person: 0.1 }[subject])) {
    const [part, beard] = d.pick(known.beards);
    Object.assign(options, { beard: [part], beardProbability: 100 });
    attributes.beard = beard;
  }
  if (d.chance(0.3)) attributes.acc = d.pick(known.accessories)[1];
  const [part, garment] = d.pick(known.clothes.filter(([, , sleeves]) => sleeves || !wide));
  options.clothes = [part];
  attributes.cloth = garment;
  const face = faceOf({ d, attributes, ...looks }, known);
  const plain = face.mouth === 'serious';
  Object.assign(options, { mouth: plain ? [] : [face.mouth], eyebrows: [face.eyebrows], eyes: [face.eyes ?? 'happy'] });
  const [x, y] = build.mouth;
  let over = plain ? `<path d="M${x - 30} ${y} h60" ${stroke('611519', 8)}/>` : '';
  over += glasses(attributes.acc, build, 11, '2b2b33');
  return { options, over };
}

function openPeeps({ d, attributes, colours, subject, hairColour, ...looks }, build) {
  const known = OPEN_PEEPS;
  const options = { skinColor: [colours.skin], clothingColor: [colours.cloth], headContrastColor: [colours.hair], accessoriesProbability: 0, facialHairProbability: 0, maskProbability: 0 };
  const kind = d.weigh([[0.62, 'colour'], [0.22, 'ink'], [0.08, 'bald'], [0.03, 'hatBeanie'], [0.03, 'turban'], [0.02, 'hatHip']]);
  // Grey hair is what tells age; ink hair is black at any age.
  if (kind === 'colour' || (kind === 'ink' && attributes.age === 'elderly')) {
    const [part, words] = hairOf(d, known.hair, subject);
    options.head = [part];
    Object.assign(attributes, { hair: words, hair_color: hairColour });
  } else if (kind === 'ink') {
    const [part, words] = hairOf(d, known.inkHair, subject);
    options.head = [part];
    Object.assign(attributes, { hair: words, hair_color: 'black' });
  } else if (kind === 'bald') {
    options.head = ['noHair1'];
    attributes.hair = 'bald';
  } else {
    options.head = [kind];
    attributes.hat = { hatBeanie: 'knit beanie', turban: 'turban', hatHip: 'hat' }[kind];
    attributes.hat_color = kind === 'hatHip' ? 'black' : attributes.cloth_color;
  }
  if (d.chance(0.3)) {
    const [part, words] = d.pick(known.accessories);
    Object.assign(options, { accessories: [part], accessoriesProbability: 100 });
    attributes.acc = words;
  }
  // Beards are ink as well: only where no other hair colour is claimed.
  const dark = !attributes.hair_color || attributes.hair_color === 'black';
  if (dark && d.chance({ man: 0.5, woman: 0, person: 0.15 }[subject])) {
    const [part, words] = d.pick(known.beards);
    Object.assign(options, { facialHair: [part], facialHairProbability: 100 });
    attributes.beard = words;
  }
  attributes.cloth = 't-shirt';
  options.face = [faceOf({ d, attributes, ...looks }, known).face];
  return { options };
}

function micah({ d, attributes, colours, wide, subject, hairColour, ...looks }, build) {
  const known = MICAH;
  const options = {
    baseColor: [colours.skin], shirtColor: [colours.cloth], hairColor: [colours.hair], facialHairColor: [darker(colours.hair, 0.06)], nose: [d.pick(['curve', 'pointed'])],
    earringsProbability: 0, glassesProbability: 0, facialHairProbability: 0, eyebrowsColor: [INK], eyesColor: [INK], mouthColor: [INK],
  };
  const kind = d.weigh([[0.84, 'hair'], [0.09, 'bald'], [0.07, 'turban']]);
  if (kind === 'hair') {
    const [part, words] = hairOf(d, known.hair, subject);
    options.hair = [part];
    Object.assign(attributes, { hair: words, hair_color: hairColour });
  } else if (kind === 'bald') {
    options.hair = ['mrClean'];
    attributes.hair = 'bald';
  } else {
    const [name, colour] = d.entry(CLOTH_COLOURS);
    Object.assign(options, { hair: ['turban'], hairColor: [near(d, colour)] });
    Object.assign(attributes, { hat: 'turban', hat_color: name });
  }
  if (d.chance({ man: 0.45, woman: 0, person: 0.1 }[subject])) {
    const [part, words] = d.pick(known.beards);
    Object.assign(options, { facialHair: [part], facialHairProbability: 100, facialHairColor: [part === 'scruff' ? INK : options.facialHairColor[0]] });
    attributes.beard = words;
    if (part === 'beard') attributes.hair_color = hairColour;
  }
  if (d.chance(0.34)) attributes.acc = d.pick(known.accessories)[1];
  const [part, garment] = d.pick(known.clothes.filter(([, , sleeves]) => sleeves || !wide));
  options.shirt = [part];
  attributes.cloth = garment;
  const face = faceOf({ d, attributes, ...looks }, known);
  options.eyebrows = ['up', 'down'].includes(face.eyebrows) ? [face.eyebrows] : [];
  options.mouth = face.mouth === 'serious' ? [] : [face.mouth];
  options.eyes = ['closed', 'wink', 'wide'].includes(face.eyes) ? [] : [face.eyes ?? 'eyes'];
  const pen = stroke(INK, 4.5);
  const [x, y] = build.mouth;
  let over = face.mouth === 'serious' ? `<path d="M${x - 22} ${y + 2} l44 -5" ${pen}/>` : '';
  build.eyes.forEach(([ex, ey], at) => {
    const away = at ? 1 : -1;
    if (face.eyebrows === 'angry') over += `<path d="M${ex + away * 15} ${ey - 30} L${ex - away * 13} ${ey - 19}" ${stroke(INK, 6)}/>`;
    if (face.eyebrows === 'raised') over += `<path d="M${ex - 14} ${ey - 28} q14 -13 28 -2" ${pen}/>`;
    if (face.eyes === 'wide') over += `<circle cx="${ex}" cy="${ey}" r="14" fill="#fff" stroke="#${INK}" stroke-width="4"/><circle cx="${ex}" cy="${ey}" r="5.5" fill="#${INK}"/>`;
    if (face.eyes === 'closed' || (face.eyes === 'wink' && at)) over += `<path d="M${ex - 12} ${ey} q12 11 24 -1" ${pen}/>`;
    if (face.eyes === 'wink' && !at) over += `<ellipse cx="${ex}" cy="${ey}" rx="8" ry="12" fill="#${INK}"/>`;
  });
  over += glasses(attributes.acc, build, 5, INK);
  return { options, over };
}

/** Glasses for designs that have none, or too faint ones: around the eyes, with temples to the ears. */
function glasses(words, { eyes, eye, ears }, width, frame) {
  if (!['round glasses', 'glasses', 'sunglasses'].includes(words)) return '';
  const r = eye * 1.28;
  const fill = words === 'sunglasses' ? `fill="#23232b"` : `fill="#fff" fill-opacity=".18"`;
  const [[lx, ly], [rx, ry]] = eyes;
  const lens = ([x, y]) =>
    words === 'round glasses'
      ? `<circle cx="${x}" cy="${y}" r="${r}" ${fill}/>`
      : `<rect x="${x - r * 1.08}" y="${y - r * 0.82}" width="${r * 2.16}" height="${r * 1.64}" rx="${r * (words === 'glasses' ? 0.28 : 0.5)}" ${fill}/>`;
  const temple = ears.map(([x, y], at) => `<path d="M${eyes[at][0] + (at ? r : -r)} ${eyes[at][1]} L${x + (at ? -1 : 1) * eye * 0.3} ${y - eye * 1.5}"/>`).join('');
  return `<g stroke="#${frame}" stroke-width="${width}" fill="none">${lens(eyes[0])}${lens(eyes[1])}<path d="M${lx + r} ${ly} Q${(lx + rx) / 2} ${(ly + ry) / 2 - r * 0.4} ${rx - r} ${ry}"/>${temple}</g>`;
}

/** Lines that years leave: under the eyes, beside the mouth, at the temples. Young faces have none. */
function ageing(age, { eyes, eye, mouth, line }, skin, shaven, style) {
  if (age === 'young') return '';
  const old = age === 'elderly';
  const ink = line > 4 ? mix(skin, INK, old ? 0.8 : 0.62) : darker(skin, old ? 0.4 : 0.3);
  const pen = stroke(ink, eye * (style === 'avataaars' ? 0.2 : 0.13));
  const [mx, my] = mouth;
  const reach = old ? 1 : 0.75;
  let drawn = '';
  eyes.forEach(([x, y], at) => {
    const away = at ? 1 : -1;
    const under = y + eye * (style === 'toonHead' ? 1.22 : 1.15);
    drawn += `<path d="M${x - eye * 0.6} ${under} q${eye * 0.6} ${eye * 0.4} ${eye * 1.2} 0" ${pen}/>`;
    // From beside the nose down to beside the mouth.
    const [fromX, fromY] = [mx + away * Math.abs(mx - x) * 0.74, my - eye * 0.75 * reach];
    if (shaven) drawn += `<path d="M${fromX} ${fromY} q${away * eye * 0.5} ${eye * 0.55 * reach} ${away * eye * 0.28} ${eye * 1.5 * reach}" ${pen}/>`;
    if (old)
      for (const turn of [-0.42, 0.05, 0.5])
        drawn += `<path d="M${x + away * eye * 1.62} ${y + turn * eye} l${away * eye * 0.5} ${turn * eye * 0.6}" ${pen}/>`;
  });
  return drawn;
}

/** Things that are put on: a scarf, headphones, earrings. Sets their attributes. */
function trinkets({ d, attributes, colours }, { side, eyes, ears, top, neck, line, face }) {
  const u = side / UNITS;
  const outline = line ? `stroke="#${INK}" stroke-width="${line}"` : '';
  const covered = attributes.hat !== undefined;
  const what = d.weigh([[0.78, ''], [0.09, 'scarf'], [0.07, 'headphones'], [0.06, 'earrings']]);
  if (what === 'scarf' && attributes.hat !== 'hijab' && !/long/.test(attributes.beard ?? '')) {
    const [name, colour] = d.entry(CLOTH_COLOURS);
    const wool = near(d, colour);
    const [left, right, y] = neck;
    attributes.extra = `${name} scarf`;
    const hang = d.pick([left + 20 * u, right - 34 * u]);
    return (
      `<path d="M${hang} ${y} h${20 * u} l${5 * u} ${58 * u} h${-30 * u}Z" fill="#${darker(wool, 0.14)}" ${outline}/>` +
      `<rect x="${left - 13 * u}" y="${y - 13 * u}" width="${right - left + 26 * u}" height="${29 * u}" rx="${14 * u}" fill="#${wool}" ${outline}/>` +
      `<path d="M${left - 4 * u} ${y + 2 * u} Q${(left + right) / 2} ${y + 12 * u} ${right + 4 * u} ${y + 1 * u}" ${stroke(darker(wool, 0.25), 2.2 * u)}/>`
    );
  }
  if (what === 'headphones' && !covered && ears.length === 2) {
    const [name, colour] = d.entry({ black: '26262b', white: 'f3f3f3', red: 'd63b3b', blue: '4a90e2', pink: 'f77fb0', yellow: 'f2c230' });
    attributes.extra = `${name} headphones`;
    const [[lx, y], [rx]] = ears;
    const cup = (x) => `<rect x="${x - 11 * u}" y="${y - 44 * u}" width="${22 * u}" height="${44 * u}" rx="${10 * u}" fill="#${colour}" stroke="#${darker(colour, 0.35)}" stroke-width="${2 * u}"/>`;
    return (
      `<path d="M${lx} ${y - 30 * u} C${lx} ${top - 24 * u} ${rx} ${top - 24 * u} ${rx} ${y - 30 * u}" ${stroke(darker(colour, 0.25), 10 * u)}/>` +
      `<path d="M${lx} ${y - 30 * u} C${lx} ${top - 24 * u} ${rx} ${top - 24 * u} ${rx} ${y - 30 * u}" ${stroke(colour, 7 * u)}/>` + cup(lx) + cup(rx)
    );
  }
  if (what === 'earrings' && attributes.subject !== 'man') {
    attributes.extra = 'gold earrings';
    return ears.map(([x, y]) => `<circle cx="${x}" cy="${y + 9 * u}" r="${8 * u}" ${stroke('c8920f', 5.4 * u)}/><circle cx="${x}" cy="${y + 9 * u}" r="${8 * u}" ${stroke('ffcf3f', 3.4 * u)}/>`).join('');
  }
  return '';
}

/** The rest of somebody who stands there, under the bust: 280 to 585 in the bust's units. `shoulders` are its left and right edge. */
export function body(d, { colours, shoulders, line }) {
  const [left, right] = shoulders;
  const span = right - left;
  const outline = line ? `stroke="#${INK}" stroke-width="${line}" stroke-linejoin="round"` : '';
  const arm = span * 0.17;
  const middle = (left + right) / 2;
  const legs = near(d, d.pick(['3b5578', '2c2f3a', '6d737b', '7a5a3f', '4a6b8a']), 6);
  const shoes = d.pick(['26262b', 'f3f3f3', '7a4a2b', 'c94a4a']);
  const hips = span * 0.29;
  const side = (way) => {
    const shoulder = way < 0 ? left : right;
    const out = shoulder + way * 6;
    const inside = shoulder - way * arm;
    const wrist = out - way * arm * 0.86;
    return (
      `<circle cx="${(out + wrist) / 2}" cy="402" r="${arm * 0.5}" fill="#${colours.skin}" ${outline}/>` +
      `<path d="M${shoulder} 276 L${out} 396 L${wrist} 396 L${inside} 300Z" fill="#${darker(colours.cloth, 0.07)}" ${outline}/>`
    );
  };
  const leg = (way) => {
    const outer = middle + way * hips;
    const inner = middle + way * 5;
    return (
      `<ellipse cx="${(outer + inner) / 2 + way * 6}" cy="574" rx="${span * 0.17}" ry="12" fill="#${shoes}" ${outline}/>` +
      `<path d="M${outer} 400 L${outer - way * 2} 570 H${inner + way * 2} L${middle} 430Z" fill="#${legs}" ${outline}/>`
    );
  };
  const trunk = `<path d="M${left} 274 V284 L${left + arm * 0.9} 306 L${middle - hips} 408 H${middle + hips} L${right - arm * 0.9} 306 L${right} 284 V274Z" fill="#${colours.cloth}" ${outline}/>`;
  const hipsDrawn = `<path d="M${middle - hips} 396 h${2 * hips} v44 h${-2 * hips}Z" fill="#${legs}"/>`;
  return hipsDrawn + leg(-1) + leg(1) + side(-1) + side(1) + trunk;
}
