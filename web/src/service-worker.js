// Lets <img src="x.rnc"> work: answers such requests with a PNG. Register it as a module, from a scope that holds the pages:
// navigator.serviceWorker.register("/service-worker.js", {type: "module"})
import { Loader } from "./load.js";
import { orientation, turned } from "./orientation.js";
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
  // A plain <img> would include credentials, but then no server may allow all origins.
  const credentials = request.mode === "no-cors" ? "same-origin" : request.credentials;
  const found = await fetch(request.url, { credentials });
  if (!found.ok || !found.body) return found;
  // The whole file, before it takes the kernel: a download that stalls must not keep it from other images.
  const bytes = new Uint8Array(await found.arrayBuffer());
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) return new Response(bytes, found);
  const file = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  let last = null;
  let exif = null;
  let space = null;
  try {
    for await (const { head, picture } of pictures(file, loader, { every: Infinity })) {
      if (head) {
        exif = head.metadata.exif;
        space = { colorSpace: head.space };
      } else last = picture;
    }
  } catch (error) {
    return new Response(error.message, { status: 422, headers: { "Content-Type": "text/plain" } });
  }
  const { width, height, data } = turned(last, orientation(exif));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", space).putImageData(new ImageData(data, width, height, space), 0, 0);
  return new Response(await canvas.convertToBlob({ type: "image/png" }), { headers: { "Content-Type": "image/png" } });
}
