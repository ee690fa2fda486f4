// Made by web/bundle.py of web/src; do not edit.
(() => {
"use strict";
/** What can be wrong: `kind` is a fault of the specification, or one of "limit", "weights", "network" and "option". */
class RncError extends Error {
  constructor(kind, message, details = {}) {
    super(message);
    this.name = "RncError";
    this.kind = kind;
    Object.assign(this, details);
  }
}

const corrupt = (message) => new RncError("corrupt", message);
const unsupported = (message) => new RncError("unsupported", message);
// A weights file -> the operands that the kernel takes. Twins: pillow_rnc.models.embedded.numpy_weights,
// numpy_operands and basis. Source: spec, sections "Weights file" and "Decoder network".

const COEFFICIENTS = 192;
const SOFTSIGN_LIMIT = 4;
const MAX_HALF_WIDTH = 4;
const NO_LEVEL = 1e6;
const MAX_WEIGHTS_BYTES = 64 << 20;
const TYPES = { I8: Int8Array, I16: Int16Array, I32: Int32Array, F32: Float32Array };
const fault = (message) => new RncError("weights", message);

/** Returns the 64 hexadecimal digits of the SHA-256 of bytes. */
async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) throw fault("weights cannot be checked: the page needs https, or localhost");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Reads the safetensors layout. */
function readWeights(bytes) {
  if (bytes.length < 8 || bytes.length > MAX_WEIGHTS_BYTES) throw fault("not a weights file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) || length > bytes.length - 8) throw fault("description does not fit into the file");
  const description = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, end] = [] }] of Object.entries(description)) {
    if (name === "__metadata__") continue;
    const Type = TYPES[dtype];
    const size = shape.reduce((a, b) => a * b, 1);
    if (!Type || !(start >= 0 && end <= bytes.length - 8 - length) || end - start !== size * Type.BYTES_PER_ELEMENT) {
      throw fault(`tensor ${name} does not fit`);
    }
    tensors.set(name, { shape, data: new Type(bytes.slice(8 + length + start, 8 + length + end).buffer) });
  }
  return { config: JSON.parse(description.__metadata__.config), tensors };
}

const ENTROPY_TENSORS = [
  "state_in.weight", "state_in.bias", "state.weight", "feature.weight", "feature.bias", "context.weight",
  "output.weight", "output.bias", "accumulator.weight", "accumulator.scale", "accumulator_input.weight",
  "accumulator_output.weight",
];

/** Shape and tensors of the entropy network, in the order of `rnc_entropy_tensors`. */
function entropyOperands({ config, tensors }) {
  const take = (name) => tensors.get(name) ?? missing(name);
  const shape = {
    iterations: config.iterations, pairs: config.code_channels / 2, state: config.entropy_state_channels,
    hidden: config.entropy_hidden_channels, accumulators: take("entropy.accumulator.weight").shape[2],
    passes: config.passes.length, lattices: config.passes.map((one) => one[0]),
  };
  const arrays = ENTROPY_TENSORS.map((name) => take(`entropy.${name}`).data);
  arrays.push(...["coefficient", "level"].map((name) => take(`network.quantizer.${name}`).data));
  return { shape, arrays };
}

function missing(name) {
  throw fault(`the weights have no tensor ${name}`);
}

/** Matrix [rows][columns] from a function of both. */
function matrix(rows, columns, value) {
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[r * columns + c] = value(r, c);
  return out;
}

function cell(take, name, n) {
  const taps = (w) => matrix(9, n, (tap, c) => w[c * 9 + tap]);
  const mix = take(`${name}.input.mix.weight`);
  const mixBias = take(`${name}.input.mix.bias`);
  const spatialBias = take(`${name}.input.spatial.bias`);
  const hidden = take(`${name}.hidden.mix.weight`);
  const candidate = take(`${name}.candidate.weight`);
  const shift = Float64Array.from({ length: 3 * n }, (_, o) => {
    let sum = mixBias[o];
    for (let i = 0; i < n; i++) sum += mix[o * n + i] * spatialBias[i];
    return sum;
  });
  return [
    taps(take(`${name}.input.spatial.weight`)),
    taps(take(`${name}.hidden.spatial.weight`)),
    take(`${name}.hidden.spatial.bias`),
    matrix(2 * n + 1, 2 * n, (r, o) => 0.5 * (r < n ? mix[o * n + r] : r < 2 * n ? hidden[o * n + r - n] : shift[o])),
    matrix(2 * n + 1, n, (r, o) =>
      r < n ? mix[(2 * n + o) * n + r] : r < 2 * n ? 0.5 * candidate[o * n + r - n] : shift[2 * n + o]),
  ];
}

