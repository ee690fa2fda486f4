// Prints what a canvas is told of a profile, and writes converted pixels: node tools/colour.js PROFILE PIXELS OUT [grey]
// Pixels are RGBA.
import { readFileSync, writeFileSync } from "node:fs";
import { colourOf } from "../src/colour.js";

const [profile, pixels, out, grey] = process.argv.slice(2);
const { space, convert, warning } = colourOf(new Uint8Array(readFileSync(profile)), grey === "grey");
const data = new Uint8ClampedArray(readFileSync(pixels));
convert?.(data);
writeFileSync(out, data);
console.log(JSON.stringify({ space, warning, converts: convert !== null }));
