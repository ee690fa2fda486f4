// Files whose header promises much and whose bytes hold nothing.
import { crc32 } from "../src/crc32.js";
import { TileGrid } from "../src/grid.js";

const DEFAULT_MODEL = "dab3dea1f735f05c";

function words(...values) {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((one, i) => new DataView(bytes.buffer).setUint32(4 * i, one, true));
  return bytes;
}

export function chunk(type, data) {
  const body = new Uint8Array([...new TextEncoder().encode(type), ...words(data.length), ...data]);
  return new Uint8Array([...body, ...words(crc32(body))]);
}

/** A file of one unit, each tile of which has an entropy-coded payload of four zeros. */
export function hostile({ width, height, iterations = 28, tileSize = 4096, overlap = 16, channels = 64, model = DEFAULT_MODEL }) {
  const short = (value) => [value & 255, value >> 8];
  const id = model.match(/../g).map((one) => Number.parseInt(one, 16));
  const head = [1, 0, ...short(width), ...short(height), 2, iterations, channels, 8, ...short(tileSize), overlap, 0, ...id];
  const tiles = new TileGrid(width, height, tileSize, overlap).length;
  const payload = new Uint8Array(4);
  const entries = Array.from({ length: tiles }, () => [0, ...words(payload.length, crc32(payload), 0)]).flat();
  const unit = [...entries, ...new Uint8Array(4 * tiles)];
  return new Uint8Array([0x8a, 0x52, 0x4e, 0x43, 13, 10, 26, 10, ...chunk("HEAD", head), ...chunk("ITER", unit)]);
}
