// One plot on a canvas.
const Shapes = {
  circle: (c, x, y, r) => { c.moveTo(x + r, y); c.arc(x, y, r, 0, 7); },
  square: (c, x, y, r) => c.rect(x - r * .9, y - r * .9, r * 1.8, r * 1.8),
  triangle: (c, x, y, r) => { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.1, y + r * .8); c.lineTo(x - r * 1.1, y + r * .8); c.closePath(); },
  diamond: (c, x, y, r) => { c.moveTo(x, y - r * 1.3); c.lineTo(x + r * 1.3, y); c.lineTo(x, y + r * 1.3); c.lineTo(x - r * 1.3, y); c.closePath(); },
  cross: (c, x, y, r) => { c.moveTo(x - r, y - r); c.lineTo(x + r, y + r); c.moveTo(x + r, y - r); c.lineTo(x - r, y + r); },
};

// As many decimals as a tick needs.
function places(v) {
  let n = 0;
  while (n < 4 && Math.abs(v * 10 ** n - Math.round(v * 10 ** n)) > 1e-6) n++;
  return Math.abs(v) >= 10 ? Math.min(n, 1) : n;
}

// `options`: title, description, height, unit, range(plot), paint(plot), tip(plot, time, x, y), said(plot): a line below;
// log, direction (whose outages are shaded; none: all), format(value).
class Plot {
  constructor(parent, options) {
    Object.assign(this, { log: false, height: 150, format: v => digits(v, places(v)), outages: [], moments: [], ...options });
    this.canvas = make("canvas", {
      role: "img", tabindex: "0", "aria-label": `${this.title}, ${this.unit}. ${this.description || ""}`, "aria-describedby": "keys", style: `height:${this.height}px`,
    });
    this.guide = make("div", { class: "guide", hidden: "" });
    this.line = make("p", { class: "said" });
    this.box = make("figure", { class: "plot" }, make("h3", { text: this.title + " " }, make("span", { class: "unit", text: this.unit })), make("div", { class: "area" }, this.canvas, this.guide), this.line);
    if (this.legend) this.line.before(legend(this.legend));
    parent.append(this.box);
    View.plots.push(this);
    this.listen();
  }
  get left() { return this.w < 520 ? 46 : 60; }
  get width() { return this.w - this.left - 10; }
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
    const said = this.said ? this.said(this) : "";
    this.line.textContent = said || "";
    this.line.hidden = !said;
    this.drawn = true;
  }
  axes() {
    const c = this.c, range = View.to - View.from;
    c.font = "12px system-ui, sans-serif";
    c.lineWidth = 1;
    c.strokeStyle = colour("grid");
    c.fillStyle = colour("muted");
    c.textAlign = "center";
    c.textBaseline = "top";
    const every = step(range, this.width / (this.w < 520 ? 70 : 90));
    c.beginPath();
    for (let k = Math.ceil(View.from / every); k * every <= View.to; k++) {
      const x = Math.round(this.x(k * every)) + .5;
      c.moveTo(x, this.ceiling - 3);
      c.lineTo(x, this.floor);
      const decimals = Math.max(0, -Math.floor(Math.log10(every) + 1e-9));
      c.fillText(digits(k * every, decimals) + " s", Math.min(x, this.w - 16), this.floor + 5);
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
    for (const o of this.outages) {
      if (o.to < View.from || o.from > View.to || !this.concerns(o)) continue;
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
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "left";
    c.textBaseline = "top";
    const free = [-1, -1, -1], seen = this.moments.filter(m => m.at >= View.from && m.at <= View.to);
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
  // So many bins are shown as one that each is three pixels wide.
  join(bin) {
    const least = 3 * (View.to - View.from) / Math.max(1, this.width) / bin;
    for (let power = 1; ; power *= 10) for (const m of [1, 2, 5]) if (m * power >= least) return m * power;
  }
  // Means of `values`, `join` of them together, as corners [from, to, value] in the view; `weights`: sums of both are divided.
  corners(values, start, bin, join, weights) {
    const list = [], wide = bin * join;
    if (!values.length || !(bin > 0)) return list;
    const first = Math.max(0, Math.floor((View.from - start) / wide)), last = Math.min(Math.ceil(values.length / join), Math.ceil((View.to - start) / wide) + 1);
    for (let i = first; i < last; i++) {
      let sum = 0, weight = 0;
      for (let k = i * join, to = Math.min(values.length, k + join); k < to; k++) { sum += values[k]; weight += weights ? weights[k] : 1; }
      if (weight > 0) list.push([start + i * wide, Math.min(start + (i + 1) * wide, start + values.length * bin), sum / weight]);
    }
    View.points += Math.max(0, last - first) * join;
    return list;
  }
  area(corners, fill, alpha = .75) {
    const c = this.c;
    c.fillStyle = colour(fill);
    c.globalAlpha = alpha;
    c.beginPath();
    for (const [from, to, v] of corners) {
      const x = this.x(from), y = this.y(v);
      if (y < this.floor) c.rect(x, y, Math.max(1, this.x(to) - x), this.floor - y);
    }
    c.fill();
    c.globalAlpha = 1;
  }
  // A line of steps, broken at `gaps` ([from, to] in order of time).
  steps(corners, stroke, { dash = [], width = 1.6 } = {}, gaps = []) {
    const c = this.c;
    c.strokeStyle = colour(stroke);
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    let end = NaN;
    for (const [from, to, v] of corners) {
      let at = from;
      for (const [low, high] of [...gaps.filter(g => g[1] > from && g[0] < to), [to, to]]) {
        if (low > at) {
          if (at !== end) c.moveTo(this.x(at), this.y(v)); else c.lineTo(this.x(at), this.y(v));
          c.lineTo(this.x(low), this.y(v));
          end = low;
        }
        at = Math.max(at, high);
      }
    }
    c.stroke();
    c.setLineDash([]);
  }
  // Outages of this plot's direction, in which nothing passes whatever the link could carry.
  gaps() { return this.outages.filter(o => o.kind !== "senderIdle" && this.concerns(o)).map(o => [o.from, o.to]).sort((a, b) => a[0] - b[0]); }
  concerns(o) { return !this.direction || o.dir === this.direction || o.dir === "both" || o.dir === "unknown"; }
  // Dots at (t, v); neighbours on the same pixel are drawn once.
  dots(t, v, fill, { shape = "circle", size = 1.6, stroke = false, only = null } = {}) {
    const c = this.c, to = lower(t, View.to);
    let lastX = -9, lastY = -9, drawn = 0;
    const over = [];
    c.fillStyle = c.strokeStyle = fill;
    c.lineWidth = 1.5;
    c.beginPath();
    for (let i = lower(t, View.from); i < to; i++) {
      if (only && !only(i)) continue;
      View.points++;
      const x = this.x(t[i]);
      if (v[i] > this.high) { over.push(x); continue; }
      const y = this.y(v[i]);
      if (Math.abs(x - lastX) < .5 && Math.abs(y - lastY) < .5) continue;
      lastX = x; lastY = y;
      if (size < 1.5) c.rect(x - size, y - size, 2 * size, 2 * size); else Shapes[shape](c, x, y, size);
      if (++drawn % 4000 === 0) { stroke ? c.stroke() : c.fill(); c.beginPath(); }
    }
    stroke ? c.stroke() : c.fill();
    // What is higher than the axis: at its top edge.
    c.beginPath();
    for (const x of over) if (Math.abs(x - lastX) >= 1) { Shapes.triangle(c, lastX = x, this.ceiling + 2, 4); }
    c.fill();
  }
  // Sets the axis so that the highest hundredth of `series` ({ t, v }) does not flatten the rest.
  robust(series) {
    const seen = [];
    let count = 0, top = 0, low = Infinity;
    for (const s of series) {
      const from = lower(s.t, View.from), to = lower(s.t, View.to), every = Math.max(1, Math.floor((to - from) / 4000));
      count += to - from;
      for (let i = from; i < to; i++) { if (s.v[i] > top) top = s.v[i]; if (s.v[i] < low && s.v[i] > 0) low = s.v[i]; }
      for (let i = from; i < to; i += every) seen.push(s.v[i]);
    }
    seen.sort((a, b) => a - b);
    const p99 = seen[Math.floor((seen.length - 1) * .99)] ?? 0, middle = seen[Math.floor((seen.length - 1) * .5)] ?? 0;
    // Of fewer than a hundred there is no hundredth.
    const isMany = count >= 100;
    this.log = (isMany ? p99 : top) > 20 * middle && middle > 0;
    if (this.log) { this.note = "Logarithmic axis."; return [low * .8, top * 1.25]; }
    const clip = isMany && p99 > 0 && top > p99 * 1.5 ? p99 * 1.15 : 0;
    let over = 0;
    if (clip) for (const s of series) for (let i = lower(s.t, View.from), to = lower(s.t, View.to); i < to; i++) if (s.v[i] > clip) over++;
    this.note = clip ? `The axis ends a little above the 99th percentile: ${digits(over, 0)} of ${digits(count, 0)} are higher, up to ${millis(top)}, each a triangle at the top edge.` : "";
    return [0, clip || 1.08 * Math.max(.1, top)];
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
      if (x < this.left || x > this.left + this.width) { View.guide(); return Tip.hide(); }
      View.guide(this.time(x));
      const time = this.time(x), lines = [`${seconds(time, View.to - View.from)} s`];
      for (const o of this.outages)
        if (o.from <= time && time <= o.to && this.concerns(o))
          lines.push(`${o.kind === "senderIdle" ? "sender idle" : o.kind} (${o.dir}), ${millis((o.to - o.from) * 1e3)}${o.basis ? ": " + o.basis : ""}`);
      for (const m of this.moments) if (Math.abs(this.x(m.at) - x) < 4) lines.push(`${m.label}${m.detail ? ": " + m.detail : ""}`);
      lines.push(...[this.tip ? this.tip(this, time, x, y) : null].flat().filter(Boolean));
      Tip.show(lines.join("\n"), e.clientX, e.clientY);
    };
    canvas.onpointerup = e => {
      const x = place(e)[0];
      if (from !== null && Math.abs(x - from) > 4) View.show(this.time(Math.min(from, x)), this.time(Math.max(from, x)));
      from = null;
    };
    canvas.onpointerleave = () => { Tip.hide(); View.guide(); };
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
