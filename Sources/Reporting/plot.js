"use strict";
// Plots on canvas that share one time axis.
const root = document.documentElement;
addEventListener("error", e => { root.dataset.error = e.message; });

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value; else if (name.startsWith("on")) element[name] = value;
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};
const colour = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
const undelta = (list, scale) => { let sum = 0; return Float64Array.from(list, x => (sum += x) * scale); };
// The first index whose value is not below `x`.
const lower = (sorted, x) => {
  let low = 0, high = sorted.length;
  while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] < x) low = middle + 1; else high = middle; }
  return low;
};
const digits = (x, n) => (Math.abs(x) < .5 * 10 ** -n ? 0 : x).toLocaleString("en", { maximumFractionDigits: n, minimumFractionDigits: n });
const seconds = (x, span) => digits(x, span < 0.02 ? 5 : span < 0.2 ? 4 : span < 2 ? 3 : span < 20 ? 2 : 1);
const rate = kbps => kbps >= 1e6 ? digits(kbps / 1e6, 2) + " Gbit/s" : kbps >= 1e3 ? digits(kbps / 1e3, 2) + " Mbit/s" : digits(kbps, 0) + " kbit/s";
const bytes = n => n >= 1e9 ? digits(n / 1e9, 2) + " GB" : n >= 1e6 ? digits(n / 1e6, 2) + " MB" : n >= 1e3 ? digits(n / 1e3, 1) + " kB" : digits(n, 0) + " B";
const millis = x => digits(x, x < 10 ? 2 : x < 100 ? 1 : 0) + " ms";

const step = (span, most) => {
  const raw = span / Math.max(1, most), power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map(m => m * power).find(s => s >= raw * 0.999) || power * 10;
};

const Shapes = {
  circle: (c, x, y, r) => { c.moveTo(x + r, y); c.arc(x, y, r, 0, 7); },
  square: (c, x, y, r) => c.rect(x - r * .9, y - r * .9, r * 1.8, r * 1.8),
  triangle: (c, x, y, r) => { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.1, y + r * .8); c.lineTo(x - r * 1.1, y + r * .8); c.closePath(); },
  diamond: (c, x, y, r) => { c.moveTo(x, y - r * 1.3); c.lineTo(x + r * 1.3, y); c.lineTo(x, y + r * 1.3); c.lineTo(x - r * 1.3, y); c.closePath(); },
  cross: (c, x, y, r) => { c.moveTo(x - r, y - r); c.lineTo(x + r, y + r); c.moveTo(x + r, y - r); c.lineTo(x - r, y + r); },
};

const View = {
  from: 0, to: 1, whole: [0, 1], plots: [], pending: false, points: 0,
  start(from, length) {
    const margin = Math.max(length * 0.01, 1e-4);
    this.whole = [from - margin, from + length + margin];
    [this.from, this.to] = this.whole;
  },
  show(from, to) {
    const [low, high] = this.whole, span = Math.max(1e-4, Math.min(high - low, to - from));
    this.from = Math.max(low, Math.min(high - span, from));
    this.to = this.from + span;
    this.redraw();
  },
  zoom(factor, around = (this.from + this.to) / 2) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  },
  pan(share) { const by = (this.to - this.from) * share; this.show(this.from + by, this.to + by); },
  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.drawNow(); });
  },
  drawNow(scale) {
    this.points = 0;
    for (const plot of this.plots) plot.draw(scale);
    root.dataset.drawn = this.plots.filter(plot => plot.drawn).length;
    root.dataset.points = this.points;
    const out = document.querySelector("#zoom output");
    if (out) out.textContent = `${seconds(this.from, this.to - this.from)} s to ${seconds(this.to, this.to - this.from)} s`;
  },
};

const Tip = {
  element: null,
  show(text, x, y) {
    this.element ||= document.body.appendChild(make("div", { id: "tip", role: "status" }));
    this.element.textContent = text;
    this.element.hidden = false;
    const box = this.element.getBoundingClientRect();
    this.element.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    this.element.style.top = Math.max(4, y + 16 + box.height > innerHeight ? y - box.height - 10 : y + 16) + "px";
  },
  hide() { if (this.element) this.element.hidden = true; },
};

// As many decimals as a tick needs.
function places(v) {
  let n = 0;
  while (n < 4 && Math.abs(v * 10 ** n - Math.round(v * 10 ** n)) > 1e-6) n++;
  return Math.abs(v) >= 10 ? Math.min(n, 1) : n;
}

