// Workers that all elements of a page share: at most two, one file at a time each, so that their memory has a bound.
const MAX_WORKERS = 2;
let base = new URL("../dist/", import.meta.url).href;
let workerUrl = new URL("./worker.js", import.meta.url);
const workers = [];
const waiting = [];
let last = 0;

/** Says where module and weights are, and the worker's script; before the first image. */
export function configure(options) {
  if (options.base) base = new URL(options.base, document.baseURI).href;
  if (options.workerUrl) workerUrl = options.workerUrl;
}

/**
 * Decodes a file; `on` is called with {head}, {picture, iterations, bytes}, {done} or {error}. Returns a function that
 * stops it.
 */
export function decode(task, on) {
  const job = { task: { ...task, id: ++last }, on, worker: null, stopped: false };
  waiting.push(job);
  start();
  return () => {
    job.stopped = true;
    const at = waiting.indexOf(job);
    if (at >= 0) waiting.splice(at, 1);
    else job.worker?.postMessage({ stop: job.task.id });
  };
}

function start() {
  while (waiting.length) {
    let free = workers.find((one) => !one.job);
    if (!free && workers.length < MAX_WORKERS) free = make();
    if (!free) return;
    const job = waiting.shift();
    free.job = job;
    job.worker = free.worker;
    free.worker.postMessage(job.task);
  }
}

function make() {
  const one = { worker: new Worker(workerUrl, { type: "module" }), job: null };
  one.worker.postMessage({ base });
  one.worker.onmessage = ({ data }) => {
    const { job } = one;
    if (!job || data.id !== job.task.id) return;
    if (data.free) {
      one.job = null;
      start();
    } else if (!job.stopped) job.on(data);
  };
  one.worker.onerror = (event) => {
    workers.splice(workers.indexOf(one), 1);
    one.worker.terminate();
    if (one.job && !one.job.stopped) one.job.on({ error: { kind: "network", message: event.message || "the worker cannot be loaded" } });
    start();
  };
  workers.push(one);
  return one;
}
