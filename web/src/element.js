// <rnc-image src="photo.rnc" alt="..." width height iterations loading="lazy">
import { orientation, upright } from "./orientation.js";
import { decode } from "./pool.js";

const SAVING_ITERATIONS = 4;
const STYLE = new CSSStyleSheet();
// Without the minimum, a picture of other sides than the attributes would make the box higher than they say.
STYLE.replaceSync(`
:host { display: inline-block; max-width: 100%; min-width: 0; min-height: 0 }
:host([hidden]) { display: none }
canvas { display: block; width: 100%; height: 100% }
`);

export class RncImage extends HTMLElement {
  static observedAttributes = ["src", "iterations", "alt", "width", "height", "loading"];

  #canvas = document.createElement("canvas");
  #box = new CSSStyleSheet();
  #ownsRole = false;
  #stop = null;
  #observer = null;
  #scheduled = false;
  #head = null;
  #shown = 0;

  constructor() {
    super();
    this.#canvas.part = "picture";
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE, this.#box];
    root.append(this.#canvas);
    this.#canvas.width = this.#canvas.height = 0;
  }

  connectedCallback() {
    if (!this.hasAttribute("role")) this.#ownsRole = true;
    this.#label();
    this.#size();
    this.#schedule();
  }

  disconnectedCallback() {
    this.#end();
  }

  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (name === "alt") this.#label();
    else if (name === "width" || name === "height") this.#size();
    else this.#schedule();
  }

  get src() { return this.getAttribute("src") ?? ""; }
  set src(value) { this.setAttribute("src", value); }
  get alt() { return this.getAttribute("alt") ?? ""; }
  set alt(value) { this.setAttribute("alt", value); }

  /** Iterations to show at most; undefined for all. Without the attribute, fewer where the user saves data. */
  get iterations() {
    const given = Number.parseInt(this.getAttribute("iterations") ?? "", 10);
    if (given >= 1) return Math.min(given, 32);
    return navigator.connection?.saveData ? SAVING_ITERATIONS : undefined;
  }
  set iterations(value) { this.setAttribute("iterations", value); }

  /** Iterations that the picture shows, 0 before the first. */
  get shown() { return this.#shown; }
  get complete() { return this.#stop === null && this.#shown > 0; }
  get naturalWidth() { return this.#canvas.width; }
  get naturalHeight() { return this.#canvas.height; }

  #label() {
    if (this.#ownsRole) this.setAttribute("role", this.getAttribute("alt") === "" ? "none" : "img");
    if (this.alt) this.setAttribute("aria-label", this.alt);
    else this.removeAttribute("aria-label");
  }

  /** Gives the box the size of the attributes, in a rule that the page's own override, as for <img>. */
  #size() {
    const [width, height] = ["width", "height"].map((name) => Number.parseInt(this.getAttribute(name) ?? "", 10));
    const ratio = width >= 0 && height >= 0 ? [width, height] : [this.#canvas.width, this.#canvas.height];
    const rules = [`aspect-ratio: ${ratio.join(" / ")}`];
    if (width >= 0) rules.push(`width: ${width}px`);
    else if (height >= 0) rules.push(`height: ${height}px`);
    this.#box.replaceSync(`:host { ${rules.join("; ")} }`);
  }

  #schedule() {
    this.#end();
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.isConnected || !this.src) return;
      if (this.getAttribute("loading") === "lazy" && globalThis.IntersectionObserver) this.#whenSeen();
      else this.#start();
    });
  }

  #whenSeen() {
    this.#observer = new IntersectionObserver((entries) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      this.#observer?.disconnect();
      this.#observer = null;
      this.#start();
    }, { rootMargin: "400px" });
    this.#observer.observe(this);
  }

  #end() {
    this.#observer?.disconnect();
    this.#observer = null;
    this.#stop?.();
    this.#stop = null;
  }

  #start() {
    this.#head = null;
    this.#shown = 0;
    const url = new URL(this.src, document.baseURI).href;
    this.#stop = decode({ url, iterations: this.iterations }, (one) => this.#take(one));
  }

  #take(one) {
    if (one.error) {
      this.#stop = null;
      this.dispatchEvent(new CustomEvent("error", { detail: one.error }));
    } else if (one.done) {
      this.#stop = null;
      this.dispatchEvent(new CustomEvent("load", { detail: { iterations: this.#shown } }));
    } else if (one.head) {
      this.#head = one.head;
      if (one.head.warning) {
        this.dispatchEvent(new CustomEvent("warning", { detail: { kind: "profile", message: one.head.warning } }));
      }
    } else {
      this.#show(one);
      this.dispatchEvent(new CustomEvent("progress", {
        detail: { iterations: one.iterations, of: Math.min(this.iterations ?? 32, this.#head.iterations), bytes: one.bytes },
      }));
    }
  }

  #show({ iterations, width, height, data }) {
    const turn = orientation(this.#head.metadata.exif);
    const space = { colorSpace: this.#head.space };
    const [w, h] = turn > 4 ? [height, width] : [width, height];
    if (this.#canvas.width !== w || this.#canvas.height !== h) {
      this.#canvas.width = w;
      this.#canvas.height = h;
      this.#size();
    }
    const pixels = new ImageData(data, width, height, space);
    const context = this.#canvas.getContext("2d", space);
    if (turn === 1) context.putImageData(pixels, 0, 0);
    else {
      const flat = new OffscreenCanvas(width, height);
      flat.getContext("2d", space).putImageData(pixels, 0, 0);
      context.setTransform(...upright(turn, width, height));
      context.clearRect(0, 0, width, height);
      context.drawImage(flat, 0, 0);
      context.resetTransform();
    }
    this.#shown = iterations;
  }
}

if (!customElements.get("rnc-image")) customElements.define("rnc-image", RncImage);
