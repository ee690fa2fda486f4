// One state, one `draw`: whoever changes something changes the state and calls it.

const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent);
const records = [...document.querySelectorAll("script.picture")];
const codecs = Object.keys(about.codecs);
const metrics = Object.keys(about.metrics);
const reference = metrics.length ? "original" : "whole"; // without an image to compare with, the whole file
const choices = { [reference]: metrics.length ? "Original" : "All iterations", ...about.codecs };

const state = {
  index: 0, // which picture
  step: 0, // which of its iteration counts
  left: reference,
  right: "rnc",
  boundary: 0.5, // of the stage's width
  metric: "ms_ssim",
  zoom: 0, // device pixels per image pixel; 0 fits the stage
  x: 0.5, y: 0.5, // the point of the picture in the middle of the stage, as fractions
  arrived: null, // bytes, while playing
};
let picture = null;
const unknown = new Set(); // sources that this browser cannot show

// ---- Figures as text

const thinSpace = "\u202f";
const whole = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, thinSpace);
const ourPoint = (step) => picture.steps[step].rnc.point;
const isOurs = (codec) => codec.startsWith("rnc");
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function figure(metric, value) {
  return value === null ? "\u2013" : value.toFixed(about.metrics[metric].digits);
}

/** What is shown of a codec at the current step: its file or prefix, and point; or why there is none. */
function shown(codec) {
  if (codec === "original") return { file: "original", tag: "Original" };
  const isWhole = codec === "whole";
  const entry = isWhole ? picture.steps.at(-1).rnc : picture.steps[state.step][codec];
  if (!entry.point) {
    return { text: `No ${choices[codec]} is so small: the smallest has ${whole(entry.smallest)} bytes.`, tag: choices[codec] };
  }
  const ours = isWhole || isOurs(codec);
  const setting = ours ? plural(entry.point.setting, "iteration") : `quality ${entry.point.setting}`;
  if (ours && !isWhole && state.arrived !== null && state.arrived < entry.point.file_bytes) {
    return { text: "The first iteration has not arrived yet.", tag: choices[codec] };
  }
  if (unknown.has(picture.files[entry.file])) return { text: "This browser cannot show this format.", tag: choices[codec] };
  const tag = `${choices[codec]} \u00b7 ${setting} \u00b7 ${whole(entry.point.file_bytes)}\u00a0B`;
  if (entry.file) return { file: entry.file, tag };
  const owner = isWhole ? "rnc" : codec;
  const file = { name: `${state.index} ${owner}`, ...picture.sources[owner] };
  return { prefix: { file, length: entry.point.file_bytes, iterations: entry.point.setting }, tag };
}

/** Draws the picture of a prefix when it is decoded; returns the text to show instead, if any. */
function drawPrefix(layer, { file, length, iterations }, tag) {
  let canvas = layer.querySelector("canvas");
  const key = `${file.name} ${iterations}`;
  const found = prefixes.get(file, length, iterations);
  if (found?.picture && canvas.dataset.key !== key) {
    const { width, height, data, space } = found.picture;
    if (canvas.dataset.space !== space) {
      // A canvas keeps the space that it was made with.
      const fresh = canvas.cloneNode();
      canvas.replaceWith(fresh);
      canvas = fresh;
    }
    Object.assign(canvas, { width, height });
    Object.assign(canvas.dataset, { key, space, file: file.name });
    canvas.getContext("2d", { colorSpace: space }).putImageData(new ImageData(data, width, height, { colorSpace: space }), 0, 0);
    canvas.setAttribute("aria-label", tag);
  }
  // Until it is decoded, the picture of another prefix of the same file stays.
  canvas.hidden = Boolean(found?.error) || canvas.dataset.file !== file.name;
  if (!found) byId("stage").setAttribute("aria-busy", "true");
  if (found?.picture?.warning) byId("warning").textContent = found.picture.warning;
  if (found) return found.error;
  return canvas.hidden ? "Decoding\u2026" : "";
}

// ---- Drawing

