// Bytes of an .rnc file -> header, metadata and units, as they arrive. Twin: pillow_rnc.container, whose order of checks
// this keeps, so that both report the same fault. Source: spec, sections "File" to "Units".
import { crc32 } from "./crc32.js";
import { RncError, corrupt, unsupported } from "./errors.js";
import { TileGrid } from "./grid.js";

export const ENTROPY = 0;
export const RAW = 1;
export const STOPPED = 2;
const SIGNATURE = [0x8a, 0x52, 0x4e, 0x43, 0x0d, 0x0a, 0x1a, 0x0a];
const ORDER = ["HEAD", "iccp", "exif", "xmpp", "comm", "dens", "ALPH"];
const MODES = ["L", "LA", "RGB", "RGBA"];
const MAX_METADATA = 1 << 20;
const MAX_METADATA_TOTAL = 4 << 20;
const MAX_CHUNKS = 64;
const ENTRY = 13;

/**
 * Parses a file that arrives in parts: `push` bytes, then call `next` until it returns null. Holds the bytes of one
 * chunk at most beside those that were pushed.
 */
export class Parser {
  constructor() {
    this.header = null;
    this.metadata = {};
    this.alpha = null;
    this.complete = 0;
    this.received = 0;
    this.ended = false;
    this._parts = [];
    this._held = 0;
    this._need = 8;
    this._state = this._signature;
    this._chunks = 0;
    this._metadataBytes = 0;
    this._place = 0;
    this._stopped = new Set();
    this._codesCrc = 0;
  }

  push(bytes) {
    this._parts.push(bytes);
    this._held += bytes.length;
    this.received += bytes.length;
  }

  /** Says that no more bytes follow. */
  end() {
    this.ended = true;
  }

  /** Whether all units of the file have been read. */
  get finished() {
    return this.header !== null && this.complete === this.header.iterations;
  }

  /** Whether there are bytes after the last unit. */
  get trailing() {
    return this.finished && this._held > 0;
  }

  /** Returns {head: true} once all before the first unit is read, {unit} for each unit, null if bytes are missing. */
  next() {
    while (!this.finished) {
      if (this._held < this._need) {
        if (!this.ended) return null;
        if (this._state === this._signature) throw new RncError("signature", "not an .rnc file: wrong signature");
        this._short();
      }
      const found = this._state();
      if (found) return found;
    }
    return null;
  }

  _short() {
    const found = this.header ? `${this.complete} of ${this.header.iterations} iterations` : "no header";
    throw new RncError("truncated", `image file is truncated (${found})`, { completeIterations: this.complete });
  }

  /** Returns the first `count` bytes held, without taking them. */
  _peek(count) {
    if (this._parts.length > 1 && this._parts[0].length < count) {
      const all = new Uint8Array(this._held);
      let at = 0;
      for (const part of this._parts) {
        all.set(part, at);
        at += part.length;
      }
      this._parts = [all];
    }
    return (this._parts[0] ?? new Uint8Array()).subarray(0, count);
  }

  _take(count) {
    const bytes = this._peek(count);
    if (count) {
      this._parts[0] = this._parts[0].subarray(count);
      if (!this._parts[0].length) this._parts.shift();
      this._held -= count;
    }
    return bytes;
  }

  _prefix() {
    const bytes = this._peek(8);
    return { type: String.fromCharCode(...bytes.subarray(0, 4)), length: u32(bytes, 4) };
  }

  _signature() {
    const found = this._take(8);
    if (SIGNATURE.some((byte, i) => found[i] !== byte)) {
      throw new RncError("signature", "not an .rnc file: wrong signature");
    }
    this._need = 8;
    this._state = this._headPrefix;
  }

  _headPrefix() {
    const { type, length } = this._prefix();
    if (type !== "HEAD" || length < 1 || length > MAX_METADATA) throw corrupt(`first chunk ${type} of ${length} bytes`);
    this._need = 9;
    this._state = this._headMajor;
  }

  _headMajor() {
    const { length } = this._prefix();
    if (this._peek(9)[8] === 1 && length !== 22) throw corrupt(`header of ${length} bytes, expected 22`);
    this._need = length + 12;
    this._state = this._head;
  }

