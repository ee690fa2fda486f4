// Which pictures a stream gives: the last of what has arrived, and that before a fault.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { pictures } from "../src/stream.js";
import { decodeAll, kernelFor } from "../tools/decode.js";

const VARIANT = "rnc-simd.wasm";
const LOADER = { kernel: async (id) => kernelFor(id, VARIANT) };
const ALL = Infinity; // milliseconds within which everything is decoded
const bytes = new Uint8Array(readFileSync(new URL("../../spec/vectors/valid/drawn-100.rnc", import.meta.url)));
const { all } = decodeAll(bytes, VARIANT);
const count = all.length;

/** The pictures of parts of a file, and the kind of the fault that ends them. */
async function found(parts, options) {
  const shown = [];
  const stream = new ReadableStream({
    start(controller) {
      for (const one of parts) controller.enqueue(one);
      controller.close();
    },
  });
  try {
    for await (const one of pictures(stream, LOADER, options)) {
      if (one.picture) shown.push({ iterations: one.iterations, picture: one.picture });
    }
  } catch (error) {
    return { shown, fault: error.kind };
  }
  return { shown, fault: null };
}

const after = (iterations) => ({ iterations, picture: all[iterations - 1] });
const split = (length) => Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) => bytes.slice(i * length, (i + 1) * length));

test("a file that arrives at once has one picture", async () => {
  assert.ok(count > 2);
  assert.deepEqual(await found([bytes], { every: ALL }), { shown: [after(count)], fault: null });
  assert.deepEqual(await found([bytes], { every: ALL, iterations: 2 }), { shown: [after(2)], fault: null });
});

test("bytes that arrive one by one, and iterations that take long, have a picture after each", async () => {
  const each = { shown: all.map((_, i) => after(i + 1)), fault: null };
  assert.deepEqual(await found(split(1), { every: ALL }), each);
  assert.deepEqual(await found([bytes], { every: 0 }), each);
});

test("the iterations before a fault are shown once", async () => {
  const damaged = bytes.slice();
  damaged[bytes.length - 9] ^= 1;
  assert.deepEqual(await found([damaged], { every: ALL }), { shown: [after(count - 1)], fault: "corrupt" });
  assert.deepEqual(await found([bytes.subarray(0, -5)], { every: ALL }), { shown: [after(count - 1)], fault: "truncated" });
});

test("an image whose tiles are not kept has its last picture only", async () => {
  const limits = { maxTileBytes: 0 };
  assert.deepEqual(await found(split(50), { every: 0, limits }), { shown: [after(count)], fault: null });
});

test("a kernel is free after each file, whole or not", async () => {
  const kernel = kernelFor("b571bdded98bf7ff", VARIANT);
  const mark = kernel.mark();
  for (const parts of [[bytes.subarray(0, -5)], [bytes], split(9)]) {
    await found(parts);
    assert.equal(kernel.mark(), mark);
    assert.equal(kernel.busy, null);
  }
});
