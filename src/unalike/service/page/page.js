"use strict";
// Whatever comes from a file or from the service goes into the page as text, never as HTML.

const MOST_ROWS = 50;
const BINS = 48;
const KINDS = { table: ["row", "rows"], series: ["step", "steps"], image: ["image", "images"], text: ["text", "texts"] };
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const state = { key: null, models: [], model: null, request: null, answer: null, limit: null, shown: MOST_ROWS,
  texts: null, urls: [], order: 0, open: new Map() };

// ---- helpers ----

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function draw(tag, attributes, parent) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

function told(number) {
  if (number === null || number === undefined) return "–";
  if (typeof number !== "number") return String(number);
  return Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(4)));
}

const percent = (share) => `${Number((100 * share).toPrecision(2))}%`;
const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function say(text, wrong = false) {
  $("status").hidden = !text;
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) $("key-section").hidden = false;
  if (!answer.ok) throw new Error(body.detail || `The service answered with status ${answer.status}.`);
  return body;
}

// ---- models ----

async function start() {
  try {
    state.models = (await ask("models")).models;
  } catch (error) {
    say(state.key || $("key-section").hidden ? error.message : "", true);
    return;
  }
  say("");
  $("key-section").hidden = true;
  $("input").hidden = false;
  $("model").replaceChildren(...state.models.map((one) => make("option", { value: one.name, textContent: one.name })));
  await choose(state.models[0].name);
}

async function choose(name) {
  $("results").hidden = true;
  say("");
  state.model = await ask(`models/${encodeURIComponent(name)}`);
  const { modality, inputs, trained_on: n } = state.model;
  const takes = {
    table: () => `Rows of a table: a CSV, TSV, Parquet or JSONL file with ${names(inputs.columns.map((c) => c.name))}.`,
    series: () => `Records of ${names(inputs.channels, "channel")}: one file, or one for each record.`,
    image: () => `Images: one file or many, or one array (.npy, .npz).`,
    text: () => `Texts: a file with one text per line, several files, or a table.`,
  }[modality]();
  $("takes").textContent = `${takes} Trained on ${plural(n, "sample", "samples")}, version ${state.model.version}.`;
  $("paste").hidden = modality !== "text";
}

function names(all, what = "column") {
  const shown = all.slice(0, 6).join(", ");
  return `the ${what}${all.length === 1 ? "" : "s"} ${shown}${all.length > 6 ? ` and ${all.length - 6} more` : ""}`;
}

// ---- requests ----

function request(files, texts) {
  return (verb, options = {}) => {
    const given = { model: state.model.name, ...options };
    if (texts) {
      return ask(verb, { method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...given, samples: texts }) });
    }
    const form = new FormData();
    for (const [name, value] of Object.entries(given)) form.append(name, value);
    for (const file of files) form.append("file", file, file.name);
    return ask(verb, { method: "POST", body: form });
  };
}

async function judge(files, texts = null) {
  if (!files.length && !texts) return;
  const order = ++state.order;
  const what = texts ? plural(texts.length, "text", "texts") : files.length === 1 ? files[0].name
    : plural(files.length, "file", "files");
  say(`${what}: the model is looking…`);
  $("results").hidden = true;
  try {
    const send = request(files, texts);
    const answer = await send("detect", { drift: "true" });
    if (order !== state.order) return;
    state.request = send;
    state.answer = answer;
    await remember(files, texts);
    say("");
    show(what);
  } catch (error) {
    if (order === state.order) say(error.message, true);
  }
}

async function remember(files, texts) {
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  state.urls = [];
  state.texts = texts;
  state.shown = MOST_ROWS;
  state.open.clear();
  const { modality } = state.model;
  const picture = /\.(png|jpe?g|webp|gif|bmp)$/i;
  if (modality === "image") state.urls = files.map((file) => (picture.test(file.name) ? URL.createObjectURL(file) : ""));
  if (modality === "text" && !texts && files.every((file) => /\.(txt|text|log|md)$/i.test(file.name))) {
    const read = await Promise.all(files.map((file) => file.text()));
    state.texts = read.length > 1 ? read : read[0].replace(/^\ufeff/, "").split("\n").map((line) => line.replace(/\r$/, ""));
  }
}

// ---- the threshold ----

function isAnomaly(row) {
  return state.limit === null ? row.is_anomaly : row.score > state.limit;
}

