// The worker of pages that hold files, decoder and weights themselves; `bundle.py` makes dist/page-decoder.js of it and
// all that it imports. Messages to it: {modules}, bytes by name, once; {model, weights}; {id, key, prefix, iterations}, the
// first bytes of a file, which `key` tells from others. Its answers: {id, picture} or {id, error}.
import { Kernel, bestModule } from "./kernel.js";
import { PrefixDecoder } from "./prefixes.js";
import { readWeights } from "./weights.js";

const kernels = new Map();
const weights = new Map();
let module = null;

function kernelFor(model) {
  if (!kernels.has(model) && weights.has(model)) kernels.set(model, new Kernel(module, readWeights(weights.get(model))));
  return kernels.get(model);
}

const decoder = new PrefixDecoder(kernelFor);

self.onmessage = ({ data }) => {
  if (data.modules) {
    module = new WebAssembly.Module(data.modules[bestModule()]);
    return;
  }
  if (data.weights) {
    weights.set(data.model, data.weights);
    return;
  }
  try {
    const picture = decoder.picture(data.key, data.prefix, data.iterations);
    self.postMessage({ id: data.id, picture }, [picture.data.buffer]);
  } catch (error) {
    self.postMessage({ id: data.id, error: { kind: error.kind ?? "corrupt", message: error.message } });
  }
};