function draw() {
  drawStage();
  drawRate();
  if (metrics.length) {
    drawTable();
    drawPlot();
  }
  for (const side of ["left", "right"]) {
    byId(side).querySelector(`[value="${state[side]}"]`).checked = true;
  }
}

function drawStage() {
  const stage = byId("stage");
  const { width, height } = picture;
  const room = stage.parentElement.clientWidth;
  const fit = Math.min(room / width, Math.max(240, window.innerHeight * 0.68) / height);
  stage.style.width = `${width * fit}px`;
  stage.style.height = `${height * fit}px`;
  const scale = state.zoom ? Math.max(fit, state.zoom / window.devicePixelRatio) : fit;
  // The middle stays where no border of the picture comes inside of the stage.
  const half = fit / scale / 2;
  state.x = Math.min(1 - half, Math.max(half, state.x));
  state.y = Math.min(1 - half, Math.max(half, state.y));
  const left = width * (fit / 2 - state.x * scale);
  const top = height * (fit / 2 - state.y * scale);
  stage.setAttribute("aria-busy", "false");
  byId("warning").textContent = "";
  for (const side of ["left", "right"]) {
    const { file, prefix, text, tag } = shown(state[side]);
    const layer = byId(`${side}-layer`);
    const image = layer.querySelector("img");
    image.hidden = !file;
    layer.querySelector("canvas").hidden = !prefix;
    const instead = prefix ? drawPrefix(layer, prefix, tag) : text;
    if (file && image.dataset.file !== `${state.index} ${file}`) {
      image.dataset.file = `${state.index} ${file}`;
      image.src = picture.files[file];
      image.alt = tag;
    }
    for (const one of [image, layer.querySelector("canvas")]) {
      one.style.width = `${width}px`;
      one.style.height = `${height}px`;
      one.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
      one.classList.toggle("pixels", scale * window.devicePixelRatio >= 2);
    }
    layer.querySelector("p").textContent = instead || "";
    byId(`${side}-tag`).textContent = tag;
  }
  byId("warning").hidden = !byId("warning").textContent;
  stage.classList.toggle("zoomed", scale > fit);
  const percent = state.boundary * 100;
  stage.style.setProperty("--boundary", `${percent}%`);
  byId("boundary").setAttribute("aria-valuenow", Math.round(percent));
  byId("zoom").textContent = `${Math.round(scale * window.devicePixelRatio * 100)}${thinSpace}%`;
  byId("zoom-out").disabled = scale <= fit;
  const difference = byId("difference").checked;
  byId("gain").hidden = !difference;
  stage.classList.toggle("difference", difference);
  stage.style.filter = difference ? `brightness(${byId("gain").value})` : "";
}

function drawRate() {
  const bar = byId("iterations");
  const last = picture.steps.length - 1;
  if (bar.dataset.index !== String(state.index)) {
    bar.dataset.index = state.index;
    let before = 0;
    bar.replaceChildren(...picture.steps.map((_, step) => {
      const part = document.createElement("span");
      const { file_bytes, setting } = ourPoint(step);
      part.style.flex = `${file_bytes - before} 1 0`;
      part.title = `${plural(setting, "iteration")}: ${whole(file_bytes)} bytes`;
      before = file_bytes;
      return part;
    }), document.createElement("i"));
    bar.setAttribute("aria-valuemin", ourPoint(0).setting);
    bar.setAttribute("aria-valuemax", ourPoint(last).setting);
  }
  const { setting, file_bytes } = ourPoint(state.step);
  const total = ourPoint(last).file_bytes;
  const playing = state.arrived !== null;
  const waiting = playing && state.arrived < file_bytes;
  [...bar.querySelectorAll("span")].forEach((part, step) => part.classList.toggle("there", step <= state.step && !waiting));
  bar.querySelector("i").style.width = playing ? `${100 * state.arrived / total}%` : "0";
  bar.setAttribute("aria-valuenow", setting);
  bar.setAttribute("aria-valuetext", `${plural(setting, "iteration")}, ${file_bytes} bytes`);
  byId("arrived").textContent =
    `${waiting ? 0 : setting} of ${plural(ourPoint(last).setting, "iteration")}, ${whole(playing ? state.arrived : file_bytes)}\u00a0B`;
  byId("fewer").disabled = state.step === 0;
  byId("more").disabled = state.step === last;
  byId("play").textContent = playing ? "\u25a0" : "\u25b6\ufe0e";
  byId("play").setAttribute("aria-label", playing ? "Stop" : "Play");
}

