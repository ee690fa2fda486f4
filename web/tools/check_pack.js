// Whether the npm package holds what its exports name, all modules of JavaScript and WebAssembly, and nothing else.
import { readFileSync, readdirSync } from "node:fs";

const files = JSON.parse(readFileSync(process.argv[2], "utf8"))[0].files.map((one) => one.path).sort();
const web = new URL("../", import.meta.url);
const expected = [
  "README.md", "package.json",
  ...readdirSync(new URL("src/", web)).map((name) => `src/${name}`),
  ...["SHA256", "rnc.wasm", "rnc-simd.wasm", "rnc-relaxed.wasm"].map((name) => `dist/${name}`),
].sort();
if (JSON.stringify(files) !== JSON.stringify(expected)) {
  console.error("the package holds", files, "expected", expected);
  process.exit(1);
}
const { exports } = JSON.parse(readFileSync(new URL("package.json", web), "utf8"));
for (const one of Object.values(exports)) {
  const path = typeof one === "string" ? one : one.default;
  if (!path.includes("*")) readFileSync(new URL(path, web));
}
console.log(`package of ${files.length} files`);
