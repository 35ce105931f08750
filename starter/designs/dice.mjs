// Chance that can be repeated: every picture has dice of its own, thrown from the seed and its number.

/** Mulberry32 (Tommy Ettinger, public domain): numbers from 0 to 1, seeded by two integers. */
export function dice(seed, number) {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)) >>> 0;
  const roll = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  // The first throws of neighbouring seeds resemble each other.
  for (let skipped = 0; skipped < 4; skipped++) roll();
  return {
    roll,
    chance: (share) => roll() < share,
    between: (low, high) => low + (high - low) * roll(),
    pick: (list) => list[Math.floor(roll() * list.length)],
    /** One of [[weight, value], …]. */
    weigh: (pairs) => {
      let left = roll() * pairs.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, value] of pairs) if ((left -= weight) < 0) return value;
      return pairs[pairs.length - 1][1];
    },
    /** One [name, value] of an object. */
    entry: (object) => {
      const names = Object.keys(object);
      const name = names[Math.floor(roll() * names.length)];
      return [name, object[name]];
    },
  };
}

const channels = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
const hex = (numbers) => numbers.map((n) => Math.max(0, Math.min(255, Math.round(n))).toString(16).padStart(2, '0')).join('');

/** A colour (six hex digits) moved by up to `reach` of 255 per channel. */
export const near = (chance, colour, reach = 5) => hex(channels(colour).map((c) => c + chance.between(-reach, reach)));
/** A colour mixed with another: 0 is the first, 1 the second. */
export const mix = (one, other, share) => hex(channels(one).map((c, at) => c + (channels(other)[at] - c) * share));
export const darker = (colour, share) => mix(colour, '000000', share);
export const lighter = (colour, share) => mix(colour, 'ffffff', share);