function scale() {
  const scores = [...state.answer.decisions.map((row) => row.score), ...state.model.calibration].filter(Number.isFinite);
  const low = scores.reduce((a, b) => Math.min(a, b), Infinity);
  const high = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const width = high - low || 1;
  // Anomalies may score a thousand times as high as normal samples: then equal steps would show nothing.
  const bend = width / Math.max(Math.abs(state.answer.threshold - low), width / 1000);
  const curved = bend > 8;
  const unit = width / bend;
  const to = (score) => (curved ? Math.asinh((score - low) / unit) / Math.asinh(bend) : (score - low) / width);
  const from = (at) => (curved ? low + unit * Math.sinh(at * Math.asinh(bend)) : low + at * width);
  return { to, from };
}

function show(what) {
  state.limit = null;
  state.scale = scale();
  $("source").textContent = `${what}, judged by ${state.answer.model}, version ${state.answer.version}.`;
  const skipped = state.answer.skipped.map((one) => `${one.id} was left out: ${one.reason}`);
  const drift = state.answer.drift && state.answer.drift.drifted ? [state.answer.drift.told] : [];
  $("warnings").replaceChildren(...[...drift, ...state.answer.warnings, ...skipped].map((text) => make("li", { textContent: text })));
  $("slider").value = Math.round(1000 * Math.min(Math.max(state.scale.to(state.answer.threshold), 0), 1));
  $("results").hidden = false;
  drawChart();
  refresh();
}

function refresh() {
  const rows = state.answer.decisions;
  const found = rows.filter(isAnomaly);
  const [one, many] = KINDS[state.model.modality];
  const rate = state.answer.false_alarm_rate;
  const promise = rate === null ? "" : ` Of normal ${many}, ${percent(rate)} raise a false alarm.`;
  $("summary").textContent = `${state.answer.anomalies} of ${plural(rows.length, one, many)} ` +
    `${state.answer.anomalies === 1 ? "is an anomaly" : "are anomalies"}.${promise}`;
  $("legend-here").textContent = `these ${many}`;
  const limit = state.limit === null ? state.answer.threshold : state.limit;
  const more = rows.filter((row) => isAnomaly(row) && !row.is_anomaly).length;
  const fewer = rows.filter((row) => !isAnomaly(row) && row.is_anomaly).length;
  const change = [more && `${plural(more, one, many)} more`, fewer && `${plural(fewer, one, many)} fewer`].filter(Boolean);
  $("what-if").textContent = `Threshold ${told(limit)}: ${found.length} of ${rows.length} would be anomalies` +
    `${change.length ? `, ${change.join(" and ")} than now` : ", as now"}. ${expected(limit)}`;
  $("reset").disabled = state.limit === null;
  moveLine(limit);
  list(many);
}

function expected(limit) {
  const known = state.model.calibration;
  const n = state.model.calibrated_on;
  if (!known.length) return "";
  const above = known.filter((score) => score > limit).length / known.length;
  return `Of normal samples about ${percent(Math.min((above * n + 1) / (n + 1), 1))} would raise a false alarm.`;
}

// ---- the chart ----

const SIZE = { width: 720, height: 190, left: 4, right: 4, top: 8, bottom: 24 };

function place(at) {
  return SIZE.left + at * (SIZE.width - SIZE.left - SIZE.right);
}

function counts(scores) {
  const bins = new Array(BINS).fill(0);
  for (const score of scores) bins[Math.min(Math.max(Math.floor(state.scale.to(score) * BINS), 0), BINS - 1)] += 1;
  return bins;
}

function drawChart() {
  SIZE.width = Math.max($("chart").clientWidth, 200);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "How many samples have which score, and the threshold");
  const height = SIZE.height - SIZE.top - SIZE.bottom;
  const here = counts(state.answer.decisions.map((row) => row.score));
  const usual = counts(state.model.calibration);
  // Roots, so that a few anomalies beside thousands of normal samples can be seen.
  const tall = (n, most) => (most ? Math.sqrt(n / most) * height : 0);
  const step = place(1 / BINS) - place(0);
  here.forEach((n, bin) => n && draw("rect", { class: "bar", x: place(bin / BINS) + 1, width: step - 2,
    y: SIZE.top + height - tall(n, Math.max(...here)), height: tall(n, Math.max(...here)) }, svg));
  const line = usual.map((n, bin) => {
    const y = SIZE.top + height - tall(n, Math.max(...usual));
    return `${place(bin / BINS)},${y} ${place((bin + 1) / BINS)},${y}`;
  });
  draw("polyline", { class: "usual", points: line.join(" ") }, svg);
  for (const at of SIZE.width < 500 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = at === 0 ? "start" : at === 1 ? "end" : "middle";
    draw("text", { class: "axis", x: place(at), y: SIZE.height - 6, "text-anchor": anchor }, svg).textContent =
      told(state.scale.from(at));
  }
  draw("line", { id: "limit", class: "limit-line", y1: SIZE.top, y2: SIZE.top + height }, svg);
  $("chart").replaceChildren(svg);
  if (state.model.modality === "series") drawRecord();
}

