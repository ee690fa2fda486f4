// Lets <img src="x.rnc"> work: answers such requests with a PNG. Register it as a module, from a scope that holds the pages:
// navigator.serviceWorker.register("/service-worker.js", {type: "module"})
import { Loader } from "./load.js";
import { pictures } from "./stream.js";

const loader = new Loader({ base: new URL("../dist/", import.meta.url).href });
const SIGNATURE = [0x8a, 0x52, 0x4e, 0x43];

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.destination === "image" && new URL(request.url).pathname.endsWith(".rnc")) event.respondWith(answer(request));
});

async function answer(request) {
  const found = await fetch(request.url, { credentials: request.credentials });
  if (!found.ok || !found.body) return found;
  const [one, other] = found.body.tee();
  const start = await firstBytes(one);
  if (SIGNATURE.some((byte, i) => start[i] !== byte)) return new Response(other, found);
  let last = null;
  let space = null;
  try {
    for await (const { head, picture } of pictures(other, loader)) {
      if (head) space = { colorSpace: head.space };
      if (picture) last = picture;
    }
  } catch (error) {
    return new Response(error.message, { status: 422, headers: { "Content-Type": "text/plain" } });
  }
  const canvas = new OffscreenCanvas(last.width, last.height);
  canvas.getContext("2d", space).putImageData(new ImageData(last.data, last.width, last.height, space), 0, 0);
  return new Response(await canvas.convertToBlob({ type: "image/png" }), { headers: { "Content-Type": "image/png" } });
}

async function firstBytes(stream) {
  const reader = stream.getReader();
  let bytes = new Uint8Array();
  while (bytes.length < SIGNATURE.length) {
    const { done, value } = await reader.read();
    if (done) break;
    const all = new Uint8Array(bytes.length + value.length);
    all.set(bytes);
    all.set(value, bytes.length);
    bytes = all;
  }
  reader.cancel().catch(() => undefined); // does not settle before the other branch ends
  return bytes;
}
