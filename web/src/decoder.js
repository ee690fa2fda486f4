// Units -> pictures: tiles, blending, alpha. Twin: pillow_rnc.codec.decoder.
import { ENTROPY, Parser, RAW, STOPPED } from "./container.js";
import { crc32 } from "./crc32.js";
import { RncError, corrupt, unsupported } from "./errors.js";
import { ramp } from "./grid.js";
import { readAlpha } from "./inflate.js";
import { Tile } from "./kernel.js";

export const DEFAULT_LIMITS = {
  /** Pixels of the largest image. */
  maxPixels: 100_000_000,
  /** Pixels, with the padding of tiles, times iterations. */
  maxWork: 32 * 89_478_485,
  /** Bytes of the tiles that are kept from one iteration to the next; larger images are decoded tile by tile, once. */
  maxTileBytes: 512 << 20,
};

/**
 * Decodes a file that arrives in parts: `push` bytes, then call `next` until it returns null.
 * `next` returns {head} once, then {iterations} for each; between two calls, `picture` draws what they give.
 */
export class Decoder {
  /**
   * @param {(modelId: string) => import("./kernel.js").Kernel | undefined} kernelFor
   * @param {{iterations?: number, limits?: object, onCodes?: Function}} [options]
   */
  constructor(kernelFor, options = {}) {
    this.parser = new Parser();
    this.options = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.kernelFor = kernelFor;
    this.kernel = null;
    this._tiles = null;
    this._units = [];
    this._drawable = false;
  }

  push(bytes) {
    this.parser.push(bytes);
  }

  end() {
    this.parser.end();
  }

  /** Iterations that are wanted of this file, once its head is there. */
  get wanted() {
    return Math.min(this.options.iterations ?? 32, this.parser.header?.iterations ?? 32);
  }

  get finished() {
    return this.parser.header !== null && this.parser.complete >= this.wanted;
  }

  next() {
    if (this.finished) return null;
    const found = this.parser.next();
    if (!found) return null;
    if (found.head) return { head: this._head() };
    if (!this._tiles) this._start();
    this._units.push(found.unit);
    const complete = this.parser.complete;
    this._drawable = false; // if a payload turns out to be corrupt, samples are
    if (this._direct) this._decode(found.unit, complete - 1);
    else if (!this.kernel.network && this.finished) this._checkAll();
    this._drawable = this.kernel.network !== 0 && (this._direct || this.finished);
    return { iterations: complete };
  }

  /**
   * Returns {width, height, data}, RGBA without premultiplication, of the iterations so far; null where there is none,
   * as before the last one of an image whose tiles are too large to be kept.
   */
  picture() {
    return this._drawable ? this._draw() : null;
  }

  /** Gives the memory of the kernel back. */
  close() {
    if (this._mark !== undefined) this.kernel.release(this._mark);
    this._mark = undefined;
    this._tiles = [];
    this._units = [];
    this._drawable = false;
  }

  _head() {
    const { header, metadata, alpha } = this.parser;
    const { limits } = this;
    if (header.width * header.height > limits.maxPixels) {
      throw new RncError("limit", `image of ${header.width} x ${header.height} pixels, at most ${limits.maxPixels} are allowed`);
    }
    const work = header.grid.paddedPixels() * this.wanted;
    if (work > limits.maxWork) throw new RncError("limit", `decoding takes ${work} pixels times iterations, at most ${limits.maxWork}`);
    return { ...header, metadata, hasAlpha: header.mode.endsWith("A"), alphaBytes: alpha?.length ?? 0 };
  }

  /** Called with the first unit, once the kernel of the model is known. */
  _start() {
    const { header } = this.parser;
    this.kernel = this.kernelFor(header.modelId);
    if (!this.kernel) throw unsupported(`model ${header.modelId} is unknown`);
    const { config } = this.kernel;
    if (header.codeChannels !== config.code_channels || header.codeStride !== config.code_stride || header.iterations > config.iterations) {
      throw unsupported("the header does not fit its model");
    }
    this._mark = this.kernel.mark();
    const shapes = new Map();
    let bytes = 0;
    for (let i = 0; i < header.grid.length; i++) {
      const { paddedWidth, paddedHeight } = header.grid.tile(i);
      const key = paddedWidth * 65536 + paddedHeight;
      if (!shapes.has(key)) {
        const { entropy, network } = this.kernel.tileBytes(cells(header, header.grid.tile(i)));
        shapes.set(key, entropy + network + 128);
      }
      bytes += shapes.get(key);
    }
    const largest = header.grid.tile(0);
    const samples = largest.paddedWidth * largest.paddedHeight;
    const codes = (header.codeChannels * samples) / header.codeStride ** 2;
    this._plane = this.kernel.allocate(codes);
    this._scratch = this.kernel.allocate(Math.ceil(codes / 8) + 16);
    this._samples = this.kernel.network ? this.kernel.allocate(12 * samples) : 0;
    // One row of tiles, which later ones overlap.
    const rows = Math.min(header.height, 2 * header.tileSize);
    this._rows = this.kernel.network ? this.kernel.allocate(12 * header.width * rows) : 0;
    this._rowBytes = 12 * header.width * rows;
    this._weights = this.kernel.allocate(8 * header.tileSize);
    this._out = this.kernel.allocate(3 * header.width * header.tileSize);
    this._direct = bytes <= this.limits.maxTileBytes;
    this._tiles = [];
    if (this._direct) {
      for (let i = 0; i < header.grid.length; i++) this._tiles.push(new Tile(this.kernel, cells(header, header.grid.tile(i))));
    }
  }

