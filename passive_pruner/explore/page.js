"use strict";
// Draws the values that Python computed; computes nothing but the order of the variables.
const V = JSON.parse(document.getElementById("values").textContent);
const byId = (id) => document.getElementById(id);
const SYMBOLS = { active: "circle", mixed: "diamond", passive: "square", negligible: "triangle-down", undecided: "cross" };
// What s² would be in every row if a type were as clear as it can be.
const IDEAL = { active: 0, passive: 1 };
// The tolerance of the paper, for saying how near to that the variables are.
const NEAR = 0.1;
const REPORT = {
  variance_of_mean: "Var(μ)",
  mean_of_variance: "E[s²]",
  variance_of_variance: "Var(s²)",
  kl: "KL",
  reliability: "reliability",
  max_correlation_mean: "max |corr| mean",
  max_correlation_sampled: "max |corr| sampled",
  active_share: "share of rows with s² < 0.5",
  explained_variance_ratio: "share of the explained variance",
};
const n = V.names.length;
const numbers = [...V.names.keys()];
const short = (x) => (x === null ? "–" : Number(x.toPrecision(3)).toString());
const minus = (x) => String(x).replace("-", "−");
const fixed = (x, digits) => (x === null ? "–" : x.toFixed(digits));
// Python writes formulas in ASCII.
const formula = (text) =>
  text.replace(/\bmu\b/g, "μ").replace(/\bs2\b/g, "s²").replaceAll("<=", "≤").replaceAll(" - ", " − ");
// Not Math.min(...list): a call takes some 100,000 arguments at most, and 256 variables have more.
const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
const most = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
const fromTo = (list) => {
  const low = fixed(least(list), 3), high = fixed(most(list), 3);
  return low === high ? low : `${low} to ${high}`;
};

const state = {
  criterion: V.start.criterion,
  index: Math.max(0, V.thresholds.findIndex((t) => Math.abs(t - V.start.threshold) < 1e-9)),
  variable: null, // the one whose profile is shown
};

