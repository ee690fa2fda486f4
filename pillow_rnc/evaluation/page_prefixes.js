"use strict";

// Pictures of the first bytes of files that the page holds, decoded by a worker when they are shown; the last are kept.

const MAX_KEPT_BYTES = 256 * 1024 * 1024;

const prefixes = {
  kept: new Map(), // by key, the oldest first: {picture} or {error}
  files: new Map(), // by file: its bytes
  models: new Set(), // that the worker has
  worker: null,
  running: null, // the key of the picture that the worker decodes
  fault: null, // why there is no worker

  bytes(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return bytes;
  },

  start() {
    const embedded = (id) => document.getElementById(id).textContent;
    const script = URL.createObjectURL(new Blob([embedded("decoder")], { type: "text/javascript" }));
    this.worker = new Worker(script);
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => {
      this.fault = `This browser does not run the decoder${event.message ? `: ${event.message}` : "."}`;
      this.running = null;
      this.changed();
    };
    const names = ["rnc.wasm", "rnc-simd.wasm", "rnc-relaxed.wasm"];
    this.worker.postMessage({ modules: Object.fromEntries(names.map((name) => [name, this.bytes(embedded(name))])) });
  },

  /** Returns {picture}, {error} or, while it is decoded, undefined. `file` names a file: {name, model, data}. */
  get(file, length, iterations) {
    const key = `${file.name} ${iterations}`;
    const found = this.kept.get(key);
    if (found) {
      this.kept.delete(key);
      this.kept.set(key, found);
      return found;
    }
    if (this.fault) return { error: this.fault };
    if (this.running === null) this.decode(key, file, length, iterations);
    return undefined;
  },

  decode(key, file, length, iterations) {
    this.running = key;
    if (!this.worker) this.start();
    if (!this.models.has(file.model)) {
      this.models.add(file.model);
      const weights = document.querySelector(`script.weights[data-model="${file.model}"]`);
      this.worker.postMessage({ model: file.model, weights: this.bytes(weights.textContent) });
    }
    if (!this.files.has(file.name)) {
      if (this.files.size > 3) this.files.delete(this.files.keys().next().value);
      this.files.set(file.name, this.bytes(file.data));
    }
    const prefix = this.files.get(file.name).slice(0, length);
    this.worker.postMessage({ id: key, key: file.name, prefix, iterations }, [prefix.buffer]);
  },

  take({ id, picture, error }) {
    this.running = null;
    this.kept.set(id, error ? { error: `This file cannot be decoded: ${error.message}.` } : { picture });
    let bytes = 0;
    for (const [key, one] of [...this.kept].reverse()) {
      bytes += one.picture?.data.length ?? 0;
      if (bytes > MAX_KEPT_BYTES && key !== id) this.kept.delete(key);
    }
    this.changed();
  },

  changed() {}, // set by the page
};
