// ICC profile -> the space that a canvas shows: sRGB and Display P3 are all that canvases have, so samples of other
// matrix profiles (Adobe RGB, ProPhoto RGB) are converted to the smallest of the two that holds their primaries.
// Source: ICC.1:2022, sections 7 to 10.
const SAME = 1.5 / 255; // what rounding in 15.16 and curves of few points may differ by

// Columns are the primaries, adapted to D50.
const SRGB = [0.4360657, 0.3851515, 0.1430784, 0.2224932, 0.7168870, 0.0606169, 0.0139160, 0.0970764, 0.7140961];
const DISPLAY_P3 = [0.5151024, 0.2919739, 0.1571527, 0.2411855, 0.6922356, 0.0665783, -0.0010514, 0.0418854, 0.7843780];
const TARGETS = [{ space: "srgb", matrix: SRGB }, { space: "display-p3", matrix: DISPLAY_P3 }];

/**
 * Returns {space, convert, warning}: the colour space of the canvas; a function that converts RGBA in place, or null
 * where samples can be shown as they are; what to say of a profile that cannot be applied, or null.
 */
export function colourOf(icc, grey = false) {
  if (!icc) return { space: "srgb", convert: null, warning: null };
  let profile;
  try {
    profile = readProfile(icc, grey);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // metadata never make a file fail
    profile = { fault: "the profile is damaged" };
  }
  if (profile.fault) return { space: "srgb", convert: null, warning: `colours are shown as sRGB: ${profile.fault}` };
  if (grey) {
    const plain = isSrgbCurve(profile.curves[0]);
    return { space: "srgb", convert: plain ? null : greyConversion(profile.curves[0]), warning: null };
  }
  for (const { space, matrix } of TARGETS) {
    if (profile.matrix.every((one, i) => Math.abs(one - matrix[i]) < 0.002) && profile.curves.every(isSrgbCurve)) {
      return { space, convert: null, warning: null };
    }
  }
  const inside = (target) => product3(inverse3(target.matrix), profile.matrix).every((one) => one > -0.002 && one < 1.002);
  const target = TARGETS.find(inside) ?? TARGETS[1];
  return { space: target.space, convert: conversion(profile, product3(inverse3(target.matrix), profile.matrix)), warning: null };
}

function readProfile(icc, grey) {
  const view = new DataView(icc.buffer, icc.byteOffset, icc.byteLength);
  const text = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  if (text(36) !== "acsp") return { fault: "the profile is damaged" };
  if (text(16) !== (grey ? "GRAY" : "RGB ")) return { fault: `the profile is for ${text(16).trim()}` };
  if (text(20) !== "XYZ ") return { fault: "the profile has tables instead of a matrix" };
  const tags = new Map();
  for (let i = Math.min(view.getUint32(128), 100); i--; ) tags.set(text(132 + 12 * i), view.getUint32(136 + 12 * i));
  const names = grey ? ["kTRC"] : ["rTRC", "gTRC", "bTRC", "rXYZ", "gXYZ", "bXYZ"];
  if (names.some((name) => !tags.has(name))) return { fault: "the profile has tables instead of a matrix" };
  const fixed = (at) => view.getInt32(at) / 65536;
  const curves = names.filter((name) => name.endsWith("TRC")).map((name) => readCurve(view, text, fixed, tags.get(name)));
  if (curves.includes(null)) return { fault: "the profile has a curve of an unknown kind" };
  if (grey) return { curves };
  const columns = ["rXYZ", "gXYZ", "bXYZ"].map((name) => [8, 12, 16].map((at) => fixed(tags.get(name) + at)));
  const matrix = [0, 1, 2].flatMap((row) => columns.map((column) => column[row]));
  return { curves, matrix };
}

/** Linear light of the 256 values of a sample. */
function readCurve(view, text, fixed, at) {
  const table = (curve) => Float64Array.from({ length: 256 }, (_, i) => Math.min(1, Math.max(0, curve(i / 255))));
  if (text(at) === "curv") {
    const count = view.getUint32(at + 8);
    if (count === 0) return table((x) => x);
    if (count === 1) return table((x) => x ** (view.getUint16(at + 12) / 256));
    const point = (i) => view.getUint16(at + 12 + 2 * Math.min(i, count - 1)) / 65535;
    return table((x) => {
      const place = x * (count - 1);
      const low = Math.floor(place);
      return point(low) + (place - low) * (point(low + 1) - point(low));
    });
  }
  const kind = text(at) === "para" ? view.getUint16(at + 8) : 5;
  if (kind > 4) return null;
  const value = (i) => fixed(at + 12 + 4 * i);
  const g = value(0);
  const [a, b] = kind ? [value(1), value(2)] : [1, 0];
  const c = kind === 2 ? value(3) : 0;
  if (kind < 3) return table((x) => (!kind || x >= -b / a ? (a * x + b) ** g + c : c));
  const [slope, start] = [value(3), value(4)];
  const [above, below] = kind === 4 ? [value(5), value(6)] : [0, 0];
  return table((x) => (x >= start ? (a * x + b) ** g + above : slope * x + below));
}

const encodeSrgb = (x) => (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);
const decodeSrgb = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);

/** Whether a curve gives the samples of sRGB, which is also that of Display P3, up to rounding. */
function isSrgbCurve(curve) {
  return curve.every((one, i) => Math.abs(encodeSrgb(one) - i / 255) < SAME && Math.abs(one - decodeSrgb(i / 255)) < SAME);
}

function greyConversion(curve) {
  const table = Uint8Array.from(curve, (one) => Math.round(255 * encodeSrgb(one)));
  return (data) => {
    for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = table[data[i]];
  };
}

function conversion({ curves }, matrix) {
  const steps = 1 << 14;
  const table = Uint8Array.from({ length: steps + 1 }, (_, i) => Math.round(255 * encodeSrgb(i / steps)));
  const [r, g, b] = curves;
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = matrix.map((one) => one * steps);
  const at = (x) => table[x <= 0 ? 0 : x >= steps ? steps : (x + 0.5) | 0];
  return (data) => {
    for (let i = 0; i < data.length; i += 4) {
      const x = r[data[i]];
      const y = g[data[i + 1]];
      const z = b[data[i + 2]];
      data[i] = at(m0 * x + m1 * y + m2 * z);
      data[i + 1] = at(m3 * x + m4 * y + m5 * z);
      data[i + 2] = at(m6 * x + m7 * y + m8 * z);
    }
  };
}

function product3(a, b) {
  return Array.from({ length: 9 }, (_, i) => [0, 1, 2].reduce((sum, k) => sum + a[i - (i % 3) + k] * b[3 * k + (i % 3)], 0));
}

function inverse3([a, b, c, d, e, f, g, h, i]) {
  const minors = [e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f,
    d * h - e * g, b * g - a * h, a * e - b * d];
  const determinant = a * minors[0] + b * minors[3] + c * minors[6];
  return minors.map((one) => one / determinant);
}
