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

/** Returns RGBA turned upright, without a canvas. */
export function turned({ width, height, data }, orientation) {
  if (orientation === 1) return { width, height, data };
  const [a, b, c, d, e, f] = upright(orientation, width, height);
  const across = orientation > 4 ? height : width;
  const to = new Uint8ClampedArray(data.length);
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const words = new Uint32Array(to.buffer);
  // The matrix is that of corners; pixels are half a unit inside.
  const x0 = (a + c + 2 * e - 1) / 2;
  const y0 = (b + d + 2 * f - 1) / 2;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) words[(y0 + b * x + d * y) * across + x0 + a * x + c * y] = from[i];
  }
  return { width: across, height: orientation > 4 ? width : height, data: to };
}
