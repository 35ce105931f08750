// Places to be in, drawn in 256 × 256 units behind the person. Each takes dice and gives SVG; the name is what a caption says.

import { darker, lighter, near } from './dice.mjs';

const SIDE = 256;
const rect = (x, y, w, h, fill, more = '') => `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="#${fill}" ${more}/>`;
const disc = (x, y, r, fill, more = '') => `<circle cx="${x}" cy="${y}" r="${r}" fill="#${fill}" ${more}/>`;
const oval = (x, y, rx, ry, fill, more = '') => `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="#${fill}" ${more}/>`;
const path = (d, fill, more = '') => `<path d="${d}" fill="#${fill}" ${more}/>`;
const many = (count, draw) => Array.from({ length: count }, (_, at) => draw(at)).join('');
const sky = (upper, lower) =>
  `<linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#${upper}"/><stop offset="1" stop-color="#${lower}"/></linearGradient>` +
  `<rect width="${SIDE}" height="${SIDE}" fill="url(#sky)"/>`;

function cloud(x, y, size, fill = 'ffffff') {
  return `<g fill="#${fill}" opacity=".9"><ellipse cx="${x}" cy="${y}" rx="${size}" ry="${size * 0.42}"/><circle cx="${x - size * 0.35}" cy="${y - size * 0.2}" r="${size * 0.36}"/><circle cx="${x + size * 0.25}" cy="${y - size * 0.3}" r="${size * 0.46}"/></g>`;
}
const clouds = (d, fill) => many(2 + Math.floor(d.between(0, 2)), () => cloud(d.between(10, 246), d.between(22, 90), d.between(16, 30), fill));
/** A wavy ridge across the picture: everything below `y` is filled. */
function hills(d, y, height, fill) {
  const [a, b, c] = [d.between(-1, 1), d.between(-1, 1), d.between(-1, 1)].map((share) => y + share * height);
  return path(`M0 ${a} C 60 ${b - height}, 90 ${b}, 128 ${b} S 210 ${c + height * 0.5}, 256 ${c} V256 H0Z`, fill);
}
function roundTree(x, ground, size, leaf) {
  return (
    rect(x - size * 0.09, ground - size * 0.8, size * 0.18, size * 0.8, '7a5236') +
    disc(x, ground - size * 1.05, size * 0.46, leaf) + disc(x - size * 0.32, ground - size * 0.85, size * 0.33, darker(leaf, 0.08)) +
    disc(x + size * 0.32, ground - size * 0.85, size * 0.34, lighter(leaf, 0.08))
  );
}
function pine(x, ground, size, leaf, snowy = false) {
  const tier = (at, wide, high) => `M${x - wide} ${ground - at} L${x} ${ground - at - high} L${x + wide} ${ground - at}Z`;
  let drawn = rect(x - size * 0.06, ground - size * 0.2, size * 0.12, size * 0.2, '6b4a33');
  drawn += path(tier(size * 0.16, size * 0.36, size * 0.5) + tier(size * 0.44, size * 0.29, size * 0.44) + tier(size * 0.7, size * 0.2, size * 0.36), leaf);
  if (snowy) drawn += path(tier(size * 0.9, size * 0.095, size * 0.17) + tier(size * 0.56, size * 0.08, size * 0.1), 'ffffff');
  return drawn;
}
const fence = (d, n, draw) => many(n, (at) => draw(((at + 0.5) * SIDE) / n + d.between(-9, 9)));
function house(x, ground, wide, high, wall, window, dice) {
  let drawn = rect(x, ground - high, wide, high, wall);
  for (let row = 0; row * 17 + 20 < high; row++)
    for (let column = 0; column * 13 + 11 < wide; column++)
      if (dice.chance(0.72)) drawn += rect(x + 5 + column * 13, ground - high + 9 + row * 17, 7, 9, window);
  return drawn;
}
function skyline(d, ground, colours, window) {
  let drawn = '';
  for (let x = -8; x < SIDE; ) {
    const wide = d.between(26, 46);
    drawn += house(x, ground, wide, d.between(70, 168), near(d, d.pick(colours), 6), window, d);
    x += wide + d.between(-2, 5);
  }
  return drawn;
}
const stars = (d, count, lowest) => many(count, () => disc(d.between(4, 252), d.between(4, lowest), d.between(0.8, 2.1), 'fff7d8'));
const moon = (d, night) => {
  const [x, y, r] = [d.pick([d.between(28, 70), d.between(186, 228)]), d.between(28, 52), d.between(13, 19)];
  return disc(x, y, r, 'fdf3c7') + (d.chance(0.5) ? disc(x + r * 0.45, y - r * 0.2, r * 0.85, night) : '');
};
const sun = (d) => disc(d.pick([d.between(26, 60), d.between(196, 230)]), d.between(26, 52), d.between(14, 20), 'ffdf6b');

