// A weights file -> the operands that the kernel takes. Twins: pillow_rnc.models.embedded.numpy_weights,
// numpy_operands and basis. Source: spec, sections "Weights file" and "Decoder network".
import { RncError } from "./errors.js";

const COEFFICIENTS = 192;
const SOFTSIGN_LIMIT = 4;
const MAX_HALF_WIDTH = 4;
const NO_LEVEL = 1e6;
const MAX_WEIGHTS_BYTES = 64 << 20;
const TYPES = { I8: Int8Array, I16: Int16Array, I32: Int32Array, F32: Float32Array };
const fault = (message) => new RncError("weights", message);

/** Returns the 64 hexadecimal digits of the SHA-256 of bytes. */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) throw fault("weights cannot be checked: the page needs https, or localhost");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Reads the safetensors layout. */
export function readWeights(bytes) {
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
export function entropyOperands({ config, tensors }) {
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
export function networkOperands({ config, tensors }) {
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