function cell(tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  return element;
}

function drawTable() {
  const step = picture.steps[state.step];
  const table = document.querySelector("table");
  const best = {};
  for (const metric of metrics) {
    const values = codecs.map((codec) => step[codec].point?.[metric] ?? -Infinity);
    best[metric] = Math.max(...values);
  }
  table.caption.textContent = `At most the ${whole(ourPoint(state.step).file_bytes)} bytes of ${plural(ourPoint(state.step).setting, "iteration")}`;
  table.tBodies[0].replaceChildren(...codecs.map((codec) => {
    const row = document.createElement("tr");
    row.dataset.codec = codec;
    row.append(cell("th", choices[codec]));
    const { point, smallest } = step[codec];
    if (!point) {
      const none = cell("td", `none so small; the smallest has ${whole(smallest)} bytes`, "none");
      none.colSpan = 3 + metrics.length;
      row.append(none);
      return row;
    }
    row.append(cell("td", point.setting, "spare"), cell("td", whole(point.file_bytes)), cell("td", point.bpp.toFixed(3), "spare"));
    for (const metric of metrics) {
      const wins = point[metric] !== null && point[metric] === best[metric];
      const figures = cell("td", figure(metric, point[metric]), wins ? "measured best" : "measured");
      figures.dataset.metric = metric;
      row.append(figures);
    }
    return row;
  }));
}

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Round numbers between two values, about `count` of them. */
function roundNumbers(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(6)));
  return found;
}

function drawPlot() {
  const plot = byId("plot");
  const { metric } = state;
  const box = { left: 44, top: 10, right: 468, bottom: 290 };
  const last = ourPoint(picture.steps.length - 1).bpp * 1.08;
  const visible = (codec) => picture.curves[codec].filter((point) => point.bpp <= last && point[metric] !== null);
  const curves = codecs.map((codec) => [codec, visible(codec)]).filter(([, points]) => points.length);
  plot.replaceChildren();
  if (!curves.length) {
    plot.append(svg("text", { x: 240, y: 160, "text-anchor": "middle" }, "The picture is too small for this metric."));
    return;
  }
  const values = curves.flatMap(([, points]) => points.map((point) => point[metric]));
  let low = Math.min(...values);
  let high = Math.max(...values);
  const margin = (high - low) * 0.04 || 1;
  low = metric === "ms_ssim" ? Math.max(low, 0.75) : low - margin; // below, nothing can be told apart any more
  high += margin;
  const x = (bpp) => box.left + (box.right - box.left) * bpp / last;
  const y = (value) => box.bottom - (box.bottom - box.top) * (value - low) / (high - low);
  for (const value of roundNumbers(low, high, 6)) {
    plot.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }));
    plot.append(svg("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, value));
  }
  for (const bpp of roundNumbers(0, last, 6)) {
    plot.append(svg("line", { class: "grid", x1: x(bpp), x2: x(bpp), y1: box.top, y2: box.bottom }));
    plot.append(svg("text", { x: x(bpp), y: box.bottom + 16, "text-anchor": "middle" }, bpp));
  }
  plot.append(svg("text", { x: (box.left + box.right) / 2, y: box.bottom + 34, "text-anchor": "middle" },
    `bits per pixel (${about.metrics[metric].label}${["psnr", "psnr_hvs"].includes(metric) ? " in dB" : ""} over the rate)`));
  const clip = svg("clipPath", { id: "inside" });
  clip.append(svg("rect", { x: box.left, y: 0, width: box.right - box.left + 6, height: box.bottom }));
  plot.append(clip);
  const now = ourPoint(state.step).bpp;
  plot.append(svg("line", { class: "rate", x1: x(now), x2: x(now), y1: box.top, y2: box.bottom }));
  curves.reverse().forEach(([codec, points], place) => {
    const group = svg("g", { "data-codec": codec });
    const drawn = svg("g", { "clip-path": "url(#inside)" });
    group.append(drawn);
    const places = points.map((point) => `${x(point.bpp).toFixed(1)},${y(point[metric]).toFixed(1)}`);
    drawn.append(svg("polyline", { class: `curve${isOurs(codec) ? " ours" : ""}`, points: places.join(" ") }));
    for (const point of points) {
      const dot = svg("circle", { cx: x(point.bpp), cy: y(point[metric]), r: isOurs(codec) ? 3.5 : 2.5 });
      dot.append(svg("title", {}, `${choices[codec]} ${point.setting}: ${point.bpp.toFixed(3)} bpp, ${figure(metric, point[metric])}`));
      drawn.append(dot);
    }
    const current = picture.steps[state.step][codec].point;
    if (current && current[metric] !== null) {
      drawn.append(svg("circle", { class: "now", cx: x(current.bpp), cy: y(current[metric]), r: 6 }));
    }
    group.append(svg("text", { class: "name", x: box.right - 6, y: box.bottom - 12 - 18 * place, "text-anchor": "end" }, choices[codec]));
    plot.append(group);
  });
}