  _decode(unit, iteration) {
    unit.forEach((segment, index) => this._decodeSegment(this._tiles[index], segment, index, iteration));
    this._units.length = 0;
  }

  _decodeSegment(tile, segment, index, iteration) {
    let packed = null;
    if (segment.coding !== STOPPED) {
      packed = tile.decode(segment.payload, segment.coding === RAW, this._plane, this._scratch);
      if (segment.coding === ENTROPY && crc32(packed, segment.before) !== segment.codesCrc) {
        throw corrupt(`tile ${index}, iteration ${iteration}: codes CRC differs`);
      }
    }
    this.options.onCodes?.(iteration, index, segment.coding, packed);
  }

  /** Decodes a tile of a large image from all its units. */
  _tileAtOnce(index) {
    const { header } = this.parser;
    const tile = new Tile(this.kernel, cells(header, header.grid.tile(index)));
    this._units.forEach((unit, iteration) => this._decodeSegment(tile, unit[index], index, iteration));
    return tile;
  }

  _checkAll() {
    for (let i = 0; i < this.parser.header.grid.length; i++) {
      const mark = this.kernel.mark();
      this._tileAtOnce(i);
      this.kernel.release(mark);
    }
  }

  _draw() {
    const { header } = this.parser;
    const { kernel } = this;
    const { grid, width, height } = header;
    const grey = header.mode.startsWith("L");
    const data = new Uint8ClampedArray(4 * width * height);
    let top = 0;
    kernel.bytes(this._rows, this._rowBytes).fill(0);
    for (let row = 0; row < grid.rows; row++) {
      for (let column = 0; column < grid.columns; column++) {
        const index = row * grid.columns + column;
        const mark = kernel.mark();
        const tile = this._direct ? this._tiles[index] : this._tileAtOnce(index);
        tile.pixels(this._samples);
        kernel.release(mark);
        this._blend(grid.tile(index), top);
      }
      const box = grid.tile(row * grid.columns);
      const next = row + 1 < grid.rows ? grid.tile((row + 1) * grid.columns).y : height;
      this._finish(data, top, next - top, grey);
      // What the next row of tiles overlaps moves up.
      const kept = box.y + box.height - next;
      const all = kernel.bytes(this._rows, this._rowBytes);
      const bytes = 12 * width;
      all.copyWithin(0, (next - top) * bytes, (next - top + kept) * bytes);
      all.fill(0, kept * bytes);
      top = next;
    }
    this._applyAlpha(data);
    return { width, height, data };
  }

  _blend(box, top) {
    const { header } = this.parser;
    const { kernel } = this;
    const across = this._weights;
    const down = across + 4 * box.width;
    const put = (at, values) => new Float32Array(kernel.exports.memory.buffer, at, values.length).set(values);
    put(across, ramp(box.x, box.width, header.width, header.overlap));
    put(down, ramp(box.y, box.height, header.height, header.overlap));
    const stride = 3 * header.width;
    const start = (box.y - top) * stride + 3 * box.x;
    kernel.check(kernel.exports.rnc_blend(
      0, this._rows + 4 * start, this._rowBytes / 4 - start, stride, this._samples, 3 * box.paddedWidth * box.paddedHeight,
      3 * box.paddedWidth, across, box.width, down, box.height));
  }

  _finish(data, top, rows, grey) {
    const { kernel } = this;
    const { width } = this.parser.header;
    const values = 3 * width * rows;
    const count = grey ? width * rows : values;
    const isGrey = grey ? 1 : 0;
    kernel.check(kernel.exports.rnc_round(
      0, this._out, count, grey ? width : 3 * width, this._rows, values, 3 * width, width, rows, isGrey, kernel.word));
    if (!new Int32Array(kernel.exports.memory.buffer, kernel.word, 1)[0]) {
      throw new RncError("weights", "the model's samples are not finite numbers");
    }
    const found = kernel.bytes(this._out, count);
    let to = 4 * width * top;
    for (let i = 0; i < count; to += 4) {
      data[to] = found[i];
      data[to + 1] = found[grey ? i : i + 1];
      data[to + 2] = found[grey ? i : i + 2];
      data[to + 3] = 255;
      i += grey ? 1 : 3;
    }
  }

  _applyAlpha(data) {
    const { alpha, header } = this.parser;
    if (!alpha) return;
    this._alpha ??= readAlpha(alpha, header.width, header.height);
    for (let i = 0; i < this._alpha.length; i++) data[4 * i + 3] = this._alpha[i];
  }
}

function cells(header, tile) {
  return {
    rows: tile.paddedHeight / header.codeStride, columns: tile.paddedWidth / header.codeStride,
    blockRows: tile.paddedHeight / 8, blockColumns: tile.paddedWidth / 8,
  };
}
