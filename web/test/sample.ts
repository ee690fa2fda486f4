// What a program in TypeScript may write; `.ci/web-check` compiles it and runs nothing.
import { RncImage, configure, type RncErrorKind, type RncProgress } from "rnc-image";

configure({ base: "/dist/", workerUrl: new URL("https://example.org/worker.js") });

const image = document.createElement("rnc-image");
image.src = "photo.rnc";
image.alt = "A lighthouse";
image.iterations = 4;
const most: number | undefined = image.iterations;
const size: [number, number] = [image.naturalWidth, image.naturalHeight];
const isWhole: boolean = image.complete && image.shown === most;
image.addEventListener("progress", (event) => {
  const { iterations, of, bytes }: RncProgress = event.detail;
  console.log(iterations / of, bytes, event.target);
});
image.addEventListener("load", (event) => console.log(event.detail.iterations, size, isWhole));
image.addEventListener("warning", (event) => console.log(event.detail.message satisfies string));
image.addEventListener("error", (event) => {
  const kind: RncErrorKind = event.detail.kind;
  if (kind === "network") console.log(event.detail.message);
});
image.addEventListener("click", (event) => console.log(event.clientX));
const found: RncImage | null = document.querySelector("rnc-image");
// @ts-expect-error: it is read-only
found!.shown = 3;
// @ts-expect-error: no such option
configure({ workers: 4 });