/** Shape, tensors in the order of `rnc_network_tensors`, and the two numbers of masking; null for other families. */
function networkOperands({ config, tensors }) {
  if (config.family !== "embedded" || config.cell !== "gru" || !config.separable) return null;
  if (!tensors.has("network.decoder.output.weight")) return null;
  const { iterations: count, decoder_channels: d, context_channels: c } = config;
  const pairs = config.code_channels / 2;
  const take = (name) => tensors.get(`network.${name}`)?.data ?? missing(name);
  const width = take("decoder.half_width_projection.weight");
  const middle = take("decoder.midpoint_projection.weight");
  const down = take("decoder.down.weight");
  const downBias = take("decoder.down.bias");
  const up = take("decoder.up.weight");
  const upBias = take("decoder.up.bias");
  const output = take("decoder.output.weight");
  const outputBias = take("decoder.output.bias");
  const [coefficient, level, step] = ["coefficient", "level", "step"].map((name) => take(`quantizer.${name}`));
  const biases = take("decoder.bias");
  const scheduled = new Set();
  const bias = new Float32Array(count * d);
  for (let t = 0; t < count; t++) {
    for (let p = 0; p < pairs; p++) if (level[t * pairs + p] !== NO_LEVEL) scheduled.add(coefficient[t * pairs + p]);
    for (let o = 0; o < d; o++) {
      let sum = 0;
      for (const i of scheduled) sum += width[o * COEFFICIENTS + i];
      bias[t * d + o] = biases[t * d + o] - sum;
    }
  }
  const idle = (table, value) => table.map((one, i) => (level[i] === NO_LEVEL ? value : one));
  const overlap = overlapFilter();
  return {
    shape: { iterations: count, pairs, decoder: d, context: c, steps: config.decoder_steps },
    before: [
      matrix(2 * COEFFICIENTS, d, (i, o) =>
        i < COEFFICIENTS
          ? SOFTSIGN_LIMIT * middle[o * COEFFICIENTS + i]
          : width[o * COEFFICIENTS + i - COEFFICIENTS] / MAX_HALF_WIDTH),
      matrix(4 * d + 1, c, (r, o) => (r === 4 * d ? downBias[o] : down[o * 4 * d + (r % d) * 4 + Math.floor(r / d)])),
      matrix(c + 1, 4 * d, (r, o) => {
        const channel = (o % d) * 4 + Math.floor(o / d);
        return r === c ? upBias[channel] : up[channel * c + r];
      }),
      matrix(d + 1, COEFFICIENTS, (r, o) => (r === d ? outputBias[o] : output[o * d + r])),
      ...cell(take, "decoder.context", c),
      ...cell(take, "decoder.detail", d),
      take("log_gain").map(Math.exp),
      bias,
      take("decoder.shift"),
      idle(coefficient, 0),
      level,
      idle(step, 1),
    ],
    masking: [take("masking.exponent")[0], Math.exp(take("masking.log_floor")[0])],
    after: [
      matrix(8, 8, cosine(8)),
      coefficientWeights(),
      Float32Array.from(YCBCR.flat()),
      Float32Array.from(inverse(YCBCR).flat()),
      ofDifferences(overlap),
      ofDifferences(inverse(overlap)),
      Float32Array.from([-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971, 1.149604398860241]),
    ],
  };
}

const YCBCR = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]];
const STEPS = [
  16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
  18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

function cosine(size) {
  return (u, i) => Math.cos((Math.PI * (2 * i + 1) * u) / (2 * size)) * Math.sqrt((u ? 2 : 1) / size);
}

function coefficientWeights() {
  const luma = STEPS.map((one) => (25.735 / one) ** 0.75);
  return Float32Array.from([...luma, ...luma.map((one) => 0.4 * one), ...luma.map((one) => 0.4 * one)]);
}

const product = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, one, k) => sum + one * b[k][j], 0)));
const transposed = (a) => a[0].map((_, j) => a.map((row) => row[j]));
const square = (n, value) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => value(i, j)));

