// Weights: fetched once, checked by digest, and kept in Cache Storage. The module: fetched once for each worker.
import { RncError } from "./errors.js";
import { Kernel, bestModule } from "./kernel.js";
import { readWeights, sha256 } from "./weights.js";

/** Models that the browser decodes: by the identity that files name, the digest and the name of their file. */
export const MODELS = {
  "dab3dea1f735f05c": {
    sha256: "dab3dea1f735f05c5d3e618d85e6cfac2df27ab83fa30be3e6329aa4475203eb",
    file: "embedded-20261130b-dab3dea1f735.safetensors",
  },
  "d26a809660f7ddb1": {
    sha256: "d26a809660f7ddb19fec8a97845656f897cc8114652629725fcba6cd167bdffb",
    file: "embedded-20261130-d26a809660f7.safetensors",
  },
  "509919255b6710b5": {
    sha256: "509919255b6710b547af2e34d0b5719aa73c0e6bf36b41f74bdc740cb175a75c",
    file: "embedded-20261123-509919255b67.safetensors",
  },
};
const CACHE = "rnc-image";

/** Returns bytes of an address whose SHA-256 is known, from the cache or the network. */
export async function fetchChecked(url, digest) {
  const cache = globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
  const key = new URL(`?sha256=${digest}`, url).href;
  const kept = await cache?.match(key);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if ((await sha256(bytes)) === digest) return bytes;
    await cache.delete(key);
  }
  const answer = await fetch(url).catch((error) => {
    throw new RncError("network", `weights cannot be fetched: ${error.message}`);
  });
  if (!answer.ok) throw new RncError("network", `weights cannot be fetched: status ${answer.status}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if ((await sha256(bytes)) !== digest) throw new RncError("weights", "the weights have another SHA-256");
  // A full disk is no reason to show nothing.
  await cache?.put(key, new Response(bytes)).catch(() => undefined);
  return bytes;
}

/** Loads module and weights of models, each once. */
export class Loader {
  /** @param {{base: string, fetchModule?: Function, fetchWeights?: Function}} options */
  constructor({ base, fetchModule, fetchWeights }) {
    this._kernels = new Map();
    const name = bestModule();
    this._fetchModule = fetchModule ?? (async () => {
      const answer = await fetch(new URL(name, base));
      if (!answer.ok) throw new RncError("network", `${name} cannot be fetched: status ${answer.status}`);
      return answer.arrayBuffer();
    });
    this._fetchWeights = fetchWeights ?? ((model) => fetchChecked(new URL(model.file, base).href, model.sha256));
  }

  /** Returns the kernel of a model. @returns {Promise<Kernel>} */
  kernel(modelId) {
    const model = MODELS[modelId];
    if (!model) {
      return Promise.reject(new RncError("unsupported", `model ${modelId} is unknown here; browsers decode models of the family embedded only`));
    }
    if (!this._kernels.has(modelId)) {
      const made = this._make(model);
      this._kernels.set(modelId, made);
      made.catch(() => this._kernels.delete(modelId)); // the next image tries again
    }
    return this._kernels.get(modelId);
  }

  async _make(model) {
    this._module ??= Promise.resolve(this._fetchModule()).then((bytes) => WebAssembly.compile(bytes));
    this._module.catch(() => { this._module = undefined; });
    const [module, weights] = await Promise.all([this._module, this._fetchWeights(model)]);
    return new Kernel(module, readWeights(weights));
  }
}
