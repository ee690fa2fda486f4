// Image size -> tile boxes; spec, "Tile grid".
const aligned = (length) => Math.ceil(length / 16) * 16;

export class TileGrid {
  constructor(width, height, tileSize, overlap) {
    Object.assign(this, { width, height, tileSize, overlap });
    this.columns = this.#count(width);
    this.rows = this.#count(height);
    this.length = this.columns * this.rows;
  }

  /** Box of a tile, its padded size, and whether another tile is before or after it along each axis. */
  tile(index) {
    const column = index % this.columns;
    const row = (index - column) / this.columns;
    const step = this.tileSize - this.overlap;
    const x = column * step;
    const y = row * step;
    const width = Math.min(this.tileSize, this.width - x);
    const height = Math.min(this.tileSize, this.height - y);
    return { x, y, width, height, paddedWidth: aligned(width), paddedHeight: aligned(height) };
  }

  /** Pixels of all tiles with padding. */
  paddedPixels() {
    let across = 0;
    let down = 0;
    for (let c = 0; c < this.columns; c++) across += this.tile(c).paddedWidth;
    for (let r = 0; r < this.rows; r++) down += this.tile(r * this.columns).paddedHeight;
    return across * down;
  }

  #count(extent) {
    if (extent <= this.tileSize) return 1;
    return Math.ceil((extent - this.overlap) / (this.tileSize - this.overlap));
  }
}

/** Weights of a tile along one axis; spec, "Overlap and blending". */
export function ramp(start, length, extent, overlap) {
  const weights = new Float32Array(length).fill(1);
  for (let i = 0; i < overlap; i++) {
    const rise = Math.fround((2 * i + 1) / (2 * overlap));
    if (start) weights[i] = rise;
    if (start + length < extent) weights[length - overlap + i] = 1 - rise;
  }
  return weights;
}
