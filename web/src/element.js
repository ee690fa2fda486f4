// <rnc-image src="photo.rnc" alt="..." width height iterations loading="lazy">
import { orientation, upright } from "./orientation.js";
import { decode } from "./pool.js";

const SAVING_ITERATIONS = 4;
const STYLE = ":host{display:inline-block;max-width:100%}:host([hidden]){display:none}canvas{display:block;width:100%;height:auto}";

export class RncImage extends HTMLElement {
  static observedAttributes = ["src", "iterations", "alt", "width", "height", "loading"];

  #canvas = document.createElement("canvas");
  #stop = null;
  #observer = null;
  #scheduled = false;
  #head = null;
  #shown = 0;

  constructor() {
    super();
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.#canvas.part = "picture";
    this.attachShadow({ mode: "open" }).append(style, this.#canvas);
    this.#canvas.width = this.#canvas.height = 0;
  }

  connectedCallback() {
    if (!this.hasAttribute("role")) this.setAttribute("role", "img");
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
    if (this.alt) this.setAttribute("aria-label", this.alt);
    else this.removeAttribute("aria-label");
  }

  #size() {
    for (const name of ["width", "height"]) {
      const value = Number.parseInt(this.getAttribute(name) ?? "", 10);
      this.style[name] = value >= 0 ? `${value}px` : "";
    }
    this.#canvas.style.height = this.hasAttribute("height") ? "100%" : "";
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
