// A response or any other stream of bytes -> pictures, one after each iteration.
import { colourOf } from "./colour.js";
import { Decoder } from "./decoder.js";
import { RncError } from "./errors.js";

/**
 * Yields {head}, with `space` and `warning` of `colourOf`, then {picture, iterations, bytes} whenever bytes of another
 * iteration are there. Where several iterations have arrived since the last picture, pictures between them are left out.
 * Stops reading after `iterations`.
 */
export async function* pictures(stream, loader, { iterations, limits, signal } = {}) {
  const reader = stream.getReader();
  const kernels = new Map();
  let colour = null;
  const decoder = new Decoder((id) => kernels.get(id), { iterations, limits });
  try {
    for (let done = false; !done && !decoder.finished; ) {
      const found = await reader.read();
      signal?.throwIfAborted();
      done = found.done;
      if (done) decoder.end();
      else decoder.push(found.value);
      for (let one; (one = decoder.next()); ) {
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
        } else if (one.picture) {
          colour.convert?.(one.picture.data);
          yield { ...one, bytes: decoder.parser.received };
        }
      }
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