// ---------------------------------------------------------------- what all plots share
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false };
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
function layout(more = {}) {
  const axis = { gridcolor: color("grid"), zeroline: false, automargin: true, fixedrange: true };
  return {
    font: { family: "system-ui, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: 13, color: color("ink") },
    paper_bgcolor: color("card"), plot_bgcolor: color("card"),
    margin: { l: 56, r: 16, t: more.showlegend === false ? 10 : 30, b: 48 },
    hovermode: "closest",
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1.01, yanchor: "bottom", font: { size: 12 } },
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}
const RED_BLUE = ["#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"].map((c, i) => [i / 4, c]);
const draw = (id, traces, options) => Plotly.react(byId(id), traces, options, CONFIG);
const title = (name, text) => { byId(`figure-${name}`).querySelector("h3").textContent = text; };
const line = (more) => ({ type: "line", line: { color: color("ink"), width: 1.5, dash: "dot" }, ...more });

// ---------------------------------------------------------------- plots
const numbersOf = (list) => [...list.keys()];
// Every label, or every second, third, ... where `size` pixels for each would not fit.
function ticks(id, labels, size = 14) {
  const room = Math.max(100, byId(id).clientWidth - 130);
  const step = Math.ceil((labels.length * size) / room);
  const shown = numbersOf(labels).filter((i) => i % step === 0);
  const ticktext = shown.map((i) => labels[i]);
  return { tickvals: shown, ticktext, tickangle: -90, tickfont: { size: 11 } };
}
// Thresholds span orders of magnitude and include 0: evenly spaced, with the value of some.
const thresholdAxis = (id) => ({
  title: { text: "threshold" }, range: [-0.6, V.thresholds.length - 0.4],
  ...ticks(id, V.thresholds.map(short), 44), tickangle: 0,
});
const atIndex = () => line({ x0: state.index, x1: state.index, y0: 0, y1: 1, yref: "paper", layer: "below" });

function drawKept(c) {
  const x = numbersOf(V.thresholds);
  const traces = V.types.map((type) => ({
    type: "bar", name: type, x,
    y: x.map((i) => numbers.filter((j) => c.kept[i][j] && c.types[i][j] === type).length),
    marker: { color: V.colors[type], opacity: x.map((i) => (i === state.index ? 1 : 0.5)) },
    hovertemplate: `%{y} ${type} kept<extra></extra>`,
  })).filter((trace) => trace.y.some((count) => count > 0));
  draw("plot-kept", traces, layout({
    barmode: "stack", bargap: 0.25, showlegend: true, shapes: [atIndex()],
    xaxis: thresholdAxis("plot-kept"), yaxis: { title: { text: `of ${n}` }, range: [0, n * 1.04] },
  }));
}

function lines(c, key, name, color, symbol) {
  return {
    type: "scatter", mode: "lines+markers", name, x: numbersOf(V.thresholds), y: c[key],
    line: { color, width: 2 },
    marker: { color, symbol, size: numbersOf(V.thresholds).map((i) => (i === state.index ? 12 : 6)) },
    hovertemplate: `${name} %{y:.3f}<extra></extra>`,
  };
}

function drawTotalCorrelation(c) {
  draw("plot-tc", [
    lines(c, "total_correlation_mean", "mean codes", V.colors.accent, "circle"),
    lines(c, "total_correlation_sampled", "sampled codes", V.colors.second, "square"),
  ], layout({
    shapes: [atIndex()], xaxis: thresholdAxis("plot-tc"),
    yaxis: { title: { text: "nats" }, rangemode: "tozero" },
  }));
}

function drawScore(c) {
  if (V.score === null) return;
  const trace = lines(c, "score", V.score.name, V.colors.active, "circle");
  trace.line.color = trace.marker.color = color("ink");
  trace.error_y = { type: "data", array: c.standard_error, thickness: 1.2, width: 3 };
  draw("plot-score", [trace], layout({
    showlegend: false, shapes: [atIndex()], xaxis: thresholdAxis("plot-score"),
    yaxis: { title: { text: `${V.score.name} ± standard error` } },
  }));
}

function byType(types, x, y, hover) {
  return V.types.map((type) => {
    const chosen = numbers.filter((j) => types[j] === type);
    return {
      type: "scatter", mode: "markers", name: type,
      x: chosen.map((j) => x[j]), y: chosen.map((j) => y[j]),
      text: chosen.map((j) => V.names[j]),
      marker: { color: V.colors[type], symbol: SYMBOLS[type], size: 10, line: { color: color("card"), width: 1 } },
      hovertemplate: `variable %{text}<br>${hover}<extra></extra>`,
    };
  });
}

const region = (type, corners) => ({
  type: "rect", ...corners, fillcolor: V.colors[type], opacity: 0.15, line: { width: 0 }, layer: "below",
});
const positive = (values) => values.filter((x) => x > 0);
function drawStatistic(c, types, order) {
  const threshold = V.thresholds[state.index];
  const range = [...positive(V.thresholds), ...positive(c.values)];
  const floor = range.length ? least(range) / 1.6 : 0.1, top = range.length ? most(range) * 1.6 : 1;
  const place = [];
  order.forEach((j, i) => { place[j] = i; });
  const name = formula(c.symbol);
  title("statistic", `${name} of every variable`);
  const options = layout({
    xaxis: {
      title: { text: "variable" }, range: [-0.8, n - 0.2],
      ...ticks("plot-statistic", order.map((j) => V.names[j])),
    },
    yaxis: { type: "log", title: { text: name }, range: [Math.log10(floor), Math.log10(top)], dtick: 1 },
  });
  if (threshold > 0) {
    options.shapes = [
      line({ x0: 0, x1: 1, xref: "paper", y0: threshold, y1: threshold }),
      region("passive", { x0: 0, x1: 1, xref: "paper", y0: floor, y1: threshold }),
    ];
    options.annotations = [{
      x: 0, xref: "paper", xanchor: "left", y: Math.log10(threshold), yanchor: "top", showarrow: false,
      text: `threshold ${short(threshold)}`, font: { size: 12 },
    }];
  }
  // A statistic of 0 has no place on this axis: at its lower end.
  const shown = c.values.map((x) => Math.max(x, floor * 1.15));
  draw("plot-statistic", byType(types, place, shown, `${name} %{y:.3g}`), options);
}

function drawVariances(types) {
  const t = V.thresholds[state.index];
  const x = V.report.mean_of_variance, y = V.report.variance_of_variance;
  const right = Math.max(1.1, most(x)) * 1.05, top = Math.max(0.02, most(y)) * 1.2;
  const options = layout({
    xaxis: { title: { text: "mean of s²" }, range: [-0.04, right] },
    yaxis: { title: { text: "variance of s²" }, range: [-0.05 * top, top] },
  });
  if (state.criterion === "variance" && t > 0) {
    const y = { y0: -0.05 * top, y1: Math.min(t, top) };
    options.shapes = [
      region("active", { x0: -0.04, x1: Math.min(t, right), ...y }),
      region("passive", { x0: 1 - t, x1: Math.min(1 + t, right), ...y }),
    ];
  }
  draw("plot-variance", byType(types, x, y, "E[s²] %{x:.3f}<br>Var(s²) %{y:.3f}"), options);
}

function drawCorrelations(kept, order) {
  for (const kind of ["mean", "sampled"]) {
    const matrix = V.correlation[kind];
    const z = order.map((i) => order.map((j) => (kept[i] && kept[j] ? matrix[i][j] : null)));
    const labels = ticks(`plot-${kind}`, order.map((j) => V.names[j]));
    draw(`plot-${kind}`, [{
      type: "heatmap", z, zmin: -1, zmax: 1, colorscale: RED_BLUE,
      xgap: n > 40 ? 0 : 1, ygap: n > 40 ? 0 : 1,
      colorbar: { thickness: 10, title: { text: "correlation", side: "right" } },
      text: order.map((i) => order.map((j) => `${V.names[i]} and ${V.names[j]}`)),
      hovertemplate: "variables %{text}<br>correlation %{z:.3f}<extra></extra>",
    }], layout({
      plot_bgcolor: color("gone"), showlegend: false,
      xaxis: { ...labels, showgrid: false, constrain: "domain" },
      yaxis: {
        ...labels, tickangle: 0, showgrid: false, autorange: "reversed", scaleanchor: "x", constrain: "domain",
      },
    }));
  }
}

// ---------------------------------------------------------------- traversals
const imageRows = [];
function makeImages() {
  const { shape, steps, pixels } = V.traversal;
  const [height, width, channels = 1] = shape;
  const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
  const zoom = Math.max(1, Math.floor(40 / Math.max(height, width)));
  byId("images").hidden = false;
  for (const j of numbers) {
    const row = document.createElement("div");
    row.className = "variable";
    const label = document.createElement("span");
    label.append(document.createElement("i"), `variable ${V.names[j]}`);
    const canvas = document.createElement("canvas");
    canvas.width = steps.length * (width + 1);
    canvas.height = height;
    canvas.style.width = `${canvas.width * zoom}px`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `what variable ${V.names[j]} decodes to`);
    const context = canvas.getContext("2d");
    steps.forEach((_, s) => {
      const image = context.createImageData(width, height);
      const start = (j * steps.length + s) * height * width * channels;
      for (let p = 0; p < height * width; p++) {
        for (let k = 0; k < 3; k++) {
          image.data[4 * p + k] = bytes[start + p * channels + Math.min(k, channels - 1)];
        }
        image.data[4 * p + 3] = 255;
      }
      context.putImageData(image, s * (width + 1), 0);
    });
    row.append(label, canvas);
    byId("images").append(row);
    imageRows.push(row);
  }
}