  /** Takes a complete chunk and returns its data. */
  _chunk() {
    const { length } = this._prefix();
    const bytes = this._take(length + 12);
    if (crc32(bytes.subarray(0, length + 8)) !== u32(bytes, length + 8)) throw corrupt("CRC of a chunk differs");
    return bytes.subarray(8, length + 8);
  }

  _head() {
    const data = this._chunk();
    if (data[0] !== 1) throw unsupported(`format version ${data[0]}, supported is 1`);
    this.header = readHeader(data);
    const neutral = data.slice();
    neutral[1] = neutral[7] = 0;
    this._codesCrc = crc32(neutral);
    this._need = 8;
    this._state = this._optionalPrefix;
  }

  _optionalPrefix() {
    const { type, length } = this._prefix();
    if (type === "ITER") {
      if (this.alpha) this._codesCrc = crc32(this.alpha, this._codesCrc);
      this._need = 8;
      this._state = this._unitPrefix;
      return { head: true };
    }
    if (++this._chunks > MAX_CHUNKS) throw corrupt(`more than ${MAX_CHUNKS} chunks before the first iteration`);
    let limit = MAX_METADATA;
    if (type === "ALPH") limit = 2 * this.header.width * this.header.height + 1024;
    else this._metadataBytes += length;
    if (length > limit || this._metadataBytes > MAX_METADATA_TOTAL) throw corrupt(`chunk ${type} of ${length} bytes`);
    this._need = length + 12;
    this._state = this._optional;
    return null;
  }

  _optional() {
    const { type } = this._prefix();
    const data = this._chunk();
    const place = ORDER.indexOf(type);
    if (place >= 0) {
      if (place <= this._place) throw corrupt(`chunk ${type} is repeated or out of order`);
      this._place = place;
      this._checkData(type, data);
      // A copy: the bytes around it need not be kept.
      if (type === "ALPH") this.alpha = data.slice();
      else this.metadata[type] = data.slice();
    } else {
      if (!/^[A-Za-z]{4}$/.test(type)) throw corrupt("chunk type must be four letters");
      if (/^[A-Z]/.test(type)) throw unsupported(`unknown critical chunk ${type}`);
    }
    this._need = 8;
    this._state = this._optionalPrefix;
  }

  _checkData(type, data) {
    if (!data.length) throw corrupt(`chunk ${type} is empty`);
    if (type === "dens" && (data.length !== 16 || [0, 4, 8, 12].some((at) => !u32(data, at)))) {
      throw corrupt("density is not valid");
    }
    if (type === "ALPH" && !this.header.mode.endsWith("A")) throw corrupt(`alpha in a file of mode ${this.header.mode}`);
  }

  _unitPrefix() {
    const { type, length } = this._prefix();
    const table = ENTRY * this.header.grid.length;
    if (type !== "ITER") throw corrupt(`iteration ${this.complete}: chunk ${type}, expected ITER`);
    if (length < table) throw corrupt(`iteration ${this.complete}: unit of ${length} bytes, its table needs ${table}`);
    this._need = 8 + table;
    this._state = this._unitTable;
  }

  _unitTable() {
    const { length } = this._prefix();
    const { grid } = this.header;
    const table = this._peek(8 + ENTRY * grid.length);
    let expected = ENTRY * grid.length;
    for (let i = 0; i < grid.length; i++) expected += u32(table, 9 + ENTRY * i);
    if (length !== expected) throw corrupt(`iteration ${this.complete}: unit of ${length} bytes, its table gives ${expected}`);
    // What no valid unit can have is not waited for.
    let possible = ENTRY * grid.length;
    for (let i = 0; i < grid.length; i++) possible += rawBytes(this.header, grid.tile(i));
    if (length > possible) throw corrupt(`iteration ${this.complete}: unit of ${length} bytes, at most ${possible} are possible`);
    this._need = length + 12;
    this._state = this._unit;
  }

