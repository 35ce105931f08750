// Portraits with their attributes, for `python launch.py starter data`: node draw.mjs --seed 6 --first 0 --count 256 --side 256 --out FOLDER
//
// Writes FOLDER/<first>.pictures (PNG files one behind the other) and FOLDER/<first>.jsonl: per picture its number, attributes, the
// face as [left, top, right, bottom] in pixels, and where its PNG lies as [begin, length]. A number always gives the same picture.

import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Resvg } from '@resvg/resvg-js';

import { darker, dice, near } from './dice.mjs';
import { body, person, UNITS } from './people.mjs';
import { SCENES } from './scenes.mjs';
import { GROUNDS } from './words.mjs';

const CANVAS = 256;
const STYLES = [[0.34, 'avataaars'], [0.32, 'toonHead'], [0.19, 'openPeeps'], [0.15, 'micah']];
const FRAMINGS = [[0.56, 'portrait'], [0.18, 'close-up'], [0.16, 'from afar'], [0.1, 'full body']];
const SCENE_SHARE = 0.42;
// Designs that look to one side, which is the right one as they are drawn.
const TURNED = new Set(['openPeeps', 'micah']);
const TALL = 592;

/** Picture `number`: {attributes, face, svg}. The face is in shares of the canvas. */
function picture(seed, number) {
  const d = dice(seed, number);
  const style = d.weigh(STYLES);
  const framing = d.weigh(FRAMINGS);
  const who = person(d, style, framing);
  const attributes = { ...who.attributes, framing };
  let behind;
  if (d.chance(SCENE_SHARE)) {
    const [name, draw] = d.entry(SCENES);
    attributes.scene = name;
    behind = draw(d);
  } else {
    const [name, colour] = d.entry(GROUNDS);
    attributes.bg = name;
    behind = `<rect width="${CANVAS}" height="${CANVAS}" fill="#${near(d, colour)}"/>`;
  }
  const flipped = d.chance(0.5);
  if (TURNED.has(style)) attributes.facing = flipped ? 'facing left' : 'facing right';
  const { scale, x, y } = place(d, framing, flipped ? [1 - who.face[2], who.face[1], 1 - who.face[0], who.face[3]] : who.face);
  let tilt = 0;
  if (framing !== 'full body' && d.chance(0.12)) {
    attributes.tilt = 'head tilted';
    tilt = d.pick([-1, 1]) * d.between(8, 13);
  }
  // Whoever leans or is moved up must not end above the lower edge.
  const below = framing === 'full body' ? body(d, who) : `<rect x="${who.shoulders[0]}" y="${UNITS - 1}" width="${who.shoulders[1] - who.shoulders[0]}" height="90" fill="#${who.colours.cloth}"/>`;
  const [pivotX, pivotY] = [UNITS / 2, UNITS];
  const pose = `translate(${x} ${y}) scale(${scale})` + (flipped ? ` translate(${UNITS} 0) scale(-1 1)` : '') + (tilt ? ` rotate(${tilt} ${pivotX} ${pivotY})` : '');
  const shadow = framing === 'full body' ? `<ellipse cx="${x + (UNITS / 2) * scale}" cy="${y + 582 * scale}" rx="${110 * scale}" ry="${13 * scale}" fill="#000" opacity=".18"/>` : '';
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CANVAS} ${CANVAS}">${behind}${shadow}<g transform="${pose}">${below}${who.svg}</g></svg>`;
  return { attributes, face: faceIn(who.face, { scale, x, y, flipped, tilt, pivotX, pivotY }), svg };
}

/** Where the bust's 280 units go: their scale and their upper left corner. `face` is where it will be seen. */
function place(d, framing, face) {
  const fit = CANVAS / UNITS;
  if (framing === 'full body') {
    const scale = (CANVAS / TALL) * d.between(0.94, 1);
    return { scale, x: CANVAS / 2 - (UNITS / 2) * scale + d.between(-22, 22), y: CANVAS - TALL * scale - d.between(0, 4) };
  }
  if (framing === 'from afar') {
    const scale = fit * d.between(0.5, 0.62);
    const x = d.weigh([[0.5, 0.5], [0.25, 0.28], [0.25, 0.72]]) * CANVAS - (UNITS / 2) * scale + d.between(-6, 6);
    return { scale, x, y: CANVAS - UNITS * scale + d.between(0, 4) };
  }
  if (framing === 'close-up') {
    const scale = fit * d.between(1.38, 1.62);
    const [middleX, middleY] = [((face[0] + face[2]) / 2) * UNITS, ((face[1] + face[3]) / 2) * UNITS];
    return { scale, x: CANVAS / 2 - middleX * scale + d.between(-7, 7), y: CANVAS * 0.49 - middleY * scale + d.between(-5, 5) };
  }
  const scale = fit * d.between(0.93, 1.05);
  return { scale, x: CANVAS / 2 - (UNITS / 2) * scale + d.between(-9, 9), y: CANVAS - UNITS * scale + d.between(-2, 4) * Number(scale > fit) };
}

/** The face's box on the canvas, in shares of it, after the pose. */
function faceIn(face, { scale, x, y, flipped, tilt, pivotX, pivotY }) {
  const turn = (tilt * Math.PI) / 180;
  const corners = [[0, 1], [2, 1], [0, 3], [2, 3]].map(([across, down]) => {
    const [dx, dy] = [face[across] * UNITS - pivotX, face[down] * UNITS - pivotY];
    const turned = [dx * Math.cos(turn) - dy * Math.sin(turn) + pivotX, dx * Math.sin(turn) + dy * Math.cos(turn) + pivotY];
    return [(x + (flipped ? UNITS - turned[0] : turned[0]) * scale) / CANVAS, (y + turned[1] * scale) / CANVAS];
  });
  const share = (n) => Math.max(0, Math.min(1, n));
  const across = corners.map(([at]) => share(at));
  const down = corners.map(([, at]) => share(at));
  return [Math.min(...across), Math.min(...down), Math.max(...across), Math.max(...down)];
}

function main() {
  const { values } = parseArgs({ options: { seed: { type: 'string' }, first: { type: 'string' }, count: { type: 'string' }, side: { type: 'string' }, out: { type: 'string' } } });
  const [seed, first, count, side] = [values.seed, values.first, values.count, values.side].map(Number);
  const name = path.join(values.out, String(first).padStart(7, '0'));
  fs.mkdirSync(values.out, { recursive: true });
  const pictures = [];
  const lines = [];
  let begin = 0;
  for (let number = first; number < first + count; number++) {
    const { attributes, face, svg } = picture(seed, number);
    const png = new Resvg(svg, { fitTo: { mode: 'width', value: side }, font: { loadSystemFonts: false } }).render().asPng();
    pictures.push(png);
    lines.push(JSON.stringify({ number, ...attributes, face: face.map((at) => Math.round(at * side)), at: [begin, png.length] }));
    begin += png.length;
  }
  // The pictures first: a shard is there when its list is there.
  for (const [ending, data] of [['.pictures', Buffer.concat(pictures)], ['.jsonl', lines.join('\n') + '\n']]) {
    fs.writeFileSync(name + ending + '.part', data);
    fs.renameSync(name + ending + '.part', name + ending);
  }
}

main();
