// Decodes files with any of the models of the repository. As a program: node tools/decode.js FOLDER prints the verdict of
// each file in a folder, as JSON; with a second argument it writes the pictures of one file, RGBA, to that path.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Parser } from "../src/container.js";
import { Decoder } from "../src/decoder.js";
import { RncError } from "../src/errors.js";
import { readAlpha } from "../src/inflate.js";
import { Kernel } from "../src/kernel.js";
import { readWeights } from "../src/weights.js";

const ROOT = new URL("../../", import.meta.url);
const MODELS = [
  "spec/vectors/complete.safetensors", "spec/vectors/odd.safetensors", "weights/embedded-20261130b-dab3dea1f735.safetensors", "weights/embedded-20261130-d26a809660f7.safetensors", "weights/embedded-20261123-509919255b67.safetensors",
  "spec/vectors/released/1.0/complete.safetensors", "spec/vectors/released/1.0/odd.safetensors",
];
const files = new Map();
for (const path of MODELS) {
  const bytes = new Uint8Array(readFileSync(new URL(path, ROOT)));
  files.set(createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes);
}
const kernels = new Map();

export function kernelFor(id, variant) {
  const key = `${variant} ${id}`;
  if (!kernels.has(key) && files.has(id)) {
    const module = new WebAssembly.Module(readFileSync(new URL(`web/dist/${variant}`, ROOT)));
    kernels.set(key, new Kernel(module, readWeights(files.get(id))));
  }
  return kernels.get(key);
}

/** Kernels that have been made. */
export const kernelsInUse = () => kernels.values();

/** Checks what needs no model, as `rnc verify` does. */
function verify(bytes) {
  const parser = new Parser();
  parser.push(bytes);
  parser.end();
  try {
    while (parser.next());
    if (parser.trailing) throw new RncError("corrupt", "trailing bytes");
    if (parser.alpha) readAlpha(parser.alpha, parser.header.width, parser.header.height);
    return null;
  } catch (error) {
    if (!(error instanceof RncError)) throw error;
    return { verdict: error.kind, message: error.message, complete: parser.complete };
  }
}

/** Decodes a whole file, given in one piece or in parts. `strict` verifies it first, `draws` says
 * after which iterations a picture is wanted. */
export function decodeAll(bytes, variant, { strict = false, part = bytes.length || 1, draws = () => true, ...options } = {}) {
  const fault = strict ? verify(bytes) : null;
  if (fault) return fault;
  const codes = [];
  const decoder = new Decoder((id) => kernelFor(id, variant), {
    ...options,
    onCodes: (t, i, coding, packed) => { (codes[t] ??= [])[i] = { coding, packed: packed?.slice() }; },
  });
  let picture = null;
  const all = [];
  try {
    for (let at = 0; at <= bytes.length; at += part) {
      decoder.push(bytes.subarray(at, at + part));
      if (at + part >= bytes.length) decoder.end();
      for (let one; (one = decoder.next()); ) {
        const drawn = one.iterations && draws(one.iterations) ? decoder.picture() : null;
        if (drawn) all.push((picture = drawn));
      }
    }
    return { verdict: "valid", codes, picture, all };
  } catch (error) {
    if (!(error instanceof RncError)) throw error;
    return { verdict: error.kind, message: error.message, complete: decoder.parser.complete };
  } finally {
    if (decoder.kernel) decoder.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, out] = process.argv.slice(2);
  if (out) {
    const found = decodeAll(new Uint8Array(readFileSync(folder)), "rnc-simd.wasm");
    writeFileSync(out, Buffer.concat(found.all.map((one) => Buffer.from(one.data))));
  } else {
    const verdicts = {};
    for (const name of readdirSync(folder).sort()) {
      verdicts[name] = decodeAll(new Uint8Array(readFileSync(`${folder}/${name}`)), "rnc-simd.wasm", { strict: true }).verdict;
    }
    console.log(JSON.stringify(verdicts));
  }
}