export const SCENES = {
  'in a park': (d) => {
    const grass = near(d, '86c96b', 8);
    return (
      sky(near(d, '9fd8f5'), 'e4f5fb') + (d.chance(0.6) ? sun(d) : '') + clouds(d) + hills(d, 158, 12, darker(grass, 0.12)) +
      fence(d, 4 + Math.floor(d.between(0, 2)), (x) => roundTree(x, 178, d.between(58, 92), near(d, '4fa45a', 12))) + hills(d, 182, 6, grass) +
      path(`M${d.between(90, 130)} 184 C 120 205 ${d.between(60, 100)} 225 60 256 H${d.between(150, 210)} C 170 225 150 205 ${d.between(134, 148)} 184Z`, 'eadfc0')
    );
  },
  'on a beach': (d) => {
    const water = near(d, '3fb3d1', 8);
    const palm = (x, lean) =>
      `<path d="M${x} 226 Q${x + lean * 0.2} 150 ${x + lean} 92" stroke="#8a5f3c" stroke-width="8" fill="none"/>` +
      many(6, (at) => {
        const turn = -170 + at * 32;
        return `<path d="M0 0 Q24 -16 50 6 Q24 -4 0 6Z" fill="#3d9b56" transform="translate(${x + lean} 90) rotate(${turn})"/>`;
      });
    return (
      sky(near(d, '7ccdf2'), 'd9f2fa') + sun(d) + (d.chance(0.6) ? clouds(d) : '') + rect(0, 126, SIDE, 70, water) +
      many(4, (at) => oval(d.between(20, 236), 138 + at * 11, d.between(12, 26), 1.6, 'dff5fa')) + hills(d, 186, 7, 'dff1f0') + hills(d, 192, 7, near(d, 'f3dda6', 5)) +
      (d.chance(0.75) ? palm(...d.pick([[18, d.between(10, 34)], [238, -d.between(10, 34)]])) : '')
    );
  },
  'in a city': (d) =>
    sky(near(d, 'a9daf3'), 'eef7fb') + clouds(d) + skyline(d, 212, ['c98f6f', 'b9c4cf', 'd9c9a8', '9fb3c4', 'c4756a'], 'eaf6ff') +
    rect(0, 206, SIDE, 12, 'c9ccd0') + rect(0, 218, SIDE, 38, '6d737b') + many(6, (at) => rect(at * 48 - 8, 234, 26, 4, 'f2f2ee')),
  'in a city at night': (d) => {
    const night = near(d, '16204a', 6);
    return (
      sky(night, '3a3f7a') + moon(d, night) + stars(d, 22, 90) + skyline(d, 214, ['232a52', '2d2f5e', '1b2145', '353768'], d.pick(['ffd65c', 'ffe08a', 'ffc94d'])) +
      rect(0, 210, SIDE, 46, '141a33') + many(6, (at) => rect(at * 48 - 8, 234, 26, 4, 'd8c36a'))
    );
  },
  'in a forest': (d) => {
    const leaf = near(d, '2f7d4f', 8);
    return (
      sky(near(d, 'bfe3c4'), 'e5f3d9') + fence(d, 8, (x) => pine(x, 168, d.between(110, 165), lighter(leaf, 0.32))) +
      fence(d, 6, (x) => pine(x, 196, d.between(120, 185), lighter(leaf, 0.12))) + fence(d, 4, (x) => pine(x, 218, d.between(120, 180), darker(leaf, 0.15))) + hills(d, 210, 8, near(d, '5c8f45', 6))
    );
  },
  'in the mountains': (d) => {
    const rock = near(d, '7d8ba3', 8);
    const peak = (x, top, wide, fill) =>
      path(`M${x - wide} 200 L${x} ${top} L${x + wide} 200Z`, fill) +
      path(`M${x} ${top} L${x - wide * 0.27} ${top + (200 - top) * 0.27} L${x - wide * 0.1} ${top + (200 - top) * 0.21} L${x + wide * 0.04} ${top + (200 - top) * 0.3} L${x + wide * 0.27} ${top + (200 - top) * 0.27}Z`, 'ffffff');
    return (
      sky(near(d, '92cdf0'), 'e8f5fb') + (d.chance(0.5) ? sun(d) : '') + clouds(d) + peak(d.between(40, 90), d.between(62, 92), 110, lighter(rock, 0.2)) +
      peak(d.between(165, 225), d.between(44, 76), 120, rock) + hills(d, 184, 8, near(d, '6fae6a', 6)) + fence(d, 6, (x) => pine(x, 206, d.between(24, 40), '3c7a55')) + hills(d, 206, 5, near(d, '82bd6f', 6))
    );
  },
  'in the desert': (d) => {
    const sand = near(d, 'eebb72', 7);
    const cactus = (x, ground, size) =>
      `<g stroke="#4b8a4f" stroke-width="${size * 0.2}" stroke-linecap="round" fill="none"><path d="M${x} ${ground} v${-size}"/><path d="M${x} ${ground - size * 0.45} h${size * 0.34} v${-size * 0.3}"/><path d="M${x} ${ground - size * 0.3} h${-size * 0.32} v${-size * 0.34}"/></g>`;
    return (
      sky(near(d, '8fd0ea'), 'fdeccb') + sun(d) + path(`M0 150 h${d.between(30, 60)} l10 ${-d.between(24, 40)} h${d.between(26, 44)} l10 34 H256 V256 H0Z`, 'cf7f52') + hills(d, 158, 10, darker(sand, 0.07)) +
      hills(d, 186, 10, sand) + cactus(d.between(14, 44), 196, d.between(50, 84)) + cactus(d.between(210, 240), 206, d.between(50, 92))
    );
  },
  'in a field of flowers': (d) => {
    const petals = ['f26d8f', 'ffd34d', 'ffffff', 'b07be0', 'f28b4b'];
    return (
      sky(near(d, 'a5dcf5'), 'f0f9fb') + clouds(d) + hills(d, 138, 9, near(d, '9ad67a', 6)) + hills(d, 156, 8, near(d, '74bf5f', 6)) +
      many(60, (at) => {
        const y = 158 + at * 1.65;
        return disc(d.between(2, 254), y, 1.8 + (y - 150) * 0.042, d.pick(petals));
      })
    );
  },
  'in the snow': (d) =>
    sky(near(d, 'b9cfe2'), 'e6eff6') + hills(d, 150, 10, 'd5e2ed') + fence(d, 6, (x) => pine(x, 192, d.between(66, 118), near(d, '47776b', 6), true)) + hills(d, 188, 7, 'f6fafd') +
    many(42, () => disc(d.between(2, 254), d.between(2, 254), d.between(1.6, 3.4), 'ffffff')),
  'under a starry sky': (d) => {
    const night = near(d, '141b45', 5);
    return sky(night, '4a3f86') + stars(d, 60, 190) + moon(d, night) + hills(d, 196, 12, '1d2750') + hills(d, 214, 9, '131a3a');
  },
  'at sunset': (d) => {
    const [x, y] = [d.between(40, 216), d.between(118, 138)];
    return (
      sky(near(d, 'e8618c', 8), 'ffc56b') + disc(x, y, 27, 'fff0b0') + many(3, () => cloud(d.between(10, 246), d.between(24, 84), d.between(18, 30), 'f9a58f')) + rect(0, 142, SIDE, 114, '8a4f8f') +
      many(9, (at) => oval(x + d.between(-10, 10), 148 + at * 9, 28 - at * 2, 2.2, 'ffc98a')) + (d.chance(0.6) ? hills(d, 222, 7, '4a2f5f') : '')
    );
  },
  'in a living room': (d) => {
    const wall = near(d, d.pick(['f2e3cf', 'dfeadf', 'e9dcea', 'd9e6f0']), 4);
    const left = d.chance(0.5);
    const sofa = near(d, d.pick(['5d8aa8', 'c9705a', '7a9a6b', '8d7bb0']), 6);
    const pane = left ? 168 : 18;
    return (
      rect(0, 0, SIDE, SIDE, wall) + rect(0, 200, SIDE, 56, near(d, 'b98a5e', 6)) + rect(pane, 24, 70, 84, 'ffffff') + rect(pane + 6, 30, 27, 72, 'bfe3f5') + rect(pane + 37, 30, 27, 72, 'bfe3f5') +
      rect(left ? 24 : 172, 34, 54, 40, '8a6242') + rect(left ? 29 : 177, 39, 44, 30, near(d, d.pick(['f2c14e', '7fb7be', 'e58f7b']), 8)) +
      rect(-6, 138, 268, 66, sofa, 'rx="14"') + rect(-6, 166, 268, 44, darker(sofa, 0.12), 'rx="10"') + rect(126, 168, 3, 40, darker(sofa, 0.3)) +
      (d.chance(0.6) ? rect(left ? 236 : 8, 92, 5, 110, '6f5a48') + path(left ? 'M222 92 l8 -30 h18 l8 30Z' : 'M-4 92 l8 -30 h18 l8 30Z', 'ffe3a1') : '')
    );
  },
  'in a library': (d) => {
    const wood = near(d, '8a5a38', 7);
    const spines = ['b5483f', '3f6ea5', '4f8a5b', 'd6a23f', '7a4f8f', 'e5dcc3', '2f3e55'];
    const row = (y) => {
      let drawn = '';
      for (let x = 4; x < 252; ) {
        const wide = d.between(12, 21);
        const high = d.between(38, 52);
        if (d.chance(0.93)) drawn += rect(x, y - high, wide - 1, high, near(d, d.pick(spines), 8));
        x += wide;
      }
      return drawn + rect(0, y, SIDE, 7, lighter(wood, 0.15));
    };
    return rect(0, 0, SIDE, SIDE, darker(wood, 0.45)) + many(4, (at) => row(58 + at * 64)) + rect(d.between(60, 90), 0, 7, SIDE, wood) + rect(d.between(180, 205), 0, 7, SIDE, wood);
  },
  'in a café': (d) => {
    const wall = near(d, d.pick(['7d4f43', '4f6b60', '6b4a5c']), 5);
    return (
      rect(0, 0, SIDE, SIDE, wall) + rect(0, 206, SIDE, 50, darker(wall, 0.35)) +
      many(3, (at) => `<path d="M${42 + at * 86} 0 v${24 + (at % 2) * 12}" stroke="#222" stroke-width="2"/>` + path(`M${24 + at * 86} ${46 + (at % 2) * 12} a18 18 0 0 1 36 0Z`, '2d2a2a') + disc(42 + at * 86, 48 + (at % 2) * 12, 6, 'ffe08a')) +
      rect(16, 76, 84, 56, '2b302e', 'stroke="#c79a66" stroke-width="4"') + many(4, (at) => rect(26, 88 + at * 10, d.between(30, 62), 2.5, 'e8e8e0')) +
      rect(150, 100, 96, 5, 'c79a66') + rect(150, 138, 96, 5, 'c79a66') + many(5, (at) => rect(156 + at * 18, d.between(84, 90), 11, 14, d.pick(['f2efe6', 'e58f5b', '9fc5b5']), 'rx="2"')) +
      many(4, (at) => rect(158 + at * 22, 119, 13, 19, d.pick(['d9b15f', 'b5654f', '8fae7f']), 'rx="3"'))
    );
  },
};
