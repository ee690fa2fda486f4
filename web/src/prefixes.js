// Pictures of prefixes of files that are there already. One file is kept open, so that more of it costs what was added.
import { colourOf } from "./colour.js";
import { Decoder } from "./decoder.js";
import { RncError } from "./errors.js";
import { orientation, turned } from "./orientation.js";

export class PrefixDecoder {
  /** @param {(modelId: string) => import("./kernel.js").Kernel | undefined} kernelFor */
  constructor(kernelFor) {
    this.kernelFor = kernelFor;
    this._open = null;
  }

  /**
   * Returns {width, height, data, space, warning}: the picture of the first bytes of a file, which hold `iterations`,
   * upright, RGBA without premultiplication, in a space of canvas. `key` tells files apart.
   */
  picture(key, prefix, iterations) {
    let open = this._open;
    if (!open || open.key !== key || open.complete >= iterations) open = this._start(key, {});
    let picture = this._decode(open, prefix, iterations);
    if (!picture) {
      // Tiles that are too large to be kept are decoded at once, for the last picture.
      open = this._start(key, { iterations });
      picture = this._decode(open, prefix, iterations);
      this.close();
    }
    if (!picture) throw new RncError("truncated", `${prefix.length} bytes hold no ${iterations} iterations`);
    const { metadata, mode } = open.head;
    const colour = colourOf(metadata.iccp, mode.startsWith("L"));
    colour.convert?.(picture.data);
    return { ...turned(picture, orientation(metadata.exif)), space: colour.space, warning: colour.warning };
  }

  close() {
    if (this._open?.decoder.kernel) this._open.decoder.close();
    this._open = null;
  }

  _start(key, limit) {
    this.close();
    const open = { key, pushed: 0, complete: 0, head: null };
    open.decoder = new Decoder(this.kernelFor, limit);
    this._open = open;
    return open;
  }

  _decode(open, prefix, iterations) {
    const { decoder } = open;
    decoder.push(prefix.subarray(open.pushed));
    open.pushed = Math.max(open.pushed, prefix.length);
    try {
      for (let one; open.complete < iterations && (one = decoder.next()); ) {
        if (one.head) open.head = one.head;
        else open.complete = one.iterations;
      }
      return open.complete === iterations ? decoder.picture() : null;
    } catch (error) {
      this.close();
      throw error;
    }
  }
}