function drawTraversal(types, kept, order) {
  if (V.traversal === null) return;
  if (V.traversal.pixels) {
    imageRows.forEach((row, j) => {
      row.style.order = order.indexOf(j);
      row.classList.toggle("removed", !kept[j]);
      row.querySelector("i").style.background = V.colors[types[j]];
    });
    return;
  }
  const { decoded, features, steps } = V.traversal;
  const last = steps.length - 1;
  const change = (j) => decoded[j][last].map((x, f) => x - decoded[j][0][f]);
  const z = order.map((j) => (kept[j] ? change(j) : features.map(() => null)));
  // One scale for all thresholds, so that what a removed variable changed can be compared.
  const limit = Math.max(1e-12, most(numbers.flatMap((j) => change(j).map(Math.abs))));
  const names = features.map((f) => (f.length > 18 ? `${f.slice(0, 17)}…` : f));
  title("changes", `Decoded at ${minus(steps[last])} less decoded at ${minus(steps[0])}`);
  draw("plot-changes", [{
    type: "heatmap", z, zmin: -limit, zmax: limit, colorscale: RED_BLUE, xgap: 1, ygap: 1,
    colorbar: { thickness: 10, title: { text: "change", side: "right" } },
    text: order.map((j) => features.map((f) => `variable ${V.names[j]}<br>${f}`)),
    hovertemplate: "%{text}<br>change %{z:.3g}<extra></extra>",
  }], layout({
    plot_bgcolor: color("gone"), showlegend: false,
    xaxis: { ...ticks("plot-changes", names), showgrid: false },
    yaxis: {
      title: { text: "variable" }, ...ticks("plot-changes", order.map((j) => V.names[j])),
      tickangle: 0, autorange: "reversed", showgrid: false,
    },
  }));
  const j = state.variable ?? order[0];
  const every = numbers.flatMap((i) => decoded[i].flat());
  const low = least(every), high = most(every), pad = 0.05 * (high - low || 1);
  title("profile", `Variable ${V.names[j]} (${types[j]}${kept[j] ? "" : ", removed"})`);
  draw("plot-profile", steps.map((step, s) => ({
    type: "scatter", mode: "lines", name: minus(step), x: numbersOf(features), y: decoded[j][s],
    line: { width: 1.8, color: VIRIDIS[Math.round((s * (VIRIDIS.length - 1)) / last)] },
    text: features, hovertemplate: `at ${minus(step)}: %{text} %{y:.3g}<extra></extra>`,
  })), layout({
    xaxis: { ...ticks("plot-profile", names), range: [-0.5, features.length - 0.5] },
    yaxis: { title: { text: "decoded value" }, range: [low - pad, high + pad] },
    legend: { orientation: "v", x: 1.01, y: 1, title: { text: "value" }, font: { size: 11 } },
  }));
}
const VIRIDIS = [
  "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#e2d33a",
];