function drawRecord() {
  const rows = state.answer.decisions;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${SIZE.width} 130`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "The score of each step, in the order of time");
  const every = Math.max(1, Math.ceil(rows.length / 2000));
  const points = [];
  for (let at = 0; at < rows.length; at += every) {
    const highest = Math.max(...rows.slice(at, at + every).map((row) => row.score));
    points.push(`${place(at / Math.max(rows.length - 1, 1))},${120 - 110 * state.scale.to(highest)}`);
  }
  draw("polyline", { class: "path", points: points.join(" ") }, svg);
  draw("line", { id: "limit-across", class: "limit-line", x1: place(0), x2: place(1) }, svg);
  $("chart").append(svg);
}

function moveLine(limit) {
  const at = Math.min(Math.max(state.scale.to(limit), 0), 1);
  const line = $("limit");
  line.setAttribute("x1", place(at));
  line.setAttribute("x2", place(at));
  const across = $("limit-across");
  if (across) {
    across.setAttribute("y1", 120 - 110 * at);
    across.setAttribute("y2", 120 - 110 * at);
  }
}

// ---- the list ----

function entries() {
  const rows = state.answer.decisions;
  if (state.model.modality !== "series") {
    return rows.map((row, at) => ({ ...row, at: [at], anomaly: isAnomaly(row), was: row.is_anomaly,
      title: row.id === row.row ? `${KINDS[state.model.modality][0]} ${row.id}` : String(row.id), figures: `score ${told(row.score)}, p ${told(row.p_value)}` }));
  }
  const runs = [];
  rows.forEach((row, at) => {
    if (!isAnomaly(row)) return;
    const last = runs[runs.length - 1];
    if (last && last.at[last.at.length - 1] === at - 1 && last.entity === row.entity) {
      last.at.push(at);
      last.score = Math.max(last.score, row.score);
      last.was = last.was || row.is_anomaly;
      last.end = row.id;
    } else {
      runs.push({ entity: row.entity, at: [at], score: row.score, anomaly: true, was: row.is_anomaly, id: row.id, end: row.id });
    }
  });
  return runs.map((run) => ({ ...run, title: `${run.entity ? `${run.entity}: ` : ""}${run.id}${run.end === run.id ? "" : ` to ${run.end}`}`,
    figures: `${plural(run.at.length, "step", "steps")}, highest score ${told(run.score)}` }));
}

function list(many) {
  const all = entries().sort((a, b) => b.score - a.score);
  const series = state.model.modality === "series";
  $("list-title").textContent = series ? plural(all.length, "alarm", "alarms") : `The ${many}, most anomalous first`;
  $("list-note").textContent = series ? "Runs of steps above the threshold." : "";
  $("list").replaceChildren(...all.slice(0, state.shown).map(item));
  $("more").hidden = all.length <= state.shown;
}

function item(entry) {
  const word = entry.anomaly ? "anomaly" : "normal";
  const changed = entry.anomaly !== entry.was;
  const badge = make("span", { className: `badge ${word}${changed ? " changed" : ""}`,
    textContent: changed ? `would be ${entry.anomaly ? "an anomaly" : "normal"}` : word });
  const name = make("span", { className: "name" }, entry.title);
  if (state.texts && state.texts[entry.row] !== undefined) {
    name.append(make("small", { textContent: state.texts[entry.row].slice(0, 300) }));
  }
  const why = make("button", { type: "button", textContent: "Why?" });
  const row = make("div", { className: "row" }, badge, name, make("span", { className: "figures", textContent: entry.figures }), why);
  if (state.urls[entry.row]) row.prepend(make("img", { src: state.urls[entry.row], alt: "" }));
  const place = make("li", {}, row);
  const known = `${entry.at[0]}-${entry.at.length}`;
  why.setAttribute("aria-label", `Why ${entry.title}`);
  why.addEventListener("click", () => explain(entry, place, why, known));
  if (state.open.has(known)) {
    place.append(state.open.get(known));
    why.disabled = true;
  }
  return place;
}

async function explain(entry, place, why, known) {
  why.disabled = true;
  why.textContent = "…";
  let block;
  try {
    const answer = await state.request("explain", { only: entry.at.join(","), pictures: "true" });
    block = explanation(answer.explanations[0], entry);
    state.open.set(known, block);
  } catch (error) {
    block = make("div", { className: "why" }, make("p", { textContent: error.message }));
    why.disabled = false;
  }
  why.textContent = "Why?";
  place.querySelector(".why")?.remove();
  place.append(block);
}

function explanation(found, entry) {
  const block = make("div", { className: "why" });
  const { modality } = state.model;
  if (!found || !found.parts.length) {
    block.append(make("p", { textContent: "No place stands out: nothing alone makes the score." }));
  } else if (modality === "text" && state.texts && state.texts[entry.row] !== undefined) {
    block.append(marked(state.texts[entry.row], found.parts));
  }
  if (found && found.picture && modality === "image") block.append(heat(found, state.urls[entry.row]));
  if (found && found.parts.length) block.append(causes(found.parts, modality));
  if (found && found.nearest.length) {
    block.append(make("p", { className: "dim", textContent: `Nearest normal samples: ${found.nearest.slice(0, 5).join(", ")}.` }));
  }
  return block;
}

function causes(parts, modality) {
  const compares = modality === "table" || modality === "series";
  const what = { table: "column", series: "channel", image: "region", text: "word" }[modality];
  const head = ["share", what, ...(compares ? ["here", "usual"] : [])];
  const rows = parts.map((part) => {
    const share = Math.max(0, Math.min(part.share, 1));
    const bar = make("progress", { max: 1, value: share });
    bar.setAttribute("aria-hidden", "true");
    const cells = [make("td", { className: "share" }, bar, ` ${percent(share)}`), make("td", { textContent: modality === "text" ? part.value : part.place })];
    if (compares) cells.push(make("td", { textContent: told(part.value) }), make("td", { textContent: told(part.usual) }));
    return make("tr", {}, ...cells);
  });
  const titles = make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { textContent: title, scope: "col" }))));
  return make("table", {}, titles, make("tbody", {}, ...rows));
}

function marked(text, parts) {
  const quote = make("blockquote");
  // Places count characters; JavaScript's strings count half of some of them.
  const letters = Array.from(text);
  const spans = parts.filter((part) => Array.isArray(part.at)).map((part) => part.at).sort((a, b) => a[0] - b[0]);
  let done = 0;
  for (const [begin, end] of spans) {
    if (begin < done) continue;
    quote.append(letters.slice(done, begin).join(""), make("mark", { textContent: letters.slice(begin, end).join("") }));
    done = end;
  }
  quote.append(letters.slice(done).join(""));
  return quote;
}

function heat(found, url) {
  const picture = found.picture;
  const [height, width] = [picture.length, picture[0].length];
  const times = Math.max(1, Math.ceil(320 / width));
  const canvas = make("canvas", { width: width * times, height: height * times });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The image with a heat map; the outlined places are above the threshold");
  const context = canvas.getContext("2d");
  const image = new Image();
  const over = () => paint(context, found, times);
  image.addEventListener("load", () => {
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    over();
  });
  image.addEventListener("error", over);
  if (url) image.src = url;
  else over();
  return canvas;
}

function paint(context, found, times) {
  const flat = found.picture.flat().filter((value) => value !== null);
  const low = flat.reduce((a, b) => Math.min(a, b), Infinity);
  const width = flat.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const inside = (y, x) => Boolean(found.mask && found.mask[y] && found.mask[y][x]);
  found.picture.forEach((line, y) => line.forEach((value, x) => {
    context.fillStyle = `rgba(240, 120, 0, ${0.65 * Math.max(((value ?? low) - low) / width, 0) ** 1.5})`;
    context.fillRect(x * times, y * times, times, times);
    if (!inside(y, x)) return;
    context.fillStyle = "#00e5ff";
    const edge = Math.max(2, times / 8);
    if (!inside(y - 1, x)) context.fillRect(x * times, y * times, times, edge);
    if (!inside(y + 1, x)) context.fillRect(x * times, (y + 1) * times - edge, times, edge);
    if (!inside(y, x - 1)) context.fillRect(x * times, y * times, edge, times);
    if (!inside(y, x + 1)) context.fillRect((x + 1) * times - edge, y * times, edge, times);
  }));
}

// ---- events ----

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value.trim();
  start();
});
$("model").addEventListener("change", () => choose($("model").value).catch((error) => say(error.message, true)));
$("files").addEventListener("change", () => { judge(Array.from($("files").files)); $("files").value = ""; });
$("texts-button").addEventListener("click", () => {
  const lines = $("texts").value.split("\n").filter((line) => line.trim());
  if (lines.length) judge([], lines);
});
$("slider").addEventListener("input", () => {
  state.limit = state.scale.from(Number($("slider").value) / 1000);
  refresh();
});
$("reset").addEventListener("click", () => show($("source").textContent.replace(/, judged by.*/, "")));
$("more").addEventListener("click", () => { state.shown += 4 * MOST_ROWS; refresh(); });
window.addEventListener("resize", () => {
  if ($("results").hidden) return;
  drawChart();
  refresh();
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => { if (!$("input").hidden) judge(Array.from(event.dataTransfer.files)); });
start();
