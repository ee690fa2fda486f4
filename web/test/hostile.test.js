// Files that promise much are rejected without growing memory beyond its bound, and without waiting for bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Parser } from "../src/container.js";
import { Decoder } from "../src/decoder.js";
import { decodeAll, kernelFor } from "../tools/decode.js";
import { chunk, hostile } from "../tools/hostile.js";

const MODEL = "dab3dea1f735f05c";
const MAX_MEMORY = 1 << 30;

for (const variant of ["rnc.wasm", "rnc-simd.wasm", "rnc-relaxed.wasm"]) {
  test(`${variant}: headers of every size end with an error, within 1 GiB`, () => {
    for (const [width, height, tileSize, iterations, expected] of [
      [65535, 65535, 4096, 28, "limit"], // pixels
      [65535, 1, 64, 33, "unsupported"],
      [9999, 9999, 768, 28, "limit"], // pixels times iterations
      [9999, 9999, 4096, 28, "limit"], // one tile at a time takes too much memory
      [65535, 1500, 4096, 28, "limit"], // a row of tiles does
      [4096, 4096, 4096, 28, "truncated"], // tile by tile, which waits for all units
      [4096, 4096, 4096, 1, "limit"],
      [1024, 1024, 1024, 28, "corrupt"],
    ]) {
      const found = decodeAll(hostile({ width, height, tileSize, iterations }), variant);
      assert.equal(found.verdict, expected, `${width} x ${height}, ${tileSize}: ${found.message}`);
      assert.ok(kernelFor(MODEL, variant).exports.memory.buffer.byteLength <= MAX_MEMORY);
    }
  });
}

test("memory is given back: a good file follows a hostile one", () => {
  const kernel = kernelFor(MODEL, "rnc-simd.wasm");
  const mark = kernel.mark();
  for (let i = 0; i < 3; i++) {
    decodeAll(hostile({ width: 9999, height: 9999 }), "rnc-simd.wasm");
    assert.equal(kernel.mark(), mark);
  }
});

test("lengths that no valid file has are not waited for", () => {
  const good = hostile({ width: 64, height: 64, tileSize: 64 });
  const head = good.subarray(0, 8 + 34);
  for (const [type, extra] of [["exif", []], ["ALPH", []], ["ITER", new Array(21).fill(0)]]) {
    const parser = new Parser();
    parser.push(head);
    const start = chunk(type, extra);
    start.set([255, 255, 255, 255], 4);
    parser.push(start);
    assert.throws(() => { while (parser.next()); }, { kind: "corrupt" }, type);
  }
});

test("a file that stays open keeps no more than one unit beside what was pushed", () => {
  const decoder = new Decoder((id) => kernelFor(id, "rnc-simd.wasm"));
  decoder.push(hostile({ width: 65000, height: 1500, tileSize: 768 }).subarray(0, 100));
  assert.ok(decoder.next().head);
  assert.equal(decoder.next(), null);
  assert.equal(decoder.parser.received, 100);
});