// ---------------------------------------------------------------- table and numbers
function makeTable() {
  const head = byId("report").tHead.insertRow();
  for (const name of ["variable", "type", ...columns.map((key) => REPORT[key])]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
}
const columns = Object.keys(REPORT).filter((key) => key in V.report);

function fillTable(types, kept, order) {
  byId("report").tBodies[0].replaceChildren(...order.map((j) => {
    const row = document.createElement("tr");
    row.className = kept[j] ? "" : "removed";
    row.insertCell().textContent = V.names[j];
    const swatch = document.createElement("i");
    swatch.style.background = V.colors[types[j]];
    row.insertCell().append(swatch, types[j]);
    for (const key of columns) row.insertCell().textContent = fixed(V.report[key][j], 3);
    return row;
  }));
}

function readout(id, value, all, unit = "") {
  byId(id).textContent = value + unit;
  const small = document.createElement("small");
  small.textContent = ` (${all} with all)`;
  byId(id).append(small);
}

// ---------------------------------------------------------------- sentences, all out of the numbers
const largest = (key, members) => fixed(most(members.map((j) => V.report[key][j] ?? 0)), 2);
function correlated(type, members) {
  return `Largest correlation of ${type === "active" ? "an" : "a"} ${type} variable with another: ` +
    `${largest("max_correlation_mean", members)} in mean codes, ` +
    `${largest("max_correlation_sampled", members)} in sampled codes.`;
}

function evidence(type, members) {
  if (members.length === 0) return "None under this rule.";
  const variance = members.map((j) => V.report.mean_of_variance[j]);
  const near = variance.filter((s2) => Math.abs(s2 - IDEAL[type]) <= NEAR).length;
  return `E[s²] is ${fromTo(variance)} here` +
    (type in IDEAL ? `, within ${NEAR} of ${IDEAL[type]} for ${near} of ${members.length}. ` : ". ") +
    correlated(type, members);
}

function changed(passive) {
  const change = V.traversal.largest_change;
  const others = numbers.filter((j) => !passive.includes(j));
  const upTo = (members) => short(most(members.map((j) => change[j])));
  if (passive.length === 0 || others.length === 0) return ` A variable changes a decoded value by up to ${upTo(numbers)}.`;
  return ` A passive variable changes a decoded value by up to ${upTo(passive)}, another one by up to ${upTo(others)}.`;
}

// ---------------------------------------------------------------- the page
function render() {
  const c = V.criteria[state.criterion], i = state.index;
  const types = c.types[i], kept = c.kept[i], nKept = kept.filter(Boolean).length;
  const order = [...numbers].sort((a, b) => c.values[b] - c.values[a]);
  byId("threshold").textContent = short(V.thresholds[i]);
  byId("slider").value = i;
  byId("slider").setAttribute("aria-valuetext", short(V.thresholds[i]));
  byId("criterion").value = state.criterion;
  byId("kept").textContent = `${nKept} of ${n}`;
  for (const kind of ["mean", "sampled"]) {
    const totals = c[`total_correlation_${kind}`];
    readout(`tc-${kind}`, fixed(totals[i], 2), fixed(totals[0], 2), " nats");
  }
  if (V.score !== null) {
    const error = c.standard_error[i] === null ? "" : ` ± ${fixed(c.standard_error[i], 3)}`;
    readout("score", fixed(c.score[i], 3) + error, fixed(c.score[0], 3));
  }
  byId("message").textContent = nKept === 0
    ? "No variable is left at this threshold: PassiveVariableRemover raises an error here."
    : i === 0 ? "Threshold 0 removes nothing, whatever the types." : "";
  for (const article of document.querySelectorAll("article")) {
    const { type } = article.dataset, known = c.knows.includes(type);
    const members = numbers.filter((j) => types[j] === type);
    article.querySelector("b").textContent = known ? members.length : "–";
    article.querySelector(".numbers").textContent = known ? evidence(type, members) : "Unknown to this criterion.";
  }
  byId("types-note").textContent = `A variable is ${formula(c.words).replaceAll("{threshold}", short(V.thresholds[i]))}.` +
    (c.knows.includes("mixed") ? "" : " This criterion knows no mixed variables.") +
    (V.drop.includes("mixed") ? " Mixed variables are removed as well." : "");
  const passive = numbers.filter((j) => types[j] === "passive");
  byId("correlation-note").textContent = passive.length === 0 ? "" : " " + correlated("passive", passive);
  if (V.traversal !== null) byId("change-note").textContent = changed(passive);
  drawKept(c);
  drawTotalCorrelation(c);
  drawScore(c);
  drawStatistic(c, types, order);
  drawVariances(types);
  drawCorrelations(kept, order);
  drawTraversal(types, kept, order);
  fillTable(types, kept, order);
  document.body.dataset.drawn = `${state.criterion} ${i}`;
}

let waiting = false;
function change(update) {
  Object.assign(state, update);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; render(); });
}