// ---- Changes of the state

function show(index) {
  state.index = (index + records.length) % records.length;
  picture = JSON.parse(records[state.index].textContent);
  state.step = Math.min(state.step, picture.steps.length - 1);
  stop();
  const [width, height] = picture.full_size;
  const scaled = width === picture.width && height === picture.height ? "" : `, scaled down from ${width}\u00d7${height}`;
  byId("facts").textContent = `${picture.name}, ${picture.width}\u00d7${picture.height}${scaled}`;
  byId("pictures").value = state.index;
  byId("copies").hidden = !picture.copies.length;
  byId("copies").textContent = "The decoder of this page knows no recurrent models; it holds the images of "
    + `${picture.copies.join(", ")} as Pillow decoded them, without loss.`;
  document.title = `${picture.name} \u2013 ${about.title}`;
  draw();
}

function setStep(step) {
  stop();
  state.step = Math.min(picture.steps.length - 1, Math.max(0, step));
  draw();
}

function setBoundary(fraction) {
  state.boundary = Math.min(1, Math.max(0, fraction));
  drawStage();
}

function swap() {
  [state.left, state.right] = [state.right, state.left];
  draw();
}

/** Device pixels per image pixel when the whole picture shows. */
function fitZoom() {
  return byId("stage").clientWidth / picture.width * window.devicePixelRatio;
}

/** Zoom to device pixels per image pixel, about a point of the stage given in fractions of it. */
function setZoom(zoom, atX = 0.5, atY = 0.5) {
  const fit = fitZoom();
  const before = Math.max(fit, state.zoom);
  const after = Math.min(32, Math.max(fit, zoom));
  // What is at the point stays there.
  state.x += (atX - 0.5) * (fit / before - fit / after);
  state.y += (atY - 0.5) * (fit / before - fit / after);
  state.zoom = after > fit * 1.001 ? after : 0;
  drawStage();
}

function zoomBy(factor, atX, atY) {
  setZoom(Math.max(state.zoom, fitZoom()) * factor, atX, atY);
}

// ---- The bytes as they arrive

let frame = 0;

function play() {
  const sizes = picture.steps.map((_, step) => ourPoint(step).file_bytes);
  const start = performance.now();
  const next = (now) => {
    state.arrived = Math.min(sizes.at(-1), Math.max(0, now - start) / 1000 * byId("speed").value);
    state.step = Math.max(0, sizes.findLastIndex((size) => size <= state.arrived));
    if (state.arrived >= sizes.at(-1)) {
      stop();
    } else {
      frame = requestAnimationFrame(next);
    }
    draw();
  };
  next(start);
}