function overlapFilter() {
  const there = square(4, (k, i) =>
    Math.cos((Math.PI * (2 * i + 1) * (2 * k + 1)) / 16) * Math.sqrt(0.5) * (k === 0 ? 1.3 : 1));
  const lower = product(transposed(square(4, cosine(4))), there);
  const middle = square(8, (i, j) => (i < 4 || j < 4 ? Number(i === j) : lower[7 - i][7 - j]));
  const half = Math.sqrt(0.5);
  const butterfly = square(8, (i, j) => {
    if (i < 4) return i === j || i + j === 7 ? half : 0;
    return i + j === 7 ? half : i === j ? -half : 0;
  });
  return product(product(butterfly, middle), butterfly);
}

function ofDifferences(overlap) {
  return matrix(4, 4, (i, j) => 2 * overlap[i][j] - Number(i === j));
}

/** Inverse by elimination with pivots. */
function inverse(given) {
  const n = given.length;
  const rows = given.map((row, i) => [...row, ...Array.from({ length: n }, (_, j) => Number(i === j))]);
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[best][k])) best = i;
    [rows[k], rows[best]] = [rows[best], rows[k]];
    const pivot = rows[k][k];
    rows[k] = rows[k].map((one) => one / pivot);
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = rows[i][k];
      rows[i] = rows[i].map((one, j) => one - factor * rows[k][j]);
    }
  }
  return rows.map((row) => row.slice(n));
}
// The WebAssembly module: JavaScript lays out its memory, which grows to a bound and no further.

const PAGE = 65536;
const MAX_PAGES = 16384; // of 64 KiB: 1 GiB, as in build.py
const MAX_PASSES = 24; // as in rnc_kernel.h
const STATUS = {
  [-1]: () => new RncError("weights", "a length does not fit the model"),
  [-2]: () => new RncError("weights", "the weights are not those of a legal model"),
  [-3]: () => new RncError("limit", "too little memory"),
  [-4]: () => corrupt("payload is not the one of its bits"),
  [-5]: () => corrupt("inferred bits of a raw payload are set"),
  [-6]: () => unsupported("the model codes no further iteration"),
};

// The modules, best first, with the body of a function that returns a vector, and that only engines accept which run them:
// the smallest there is, and a relaxed product of bytes with addition, of three vectors.
const VECTOR = [65, 0, 253, 15];
const BODIES = {
  "rnc-relaxed.wasm": [...VECTOR, ...VECTOR, ...VECTOR, 253, 147, 2],
  "rnc-simd.wasm": [...VECTOR, 253, 98],
  "rnc.wasm": null,
};

/** Whether this engine runs a module. */
function runs(name) {
  const body = BODIES[name];
  if (!body) return true;
  const code = [0, ...body, 11];
  return WebAssembly.validate(Uint8Array.from([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, code.length + 2, 1, code.length, ...code,
  ]));
}

/** The name of the best module that this engine runs. */
function bestModule() {
  return Object.keys(BODIES).find(runs);
}

/** A model, ready to decode tiles; its memory is used for one file at a time, between `mark` and `release`. */
class Kernel {
  constructor(module, weights) {
    this.exports = new WebAssembly.Instance(module, {}).exports;
    this._top = this.exports.__heap_base.value;
    this.config = weights.config;
    const word = this.allocate(4);
    this.word = word;
    this._entropyModel(entropyOperands(weights));
    this.network = 0;
    const operands = networkOperands(weights);
    if (operands) this._network(operands);
    this.free = [];
  }

  allocate(bytes) {
    const at = (this._top + 63) & ~63;
    const end = at + bytes;
    const memory = this.exports.memory;
    const pages = Math.ceil(end / PAGE);
    if (!(pages <= MAX_PAGES)) throw new RncError("limit", `decoding needs more than ${MAX_PAGES / 16} MiB`);
    const have = memory.buffer.byteLength / PAGE;
    if (pages > have) {
      try {
        memory.grow(pages - have);
      } catch {
        throw new RncError("limit", "the browser gives no more memory");
      }
    }
    this._top = end;
    return at;
  }