function start() {
  const rows = V.n_rows.toLocaleString("en") +
    (V.n_rows < V.n_rows_given ? ` of ${V.n_rows_given.toLocaleString("en")} rows, drawn at random` : " rows");
  byId("model").textContent = `${V.encoder} · ${n} latent variables · ${rows} · ${V.n_features} features`;
  for (const name of Object.keys(V.criteria)) byId("criterion").add(new Option(V.criteria[name].title, name));
  byId("slider").max = V.thresholds.length - 1;
  for (const article of document.querySelectorAll("article")) {
    article.style.borderLeftColor = V.colors[article.dataset.type];
    article.hidden = article.dataset.type === "undecided" && V.alpha === null;
    article.querySelector("h2").append(document.createElement("b"));
  }
  if (V.score === null) {
    byId("score-box").hidden = byId("figure-score").hidden = true;
  } else {
    byId("score-name").textContent = `Cross-validated ${V.score.name}`;
    byId("score-note").textContent = ` The score is that of ${V.score.predictor} on the kept ` +
      `${V.output} codes, fitted again in each of ${V.score.n_folds} folds. The encoder stays as it ` +
      "is fitted and has seen all rows: compare thresholds by this score, and estimate the score " +
      "itself with GridSearchCV over the whole pipeline.";
  }
  if (V.traversal === null) {
    byId("traversal-note").textContent = "This encoder has no decoder: there is nothing to show.";
  } else {
    byId("traversal-note").textContent = "Decoded while one variable runs from −2 to 2 and the others " +
      "stay at 0, the mean of the prior." +
      (V.traversal.pixels ? " Removed ones are faded." : " Click a row for its profile.");
    if (V.traversal.pixels) makeImages();
    else byId("profiles").hidden = false;
  }
  makeTable();
  render();

  byId("slider").addEventListener("input", (event) => change({ index: Number(event.target.value) }));
  byId("criterion").addEventListener("change", (event) => change({ criterion: event.target.value }));
  for (const id of ["plot-kept", "plot-tc", "plot-score"]) {
    byId(id).on?.("plotly_click", (event) => change({ index: event.points[0].pointIndex }));
  }
  byId("plot-changes").on?.("plotly_click", (event) => {
    const values = V.criteria[state.criterion].values;
    change({ variable: [...numbers].sort((a, b) => values[b] - values[a])[event.points[0].y] });
  });
}
start();
window.addEventListener("resize", () => change({}));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => change({}));
