// Workers that all elements of a page share, one file at a time each, so that their memory has a bound. Two have files;
// only where the downloads of these stall, further workers get the files that wait.
const BUSY_WORKERS = 2;
const MAX_WORKERS = 6;
const IDLE_MS = 30_000; // then a worker and its memory are given back
const STOP_MS = 1000; // a worker inside of a large tile does not notice that it is to stop
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
  const job = { task: { ...task, id: ++last }, on, owner: null, stopped: false };
  waiting.push(job);
  start();
  return () => {
    job.stopped = true;
    const at = waiting.indexOf(job);
    if (at >= 0) waiting.splice(at, 1);
    else if (job.owner?.job === job) {
      job.owner.worker.postMessage({ stop: job.task.id });
      setTimeout(() => {
        if (job.owner.job === job) end(job.owner);
      }, STOP_MS);
    }
  };
}

/** Ends a worker, whatever it does, and lets another one go on. */
function end(one) {
  clearTimeout(one.idle);
  workers.splice(workers.indexOf(one), 1);
  one.worker.terminate();
  one.job = null;
  start();
}

function start() {
  while (waiting.length) {
    if (workers.filter((one) => one.job && !one.stalled).length >= BUSY_WORKERS) return;
    let free = workers.find((one) => !one.job);
    if (!free && workers.length < MAX_WORKERS) free = make();
    if (!free) return;
    const job = waiting.shift();
    clearTimeout(free.idle);
    free.job = job;
    job.owner = free;
    free.worker.postMessage(job.task);
  }
}

function make() {
  const one = { worker: new Worker(workerUrl, { type: "module" }), job: null, stalled: false, idle: 0 };
  one.worker.postMessage({ base });
  one.worker.onmessage = ({ data }) => {
    const { job } = one;
    if (!job || data.id !== job.task.id) return;
    one.stalled = data.stalled === true;
    if (data.free) {
      one.job = null;
      one.idle = setTimeout(() => end(one), IDLE_MS);
      start();
    } else if (one.stalled) start();
    else if (!job.stopped) job.on(data);
  };
  one.worker.onerror = (event) => {
    const { job } = one;
    if (job && !job.stopped) job.on({ error: { kind: "network", message: event.message || "the worker cannot be loaded" } });
    end(one);
  };
  workers.push(one);
  return one;
}
