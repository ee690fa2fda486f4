// Decodes one file again and again, whenever a line arrives that names a variant, and answers with the milliseconds of the
// CPU; `python -m benchmarks.web` calls it in turns with the native kernel. First it says which variants this engine runs.
// Usage: node tools/benchmark.js FILE ITERATIONS
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { runs } from "../src/kernel.js";
import { decodeAll } from "./decode.js";

const bytes = new Uint8Array(readFileSync(process.argv[2]));
console.log(["rnc-relaxed.wasm", "rnc-simd.wasm", "rnc.wasm"].filter(runs).join(" "));
const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const before = process.cpuUsage();
  const found = decodeAll(bytes, line.trim(), { draws: (iterations) => iterations === Number(process.argv[3]) });
  const { user, system } = process.cpuUsage(before);
  if (found.verdict !== "valid") throw new Error(`${found.verdict}: ${found.message}`);
  console.log((user + system) / 1000);
}
