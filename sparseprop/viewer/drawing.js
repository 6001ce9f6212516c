// The pictures: of the raster, rates over time, interspike intervals, and what is said of them in words.

const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colorName = (population) => populations.length > 1 ? `--c${population.index % 8}` : "--single";
const inWords = new Intl.NumberFormat("en-US");
const digits = (value, n = 4) => Number.isFinite(value) ? String(Number(value.toPrecision(n))) : "?";
const left = () => canvas.raster.clientWidth < 600 ? 66 : 76;
const plotWidth = () => canvas.raster.clientWidth - left() - RIGHT;
const RIGHT = 14, TOP = 6, BELOW_RATE = 38, MAX_CURVES = 12;

// The context of a canvas of the screen's pixels, and its size in CSS pixels.
function cleared(element) {
  const ratio = window.devicePixelRatio || 1, width = element.clientWidth, height = element.clientHeight;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== w || element.height !== h) [element.width, element.height] = [w, h];
  const context = element.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = '12px system-ui, "Segoe UI", "Liberation Sans", sans-serif';
  return { context, width, height, ratio };
}

function ticksOf(low, high, atMost, whole = false) {
  let step = roundUp((high - low) / Math.max(atMost, 1));
  if (whole) step = Math.max(step, 1);
  const first = Math.ceil(low / step - 1e-9), n = Math.floor(high / step + 1e-9) - first;
  const places = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), 20);
  return { step, places, values: Array.from({ length: Math.max(n + 1, 0) }, (_, k) => (first + k) * step) };
}

const timeX = (time, x, width) => x + (time - view.t0) / (view.t1 - view.t0) * width;
const rowY = (row, y, height) => {
  const share = (row - view.y0) / (view.y1 - view.y0);
  return y + (isUpwards() ? 1 - share : share) * height;
};

// The times at ticks, and what they are called: after an offset, where they would have too many digits.
function timeAxis(width) {
  const [unit, factor] = view.t1 - view.t0 >= 1e4 ? ["s", 1e-3] : ["ms", 1];
  const low = view.t0 * factor, high = view.t1 * factor;
  const { values, places, step } = ticksOf(low, high, width / 90);
  const isLong = (values.at(-1) ?? 0).toFixed(places).length > 9;
  const grain = isLong ? 10 ** Math.ceil(Math.log10(step) + 1) : 1, base = isLong ? Math.floor(low / grain) * grain : 0;
  const offset = isLong ? ` after ${base.toFixed(Math.max(0, -Math.round(Math.log10(grain))))} ${unit}` : "";
  const labelOf = (value) => value.toFixed(places).replace(/^-(0\.?0*)$/, "$1");
  return {
    title: `time${offset} (${unit})`,
    ticks: values.map((value) => ({ time: value / factor, label: labelOf(value - base) })),
  };
}

function drawRaster(step) {
  const { context, width, height, ratio } = cleared(canvas.raster);
  const x = left(), y = TOP, w = width - x - RIGHT, h = height - 2 * TOP;
  drawSpikes(step, context, ratio, x, y, w, h);
  context.strokeStyle = cssColor("--line");
  context.lineWidth = 1;
  context.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
  context.textBaseline = "middle";
  for (const population of shown()) {
    const ends = [population.first, population.first + population.nRows].map((row) => rowY(row, y, h));
    const [top, bottom] = [Math.max(Math.min(...ends), y), Math.min(Math.max(...ends), y + h)];
    if (bottom - top < 8) continue;
    if (population.first > 0 && ends[0] > y) {
      context.beginPath();
      context.moveTo(x, Math.round(ends[0]) - 0.5);
      context.lineTo(x + w, Math.round(ends[0]) - 0.5);
      context.stroke();
    }
    drawName(context, population, top, bottom);
    drawIds(context, population, x, y, h, top, bottom);
  }
  drawSelection(context, x, y, w, h);
}

function drawName(context, population, top, bottom) {
  context.save();
  const unit = population.isKnown ? "" : " (those that fired)";
  const fits = (text) => context.measureText(text).width < bottom - top;
  context.font = `600 ${context.font}`;
  const name = [`${population.name}${unit}`, population.name].find(fits) ?? "";
  context.translate(10, (top + bottom) / 2);
  if (context.measureText(name).width > 18) context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillStyle = cssColor(colorName(population));
  context.fillText(name, 0, 0);
  context.restore();
}