  mark() {
    return this._top;
  }

  release(mark) {
    this._top = mark;
  }

  check(status) {
    if (status) throw (STATUS[status] ?? STATUS[-1])();
  }

  /** Calls a function that writes a size, and returns it. */
  size(name, ...args) {
    this.check(this.exports[name](...args, this.word));
    return new Uint32Array(this.exports.memory.buffer)[this.word / 4];
  }

  bytes(at, length) {
    return new Uint8Array(this.exports.memory.buffer, at, length);
  }

  _put(array) {
    const at = this.allocate(array.byteLength);
    this.bytes(at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return [at, array.length];
  }

  _words(values) {
    return this._put(Uint32Array.from(values))[0];
  }

  /** Makes an object of the kernel below what was needed to make it, which is released. */
  _make(name, shape, size, tensors) {
    const at = this.allocate(size);
    const mark = this.mark();
    const given = this._words(tensors());
    this.check(this.exports[`${name}_init`](at, size, shape, given, 0));
    this.release(mark);
    return at;
  }

  _entropyModel({ shape: s, arrays }) {
    if (s.lattices.length > MAX_PASSES) throw new RncError("weights", "too many passes");
    const each = (value) => Array.from({ length: MAX_PASSES }, (_, pass) => (pass < s.passes ? value(pass) : 0));
    const shape = this._words([
      s.iterations, s.pairs, s.state, s.hidden, s.accumulators, s.passes, ...each((pass) => s.lattices[pass]),
      ...each(() => 0), ...each(() => s.pairs), 1,
    ]);
    const size = this.size("rnc_entropy_model_size", shape);
    this.model = this._make("rnc_entropy_model", shape, size, () => arrays.flatMap((one) => this._put(one)));
  }

  _network({ shape: s, before, masking, after }) {
    const shape = this._words([s.iterations, s.pairs, s.decoder, s.context, s.steps]);
    const size = this.size("rnc_network_size", shape);
    const bits = new Uint32Array(Float32Array.from(masking).buffer);
    this.network = this._make("rnc_network", shape, size, () => [
      ...before.flatMap((one) => this._put(one)), ...bits, ...after.flatMap((one) => this._put(one)),
    ]);
  }

  /** Bytes that a tile of rows x columns code cells and its blocks of pixels takes. */
  tileBytes(grid) {
    const entropy = this.size("rnc_entropy_tile_size", this.model, grid.rows, grid.columns);
    const network = this.network ? this.size("rnc_network_tile_size", this.network, grid.blockRows, grid.blockColumns, 0) : 0;
    return { entropy, network };
  }
}

/** One tile, iteration by iteration. */
class Tile {
  constructor(kernel, grid) {
    const { entropy, network } = kernel.tileBytes(grid);
    this.kernel = kernel;
    this.grid = grid;
    const { exports } = kernel;
    this.entropy = kernel.allocate(entropy);
    kernel.check(exports.rnc_entropy_tile_init(this.entropy, entropy, kernel.model, grid.rows, grid.columns));
    if (kernel.network) {
      this.network = kernel.allocate(network);
      kernel.check(exports.rnc_network_tile_init(this.network, network, kernel.network, grid.blockRows, grid.blockColumns, 0));
    }
  }

  /** Takes the next payload; returns the packed codes. `plane` and `scratch` are memory of the kernel. */
  decode(payload, raw, plane, scratch) {
    const { kernel } = this;
    const count = kernel.config.code_channels * this.grid.rows * this.grid.columns;
    if (raw) {
      const codes = kernel.bytes(plane, count);
      for (let i = 0; i < count; i++) codes[i] = (payload[i >> 3] >> (7 - (i & 7))) & 1;
      kernel.check(kernel.exports.rnc_entropy_tile_take(this.entropy, plane, count, kernel.word));
    } else {
      kernel.bytes(scratch, payload.length).set(payload);
      kernel.check(kernel.exports.rnc_entropy_tile_decode(this.entropy, scratch, payload.length, plane, count));
    }
    if (kernel.network) kernel.check(kernel.exports.rnc_network_tile_decode(this.network, plane, count));
    if (raw) return payload;
    const codes = kernel.bytes(plane, count);
    const packed = new Uint8Array(Math.ceil(count / 8));
    for (let i = 0, at = 0; at < packed.length; i += 8, at++) {
      packed[at] = codes[i] << 7 | codes[i + 1] << 6 | codes[i + 2] << 5 | codes[i + 3] << 4 | codes[i + 4] << 3
        | codes[i + 5] << 2 | codes[i + 6] << 1 | codes[i + 7]; // beyond the end, nothing
    }
    return packed;
  }

