// A response or any other stream of bytes -> pictures, as its bytes arrive.
import { colourOf } from "./colour.js";
import { Decoder } from "./decoder.js";
import { RncError } from "./errors.js";

const EVERY_MS = 500;

/**
 * Yields {head}, with `space` and `warning` of `colourOf`, then {picture, iterations, bytes} when all iterations that have
 * arrived are decoded; where that takes longer than `every` milliseconds, some of those between them too.
 * Stops reading after `iterations`. `watch` is given, and returns, each promise of bytes.
 */
export async function* pictures(stream, loader, { iterations, limits, signal, every = EVERY_MS, watch = (bytes) => bytes } = {}) {
  const reader = stream.getReader();
  const kernels = new Map();
  let colour = null;
  const decoder = new Decoder((id) => kernels.get(id), { iterations, limits });
  let fault = null;
  const next = () => {
    try {
      return decoder.next();
    } catch (error) {
      fault = error; // after the picture of the iterations before it
      return null;
    }
  };
  function* draw() {
    const picture = decoder.picture();
    if (!picture) return;
    colour.convert?.(picture.data);
    yield { picture, iterations: decoder.parser.complete, bytes: decoder.parser.received };
  }
  try {
    for (let done = false; !done && !decoder.finished; ) {
      const found = await watch(reader.read());
      signal?.throwIfAborted();
      done = found.done;
      if (done) decoder.end();
      else decoder.push(found.value);
      let isNew = false;
      let since = performance.now();
      for (let one; (one = next()); ) {
        if (one.head) {
          colour = colourOf(one.head.metadata.iccp, one.head.mode.startsWith("L"));
          yield { head: { ...one.head, space: colour.space, warning: colour.warning } };
          const id = one.head.modelId;
          kernels.set(id, await loader.kernel(id));
          // One kernel decodes one file at a time.
          const kernel = kernels.get(id);
          while (kernel.busy) await kernel.busy;
          let release;
          kernel.busy = new Promise((resolve) => { release = resolve; });
          decoder.release = () => { kernel.busy = null; release(); };
          since = performance.now();
        } else {
          isNew = performance.now() - since < every;
          if (isNew) continue;
          yield* draw();
          since = performance.now();
        }
      }
      if (isNew) yield* draw();
      if (fault) throw fault;
    }
  } catch (error) {
    if (error instanceof RncError || error?.name === "AbortError") throw error;
    throw error instanceof WebAssembly.RuntimeError ? new RncError("corrupt", error.message) : new RncError("network", String(error?.message ?? error));
  } finally {
    if (decoder.kernel) decoder.close();
    decoder.release?.();
    await reader.cancel().catch(() => undefined);
  }
}