function stop() {
  cancelAnimationFrame(frame);
  state.arrived = null;
}

function toggle() {
  if (state.arrived === null) {
    play();
  } else {
    stop();
    draw();
  }
}

// ---- Pointers: one moves the boundary, or the picture when it is zoomed; two zoom

const pointers = new Map();
let gesture = "";
let boundaryBefore = 0.5;

function place(event) {
  const box = byId("stage").getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
}

function onDown(event) {
  if (event.button) return;
  byId("stage").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  const onBoundary = event.target === byId("boundary");
  if (pointers.size > 1) {
    takeBack();
    gesture = "zoom";
  } else {
    gesture = onBoundary || !state.zoom ? "boundary" : "move";
    boundaryBefore = state.boundary;
  }
  if (gesture === "boundary" && !byId("difference").checked) setBoundary(place(event).x);
}

function onMove(event) {
  if (!pointers.has(event.pointerId)) return;
  const before = pointers.get(event.pointerId);
  const after = place(event);
  if (gesture === "boundary") {
    if (!byId("difference").checked) setBoundary(after.x);
  } else if (gesture === "move") {
    moveBy(before.x - after.x, before.y - after.y);
  } else if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const size = byId("stage").getBoundingClientRect();
    const distance = (point) => Math.hypot((point.x - other.x) * size.width, (point.y - other.y) * size.height);
    moveBy((before.x - after.x) / 2, (before.y - after.y) / 2);
    zoomBy(distance(after) / Math.max(1, distance(before)), (after.x + other.x) / 2, (after.y + other.y) / 2);
  }
  pointers.set(event.pointerId, after);
}

function moveBy(x, y) {
  const share = fitZoom() / Math.max(fitZoom(), state.zoom);
  state.x += x * share;
  state.y += y * share;
  drawStage();
}

/** What looked like a move of the boundary was the beginning of something else, two fingers or a scroll. */
function takeBack() {
  if (gesture === "boundary") setBoundary(boundaryBefore);
}

function onUp(event) {
  if (event.type === "pointercancel") takeBack();
  pointers.delete(event.pointerId);
  if (pointers.size === 1) gesture = state.zoom ? "move" : "";
}

// ---- Keys

const keys = {
  ArrowLeft: () => setBoundary(state.boundary - 0.02),
  ArrowRight: () => setBoundary(state.boundary + 0.02),
  ",": () => setStep(state.step - 1),
  ".": () => setStep(state.step + 1),
  " ": toggle,
  x: swap,
  "+": () => zoomBy(2),
  "=": () => zoomBy(2),
  "-": () => zoomBy(0.5),
  0: () => setZoom(0),
  d: () => byId("difference").click(),
  n: () => records.length > 1 && show(state.index + 1),
  p: () => records.length > 1 && show(state.index - 1),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const element = event.target;
  // What has a meaning for the element itself keeps it.
  const own = { SELECT: true, INPUT: true, BUTTON: event.key === " ", SUMMARY: event.key === " " }[element.tagName];
  if (own && !(element.type === "checkbox" && event.key !== " ")) return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (digit) {
    const codec = Object.keys(choices)[digit[1] - 1];
    if (!codec) return;
    state[event.shiftKey ? "left" : "right"] = codec;
    draw();
  } else if (element === byId("iterations") && event.key.startsWith("Arrow")) {
    setStep(state.step + (event.key === "ArrowRight" || event.key === "ArrowUp" ? 1 : -1));
  } else if (element === byId("iterations") && (event.key === "Home" || event.key === "End")) {
    setStep(event.key === "Home" ? 0 : picture.steps.length - 1);
  } else if (keys[event.key.toLowerCase()] || keys[event.key]) {
    (keys[event.key] || keys[event.key.toLowerCase()])();
  } else {
    return;
  }
  event.preventDefault();
}

// ---- Start