// One canvas. `options`: title, description, height, unit, top (value at the top edge for the view), draw(plot),
// tip(plot, time, y), log, direction (whose outages are shaded; none: all), format(value).
class Plot {
  constructor(parent, options) {
    Object.assign(this, { log: false, bottom: 0, height: 150, format: v => digits(v, places(v)), ...options });
    this.box = make("figure", { class: "plot", style: "margin:0" });
    if (this.title) this.box.append(make("h3", { text: this.title }));
    this.canvas = make("canvas", { role: "img", tabindex: "0", "aria-label": `${this.title}. ${this.description || ""}`, style: `height:${this.height}px` });
    this.box.append(this.canvas);
    if (this.legend) this.box.append(legend(this.legend));
    parent.append(this.box);
    View.plots.push(this);
    this.listen();
  }
  get left() { return 64; }
  get width() { return this.w - this.left - 12; }
  get floor() { return this.height - 20; }
  get ceiling() { return 8; }
  x(t) { return this.left + (t - View.from) / (View.to - View.from) * this.width; }
  time(x) { return View.from + (x - this.left) / this.width * (View.to - View.from); }
  y(v) {
    const share = this.log
      ? (Math.log10(Math.max(v, this.low)) - Math.log10(this.low)) / (Math.log10(this.high) - Math.log10(this.low))
      : (v - this.low) / (this.high - this.low);
    return this.floor - share * (this.floor - this.ceiling);
  }
  draw(scale = Math.min(3, devicePixelRatio || 1)) {
    this.w = this.canvas.clientWidth;
    if (!this.w) return;
    this.canvas.width = Math.round(this.w * scale);
    this.canvas.height = Math.round(this.height * scale);
    const c = this.c = this.canvas.getContext("2d");
    c.setTransform(scale, 0, 0, scale, 0, 0);
    const range = this.range(this) || [0, 1];
    [this.low, this.high] = range[1] > range[0] ? range : [range[0], range[0] + 1];
    this.axes();
    c.save();
    c.beginPath();
    c.rect(this.left, 0, this.width, this.floor + 1);
    c.clip();
    this.shades();
    this.paint(this, c);
    this.marks();
    c.restore();
    c.strokeStyle = colour("line");
    c.lineWidth = 1;
    c.strokeRect(this.left + .5, this.ceiling - 3.5, this.width - 1, this.floor - this.ceiling + 4);
    this.drawn = true;
  }
  axes() {
    const c = this.c, span = View.to - View.from;
    c.font = "11px system-ui, sans-serif";
    c.lineWidth = 1;
    c.strokeStyle = colour("grid");
    c.fillStyle = colour("muted");
    c.textAlign = "center";
    c.textBaseline = "top";
    const every = step(span, this.width / 90);
    c.beginPath();
    for (let k = Math.ceil(View.from / every); k * every <= View.to; k++) {
      const x = Math.round(this.x(k * every)) + .5;
      c.moveTo(x, this.ceiling - 3);
      c.lineTo(x, this.floor);
      const decimals = Math.max(0, -Math.floor(Math.log10(every) + 1e-9));
      c.fillText(digits(k * every, decimals) + " s", x, this.floor + 5);
    }
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const v of this.ticks()) {
      const y = Math.round(this.y(v)) + .5;
      c.moveTo(this.left, y);
      c.lineTo(this.left + this.width, y);
      c.fillText(this.format(v), this.left - 6, y);
    }
    c.stroke();
    c.save();
    c.translate(11, (this.floor + this.ceiling) / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(this.unit, 0, 0);
    c.restore();
  }
  ticks() {
    const list = [], room = (this.floor - this.ceiling) / (this.log ? 16 : 26);
    if (this.log) {
      const decades = Math.log10(this.high / this.low), parts = decades * 3 <= room ? [1, 2, 5] : [1];
      for (let p = Math.floor(Math.log10(this.low)); p <= Math.log10(this.high); p++)
        for (const m of parts) if (m * 10 ** p >= this.low * .999 && m * 10 ** p <= this.high) list.push(m * 10 ** p);
      return list;
    }
    const every = step(this.high - this.low, room);
    for (let k = Math.ceil(this.low / every); k * every <= this.high; k++) list.push(+(k * every).toPrecision(12));
    return list;
  }
  shades() {
    const c = this.c, drawn = {};
    for (const o of this.outages || []) {
      if (o.to < View.from || o.from > View.to || (this.direction && o.dir !== this.direction && o.dir !== "both" && o.dir !== "unknown")) continue;
      // Both directions at once are shaded once.
      const from = Math.max(o.from, drawn[o.kind] ?? -Infinity);
      if (from > o.from && from >= o.to) continue;
      drawn[o.kind] = Math.max(o.to, drawn[o.kind] ?? -Infinity);
      const x = this.x(from), w = Math.max(2, this.x(o.to) - x);
      c.fillStyle = colour(o.kind === "senderIdle" ? "idle" : o.kind === "drop" ? "drop" : "hold");
      c.fillRect(x, this.ceiling - 3, w, this.floor - this.ceiling + 3);
      if (o.kind === "senderIdle") continue;
      // Not by colour alone: a hold is hatched one way, a drop both ways.
      c.save();
      c.beginPath();
      c.rect(x, this.ceiling - 3, w, this.floor - this.ceiling + 3);
      c.clip();
      c.strokeStyle = c.fillStyle;
      c.beginPath();
      for (let at = x - this.height; at < x + w; at += 7) {
        c.moveTo(at, this.floor); c.lineTo(at + this.height, this.floor - this.height);
        if (o.kind === "drop") { c.moveTo(at, this.floor - this.height); c.lineTo(at + this.height, this.floor); }
      }
      c.stroke();
      c.restore();
    }
  }
  marks() {
    const c = this.c;
    c.font = "11px system-ui, sans-serif";
    c.textAlign = "left";
    c.textBaseline = "top";
    const free = [-1, -1, -1], seen = (this.moments || []).filter(m => m.at >= View.from && m.at <= View.to);
    for (const m of seen) {
      const x = Math.round(this.x(m.at)) + .5;
      c.strokeStyle = colour("fg");
      c.globalAlpha = .7;
      c.setLineDash([4, 3]);
      c.beginPath();
      c.moveTo(x, this.ceiling - 3);
      c.lineTo(x, this.floor);
      c.stroke();
      c.setLineDash([]);
      c.globalAlpha = 1;
    }
    // Labels over all lines; one that finds no place is in the table of moments.
    for (const m of this.labelled ? seen : []) {
      const x = Math.round(this.x(m.at)) + .5, width = c.measureText(m.label).width + 8;
      const left = x + width > this.left + this.width ? x - width : x + 3;
      const row = free.findIndex(end => end < left);
      if (row < 0) continue;
      free[row] = left + width;
      c.fillStyle = colour("bg");
      c.globalAlpha = .8;
      c.fillRect(left - 1, this.ceiling - 2 + row * 14, width - 3, 13);
      c.globalAlpha = 1;
      c.fillStyle = colour("fg");
      c.fillText(m.label, left, this.ceiling - 2 + row * 14);
    }
  }
  // Values of equal bins, as an area with the largest of each pixel as a line, or as a line of means.
  bins(values, start, bin, name, { area = false, dash = [], width = 1.2 } = {}) {
    if (!values.length || !(bin > 0)) return;
    const c = this.c, means = [], tops = [];
    const first = Math.max(0, Math.floor((View.from - start) / bin)), last = Math.min(values.length, Math.ceil((View.to - start) / bin) + 1);
    const perPixel = (View.to - View.from) / this.width / bin;
    const points = [];
    if (perPixel <= 1) {
      for (let i = first; i < last; i++) points.push([this.x(start + i * bin), this.x(start + (i + 1) * bin), values[i], values[i]]);
    } else {
      for (let x = Math.floor(this.x(start + first * bin)); x < this.left + this.width; x++) {
        const from = Math.max(first, Math.floor((this.time(x) - start) / bin)), to = Math.min(last, Math.max(from + 1, Math.floor((this.time(x + 1) - start) / bin)));
        if (from >= last) break;
        let sum = 0, most = 0;
        for (let i = from; i < to; i++) { sum += values[i]; if (values[i] > most) most = values[i]; }
        if (to > from) points.push([x, x + 1, sum / (to - from), most]);
      }
    }
    if (!points.length) return;
    View.points += last - first;
    const trace = index => { for (const p of points) { c.lineTo(p[0], this.y(p[index])); c.lineTo(p[1], this.y(p[index])); } };
    if (area) {
      c.fillStyle = colour(name);
      if (perPixel > 1) {
        c.globalAlpha = .25;
        c.beginPath(); c.moveTo(points[0][0], this.floor); trace(3); c.lineTo(points.at(-1)[1], this.floor); c.fill();
      }
      c.globalAlpha = .75;
      c.beginPath(); c.moveTo(points[0][0], this.floor); trace(2); c.lineTo(points.at(-1)[1], this.floor); c.fill();
      c.globalAlpha = 1;
    } else {
      c.strokeStyle = colour(name);
      c.lineWidth = width;
      c.setLineDash(dash);
      c.beginPath(); trace(2); c.stroke();
      c.setLineDash([]);
    }
  }
  // Dots at (t, v); neighbours on the same pixel are drawn once.
  dots(t, v, fill, { shape = "circle", size = 1.6, stroke = false, only = null } = {}) {
    const c = this.c, to = lower(t, View.to);
    let lastX = -9, lastY = -9, drawn = 0;
    c.fillStyle = c.strokeStyle = fill;
    c.lineWidth = 1.5;
    c.beginPath();
    for (let i = lower(t, View.from); i < to; i++) {
      if (only && !only(i)) continue;
      View.points++;
      const x = this.x(t[i]), y = this.y(v[i]);
      if (Math.abs(x - lastX) < .5 && Math.abs(y - lastY) < .5) continue;
      lastX = x; lastY = y;
      if (size < 1.5) c.rect(x - size, y - size, 2 * size, 2 * size); else Shapes[shape](c, x, y, size);
      if (++drawn % 4000 === 0) { stroke ? c.stroke() : c.fill(); c.beginPath(); }
    }
    stroke ? c.stroke() : c.fill();
  }
  // The sample nearest to a place on the canvas; -1: none within 12 pixels.
  nearest(t, v, x, y, only) {
    let best = -1, least = 144;
    for (let i = lower(t, this.time(x - 12)), to = lower(t, this.time(x + 12)); i < to; i++) {
      if (only && !only(i)) continue;
      const distance = (this.x(t[i]) - x) ** 2 + (this.y(v[i]) - y) ** 2;
      if (distance < least) { least = distance; best = i; }
    }
    return best;
  }
  listen() {
    const canvas = this.canvas;
    let from = null;
    const place = e => { const box = canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
    canvas.onpointerdown = e => { if (e.button === 0 && e.pointerType !== "touch") { from = place(e)[0]; canvas.setPointerCapture(e.pointerId); } };
    canvas.onpointermove = e => {
      const [x, y] = place(e);
      if (from !== null && Math.abs(x - from) > 4) {
        this.draw();
        this.c.fillStyle = colour("focus");
        this.c.globalAlpha = .2;
        this.c.fillRect(Math.min(from, x), this.ceiling - 3, Math.abs(x - from), this.floor - this.ceiling + 3);
        this.c.globalAlpha = 1;
      }
      if (x < this.left || x > this.left + this.width) return Tip.hide();
      const time = this.time(x), lines = [`${seconds(time, View.to - View.from)} s`];
      for (const o of this.outages || [])
        if (o.from <= time && time <= o.to && (!this.direction || o.dir === this.direction || o.dir === "both" || o.dir === "unknown"))
          lines.push(`${o.kind === "senderIdle" ? "sender idle" : o.kind} (${o.dir}), ${millis((o.to - o.from) * 1e3)}${o.basis ? ": " + o.basis : ""}`);
      for (const m of this.moments || []) if (Math.abs(this.x(m.at) - x) < 4) lines.push(`${m.label}${m.detail ? ": " + m.detail : ""}`);
      lines.push(...[this.tip ? this.tip(this, time, x, y) : null].flat().filter(Boolean));
      Tip.show(lines.join("\n"), e.clientX, e.clientY);
    };
    canvas.onpointerup = e => {
      const x = place(e)[0];
      if (from !== null && Math.abs(x - from) > 4) View.show(this.time(Math.min(from, x)), this.time(Math.max(from, x)));
      from = null;
    };
    canvas.onpointerleave = () => Tip.hide();
    canvas.ondblclick = () => View.show(...View.whole);
    canvas.onkeydown = e => {
      const act = { ArrowLeft: () => View.pan(-.2), ArrowRight: () => View.pan(.2), "+": () => View.zoom(.5), "=": () => View.zoom(.5), "-": () => View.zoom(2), 0: () => View.show(...View.whole) }[e.key];
      if (act) { act(); e.preventDefault(); }
    };
  }
}

// `items`: [name, colour, shape]; shape may also be line, dash, area.
function legend(items) {
  const list = make("ul", { class: "legend" });
  for (const [name, fill, shape] of items) {
    const draw = {
      line: `<path d="M1 7H17" stroke="currentColor" stroke-width="2"/>`, dash: `<path d="M1 7H17" stroke="currentColor" stroke-width="2" stroke-dasharray="4 3"/>`,
      area: `<rect x="2" y="2" width="14" height="10" fill="currentColor"/>`, circle: `<circle cx="9" cy="7" r="4" fill="currentColor"/>`,
      square: `<rect x="5" y="3" width="8" height="8" fill="currentColor"/>`, triangle: `<path d="M9 2L14 12H4Z" fill="currentColor"/>`,
      diamond: `<path d="M9 1L15 7L9 13L3 7Z" fill="currentColor"/>`, cross: `<path d="M5 3L13 11M13 3L5 11" stroke="currentColor" stroke-width="2"/>`,
      hold: `<rect x="2" y="1" width="14" height="12" fill="currentColor"/><path d="M2 13L14 1M8 13L16 5" stroke="currentColor"/>`,
      drop: `<rect x="2" y="1" width="14" height="12" fill="currentColor"/><path d="M2 13L14 1M8 13L16 5M4 1L16 13M2 5L10 13" stroke="currentColor"/>`,
    }[shape];
    const item = make("li");
    item.innerHTML = `<svg width="18" height="14" aria-hidden="true">${draw}</svg>`;
    item.firstChild.style.color = fill.startsWith("#") ? fill : `var(--${fill})`;
    item.append(name);
    list.append(item);
  }
  return list;
}