  /** Writes the samples, float32 [height][width][3], to memory of the kernel. */
  pixels(at) {
    const { kernel } = this;
    const count = this.grid.blockRows * this.grid.blockColumns * 192;
    const done = new Int32Array(kernel.exports.memory.buffer, kernel.word, 1);
    done[0] = 0;
    while (!done[0]) kernel.check(kernel.exports.rnc_network_tile_pixels(this.network, at, count, kernel.word));
  }
}
// ICC profile -> the space that a canvas shows: sRGB and Display P3 are all that canvases have, so samples of other
// matrix profiles (Adobe RGB, ProPhoto RGB) are converted to the smallest of the two that holds their primaries.
// Source: ICC.1:2022, sections 7 to 10.
const SAME = 1.5 / 255; // what rounding in 15.16 and curves of few points may differ by

// Columns are the primaries, adapted to D50.
const SRGB = [0.4360657, 0.3851515, 0.1430784, 0.2224932, 0.7168870, 0.0606169, 0.0139160, 0.0970764, 0.7140961];
const DISPLAY_P3 = [0.5151024, 0.2919739, 0.1571527, 0.2411855, 0.6922356, 0.0665783, -0.0010514, 0.0418854, 0.7843780];
const TARGETS = [{ space: "srgb", matrix: SRGB }, { space: "display-p3", matrix: DISPLAY_P3 }];

/**
 * Returns {space, convert, warning}: the colour space of the canvas; a function that converts RGBA in place, or null
 * where samples can be shown as they are; what to say of a profile that cannot be applied, or null.
 */
function colourOf(icc, grey = false) {
  if (!icc) return { space: "srgb", convert: null, warning: null };
  let profile;
  try {
    profile = readProfile(icc, grey);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // metadata never make a file fail
    profile = { fault: "the profile is damaged" };
  }
  if (profile.fault) return { space: "srgb", convert: null, warning: `colours are shown as sRGB: ${profile.fault}` };
  if (grey) {
    const plain = isSrgbCurve(profile.curves[0]);
    return { space: "srgb", convert: plain ? null : greyConversion(profile.curves[0]), warning: null };
  }
  for (const { space, matrix } of TARGETS) {
    if (profile.matrix.every((one, i) => Math.abs(one - matrix[i]) < 0.002) && profile.curves.every(isSrgbCurve)) {
      return { space, convert: null, warning: null };
    }
  }
  const inside = (target) => product3(inverse3(target.matrix), profile.matrix).every((one) => one > -0.002 && one < 1.002);
  const target = TARGETS.find(inside) ?? TARGETS[1];
  return { space: target.space, convert: conversion(profile, product3(inverse3(target.matrix), profile.matrix)), warning: null };
}

function readProfile(icc, grey) {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const text = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  if (text(36) !== "acsp") return { fault: "the profile is damaged" };
  if (text(16) !== (grey ? "GRAY" : "RGB ")) return { fault: `the profile is for ${text(16).trim()}` };
  if (text(20) !== "XYZ ") return { fault: "the profile has tables instead of a matrix" };
  const tags = new Map();
  for (let i = Math.min(view.getUint32(128), 100); i--; ) tags.set(text(132 + 12 * i), view.getUint32(136 + 12 * i));
  const names = grey ? ["kTRC"] : ["rTRC", "gTRC", "bTRC", "rXYZ", "gXYZ", "bXYZ"];
  if (names.some((name) => !tags.has(name))) return { fault: "the profile has tables instead of a matrix" };
  const fixed = (at) => view.getInt32(at) / 65536;
  const curves = names.filter((name) => name.endsWith("TRC")).map((name) => readCurve(view, text, fixed, tags.get(name)));
  if (curves.includes(null)) return { fault: "the profile has a curve of an unknown kind" };
  if (grey) return { curves };
  const columns = ["rXYZ", "gXYZ", "bXYZ"].map((name) => [8, 12, 16].map((at) => fixed(tags.get(name) + at)));
  const matrix = [0, 1, 2].flatMap((row) => columns.map((column) => column[row]));
  return { curves, matrix };
}

/** Linear light of the 256 values of a sample. */
function readCurve(view, text, fixed, at) {
  const table = (curve) => Float64Array.from({ length: 256 }, (_, i) => Math.min(1, Math.max(0, curve(i / 255))));
  if (text(at) === "curv") {
    const count = view.getUint32(at + 8);
    if (count === 0) return table((x) => x);
    if (count === 1) return table((x) => x ** (view.getUint16(at + 12) / 256));
    const point = (i) => view.getUint16(at + 12 + 2 * Math.min(i, count - 1)) / 65535;
    return table((x) => {
      const place = x * (count - 1);
      const low = Math.floor(place);
      return point(low) + (place - low) * (point(low + 1) - point(low));
    });
  }
  const kind = text(at) === "para" ? view.getUint16(at + 8) : 5;
  if (kind > 4) return null;
  const value = (i) => fixed(at + 12 + 4 * i);
  const g = value(0);
  const [a, b] = kind ? [value(1), value(2)] : [1, 0];
  const c = kind === 2 ? value(3) : 0;
  if (kind < 3) return table((x) => (!kind || x >= -b / a ? (a * x + b) ** g + c : c));
  const [slope, start] = [value(3), value(4)];
  const [above, below] = kind === 4 ? [value(5), value(6)] : [0, 0];
  return table((x) => (x >= start ? (a * x + b) ** g + above : slope * x + below));
}

const encodeSrgb = (x) => (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);
const decodeSrgb = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);