function addChoices(fieldset, entries, chosen, change) {
  for (const [value, label] of Object.entries(entries)) {
    const element = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: fieldset.id, value, checked: value === chosen });
    input.addEventListener("change", () => change(value));
    element.append(input, label);
    if (fieldset.id !== "metric") element.dataset.codec = value;
    fieldset.append(element);
  }
}

for (const side of ["left", "right"]) {
  addChoices(byId(side), choices, state[side], (codec) => { state[side] = codec; draw(); });
  byId(`${side}-layer`).querySelector("img").addEventListener("error", (event) => {
    unknown.add(event.target.src);
    drawStage();
  });
}
const labels = Object.fromEntries(metrics.map((metric) => [metric, about.metrics[metric].label]));
addChoices(byId("metric"), labels, state.metric, (metric) => { state.metric = metric; drawPlot(); });
for (const element of document.querySelectorAll(".compared")) element.hidden = !metrics.length;
byId("decoded").hidden = !byId("decoder");
prefixes.changed = drawStage;

const head = document.createElement("tr");
head.append(cell("th", ""), cell("th", "Setting", "spare"), cell("th", "Bytes"), cell("th", "bpp", "spare"));
head.append(...Object.values(labels).map((text) => cell("th", text)));
document.querySelector("thead").append(head);
byId("versions").textContent = Object.entries(about.versions).map((entry) => entry.join(" ")).join(" \u00b7 ");

records.forEach((record, index) => {
  const option = document.createElement("option");
  option.value = index;
  // Names are short and come first, so nothing big is parsed here.
  option.textContent = JSON.parse(`"${/^{"name":"((?:[^"\\]|\\.)*)"/.exec(record.textContent)[1]}"`);
  byId("pictures").append(option);
});
byId("chooser").hidden = records.length < 2;
byId("pictures").addEventListener("change", (event) => show(Number(event.target.value)));
byId("previous").addEventListener("click", () => show(state.index - 1));
byId("next").addEventListener("click", () => show(state.index + 1));
byId("swap").addEventListener("click", swap);
byId("play").addEventListener("click", toggle);
byId("fewer").addEventListener("click", () => setStep(state.step - 1));
byId("more").addEventListener("click", () => setStep(state.step + 1));
byId("zoom-in").addEventListener("click", () => zoomBy(2));
byId("zoom-out").addEventListener("click", () => zoomBy(0.5));
byId("zoom-fit").addEventListener("click", () => setZoom(0));
byId("zoom-one").addEventListener("click", () => setZoom(1));
byId("difference").addEventListener("change", drawStage);
byId("gain").addEventListener("change", drawStage);

const chooseStep = (event) => {
  const parts = [...byId("iterations").querySelectorAll("span")];
  setStep(parts.findLastIndex((part) => part.getBoundingClientRect().left <= event.clientX));
};
byId("iterations").addEventListener("pointerdown", (event) => {
  byId("iterations").setPointerCapture(event.pointerId);
  chooseStep(event);
});
byId("iterations").addEventListener("pointermove", (event) => {
  if (byId("iterations").hasPointerCapture(event.pointerId)) chooseStep(event);
});

const stage = byId("stage");
stage.addEventListener("pointerdown", onDown);
stage.addEventListener("pointermove", onMove);
stage.addEventListener("pointerup", onUp);
stage.addEventListener("pointercancel", onUp);
stage.addEventListener("dblclick", (event) => {
  const { x, y } = place(event);
  if (state.zoom) setZoom(0);
  else zoomBy(4, x, y);
});
stage.addEventListener("wheel", (event) => {
  // Pinching on a touchpad arrives as a wheel with ctrl; a plain wheel scrolls the page unless the picture is zoomed.
  if (!event.ctrlKey && !state.zoom) return;
  event.preventDefault();
  const { x, y } = place(event);
  zoomBy(2 ** (-event.deltaY / 240), x, y);
}, { passive: false });
document.addEventListener("keydown", onKey);
window.addEventListener("resize", drawStage);

state.step = Infinity; // `show` takes the last one
show(0);
setStep(Math.floor(picture.steps.length / 2));
