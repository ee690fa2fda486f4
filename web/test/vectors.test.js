// Codes and verdicts are those of the vectors, and samples within 1, with all variants, and however the bytes arrive.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { crc32 } from "../src/crc32.js";
import { decodeAll } from "../tools/decode.js";

const SPEC = new URL("../../spec/vectors/", import.meta.url);

for (const variant of ["rnc.wasm", "rnc-simd.wasm", "rnc-relaxed.wasm"]) {
  for (const folder of ["valid/", "invalid/", "released/1.0/"]) {
    test(`${variant}: ${folder}`, () => {
      const names = readdirSync(new URL(folder, SPEC)).filter((name) => name.endsWith(".rnc"));
      assert.ok(names.length > 10);
      for (const name of names) {
        const bytes = new Uint8Array(readFileSync(new URL(folder + name, SPEC)));
        const said = JSON.parse(readFileSync(new URL(folder + name.replace(/rnc$/, "json"), SPEC), "utf8"));
        const found = decodeAll(bytes, variant, { strict: true });
        const known = ["complete", "odd"].some((model) => said.weights?.includes(model));
        const expected = known || said.expect !== "valid" ? said.expect : "unsupported"; // other families
        assert.equal(found.verdict, expected, `${folder}${name}: ${found.message}`);
        if (said.expect === "truncated") assert.equal(found.complete, said.complete_iterations, name);
        if (expected !== "valid") continue;
        const kinds = ["entropy", "raw", "stopped"];
        const codes = said.segments.map((unit, t) => unit.map((_, i) => {
          const one = found.codes[t][i];
          return one.packed ? `${kinds[one.coding]} ${crc32(one.packed).toString(16).padStart(8, "0")}` : said.segments[t][i];
        }));
        assert.deepEqual(codes, said.segments, name);
        if (!said.samples) continue;
        const channels = said.header.mode.startsWith("L") ? 1 : 3;
        const samples = Buffer.from([said.samples].flat(3).join(""), "hex");
        for (let i = 0; i < samples.length; i++) {
          const got = found.picture.data[4 * Math.floor(i / channels) + (i % channels)];
          assert.ok(Math.abs(got - samples[i]) <= 1, `${name}: sample ${i} is ${got}, expected ${samples[i]}`);
        }
      }
    });
  }
}

test("parts of any size give the same pictures, and tile by tile the last", () => {
  for (const name of ["drawn-100.rnc", "grid-70x70-64-32.rnc", "grid-113x97-64-16.rnc", "alpha-RGBA-3.rnc"]) {
    const bytes = new Uint8Array(readFileSync(new URL(`valid/${name}`, SPEC)));
    const whole = decodeAll(bytes, "rnc-simd.wasm");
    for (const part of [1, 7, 100]) assert.deepEqual(decodeAll(bytes, "rnc-simd.wasm", { part }), whole, name);
    const alone = decodeAll(bytes, "rnc-simd.wasm", { limits: { maxTileBytes: 0 } });
    assert.equal(alone.all.length, whole.picture ? 1 : 0);
    assert.deepEqual(alone.picture, whole.picture);
  }
});

test("an image above a limit is rejected before its units are there", () => {
  const bytes = new Uint8Array(readFileSync(new URL("valid/size-64x64.rnc", SPEC)));
  assert.equal(decodeAll(bytes, "rnc.wasm", { limits: { maxPixels: 4095 } }).verdict, "limit");
  assert.equal(decodeAll(bytes, "rnc.wasm", { limits: { maxWork: 4095 } }).verdict, "limit");
});
