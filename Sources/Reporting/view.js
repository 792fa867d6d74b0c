"use strict";
// What all plots share: one time axis, one tip, one guide line; and how numbers are written.
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
const colour = name => name.startsWith("#") ? name : getComputedStyle(root).getPropertyValue("--" + name).trim();
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
const span = s => s >= 1 ? digits(s, s < 10 && s % 1 ? 1 : 0) + " s" : s >= .001 ? digits(s * 1e3, 0) + " ms" : digits(s * 1e6, 0) + " µs";

const step = (range, most) => {
  const raw = range / Math.max(1, most), power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map(m => m * power).find(s => s >= raw * 0.999) || power * 10;
};

const View = {
  from: 0, to: 1, whole: [0, 1], content: [0, 1], plots: [], pending: false, points: 0,
  start(from, length) {
    const margin = Math.max(length * 0.01, 1e-4);
    this.content = [from, from + length];
    this.whole = [from - margin, from + length + margin];
    [this.from, this.to] = this.whole;
  },
  show(from, to) {
    const [low, high] = this.whole, range = Math.max(1e-4, Math.min(high - low, to - from));
    this.from = Math.max(low, Math.min(high - range, from));
    this.to = this.from + range;
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
    const [low, high] = this.content.map(t => Math.max(this.from, Math.min(this.to, t)));
    if (out) out.textContent = `${seconds(low, high - low)} s to ${seconds(high, high - low)} s`;
  },
  // The same moment in all plots; none: nowhere.
  guide(time) {
    for (const plot of this.plots) {
      plot.guide.hidden = time === undefined;
      if (time !== undefined) plot.guide.style.left = plot.x(time) + "px";
    }
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

// On paper: light, as wide as a sheet, every row, every disclosure open.
const Paper = {
  isOn: false, tables: [],
  turn(on) {
    if (on === this.isOn) return;
    this.isOn = on;
    if (on) root.dataset.paper = "yes"; else delete root.dataset.paper;
    for (const part of document.querySelectorAll("details")) {
      if (on) { part.dataset.was = part.open; part.open = true; } else part.open = part.dataset.was === "true";
    }
    for (const table of this.tables) table(on);
    View.drawNow(on ? 2 : undefined);
  },
};
addEventListener("beforeprint", () => Paper.turn(true));
addEventListener("afterprint", () => Paper.turn(false));
matchMedia("print").addEventListener("change", e => Paper.turn(e.matches));

function zoomBar() {
  const zoom = document.getElementById("zoom");
  const button = (text, label, act) => zoom.append(make("button", { type: "button", text, title: label, "aria-label": label, onclick: act }));
  button("All", "Show all of the time", () => View.show(...View.whole));
  button("+", "Zoom in", () => View.zoom(.5));
  button("−", "Zoom out", () => View.zoom(2));
  button("←", "Earlier", () => View.pan(-.5));
  button("→", "Later", () => View.pan(.5));
  zoom.append(make("output", { "aria-live": "polite" }));
}