/** Whether a curve gives the samples of sRGB, which is also that of Display P3, up to rounding. */
function isSrgbCurve(curve) {
  return curve.every((one, i) => Math.abs(encodeSrgb(one) - i / 255) < SAME && Math.abs(one - decodeSrgb(i / 255)) < SAME);
}

function greyConversion(curve) {
  const table = Uint8Array.from(curve, (one) => Math.round(255 * encodeSrgb(one)));
  return (data) => {
    for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = table[data[i]];
  };
}

function conversion({ curves }, matrix) {
  const steps = 1 << 14;
  const table = Uint8Array.from({ length: steps + 1 }, (_, i) => Math.round(255 * encodeSrgb(i / steps)));
  const [r, g, b] = curves;
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = matrix.map((one) => one * steps);
  const at = (x) => table[x <= 0 ? 0 : x >= steps ? steps : (x + 0.5) | 0];
  return (data) => {
    for (let i = 0; i < data.length; i += 4) {
      const x = r[data[i]];
      const y = g[data[i + 1]];
      const z = b[data[i + 2]];
      data[i] = at(m0 * x + m1 * y + m2 * z);
      data[i + 1] = at(m3 * x + m4 * y + m5 * z);
      data[i + 2] = at(m6 * x + m7 * y + m8 * z);
    }
  };
}

function product3(a, b) {
  return Array.from({ length: 9 }, (_, i) => [0, 1, 2].reduce((sum, k) => sum + a[i - (i % 3) + k] * b[3 * k + (i % 3)], 0));
}

function inverse3([a, b, c, d, e, f, g, h, i]) {
  const minors = [e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f,
    d * h - e * g, b * g - a * h, a * e - b * d];
  const determinant = a * minors[0] + b * minors[3] + c * minors[6];
  return minors.map((one) => one / determinant);
}
// CRC-32 of zlib, four bytes at a time.
const TABLES = Array.from({ length: 4 }, () => new Uint32Array(256));
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  TABLES[0][n] = c >>> 0;
}
for (let n = 0; n < 256; n++)
  for (let k = 1; k < 4; k++) TABLES[k][n] = (TABLES[k - 1][n] >>> 8) ^ TABLES[0][TABLES[k - 1][n] & 255];

