// What mouse, fingers and keys do, and the beginning of all.

function show(t0, t1, y0 = view.y0, y1 = view.y1) {
  const [longest, most] = [whole.t1 - whole.t0, whole.y1];
  const largest = Math.max(Math.abs(whole.t0), Math.abs(whole.t1));
  const shortest = Math.min(Math.max(1e-6, 1e4 * Number.EPSILON * largest), longest);
  const time = Math.min(Math.max(t1 - t0, shortest), longest);
  const rows = Math.min(Math.max(y1 - y0, Math.min(2, most)), most);
  const begin = Math.min(Math.max((t0 + t1 - time) / 2, whole.t0), whole.t1 - time);
  const top = Math.min(Math.max((y0 + y1 - rows) / 2, 0), most - rows);
  Object.assign(view, { t0: begin, t1: time === longest ? whole.t1 : begin + time, y0: top, y1: top + rows });
  byId("tip").hidden = true;
  move();
}

// By a factor about a place, which stays where it is; a place is a share of the width, of the height from row y0 on.
function zoom(factorT, factorY, atT = 0.5, atY = 0.5) {
  const time = view.t1 - view.t0, rows = view.y1 - view.y0;
  const [t, y] = [view.t0 + atT * time, view.y0 + atY * rows];
  const begin = t - atT * time * factorT, top = y - atY * rows * factorY;
  show(begin, begin + time * factorT, top, top + rows * factorY);
}

const pan = (t, y) => show(view.t0 + t * (view.t1 - view.t0), view.t1 + t * (view.t1 - view.t0),
  view.y0 + y * (view.y1 - view.y0), view.y1 + y * (view.y1 - view.y0));
const reset = () => show(whole.t0, whole.t1, 0, whole.y1);
const select = (region) => { selection = region; move(); };
const zoomToSelection = () => selection && show(selection.t0, selection.t1, selection.y0, selection.y1);

// Where a pointer is: as shares of the plot in it, and of which canvas.
function placeOf(event) {
  const element = event.currentTarget, box = element.getBoundingClientRect();
  const x = (event.clientX - box.left - left()) / (box.width - left() - RIGHT);
  const y = (event.clientY - box.top - TOP) / (canvas.raster.clientHeight - 2 * TOP);
  return { x, y: isUpwards() ? 1 - y : y, isRaster: element === canvas.raster };
}

function regionBetween(a, b) {
  const share = (value) => Math.min(Math.max(value, 0), 1);
  const time = (place) => view.t0 + share(place.x) * (view.t1 - view.t0);
  const row = (place) => Math.round(view.y0 + share(place.y) * (view.y1 - view.y0));
  const [t, y] = [[time(a), time(b)].sort((p, q) => p - q), [row(a), row(b)].sort((p, q) => p - q)];
  return { t0: t[0], t1: t[1], ...(a.isRaster ? { y0: y[0], y1: Math.max(y[1], y[0] + 1) } : { y0: 0, y1: whole.y1 }) };
}

