// A zlib stream (RFC 1950, RFC 1951) that expands to exactly a number of bytes; anything else is an error.
import { corrupt } from "./errors.js";

const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
const DISTANCE_EXTRA = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const fail = (what) => corrupt(`alpha: ${what}`);

/** Counts by length and symbols in the order of their codes. */
function huffman(lengths, mayBeIncomplete) {
  const count = new Uint16Array(16);
  for (const length of lengths) count[length]++;
  let left = 1;
  for (let n = 1; n < 16; n++) {
    left = 2 * left - count[n];
    if (left < 0) throw fail("too many codes");
  }
  const used = lengths.length - count[0];
  // As in zlib: incomplete only with no code, or a single one of one bit.
  if (left > 0 && !(mayBeIncomplete && (used === 0 || (used === 1 && count[1] === 1)))) throw fail("codes are missing");
  const offset = new Uint16Array(16);
  for (let n = 1; n < 15; n++) offset[n + 1] = offset[n] + count[n];
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => {
    if (length) symbols[offset[length]++] = symbol;
  });
  count[0] = 0;
  return { count, symbols };
}

export function inflate(bytes, expected) {
  if (bytes.length < 2 || ((bytes[0] << 8) | bytes[1]) % 31 || (bytes[0] & 15) !== 8 || bytes[0] >> 4 > 7 || bytes[1] & 32) {
    throw fail("not a zlib stream");
  }
  const window = 1 << ((bytes[0] >> 4) + 8);
  const out = new Uint8Array(expected);
  let size = 0;
  let at = 2;
  let hold = 0;
  let held = 0;
  const bit = () => {
    if (!held) {
      if (at >= bytes.length) throw fail("the stream ends early");
      hold = bytes[at++];
      held = 8;
    }
    const found = hold & 1;
    hold >>= 1;
    held--;
    return found;
  };
  const bits = (n) => {
    let found = 0;
    for (let i = 0; i < n; i++) found |= bit() << i;
    return found;
  };
  const symbol = ({ count, symbols }) => {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let n = 1; n < 16; n++) {
      code |= bit();
      if (code - first < count[n]) return symbols[index + code - first];
      index += count[n];
      first = (first + count[n]) << 1;
      code <<= 1;
    }
    throw fail("unknown code");
  };
  const put = (byte) => {
    if (size >= expected) throw fail("the stream is too long");
    out[size++] = byte;
  };
  const expand = (literals, distances) => {
    for (;;) {
      const one = symbol(literals);
      if (one < 256) put(one);
      else if (one === 256) return;
      else {
        if (one > 285) throw fail("unknown length");
        const length = LENGTH_BASE[one - 257] + bits(LENGTH_EXTRA[one - 257]);
        const far = symbol(distances);
        if (far > 29) throw fail("unknown distance");
        const distance = DISTANCE_BASE[far] + bits(DISTANCE_EXTRA[far]);
        if (distance > size || distance > window) throw fail("distance is too far");
        for (let i = 0; i < length; i++) put(out[size - distance]);
      }
    }
  };
  for (let last = 0; !last; ) {
    last = bit();
    const kind = bits(2);
    if (kind === 0) {
      held = 0;
      if (at + 4 > bytes.length) throw fail("the stream ends early");
      const length = bytes[at] | (bytes[at + 1] << 8);
      if (length !== (~(bytes[at + 2] | (bytes[at + 3] << 8)) & 0xffff)) throw fail("length of a stored block");
      at += 4;
      if (at + length > bytes.length) throw fail("the stream ends early");
      for (let i = 0; i < length; i++) put(bytes[at++]);
    } else if (kind === 1) {
      const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
      expand(huffman(lengths, false), huffman(new Array(32).fill(5), false));
    } else if (kind === 2) {
      const literal = bits(5) + 257;
      const distance = bits(5) + 1;
      const codes = bits(4) + 4;
      if (literal > 286 || distance > 30) throw fail("too many codes");
      const short = new Array(19).fill(0);
      for (let i = 0; i < codes; i++) short[CODE_ORDER[i]] = bits(3);
      const code = huffman(short, false);
      const lengths = [];
      while (lengths.length < literal + distance) {
        const one = symbol(code);
        if (one < 16) lengths.push(one);
        else {
          if (one === 16 && !lengths.length) throw fail("repeat without a length");
          const value = one === 16 ? lengths[lengths.length - 1] : 0;
          for (let n = one === 16 ? 3 + bits(2) : one === 17 ? 3 + bits(3) : 11 + bits(7); n; n--) lengths.push(value);
        }
      }
      if (lengths.length > literal + distance) throw fail("too many lengths");
      if (!lengths[256]) throw fail("no end of block");
      expand(huffman(lengths.slice(0, literal), true), huffman(lengths.slice(literal), true));
    } else throw fail("unknown block");
  }
  let a = 1;
  let b = 0;
  for (let i = 0; i < size; i++) {
    a = (a + out[i]) % 65521;
    b = (b + a) % 65521;
  }
  const checks = [b >> 8, b & 255, a >> 8, a & 255];
  if (at + 4 !== bytes.length || checks.some((byte, i) => bytes[at + i] !== byte)) throw fail("checksum, or bytes after it");
  if (size !== expected) throw fail("the stream is too short");
  return out;
}

/** Values of the plane of an `ALPH` chunk, uint8 [height][width]. */
export function readAlpha(data, width, height) {
  const predictor = data[0];
  if (!(predictor <= 3)) throw fail(`predictor ${predictor}`);
  const plane = inflate(data.subarray(1), width * height);
  if (predictor & 1)
    for (let i = 0; i < plane.length; i++) if (i % width) plane[i] += plane[i - 1];
  if (predictor & 2) for (let i = width; i < plane.length; i++) plane[i] += plane[i - width];
  return plane;
}
