// Decodes one file at a time; see `pool.js` for the messages.
import { Loader } from "./load.js";
import { pictures } from "./stream.js";

const STALL_MS = 2000;
let loader = null;
const running = new Map();

async function decode({ id, url, iterations, limits, init }) {
  const abort = new AbortController();
  running.set(id, abort);
  const watch = (bytes) => {
    const patience = setTimeout(() => self.postMessage({ id, stalled: true }), STALL_MS);
    return bytes.finally(() => clearTimeout(patience));
  };
  try {
    const answer = await watch(fetch(url, { ...init, signal: abort.signal }));
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { kind: "network" });
    for await (const one of pictures(answer.body, loader, { iterations, limits, signal: abort.signal, watch })) {
      if (one.head) {
        const { grid, ...head } = one.head;
        self.postMessage({ id, head });
        continue;
      }
      const { width, height, data } = one.picture;
      self.postMessage({ id, iterations: one.iterations, bytes: one.bytes, width, height, data }, [data.buffer]);
    }
    self.postMessage({ id, done: true });
  } catch (error) {
    if (!abort.signal.aborted) self.postMessage({ id, error: { kind: error.kind ?? "network", message: error.message } });
  } finally {
    abort.abort(); // bytes that are not wanted are not fetched
    running.delete(id);
    self.postMessage({ id, free: true });
  }
}

self.onmessage = ({ data }) => {
  if (data.base) loader = new Loader(data);
  else if (data.stop) running.get(data.stop)?.abort();
  else decode(data);
};