  /** Takes a unit. The checksums of its payloads precede that of the chunk, to name the tile. */
  _unit() {
    const count = this.header.grid.length;
    const { length } = this._prefix();
    const bytes = this._take(length + 12);
    let at = 8 + ENTRY * count;
    const segments = [];
    for (let i = 0; i < count; i++) {
      const entry = 8 + ENTRY * i;
      const size = u32(bytes, entry + 1);
      const payload = bytes.subarray(at, at + size);
      at += size;
      if (crc32(payload) !== u32(bytes, entry + 5)) throw corrupt(`tile ${i}, iteration ${this.complete}: payload CRC differs`);
      segments.push({ coding: bytes[entry], payload, codesCrc: u32(bytes, entry + 9), before: 0 });
    }
    if (crc32(bytes.subarray(0, length + 8)) !== u32(bytes, length + 8)) throw corrupt(`iteration ${this.complete}: CRC differs`);
    segments.forEach((one, i) => {
      if (one.coding > STOPPED) throw unsupported(`tile ${i}, iteration ${this.complete}: coding ${one.coding}`);
    });
    segments.forEach((one, i) => this._checkSegment(one, i));
    this.complete += 1;
    this._need = 8;
    this._state = this._unitPrefix;
    return { unit: segments };
  }

  _checkSegment(one, index) {
    const place = `tile ${index}, iteration ${this.complete}`;
    const { length } = one.payload;
    const raw = rawBytes(this.header, this.header.grid.tile(index));
    one.before = this._codesCrc;
    if (one.coding === STOPPED) {
      if (length) throw corrupt(`${place}: stopped segment has a payload`);
      if (!this.complete) throw corrupt(`${place}: stopped segment in the first iteration`);
      this._stopped.add(index);
      if (crc32(new Uint8Array(1), one.before) !== one.codesCrc) throw corrupt(`${place}: codes CRC differs`);
    } else if (this._stopped.has(index)) {
      throw corrupt(`${place}: segment has codes, but the tile was stopped`);
    } else if (one.coding === RAW) {
      if (length !== raw) throw corrupt(`${place}: raw payload of ${length} bytes, must be ${raw}`);
      const padding = 8 * raw - codeBits(this.header, this.header.grid.tile(index));
      if (one.payload[raw - 1] & ((1 << padding) - 1)) throw corrupt(`${place}: padding bits are set`);
      if (crc32(one.payload, one.before) !== one.codesCrc) throw corrupt(`${place}: codes CRC differs`);
    } else if (length % 4 || length < 4 || length > raw) {
      throw corrupt(`${place}: entropy-coded payload of ${length} bytes`);
    }
    this._codesCrc = one.codesCrc;
  }
}

function codeBits(header, tile) {
  return (header.codeChannels * tile.paddedHeight * tile.paddedWidth) / header.codeStride ** 2;
}

function rawBytes(header, tile) {
  return Math.ceil(codeBits(header, tile) / 8);
}

function u32(bytes, at) {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

function readHeader(data) {
  const word = (at) => data[at] | (data[at + 1] << 8);
  const header = {
    version: [data[0], data[1]], width: word(2), height: word(4), mode: MODES[data[6]], iterations: data[7],
    codeChannels: data[8], codeStride: data[9], tileSize: word(10), overlap: data[12],
    modelId: [...data.subarray(14, 22)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
  if (data[13]) throw unsupported(`header flags ${data[13]}, must be 0`);
  if (!header.mode) throw unsupported(`mode ${data[6]}, must be 0 to 3`);
  if (header.iterations > 32) throw unsupported(`${header.iterations} iterations, at most 32 are supported`);
  if (header.codeStride !== 8 && header.codeStride !== 16) throw unsupported(`code stride ${header.codeStride}`);
  const { width, height, tileSize, overlap } = header;
  if (!header.iterations || !width || !height || !header.codeChannels) throw corrupt("a number of the header is 0");
  if (tileSize < 64 || tileSize > 4096 || tileSize % 16) throw corrupt(`tile size ${tileSize}`);
  if (overlap % 16 || overlap > Math.min(240, Math.floor(tileSize / 2))) throw corrupt(`overlap ${overlap}`);
  header.grid = new TileGrid(width, height, tileSize, overlap);
  return header;
}
