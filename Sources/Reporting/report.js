// What this report shows, out of the data that the page carries.
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const plots = document.getElementById("plots"), tables = document.getElementById("tables");
  View.start(D.startS, D.lengthS);
  const common = { outages: D.outages, moments: D.moments };
  const heading = text => plots.append(make("h2", { text }));
  const samples = s => ({ t: undelta(s.t, 1e-6), v: Float64Array.from(s.v, x => x ?? 0) });
  const most = (t, v) => { let top = 0; for (let i = lower(t, View.from), to = lower(t, View.to); i < to; i++) if (v[i] > top) top = v[i]; return top; };
  const mostBins = (values, start, bin) => {
    let top = 0;
    for (let i = Math.max(0, Math.floor((View.from - start) / bin)), to = Math.min(values.length, Math.ceil((View.to - start) / bin)); i < to; i++) if (values[i] > top) top = values[i];
    return top;
  };

  // Server colours: Okabe and Ito's, which the colour-blind tell apart; and a shape each.
  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b8a000", "#7f7f7f"], shapes = ["circle", "square", "triangle", "diamond"];

  const names = { down: "Down, to the client", up: "Up, to the server" };
  const shadeLegend = [];
  if (D.outages.some(o => o.kind === "hold")) shadeLegend.push(["outage: packets waited (hold)", "hold", "hold"]);
  if (D.outages.some(o => o.kind === "drop")) shadeLegend.push(["outage: packets were lost (drop)", "drop", "drop"]);
  if (D.outages.some(o => o.kind === "senderIdle")) shadeLegend.push(["the sender had nothing to send", "idle", "area"]);

  if (D.lanes.length) heading("Link");
  D.lanes.forEach((lane, index) => {
    const at = (values, start, bin, time) => values[Math.floor((time - start) / bin)];
    const capacityName = lane.bound ? "capacity: at least this" : "capacity";
    new Plot(plots, {
      ...common, title: `${names[lane.dir]}: rate`, unit: "Mbit/s", height: 150, direction: lane.dir, labelled: index === 0,
      description: `Use and capacity over time; bins of ${millis(lane.binS * 1e3)}.`,
      legend: [[`used (mean; pale: most), bins of ${lane.binS >= 1 ? digits(lane.binS, 0) + " s" : digits(lane.binS * 1e3, 0) + " ms"}`, lane.dir, "area"],
        ...(lane.cap.length ? [[capacityName, "cap", lane.bound ? "dash" : "line"]] : []), ...(index === 0 ? shadeLegend : [])],
      range: p => [0, 1.08 * Math.max(.01, mostBins(lane.used, lane.startS, lane.binS), mostBins(lane.cap, lane.capStartS, lane.capBinS)) / 1e3],
      paint: p => {
        const shown = lane.usedM ||= Float64Array.from(lane.used, x => x / 1e3), cap = lane.capM ||= Float64Array.from(lane.cap, x => x / 1e3);
        p.bins(shown, lane.startS, lane.binS, lane.dir, { area: true });
        p.bins(cap, lane.capStartS, lane.capBinS, "cap", { dash: lane.bound ? [5, 4] : [] });
      },
      tip: (p, time) => {
        const used = at(lane.used, lane.startS, lane.binS, time), cap = at(lane.cap, lane.capStartS, lane.capBinS, time);
        return [used === undefined ? null : `used ${rate(used)}`, cap === undefined ? null : `${capacityName}: ${rate(cap)}`];
      },
    });
    const queue = samples(lane.queue);
    if (!queue.t.length) return;
    const show = v => lane.queueUnit === "ms" ? millis(v) : bytes(v);
    new Plot(plots, {
      ...common, title: `${names[lane.dir]}: ${lane.queueUnit === "ms" ? "queueing delay" : "queue"}`, unit: lane.queueUnit, height: 96, direction: lane.dir,
      description: lane.queueName, legend: [[lane.queueName, "queue", "circle"]], range: () => [0, 1.08 * Math.max(1, most(queue.t, queue.v))],
      format: v => lane.queueUnit === "ms" ? digits(v, v < 10 && v % 1 ? 1 : 0) : v >= 1e3 ? digits(v / 1e3, 0) + " k" : digits(v, 0),
      paint: p => p.dots(queue.t, queue.v, colour("queue"), { size: 1.4 }),
      tip: (p, time, x, y) => { const i = p.nearest(queue.t, queue.v, x, y); return i < 0 ? null : show(queue.v[i]); },
    });
  });

  const calls = D.calls, answered = calls.t.map((_, i) => i).filter(i => calls.failure[i] === null);
  const servers = [...new Set(calls.by.filter(by => by !== null))].sort();
  const look = by => { const i = by === null ? -1 : servers.indexOf(by); return i < 0 ? ["#7f7f7f", "circle"] : [palette[i % palette.length], shapes[i % shapes.length]]; };
  if (calls.t.length) {
    heading("Calls");
    const order = calls.t.map((_, i) => i).sort((a, b) => calls.t[a] - calls.t[b]);
    const t = Float64Array.from(order, i => calls.t[i]), v = Float64Array.from(order, i => Math.max(.001, calls.ms[i]));
    const low = v.reduce((a, b) => Math.min(a, b), Infinity), high = v.reduce((a, b) => Math.max(a, b), 0);
    new Plot(plots, {
      ...common, title: "Call latency, and who served each call", unit: "ms", height: 260, labelled: true, log: high > low * 20,
      description: `${calls.t.length} calls by the time they began; ${calls.t.length - answered.length} failed. The table below has the same figures.`,
      legend: [...servers.map(name => [`${name}: ${digits(calls.by.filter(by => by === name).length, 0)} calls`, ...look(name)]),
        ...(calls.by.some((by, i) => by === null && calls.failure[i] === null) ? [["server not named", "#7f7f7f", "circle"]] : []),
        ...(answered.length < calls.t.length ? [[`failed: ${digits(calls.t.length - answered.length, 0)} calls`, "bad", "cross"]] : []),
        ["band at the bottom: each call from its begin to its end, by who answered it", "muted", "area"]],
      range: p => p.log ? [low * .8, high * 1.25] : [0, high * 1.1],
      paint: (p, c) => {
        const size = t.length > 20000 ? 1.4 : t.length > 3000 ? 2.2 : 3.4;
        for (const name of [null, ...servers]) {
          const [fill, shape] = look(name);
          p.dots(t, v, fill, { size, shape, only: i => calls.failure[order[i]] === null && calls.by[order[i]] === name });
        }
        p.dots(t, v, colour("bad"), { size: size + 1, shape: "cross", stroke: true, only: i => calls.failure[order[i]] !== null });
        for (let i = lower(t, View.from); i < t.length && t[i] <= View.to; i++) {
          if (calls.by[order[i]] === null) continue;
          const x = p.x(t[i]), next = p.x(t[i] + v[i] / 1e3);
          c.fillStyle = look(calls.by[order[i]])[0];
          c.fillRect(x, p.floor - 6, Math.max(2, next - x), 6);
        }
      },
      tip: (p, time, x, y) => {
        const n = p.nearest(t, v, x, y);
        if (n < 0) return null;
        const i = order[n];
        return [`call ${calls.name[i]}`, millis(calls.ms[i]), calls.failure[i] === null ? `served by ${calls.by[i] ?? "nobody named"}` : `failed: ${calls.failure[i]}`,
          calls.attempts[i] > 1 ? `${calls.attempts[i]} attempts` : null];
      },
    });
  }

  const rtts = D.rtts.map((series, i) => ({ name: series.name, ...samples(series.samples), look: [[ "down", "circle"], ["up", "triangle"], ["queue", "square"]][i % 3] }));
  if (rtts.some(s => s.t.length)) {
    heading("Round trips");
    new Plot(plots, {
      ...common, title: "Round-trip time", unit: "ms", height: 190, description: rtts.map(s => `${s.name}: ${s.t.length} samples`).join("; "),
      legend: rtts.map(s => [`${s.name}, ${digits(s.t.length, 0)} samples`, ...s.look]),
      range: () => [0, 1.08 * Math.max(.1, ...rtts.map(s => most(s.t, s.v)))],
      paint: p => { for (const s of rtts) p.dots(s.t, s.v, colour(s.look[0]), { shape: s.look[1], size: s.t.length > 5000 ? 1.2 : 2.2 }); },
      tip: (p, time, x, y) => rtts.map(s => { const i = p.nearest(s.t, s.v, x, y); return i < 0 ? null : `${s.name}: ${millis(s.v[i])}`; }),
    });
  }

  const plotted = D.flows.map((flow, index) => index).filter(index => D.flows[index].t.length);
  let select = null, chosen = -1;
  if (plotted.length) {
    heading("Time and sequence");
    const flowBox = make("select", { "aria-label": "Flow" }), way = make("select", { "aria-label": "Direction" },
      make("option", { value: "0", text: "data going down" }), make("option", { value: "4", text: "data going up" }));
    for (const index of plotted.slice(0, 500)) {
      const flow = D.flows[index];
      flowBox.append(make("option", { value: index, text: `${flow.protocol} ${flow.name}, ${bytes(flow.up[1] + flow.down[1])}` }));
    }
    plots.append(make("div", { class: "controls" }, make("label", { text: "Flow " }, flowBox), make("label", { text: "Direction " }, way)));
    const ready = new Map();
    const load = index => {
      if (!ready.has(index)) {
        const flow = D.flows[index], t = undelta(flow.t, 1e-6), y = undelta(flow.y, 1), kinds = [];
        for (let k = 0; k < 8; k++) {
          const pick = [];
          for (let i = 0; i < t.length; i++) if (flow.k.charCodeAt(i) - 48 === k) pick.push(i);
          kinds.push({ t: Float64Array.from(pick, i => t[i]), v: Float64Array.from(pick, i => y[i]) });
        }
        ready.set(index, kinds);
      }
      return ready.get(index);
    };
    const kinds = [["acknowledgement", "ack", "square", 2], ["data", "down", "circle", 0], ["sent again", "bad", "triangle", 1], [D.subject === "replay" ? "found lost" : "packets missing before", "bad", "cross", 3]];
    const parts = () => { const k = load(+flowBox.value), up = +way.value; return kinds.map(([name, fill, shape, kind]) => ({ name, shape, fill: kind === 0 && up ? "up" : fill, ...k[kind + up] })); };
    const plot = new Plot(plots, {
      ...common, title: "Bytes of the flow over time", unit: "bytes", height: 320,
      description: "Data, acknowledgements and retransmissions of the chosen flow by time and byte.",
      legend: [["data (end of the packet)", "down", "circle"], ["acknowledged up to here", "ack", "square"], ["sent again", "bad", "triangle"], [D.subject === "replay" ? "found lost" : "packets missing before this one (RTP)", "bad", "cross"]],
      format: v => v >= 1e9 ? digits(v / 1e9, 2) + " G" : v >= 1e6 ? digits(v / 1e6, v < 1e7 ? 1 : 0) + " M" : v >= 1e3 ? digits(v / 1e3, 0) + " k" : digits(v, 0),
      range: () => {
        let low = Infinity, high = -Infinity;
        for (const p of parts()) for (let i = lower(p.t, View.from), to = lower(p.t, View.to); i < to; i++) { if (p.v[i] < low) low = p.v[i]; if (p.v[i] > high) high = p.v[i]; }
        if (high < low) return [0, 1];
        const margin = Math.max(1, (high - low) * .04);
        return [Math.max(0, low - margin), high + margin];
      },
      paint: p => {
        for (const part of parts()) {
          const many = lower(part.t, View.to) - lower(part.t, View.from) > 3000;
          const rare = part.fill === "bad";
          p.dots(part.t, part.v, colour(part.fill), { shape: part.shape, stroke: part.shape === "cross", size: rare ? 3.4 : many ? 1 : 2 });
        }
      },
      tip: (p, time, x, y) => parts().map(part => { const i = p.nearest(part.t, part.v, x, y); return i < 0 ? null : `${part.name}: byte ${digits(part.v[i], 0)}`; }),
    });
    // The way with losses, else the way with more bytes.
    const heavier = index => { const f = D.flows[index]; return (f.up[3] || 0) > (f.down[3] || 0) || ((f.up[3] || 0) === (f.down[3] || 0) && f.up[1] > f.down[1]) ? "4" : "0"; };
    select = index => {
      if (!D.flows[index].t.length) return;
      if (![...flowBox.options].some(o => +o.value === index)) flowBox.append(make("option", { value: index, text: D.flows[index].name }));
      flowBox.value = index;
      way.value = heavier(index);
      View.redraw();
      plot.box.scrollIntoView({ block: "center" });
    };
    flowBox.onchange = () => { way.value = heavier(+flowBox.value); View.redraw(); };
    way.onchange = () => View.redraw();
    way.value = heavier(plotted[0]);
  }

  if (calls.t.length) {
    table(tables, {
      title: "Every call", id: "calls", count: calls.t.length, sort: [1, false], failed: i => calls.failure[i] !== null,
      columns: [
        { name: "Call", value: i => i, show: i => calls.name[i] },
        { name: "Began, s", value: i => calls.t[i], show: i => digits(calls.t[i], 3) },
        { name: "Latency, ms", value: i => calls.ms[i], show: i => digits(calls.ms[i], 1) },
        { name: "Served by", text: true, value: i => calls.by[i] },
        { name: "Attempts", value: i => calls.attempts[i] },
        { name: "Outcome", text: true, long: true, value: i => calls.failure[i] ?? "answered" },
      ],
    });
  }
  if (D.moments.length) {
    table(tables, {
      title: "Moments", id: "moments", count: D.moments.length, sort: [0, false],
      columns: [{ name: "At, s", value: i => D.moments[i].at, show: i => digits(D.moments[i].at, 3) }, { name: "What", text: true, value: i => D.moments[i].label },
        { name: "Details", text: true, long: true, value: i => D.moments[i].detail }],
    });
  }
  if (D.outages.length) {
    table(tables, {
      title: "Outages and silences", id: "outages", count: D.outages.length, sort: [0, false], pick: i => { const o = D.outages[i], span = Math.max(.2, (o.to - o.from) * 4); View.show(o.from - span / 2, o.to + span / 2); plots.scrollIntoView(); },
      columns: [
        { name: "From, s", value: i => D.outages[i].from, show: i => digits(D.outages[i].from, 3) }, { name: "±", value: i => D.outages[i].fromOff, show: i => D.outages[i].fromOff == null ? "" : digits(D.outages[i].fromOff, 3) },
        { name: "To, s", value: i => D.outages[i].to, show: i => digits(D.outages[i].to, 3) }, { name: "±", value: i => D.outages[i].toOff, show: i => D.outages[i].toOff == null ? "" : digits(D.outages[i].toOff, 3) },
        { name: "Length, ms", value: i => D.outages[i].to - D.outages[i].from, show: i => digits((D.outages[i].to - D.outages[i].from) * 1e3, 0) },
        { name: "Direction", text: true, value: i => D.outages[i].dir }, { name: "Kind", text: true, value: i => D.outages[i].kind === "senderIdle" ? "sender idle" : D.outages[i].kind },
        { name: "Confidence", value: i => D.outages[i].confidence }, { name: "How it was told", text: true, long: true, value: i => D.outages[i].basis },
      ],
    });
  }
  if (D.flows.length) {
    const side = (name, at, label, show) => ({ name: label, optional: true, value: i => D.flows[i][name][at], show: show && (i => show(D.flows[i][name][at])) });
    const whole = n => digits(n, 0);
    table(tables, {
      title: "Flows", id: "flows", count: D.flows.length, sort: [5, true], pick: index => select?.(index),
      columns: [
        { name: "Protocol", text: true, value: i => D.flows[i].protocol }, { name: "Client to server", text: true, value: i => D.flows[i].name },
        { name: "From, s", value: i => D.flows[i].first, show: i => digits(D.flows[i].first, 2) }, { name: "To, s", value: i => D.flows[i].last, show: i => digits(D.flows[i].last, 2) },
        side("down", 0, "Packets ↓", whole), side("down", 1, "Bytes ↓", bytes), side("up", 0, "Packets ↑", whole), side("up", 1, "Bytes ↑", bytes),
        side("down", 2, "Sent again ↓", whole), side("up", 2, "Sent again ↑", whole), side("down", 3, "Lost ↓", whole), side("up", 3, "Lost ↑", whole),
        { name: "Least RTT, ms", optional: true, value: i => D.flows[i].rtt, show: i => digits(D.flows[i].rtt, 1) },
      ],
    });
  }

  const zoom = document.getElementById("zoom");
  const button = (text, label, act) => zoom.append(make("button", { type: "button", text, title: label, "aria-label": label, onclick: act }));
  button("All", "Show all of the time", () => View.show(...View.whole));
  button("+", "Zoom in", () => View.zoom(.5));
  button("−", "Zoom out", () => View.zoom(2));
  button("←", "Earlier", () => View.pan(-.5));
  button("→", "Later", () => View.pan(.5));
  zoom.append(make("output", { "aria-live": "polite" }));

  addEventListener("resize", () => View.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => View.redraw());
  addEventListener("beforeprint", () => View.drawNow(2));
  addEventListener("afterprint", () => View.redraw());
  matchMedia("print").addEventListener("change", e => View.drawNow(e.matches ? 2 : undefined));
  View.drawNow();
  root.dataset.ready = "yes";
})();
