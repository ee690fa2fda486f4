// Orientation of an Exif chunk, 1 to 8; 1 where there is none that can be read.
export function orientation(exif) {
  if (!exif) return 1;
  const start = String.fromCharCode(...exif.subarray(0, 6)) === "Exif\0\0" ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.length - start);
  try {
    const little = view.getUint16(0) === 0x4949;
    if (view.getUint16(2, little) !== 42) return 1;
    const at = view.getUint32(4, little);
    const count = Math.min(view.getUint16(at, little), 512);
    for (let i = 0; i < count; i++) {
      if (view.getUint16(at + 2 + 12 * i, little) !== 0x0112) continue;
      const value = view.getUint16(at + 10 + 12 * i, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // metadata never make a file fail
  }
  return 1;
}

/** Matrix of a 2d context that draws a picture of width x height upright. */
export function upright(orientation, width, height) {
  return [
    [1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, width, 0], [-1, 0, 0, -1, width, height], [1, 0, 0, -1, 0, height],
    [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, height, 0], [0, -1, -1, 0, height, width], [0, -1, 1, 0, 0, width],
  ][orientation - 1];
}

/** "display-p3" where an ICC profile says so by its description, otherwise "srgb": canvas has no other spaces. */
export function colourSpace(icc) {
  if (!icc) return "srgb";
  const text = String.fromCharCode(...icc.subarray(0, 8192)).replaceAll("\0", "");
  return text.includes("Display P3") ? "display-p3" : "srgb";
}
