// Coverage-guided fuzzing of the parser and the decoder, in Node: node tools/fuzz.js [SECONDS] [SEED]
//
// Seeds are the vectors, the regressions and the corpus of `fuzz/`. V8 says which blocks of src/*.js an input runs; one
// with which a function runs a new set of its blocks joins the seeds. Half of the inputs get correct checksums again.
// Faults: an exception that is no RncError, memory beyond 1 GiB, an input that takes more than ten seconds, a verdict that
// depends on the variant or on how the bytes arrive. A fault is written to the folder of
// temporary files and ends the run.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../src/crc32.js";
import { bestModule } from "../src/kernel.js";
import { decodeAll, kernelsInUse } from "./decode.js";

const ROOT = new URL("../../", import.meta.url);
const FOLDERS = ["spec/vectors/valid/", "spec/vectors/invalid/", "fuzz/regressions/container/", "fuzz/regressions/plugin/", "fuzz/corpus/container/"];
const LIMITS = { maxPixels: 1 << 16, maxWork: 1 << 17 };
const MAX_MEMORY = 1 << 30;
const MAX_BYTES = 1 << 14;
const MAX_MS = 10_000;
const [seconds = 60, seed = 1] = process.argv.slice(2).map(Number);

let state = seed >>> 0;
function random(below) {
  state = (state + 0x6d2b79f5) >>> 0; // mulberry32
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) % below;
}

const session = new Session();
session.connect();
const call = (method, parameters) => {
  let found;
  session.post(method, parameters, (error, result) => {
    if (error) throw new Error(error.message);
    found = result;
  });
  return found;
};
call("Profiler.enable");
call("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

const patterns = new Set();
/** Whether a function has run a set of its blocks that it never ran before. */
function isNew() {
  const before = patterns.size;
  for (const { url, functions } of call("Profiler.takePreciseCoverage").result) {
    if (!url.includes("/web/src/")) continue;
    for (const { functionName, ranges } of functions) {
      const blocks = ranges.map(({ startOffset, endOffset, count }) => `${startOffset}-${endOffset}${count ? "" : "!"}`);
      patterns.add(`${url} ${functionName} ${blocks.join(" ")}`);
    }
  }
  return patterns.size > before;
}

const seeds = FOLDERS.flatMap((folder) => readdirSync(new URL(folder, ROOT)).filter((name) => !name.endsWith(".json") && !name.endsWith(".md"))
  .map((name) => new Uint8Array(readFileSync(new URL(folder + name, ROOT))))).filter((bytes) => bytes.length && bytes.length <= MAX_BYTES);
const given = seeds.length;

const INTERESTING = [0, 1, 2, 3, 4, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255];

function mutate(bytes) {
  let out = Uint8Array.from(bytes);
  for (let n = 1 + random(4); n--; ) {
    const at = random(out.length || 1);
    const kind = random(8);
    if (kind === 0) out[at] ^= 1 << random(8);
    else if (kind === 1) out[at] = INTERESTING[random(INTERESTING.length)];
    else if (kind === 2) out = out.slice(0, at);
    else if (kind === 3) out = Uint8Array.from([...out.subarray(0, at), ...Array.from({ length: 1 + random(8) }, () => random(256)), ...out.subarray(at)]);
    else if (kind === 4) out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + random(8))]);
    else if (kind === 5) {
      const other = seeds[random(seeds.length)];
      out = Uint8Array.from([...out.subarray(0, at), ...other.subarray(random(other.length))]);
    } else if (kind === 6) out.copyWithin(at, random(out.length || 1), random(out.length || 1));
    else out[8 + 8 + random(22)] = random(256); // the header
  }
  return out.subarray(0, MAX_BYTES);
}

/** Gives every chunk that has its whole length the checksum of its bytes, and every payload its own. */
function seal(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (at + length + 12 > bytes.length) return;
    view.setUint32(at + 8 + length, crc32(bytes.subarray(at, at + 8 + length)), true);
    at += length + 12;
  }
}

function fault(bytes, text) {
  const folder = join(tmpdir(), "rnc-fuzz");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${crc32(bytes).toString(16)}.rnc`);
  writeFileSync(path, bytes);
  console.error(`${path}: ${text}`);
  process.exit(1);
}

/** The best variant that this Node runs, which is compared with the plain one. */
const VECTORS = bestModule();

function one(bytes) {
  const start = performance.now();
  const verdicts = [];
  try {
    const options = { limits: LIMITS };
    verdicts.push(decodeAll(bytes, VECTORS, options), decodeAll(bytes, "rnc.wasm", { ...options, part: 1 + random(200) }));
  } catch (error) {
    fault(bytes, error.stack);
  }
  const [a, b] = verdicts;
  const codes = (found) => crc32(new TextEncoder().encode(JSON.stringify(found.codes?.map((unit) => unit.map((part) => part.packed && [...part.packed])) ?? null)));
  if (a.verdict !== b.verdict || a.complete !== b.complete || codes(a) !== codes(b)) fault(bytes, `${a.verdict} ${a.message}, or ${b.verdict} ${b.message}`);
  if (performance.now() - start > MAX_MS) fault(bytes, "takes too long");
  for (const kernel of kernelsInUse()) if (kernel.exports.memory.buffer.byteLength > MAX_MEMORY) fault(bytes, "memory grew beyond its bound");
  return a.verdict;
}

const counts = {};
const count = (verdict) => { counts[verdict] = (counts[verdict] ?? 0) + 1; };
for (const bytes of seeds.slice()) count(one(bytes));
isNew();
const known = patterns.size;
let runs = given;
for (const end = performance.now() + 1000 * seconds; performance.now() < end; runs++) {
  const bytes = mutate(seeds[random(seeds.length)]);
  if (random(2)) seal(bytes);
  count(one(bytes));
  if (isNew()) seeds.push(bytes);
}
console.log(`${runs} runs, seed ${seed}; patterns of blocks: ${known} by ${given} seeds, ${patterns.size} by ${seeds.length}; verdicts:`, counts);