function listen() {
  const pointers = new Map();
  let start = null, isSelecting = false, from = null;
  const begin = () => { start = { view: { ...view }, places: [...pointers.values()] }; };
  for (const element of [canvas.raster, canvas.rate]) {
    element.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, placeOf(event));
      from = { x: event.clientX, y: event.clientY };
      isSelecting = pointers.size === 1 && (event.shiftKey || byId("select").getAttribute("aria-pressed") === "true");
      element.classList.add(isSelecting ? "selecting" : "panning");
      begin();
    });
    element.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return point(event);
      pointers.set(event.pointerId, placeOf(event));
      const places = [...pointers.values()], { view: was } = start;
      const [time, rows] = [was.t1 - was.t0, was.y1 - was.y0];
      if (isSelecting) return select(regionBetween(start.places[0], places[0]));
      const middle = (list, axis) => list.reduce((sum, place) => sum + place[axis], 0) / list.length;
      const apart = (list, axis) => list.length < 2 ? 1 : Math.max(Math.abs(list[0][axis] - list[1][axis]), 0.05);
      const [factorT, factorY] = ["x", "y"].map((axis) => apart(start.places, axis) / apart(places, axis));
      const t = was.t0 + middle(start.places, "x") * time - middle(places, "x") * time * factorT;
      const y = was.y0 + middle(start.places, "y") * rows - middle(places, "y") * rows * factorY;
      show(t, t + time * factorT, ...(places[0].isRaster ? [y, y + rows * factorY] : []));
    });
    const end = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      element.classList.remove("selecting", "panning");
      const isClick = Math.hypot(event.clientX - from.x, event.clientY - from.y) < 4;
      if (isClick && pointers.size === 0) select(null);
      if (pointers.size) begin();
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
    element.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
    element.addEventListener("dblclick", reset);
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const place = placeOf(event), amount = event.deltaMode === 1 ? 30 : 1;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        return pan(((event.deltaX || event.deltaY) * amount) / canvas.raster.clientWidth, 0);
      }
      const factor = Math.exp((event.ctrlKey ? 0.01 : 0.0015) * event.deltaY * amount);
      if (place.isRaster && (event.altKey || place.x < 0)) zoom(1, factor, 0.5, place.y);
      else zoom(factor, 1, Math.min(Math.max(place.x, 0), 1));
    }, { passive: false });
  }
  canvas.raster.addEventListener("keydown", press);
  byId("zoom-in").onclick = () => zoom(0.5, 1);
  byId("zoom-out").onclick = () => zoom(2, 1);
  byId("reset").onclick = reset;
  byId("clear").onclick = () => select(null);
  byId("zoom-selection").onclick = zoomToSelection;
  byId("select").onclick = ({ currentTarget: button }) =>
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  byId("log").onchange = ({ currentTarget: box }) => { isLog = box.checked; ask(); };
  new ResizeObserver(ask).observe(byId("plots"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
}

function press(event) {
  const up = isUpwards() ? 0.1 : -0.1;
  const action = {
    ArrowLeft: () => pan(-0.1, 0), ArrowRight: () => pan(0.1, 0),
    ArrowUp: () => pan(0, up), ArrowDown: () => pan(0, -up),
    "+": () => zoom(0.5, 1), "=": () => zoom(0.5, 1), "-": () => zoom(2, 1),
    "]": () => zoom(1, 0.5), "[": () => zoom(1, 2),
    Home: reset, Escape: () => select(null), z: zoomToSelection, Z: zoomToSelection,
  }[event.key];
  if (!action || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  action();
}

// The spike at the pointer: the nearest within a few pixels.
function point(event) {
  const place = placeOf(event), tip = byId("tip");
  const span = view.t1 - view.t0, rowSpan = view.y1 - view.y0;
  const perTime = plotWidth() / span;
  const perRow = (canvas.raster.clientHeight - 2 * TOP) / rowSpan;
  const time = view.t0 + place.x * span, row = view.y0 + place.y * rowSpan;
  let best = null, nearest = 6;
  for (const population of place.isRaster && place.x >= 0 && place.x <= 1 ? shown() : []) {
    const { times, rows, first } = population, end = indexOf(times, time + 6 / perTime, true);
    for (let i = indexOf(times, time - 6 / perTime); i < end; i++) {
      const aside = Math.max(Math.abs(first + rows[i] + 0.5 - row) - 0.5, 0);
      const apart = Math.hypot((times[i] - time) * perTime, aside * perRow);
      if (apart < nearest) [best, nearest] = [{ population, row: rows[i], time: times[i] }, apart];
    }
  }
  tip.hidden = !best;
  if (!best) return;
  tip.textContent = `${best.population.name} ${idOf(best.population, best.row)}: ${best.time} ms`;
  const box = byId("plots").getBoundingClientRect(), isRight = event.clientX - box.left > box.width / 2;
  tip.style.top = `${Math.max(event.clientY - box.top - 34, 0)}px`;
  tip.style.left = isRight ? "" : `${event.clientX - box.left + 12}px`;
  tip.style.right = isRight ? `${box.right - event.clientX + 12}px` : "";
}

function list() {
  for (const population of populations) {
    const item = document.createElement("li"), label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    const [swatch, name, count] = ["swatch", "name", "count"].map((className) =>
      Object.assign(document.createElement("span"), { className }));
    swatch.style.background = `var(${colorName(population)})`;
    const neurons = `${inWords.format(population.n)} neuron${population.n === 1 ? "" : "s"}`;
    const who = `, ${inWords.format(population.nRows)} ${population.isKnown ? "recorded" : "fired"}`;
    const recorded = population.nRows === population.n ? "" : who;
    name.textContent = population.name;
    label.title = [population.model, neurons + recorded].filter(Boolean).join(", ");
    population.label = count;
    box.onchange = () => {
      population.isShown = box.checked;
      selection = null;
      stack();
      show(view.t0, view.t1, 0, whole.y1);
    };
    label.append(box, swatch, name, count);
    item.append(label);
    byId("populations").append(item);
  }
}

async function main() {
  const bytes = await unpacked(), read = reader(bytes);
  populations = about.populations.map((told, index) => populationOf(told, index, read));
  longInterval = usualLongest();
  const nSpikes = about.populations.reduce((sum, told) => sum + told.nSpikes, 0);
  byId("whole").textContent = `${inWords.format(nSpikes)} spikes, ${digits(whole.t0, 8)} to ${digits(whole.t1, 8)} ms`;
  byId("message").textContent = nSpikes ? "" : "No spikes";
  canvas.raster.setAttribute("aria-label", `Raster of ${byId("whole").textContent}`);
  window.viewer = { about, view, whole };   // for tests
  stack();
  Object.assign(view, whole);
  list();
  listen();
  draw();
  // When the browser has painted it, in ms from when it began to open the page.
  requestAnimationFrame(() => setTimeout(() => { window.viewer.firstPicture = performance.now(); }));
}

main().catch((error) => {
  const isOld = typeof DecompressionStream === "undefined";
  const tooOld = "This browser is too old: the page needs one of 2023 or later";
  byId("message").textContent = isOld ? tooOld : `Failed: ${error}`;
});