function drawIds(context, population, x, y, h, top, bottom) {
  if (bottom - top < 16) return;
  const low = Math.max(view.y0 - population.first, 0), high = Math.min(view.y1 - population.first, population.nRows);
  context.fillStyle = cssColor("--soft");
  context.textAlign = "right";
  for (const row of ticksOf(low - 0.5, high - 0.5, (bottom - top) / 36, true).values) {
    if (row < 0 || row >= population.nRows) continue;
    const at = rowY(population.first + row + 0.5, y, h);
    if (at < top - 0.5 || at > bottom + 0.5) continue;
    context.fillText(inWords.format(idOf(population, row)), x - 7, Math.min(Math.max(at, y + 5), y + h - 5));
    context.fillRect(x - 4, Math.round(at) - 0.5, 4, 1);
  }
}

function drawSelection(context, x, y, w, h, ofTimesOnly = false) {
  if (!selection) return;
  const [a, b] = [selection.t0, selection.t1].map((time) => Math.min(Math.max(timeX(time, x, w), x), x + w));
  const rows = [selection.y0, selection.y1].map((row) => Math.min(Math.max(rowY(row, y, h), y), y + h));
  const [top, bottom] = ofTimesOnly ? [y, y + h] : [Math.min(...rows), Math.max(...rows)];
  context.fillStyle = cssColor("--box");
  context.fillRect(a, top, b - a, bottom - top);
  context.strokeStyle = cssColor("--accent");
  if (!ofTimesOnly) context.strokeRect(a, top, b - a, bottom - top);
}

// A frame with values of the y-axis from 0 to `most`, and its height in pixels of one.
function drawFrame(context, x, y, w, h, most, title, whole = false) {
  const { values, places } = ticksOf(0, most, h / 30, whole);
  context.strokeStyle = cssColor("--line");
  context.fillStyle = cssColor("--soft");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of values) {
    const at = Math.round(y + h - value / most * h) - 0.5;
    context.beginPath();
    context.moveTo(x, at);
    context.lineTo(x + w, at);
    context.stroke();
    const label = value < 1e4 ? inWords.format(Number(value.toFixed(places))) : `${inWords.format(value / 1e3)}k`;
    context.fillText(label, x - 7, at);
  }
  context.save();
  context.translate(9, y + h / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(title, 0, 0);
  context.restore();
}

function drawTicks(context, ticks, x, w, below, title) {
  context.fillStyle = cssColor("--soft");
  context.textBaseline = "top";
  context.textAlign = "center";
  for (const { at, label } of ticks) {
    const half = context.measureText(label).width / 2;
    context.fillRect(Math.round(at) - 0.5, below, 1, 4);
    context.fillText(label, Math.min(Math.max(at, half), x + w + RIGHT - half), below + 6);
  }
  context.fillText(title, x + w / 2, below + 21);
}

function drawSteps(context, values, edges, xOf, yOf, color, isFilled) {
  context.beginPath();
  if (isFilled) context.moveTo(xOf(edges[0]), yOf(0));
  values.forEach((value, k) => {
    context.lineTo(xOf(edges[k]), yOf(value));
    context.lineTo(xOf(edges[k + 1]), yOf(value));
  });
  if (isFilled) context.lineTo(xOf(edges.at(-1)), yOf(0));
  context.fillStyle = context.strokeStyle = color;
  if (isFilled) context.fill();
  else context.stroke();
}

// A curve for each population; of very many, one for all.
function curvesOf(perPopulation) {
  const parts = perPopulation.filter(({ nRows }) => nRows);
  if (populations.length > 1 && parts.length <= MAX_CURVES) {
    return parts.map(({ population, ...part }) => ({ color: colorName(population), ...part }));
  }
  const nRows = parts.reduce((sum, part) => sum + part.nRows, 0);
  const counts = found.edges.slice(1).map((_, k) => parts.reduce((sum, part) => sum + part.counts[k], 0));
  return nRows ? [{ color: "--fill", nRows, counts }] : [];
}

function drawRate() {
  const { context, width, height } = cleared(canvas.rate);
  const x = left(), y = TOP, w = width - x - RIGHT, h = height - TOP - BELOW_RATE, { edges, perPopulation } = found;
  const wide = edges.length > 1 ? edges[1] - edges[0] : 1;
  const curves = curvesOf(perPopulation).map(({ color, counts, nRows }) => ({
    color: cssColor(color),
    values: counts.map((count) => perSecond(count, nRows, wide)),
  }));
  const most = 1.05 * curves.reduce((high, { values }) => values.reduce((a, b) => Math.max(a, b), high), 0) || 1;
  drawFrame(context, x, y, w, h, most, found.isKnown ? "rate (Hz)" : "spikes / s");
  context.save();
  context.beginPath();
  context.rect(x, y - 1, w, h + 2);
  context.clip();
  context.lineWidth = 1.25;
  for (const { color, values } of curves.reverse()) {
    const yOf = (value) => y + h - value / most * h;
    drawSteps(context, values, edges, (time) => timeX(time, x, w), yOf, color, color === cssColor("--fill"));
  }
  drawSelection(context, x, y, w, h, true);
  context.restore();
  const { title, ticks } = timeAxis(w);
  const places = ticks.map(({ time, label }) => ({ at: timeX(time, x, w), label }));
  drawTicks(context, places, x, w, y + h, `${title}, bins of ${digits(wide)} ms`);
}