/** Returns the CRC of bytes that follow those of `crc`. */
function crc32(bytes, crc = 0) {
  const [t0, t1, t2, t3] = TABLES;
  let c = ~crc;
  let i = 0;
  for (; i + 4 <= bytes.length; i += 4) {
    c ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    c = t3[c & 255] ^ t2[(c >>> 8) & 255] ^ t1[(c >>> 16) & 255] ^ t0[c >>> 24];
  }
  for (; i < bytes.length; i++) c = (c >>> 8) ^ t0[(c ^ bytes[i]) & 255];
  return ~c >>> 0;
}
// Image size -> tile boxes; spec, "Tile grid".
const aligned = (length) => Math.ceil(length / 16) * 16;

class TileGrid {
  constructor(width, height, tileSize, overlap) {
    Object.assign(this, { width, height, tileSize, overlap });
    this.columns = this.#count(width);
    this.rows = this.#count(height);
    this.length = this.columns * this.rows;
  }

  /** Box of a tile, its padded size, and whether another tile is before or after it along each axis. */
  tile(index) {
    const column = index % this.columns;
    const row = (index - column) / this.columns;
    const step = this.tileSize - this.overlap;
    const x = column * step;
    const y = row * step;
    const width = Math.min(this.tileSize, this.width - x);
    const height = Math.min(this.tileSize, this.height - y);
    return { x, y, width, height, paddedWidth: aligned(width), paddedHeight: aligned(height) };
  }

  /** Pixels of all tiles with padding. */
  paddedPixels() {
    let across = 0;
    let down = 0;
    for (let c = 0; c < this.columns; c++) across += this.tile(c).paddedWidth;
    for (let r = 0; r < this.rows; r++) down += this.tile(r * this.columns).paddedHeight;
    return across * down;
  }

  #count(extent) {
    if (extent <= this.tileSize) return 1;
    return Math.ceil((extent - this.overlap) / (this.tileSize - this.overlap));
  }
}

/** Weights of a tile along one axis; spec, "Overlap and blending". */
function ramp(start, length, extent, overlap) {
  const weights = new Float32Array(length).fill(1);
  for (let i = 0; i < overlap; i++) {
    const rise = Math.fround((2 * i + 1) / (2 * overlap));
    if (start) weights[i] = rise;
    if (start + length < extent) weights[length - overlap + i] = 1 - rise;
  }
  return weights;
}
// Bytes of an .rnc file -> header, metadata and units, as they arrive. Twin: pillow_rnc.container, whose order of checks
// this keeps, so that both report the same fault. Source: spec, sections "File" to "Units".

