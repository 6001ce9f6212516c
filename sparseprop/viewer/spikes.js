"use strict";
// The spikes, and what is counted in a region of the raster.
//
// Times are in ms. Neurons have rows, and those of all populations that are shown are stacked, from 0. A region is
// {t0, t1, y0, y1}: times with both ends, rows whose middle is in [y0, y1). Sizes in the canvases are in CSS pixels,
// but for the image of the raster, which is in those of the screen.

const BUDGET = 16;            // ms that a frame may take while the view moves: as the screen does
const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent);
const canvas = { raster: byId("raster"), rate: byId("rate"), isi: byId("isi") };
const whole = { t0: about.start, t1: about.stop, y0: 0, y1: 1 };
const view = { ...whole };
let populations = [], selection = null, isLog = false, isMoving = false;
let found = {};               // what was measured last
let longInterval = 0;         // that few are longer than

async function unpacked() {
  const text = byId("data").textContent;
  let packed;
  if (Uint8Array.fromBase64) {
    packed = Uint8Array.fromBase64(text);
  } else {
    const binary = atob(text);
    packed = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) packed[i] = binary.charCodeAt(i);
  }
  byId("data").remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The arrays of sparseprop/viewer/content.py: the lowest bytes of all entries, then the next ones.
function reader(bytes) {
  let at = 0;
  function words(n, k) {        // bytes 4k to 4k + 3 of each of n entries, of an array that begins at `at`
    const result = new Uint32Array(n), b = at + 4 * k * n;
    for (let i = 0; i < n; i++) {
      result[i] = bytes[b + i] | bytes[b + n + i] << 8 | bytes[b + 2 * n + i] << 16 | bytes[b + 3 * n + i] << 24;
    }
    return result;
  }
  return {
    uint32(n) {
      const result = words(n, 0);
      at += 4 * n;
      return result;
    },
    float64(n) {                // sums, modulo 2^64, of what is there; every browser is little-endian
      const result = new Float64Array(n), halves = new Uint32Array(result.buffer);
      const low = words(n, 0), high = words(n, 1);
      let sumLow = 0, sumHigh = 0;
      for (let i = 0; i < n; i++) {
        sumLow += low[i];
        const carry = sumLow > 0xffffffff ? 1 : 0;
        sumLow >>>= 0;
        sumHigh = (sumHigh + high[i] + carry) >>> 0;
        halves[2 * i] = sumLow;
        halves[2 * i + 1] = sumHigh;
      }
      at += 8 * n;
      return result;
    },
  };
}

function populationOf(told, index, read) {
  const times = read.float64(told.nSpikes), rows = read.uint32(told.nSpikes);
  const ids = told.hasIds ? read.uint32(told.nRows) : null;
  // Of each spike, the one of its neuron before it, and the interval between them; -1 and 0 for the first.
  const previous = new Int32Array(told.nSpikes), intervals = new Float64Array(told.nSpikes);
  const last = new Int32Array(told.nRows).fill(-1);
  for (let i = 0; i < times.length; i++) {
    const before = last[rows[i]];
    previous[i] = before;
    if (before >= 0) intervals[i] = times[i] - times[before];
    last[rows[i]] = i;
  }
  return { ...told, index, times, rows, ids, previous, intervals, isShown: true, first: 0 };
}

// From some of them.
function usualLongest() {
  const some = [];
  for (const { intervals, previous } of populations) {
    const step = Math.max(1, Math.floor(intervals.length / 20000));
    for (let i = 0; i < intervals.length; i += step) if (previous[i] >= 0) some.push(intervals[i]);
  }
  some.sort((a, b) => a - b);
  return some.length ? some[Math.floor(0.99 * (some.length - 1))] : 0;
}

const shown = () => populations.filter((population) => population.isShown);
const idOf = (population, row) => population.ids ? population.ids[row] : row;
const isUpwards = () => populations.length === 1;   // several are read from the top, like their list

function stack() {
  let first = 0;
  for (const population of shown()) {
    population.first = first;
    first += population.nRows;
  }
  whole.y1 = Math.max(first, 1);
}

// The first of sorted times that is not before `time`, or with `after`, that is after it.
function indexOf(times, time, after = false) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] < time || (after && times[middle] === time)) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Of a population: its rows [low, high) and its spikes [begin, end), of which those in other rows are to be left out.
function partOf(population, region) {
  const clip = (row) => Math.min(Math.max(row, 0), population.nRows);
  return {
    low: clip(Math.ceil(region.y0 - population.first - 0.5)),
    high: clip(Math.ceil(region.y1 - population.first - 0.5)),
    begin: indexOf(population.times, region.t0),
    end: indexOf(population.times, region.t1, true),
  };
}