function drawIntervals() {
  const { context, width, height } = cleared(canvas.isi), { isi } = found;
  const x = 64, y = TOP, w = width - x - RIGHT, h = height - TOP - BELOW_RATE;
  let edges, ticks, xOf, counts = Array.from(isi.counts.subarray(0, isi.size));
  if (isLog) {
    const begin = Math.max(counts.findIndex((count) => count), 0), end = counts.findLastIndex((count) => count) + 1;
    const first = Math.floor(begin / 10) * 10, last = Math.max(Math.ceil(end / 10) * 10, first + 10);
    counts = counts.slice(first, last);
    edges = Array.from({ length: counts.length + 1 }, (_, k) => first + isi.first + k);
    xOf = (edge) => x + (edge - edges[0]) / counts.length * w;
    const whole = edges.filter((edge) => edge % 10 === 0);
    ticks = whole.map((edge) => ({ at: xOf(edge), label: digits(10 ** (edge / 10)) }));
  } else {
    edges = Array.from({ length: counts.length + 1 }, (_, k) => k * isi.width);
    xOf = (edge) => x + edge / edges.at(-1) * w;
    const { values, places } = ticksOf(0, edges.at(-1), w / 55);
    ticks = values.map((value) => ({ at: xOf(value), label: value.toFixed(places) }));
  }
  const most = 1.05 * Math.max(...counts) || 1;
  drawFrame(context, x, y, w, h, most, "intervals", true);
  drawSteps(context, counts, edges, xOf, (value) => y + h - value / most * h, cssColor("--fill"), true);
  drawTicks(context, ticks, x, w, y + h, "interval (ms)");
}

function writeFound() {
  const { region, isi, perPopulation } = found, time = region.t1 - region.t0;
  const nSpikes = perPopulation.reduce((sum, part) => sum + part.nSpikes, 0);
  const nRows = perPopulation.reduce((sum, part) => sum + part.nRows, 0);
  const places = Math.min(Math.max(0, 3 - Math.floor(Math.log10(time))), 12);
  byId("region").textContent = selection ? "Selected" : "In view";
  byId("found").textContent = `${inWords.format(nSpikes)} spikes of ${inWords.format(nRows)} neurons, ` +
    `${region.t0.toFixed(places)} to ${region.t1.toFixed(places)} ms` +
    (nRows && found.isKnown ? `, mean rate ${digits(perSecond(nSpikes, nRows, time))} Hz` : "");
  const nOutside = isi.counts[isi.size], where = isLog ? "outside" : "longer";
  const outside = nOutside ? `; ${inWords.format(nOutside)} ${where}` : "";
  const mean = `${inWords.format(isi.n)}, mean ${digits(isi.sums[0] / isi.n)} ms${outside}`;
  byId("intervals").textContent = isi.n ? mean : "no neuron with two spikes";
  const parts = new Map(perPopulation.map((part) => [part.population, part]));
  for (const population of populations) {
    const part = parts.get(population);
    const hertz = part ? 1e3 * part.nSpikes / (part.nRows * time) : NaN;
    const rate = Number.isFinite(hertz) && population.isKnown ? `, ${digits(hertz, 3)} Hz` : "";
    const said = part ? `${inWords.format(part.nSpikes)}${rate}` : "hidden";
    population.label.textContent = population.nRows ? said : "not recorded";
  }
  byId("clear").disabled = byId("zoom-selection").disabled = !selection;
}

let isAsked = false, rest = 0;
let pace = 2e-5;   // ms that a spike takes, as found before
function ask() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(draw);
}

// While it moves, as many spikes as there is time for; what is counted and the others follow when it rests.
function draw() {
  const begin = performance.now();
  isAsked = false;
  const n = shown().map((population) => partOf(population, view)).reduce((sum, part) => sum + part.end - part.begin, 0);
  const step = isMoving ? Math.max(1, Math.ceil(n * pace / BUDGET)) : 1;
  if (step === 1) found = measure(selection ?? view);
  drawRaster(step);
  drawRate();
  drawIntervals();
  writeFound();
  const frame = performance.now() - begin;
  if (step === 1 && n > 200000) pace = (pace + frame / n) / 2;
  Object.assign(window.viewer, { selection, found, frame });
}

function move() {
  isMoving = true;
  clearTimeout(rest);
  rest = setTimeout(() => { isMoving = false; ask(); }, 120);
  ask();
}