const ENTROPY = 0;
const RAW = 1;
const STOPPED = 2;
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
class Parser {
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
// A zlib stream (RFC 1950, RFC 1951) that expands to exactly a number of bytes; anything else is an error.

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

function inflate(bytes, expected) {
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
function readAlpha(data, width, height) {
  const predictor = data[0];
  if (!(predictor <= 3)) throw fail(`predictor ${predictor}`);
  const plane = inflate(data.subarray(1), width * height);
  if (predictor & 1)
    for (let i = 0; i < plane.length; i++) if (i % width) plane[i] += plane[i - 1];
  if (predictor & 2) for (let i = width; i < plane.length; i++) plane[i] += plane[i - width];
  return plane;
}
// Units -> pictures: tiles, blending, alpha. Twin: pillow_rnc.codec.decoder.

const DEFAULT_LIMITS = {
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
class Decoder {
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
// Orientation of an Exif chunk, 1 to 8; 1 where there is none that can be read.
function orientation(exif) {
  if (!exif) return 1;
  const start = String.fromCharCode(...exif.subarray(0, 6)) === "Exif\0\0" ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.length - start);
  try {
    const little = view.getUint16(0) === 0x4949;
    if (view.getUint16(2, little) !== 42) return 1;
    const at = view.getUint32(4, little);
    const count = Math.min(view.getUint16(at, little), 512);
    for (let i = 0; i < count; i++) {
      if (view.getUint16(at + 2 + 12 * i, little) !== 0x0112) continue;
      const value = view.getUint16(at + 10 + 12 * i, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // metadata never make a file fail
  }
  return 1;
}

/** Matrix of a 2d context that draws a picture of width x height upright. */
function upright(orientation, width, height) {
  return [
    [1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, width, 0], [-1, 0, 0, -1, width, height], [1, 0, 0, -1, 0, height],
    [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, height, 0], [0, -1, -1, 0, height, width], [0, -1, 1, 0, 0, width],
  ][orientation - 1];
}

/** Returns RGBA turned upright, without a canvas. */
function turned({ width, height, data }, orientation) {
  if (orientation === 1) return { width, height, data };
  const [a, b, c, d, e, f] = upright(orientation, width, height);
  const across = orientation > 4 ? height : width;
  const to = new Uint8ClampedArray(data.length);
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const words = new Uint32Array(to.buffer);
  // The matrix is that of corners; pixels are half a unit inside.
  const x0 = (a + c + 2 * e - 1) / 2;
  const y0 = (b + d + 2 * f - 1) / 2;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) words[(y0 + b * x + d * y) * across + x0 + a * x + c * y] = from[i];
  }
  return { width: across, height: orientation > 4 ? width : height, data: to };
}
// Pictures of prefixes of files that are there already. One file is kept open, so that more of it costs what was added.

class PrefixDecoder {
  /** @param {(modelId: string) => import("./kernel.js").Kernel | undefined} kernelFor */
  constructor(kernelFor) {
    this.kernelFor = kernelFor;
    this._open = null;
  }

  /**
   * Returns {width, height, data, space, warning}: the picture of the first bytes of a file, which hold `iterations`,
   * upright, RGBA without premultiplication, in a space of canvas. `key` tells files apart.
   */
  picture(key, prefix, iterations) {
    let open = this._open;
    if (!open || open.key !== key || open.complete >= iterations) open = this._start(key, {});
    let picture = this._decode(open, prefix, iterations);
    if (!picture) {
      // Tiles that are too large to be kept are decoded at once, for the last picture.
      open = this._start(key, { iterations });
      picture = this._decode(open, prefix, iterations);
      this.close();
    }
    if (!picture) throw new RncError("truncated", `${prefix.length} bytes hold no ${iterations} iterations`);
    const { metadata, mode } = open.head;
    const colour = colourOf(metadata.iccp, mode.startsWith("L"));
    colour.convert?.(picture.data);
    return { ...turned(picture, orientation(metadata.exif)), space: colour.space, warning: colour.warning };
  }

  close() {
    if (this._open?.decoder.kernel) this._open.decoder.close();
    this._open = null;
  }

  _start(key, limit) {
    this.close();
    const open = { key, pushed: 0, complete: 0, head: null };
    open.decoder = new Decoder(this.kernelFor, limit);
    this._open = open;
    return open;
  }

  _decode(open, prefix, iterations) {
    const { decoder } = open;
    decoder.push(prefix.subarray(open.pushed));
    open.pushed = Math.max(open.pushed, prefix.length);
    try {
      for (let one; open.complete < iterations && (one = decoder.next()); ) {
        if (one.head) open.head = one.head;
        else open.complete = one.iterations;
      }
      return open.complete === iterations ? decoder.picture() : null;
    } catch (error) {
      this.close();
      throw error;
    }
  }
}
// The worker of pages that hold files, decoder and weights themselves; `bundle.py` makes dist/page-decoder.js of it and
// all that it imports. Messages to it: {modules}, bytes by name, once; {model, weights}; {id, key, prefix, iterations}, the
// first bytes of a file, which `key` tells from others. Its answers: {id, picture} or {id, error}.

const kernels = new Map();
const weights = new Map();
let module = null;

function kernelFor(model) {
  if (!kernels.has(model) && weights.has(model)) kernels.set(model, new Kernel(module, readWeights(weights.get(model))));
  return kernels.get(model);
}

const decoder = new PrefixDecoder(kernelFor);

self.onmessage = ({ data }) => {
  if (data.modules) {
    module = new WebAssembly.Module(data.modules[bestModule()]);
    return;
  }
  if (data.weights) {
    weights.set(data.model, data.weights);
    return;
  }
  try {
    const picture = decoder.picture(data.key, data.prefix, data.iterations);
    self.postMessage({ id: data.id, picture }, [picture.data.buffer]);
  } catch (error) {
    self.postMessage({ id: data.id, error: { kind: error.kind ?? "corrupt", message: error.message } });
  }
};
})();
