// The spikes as pixels.

let image = null, cells = new Int32Array(0);   // pixels, and numbers of spikes in them

// Red, green, blue of a CSS colour #rrggbb, and how opaque: as ImageData has them.
function pixelOf(color, opacity) {
  const value = parseInt(color.slice(1), 16);
  return (Math.round(255 * opacity) << 24 | (value & 255) << 16 | (value >> 8 & 255) << 8 | value >> 16) >>> 0;
}

// Of all spikes, or every k-th.
function drawSpikes(step, context, ratio, x, y, width, height) {
  const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (!image || image.width !== w || image.height !== h) image = new ImageData(w, h);
  const pixels = new Uint32Array(image.data.buffer).fill(0);
  const scale = { x: w / (view.t1 - view.t0), y: h / (view.y1 - view.y0) };
  const parts = shown().map((population) => ({ population, ...partOf(population, view) }));
  const n = parts.reduce((sum, { begin, end }) => sum + end - begin, 0);
  // Dots as large as leaves most of the picture free, else spikes are counted by pixel.
  const dot = [3, 2].find((size) => n * (size * ratio) ** 2 <= 0.3 * w * h);
  if (dot) drawMarkers(pixels, parts, dot, w, h, scale, ratio);
  else drawCounts(pixels, parts, step, w, h, scale);
  if (isUpwards()) {
    for (let top = 0; top < h >> 1; top++) {
      const upper = pixels.slice(top * w, (top + 1) * w), bottom = h - 1 - top;
      pixels.copyWithin(top * w, bottom * w, (bottom + 1) * w);
      pixels.set(upper, bottom * w);
    }
  }
  context.putImageData(image, Math.round(x * ratio), Math.round(y * ratio));
}

// A tick for each spike where rows have the height for it, else a dot.
function drawMarkers(pixels, parts, dot, w, h, scale, ratio) {
  const isTick = scale.y >= 6 * ratio;
  const wide = Math.round((isTick ? 1.5 : dot) * ratio);
  const high = isTick ? Math.min(Math.round(0.8 * scale.y), Math.round(16 * ratio)) : wide;
  for (const { population, begin, end } of parts) {
    const { times, rows, first } = population, color = pixelOf(cssColor(colorName(population)), 1);
    for (let i = begin; i < end; i++) {
      const column = Math.floor((times[i] - view.t0) * scale.x) - (wide >> 1);
      const row = Math.floor((first + rows[i] + 0.5 - view.y0) * scale.y) - (high >> 1);
      for (let py = Math.max(row, 0); py < Math.min(row + high, h); py++) {
        for (let px = Math.max(column, 0); px < Math.min(column + wide, w); px++) pixels[py * w + px] = color;
      }
    }
  }
}

// The number of spikes of a pixel as its darkness; of each population in counts of its own, as they may share pixels.
// Where rows are higher than pixels, they are counted by row. Counts are by column, as spikes come in time.
function drawCounts(pixels, parts, step, w, h, scale) {
  const size = w * (h + 2 * parts.length);
  if (cells.length < size) cells = new Int32Array(size);
  let used = 0;
  const counted = parts.map(({ population, begin, end }) => {
    const lines = linesOf(population, h, scale.y), counts = cells.subarray(used, used += lines.n * w).fill(0);
    countPixels(population, begin, end, step, counts, lines, w, scale.x);
    return { population, counts, lines };
  });
  const most = darkest(cells.subarray(0, used));
  for (const { population, counts, lines } of counted) {
    const color = cssColor(colorName(population));
    const shades = Uint32Array.from({ length: most + 1 }, (_, k) => pixelOf(color, 0.15 + 0.85 * Math.sqrt(k / most)));
    for (let px = 0; px < w; px += 16) shadeColumns(pixels, w, px, Math.min(px + 16, w), lines, counts, shades);
  }
}

// The lines in which spikes of a population are counted: how many, of each row which one, and the pixels of each, from
// `top` to before `bottom`.
function linesOf({ first, nRows }, h, perRow) {
  const shift = first - view.y0, isByRow = perRow > 1.5, tall = isByRow ? Math.max(Math.round(0.8 * perRow), 1) : 1;
  const low = Math.max(Math.floor(isByRow ? -shift : shift * perRow), 0);
  const rowsTo = Math.min(Math.ceil(view.y1 - first), nRows), to = Math.floor((shift + nRows) * perRow) + 1;
  const high = isByRow ? rowsTo : Math.min(to, h);
  const n = Math.max(high - low, 0), ofRow = new Int32Array(nRows);
  for (let row = 0; row < nRows; row++) {
    const line = (isByRow ? row : Math.floor((row + 0.5 + shift) * perRow)) - low;
    ofRow[row] = line < n ? Math.max(line, -1) : -1;
  }
  const pixelOfLine = (line) => isByRow ? Math.floor((low + line + 0.5 + shift) * perRow) - (tall >> 1) : low + line;
  const top = Int32Array.from({ length: n }, (_, line) => Math.max(pixelOfLine(line), 0));
  const bottom = Int32Array.from({ length: n }, (_, line) => Math.min(pixelOfLine(line) + tall, h));
  return { n, ofRow, top, bottom };
}

// As many columns as a cache line has pixels.
function shadeColumns(pixels, w, from, to, { n, top, bottom }, counts, shades) {
  const most = shades.length - 1;
  for (let line = 0; line < n; line++) {
    const begin = top[line], end = bottom[line];
    for (let px = from, i = from * n + line; px < to; px++, i += n) {
      const count = counts[i];
      if (count > 0) {
        const shade = shades[count < most ? count : most];
        for (let py = begin; py < end; py++) pixels[py * w + px] = shade;
      }
    }
  }
}

function countPixels(population, begin, end, step, counts, lines, w, perTime) {
  const { times, rows } = population;
  if (end - begin < w) return countFew(population, begin, end, step, counts, lines, w, perTime);
  for (let px = 0; px < w; px++) {
    const to = px < w - 1 ? indexOf(times, view.t0 + (px + 1) / perTime) : end;
    countColumn(rows, begin, to, step, lines.ofRow, counts, px * lines.n);
    begin = Math.max(begin, to);
  }
}

function countFew({ times, rows }, begin, end, step, counts, { n, ofRow }, w, perTime) {
  for (let i = begin; i < end; i += step) {
    const px = Math.min(Math.floor((times[i] - view.t0) * perTime), w - 1), line = ofRow[rows[i]];
    if (line >= 0) counts[px * n + line]++;
  }
}

// Functions with the innermost loops are small and often called: browsers compile these best.
function countColumn(rows, begin, end, step, lineOfRow, counts, from) {
  for (let i = begin; i < end; i += step) {
    const line = lineOfRow[rows[i]];
    if (line >= 0) counts[from + line]++;
  }
}

// The count from which on pixels are equally dark: a percent of those with spikes, by every third one.
function darkest(counts) {
  const numberOf = new Uint32Array(1025);
  for (let i = 0; i < counts.length; i += 3) if (counts[i]) numberOf[counts[i] < 1024 ? counts[i] : 1024]++;
  const few = 0.01 * numberOf.reduce((sum, value) => sum + value, 0);
  let most = 1024, above = numberOf[1024];
  while (most > 1 && above + numberOf[most - 1] <= few) above += numberOf[--most];
  return most;
}
