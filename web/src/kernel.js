// The WebAssembly module: JavaScript lays out its memory, which grows to a bound and no further.
import { RncError, corrupt, unsupported } from "./errors.js";
import { entropyOperands, networkOperands } from "./weights.js";

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
export function runs(name) {
  const body = BODIES[name];
  if (!body) return true;
  const code = [0, ...body, 11];
  return WebAssembly.validate(Uint8Array.from([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, code.length + 2, 1, code.length, ...code,
  ]));
}

/** The name of the best module that this engine runs. */
export function bestModule() {
  return Object.keys(BODIES).find(runs);
}

/** A model, ready to decode tiles; its memory is used for one file at a time, between `mark` and `release`. */
export class Kernel {
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
export class Tile {
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