// 1, 2 or 5 times a power of ten, the next one above.
function roundUp(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-12));
}

// Whole bins, of a selection from its beginning, else from that of the raster, so that they stay while it is panned.
function rateEdges(region) {
  const span = region.t1 - region.t0, share = span / (view.t1 - view.t0);
  const width = roundUp(span / Math.min(Math.max(share * plotWidth() / 4, 10), 200));
  const origin = selection ? selection.t0 : whole.t0, end = selection ? selection.t1 : whole.t1;
  const first = Math.max(0, Math.floor((region.t0 - origin) / width));
  const last = Math.min(Math.ceil((region.t1 - origin) / width), Math.floor((end - origin) / width * (1 + 1e-12)));
  return Array.from({ length: Math.max(last - first, 0) + 1 }, (_, k) => origin + (first + k) * width);
}

// Numbers of spikes in bins; one less than a billionth of the width before a bin is in it, as in sparseprop.analysis.
function binned(population, part, edges) {
  const { times, rows } = population, counts = new Array(edges.length - 1).fill(0);
  const before = edges.length > 1 ? 1e-9 * (edges[1] - edges[0]) : 0;
  const at = edges.map((edge) => indexOf(times, edge - Math.max(before, Math.abs(edge) * 2 ** -50)));
  const all = part.low === 0 && part.high === population.nRows;
  for (let k = 0; k < counts.length; k++) {
    if (all) counts[k] = at[k + 1] - at[k];
    else for (let i = at[k]; i < at[k + 1]; i++) if (rows[i] >= part.low && rows[i] < part.high) counts[k]++;
  }
  return counts;
}

// Bins of interspike intervals: of equal width from 0, or ten for each factor of ten, from 1e-3 to 1e7 ms. Their counts
// have one more for intervals that are in none.
function intervalBins(region) {
  if (isLog) return { perDecade: 10, first: -30, size: 100, areUsual: true };
  const longest = Math.min(longInterval, region.t1 - region.t0) || 1, width = roundUp(longest / 60);
  return { width, size: Math.ceil(longest / width * (1 - 1e-12)), areUsual: longest === longInterval };
}

function binOf(interval, { width, perDecade, first, size }) {
  const bin = Math.floor(width ? interval / width : Math.log10(interval) * perDecade - first);
  return bin >= 0 && bin < size ? bin : size;
}

// The bins of the intervals of spikes [begin, end) of a population; those of usual bins are kept for the next frames.
function binsOf(population, bins, begin, end) {
  const { intervals, kept } = population;
  if (bins.areUsual && kept?.width === bins.width) return kept.of;
  const of = new Uint8Array(intervals.length);
  if (bins.areUsual) {
    [begin, end] = [0, of.length];
    population.kept = { width: bins.width, of };
  }
  for (let i = begin; i < end; i++) of[i] = binOf(intervals[i], bins);
  return of;
}

// Counts a population's spikes in its part of a region, and the intervals between those of a neuron.
function countInto(isi, population, part) {
  const bins = binsOf(population, isi, part.begin, part.end);
  let nSpikes = 0;
  for (let i = part.begin; i < part.end; i += 4096) {
    nSpikes += countSome(isi, population, part, bins, i, Math.min(i + 4096, part.end));
  }
  return nSpikes;
}

function countSome({ counts, sums }, { rows, previous, intervals }, { low, high, begin }, bins, from, to) {
  let nSpikes = 0, sum = 0;
  for (let i = from; i < to; i++) {
    if (rows[i] >= low && rows[i] < high) {
      nSpikes++;
      if (previous[i] >= begin) {
        sum += intervals[i];
        counts[bins[i]]++;
      }
    }
  }
  sums[0] += sum;
  return nSpikes;
}

function measure(region) {
  const edges = rateEdges(region), bins = intervalBins(region);
  const isi = { ...bins, counts: new Int32Array(bins.size + 1), sums: [0] };
  const perPopulation = shown().map((population) => {
    const part = partOf(population, region), nSpikes = countInto(isi, population, part);
    return { population, nRows: part.high - part.low, nSpikes, counts: binned(population, part, edges) };
  });
  isi.n = isi.counts.reduce((sum, value) => sum + value, 0);
  const isKnown = perPopulation.every(({ population }) => population.isKnown);
  return { region: { ...region }, edges, isi, perPopulation, isKnown };
}

const perSecond = (nSpikes, nRows, time) => 1e3 * nSpikes / ((found.isKnown ? nRows : 1) * time);
