// One flow's bytes over time, as tcptrace draws them. Returns how a flow is chosen; nothing where there is none to draw.
function sequencePlot(D, group, common) {
  const plotted = D.flows.map((flow, index) => index).filter(index => D.flows[index].t.length);
  if (!plotted.length) return null;
  const box = group("Time and sequence");
  const flowBox = make("select", { "aria-label": "Flow" }), way = make("select", { "aria-label": "Direction" },
    make("option", { value: "0", text: "data going down" }), make("option", { value: "4", text: "data going up" }));
  for (const index of plotted.slice(0, 500)) {
    const flow = D.flows[index];
    flowBox.append(make("option", { value: index, text: `${flow.protocol} ${flow.name}, ${bytes(flow.up[1] + flow.down[1])}` }));
  }
  box.append(make("div", { class: "controls" }, make("label", { text: "Flow " }, flowBox), make("label", { text: "Direction " }, way)));
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
  const kinds = [["acknowledged up to here", "ack", "square", 2], ["data (end of the packet)", "down", "circle", 0], ["sent again", "bad", "triangle", 1], [D.subject === "replay" ? "found lost" : "packets missing before this one (RTP)", "bad", "cross", 3]];
  const parts = () => { const k = load(+flowBox.value), up = +way.value; return kinds.map(([name, fill, shape, kind]) => ({ name, shape, fill: kind === 0 && up ? "up" : fill, ...k[kind + up] })); };
  const plot = new Plot(box, {
    ...common, title: "Bytes of the flow over time", unit: "bytes", height: 320,
    description: "Data, acknowledgements and retransmissions of the chosen flow by time and byte.",
    legend: kinds.filter(kind => D.flows.some(flow => flow.k.includes(kind[3]) || flow.k.includes(kind[3] + 4))).map(([name, fill, shape]) => [name, fill, shape]),
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
  flowBox.onchange = () => { way.value = heavier(+flowBox.value); View.redraw(); };
  way.onchange = () => View.redraw();
  way.value = heavier(plotted[0]);
  return index => {
    if (!D.flows[index].t.length) return;
    if (![...flowBox.options].some(o => +o.value === index)) flowBox.append(make("option", { value: index, text: D.flows[index].name }));
    flowBox.value = index;
    way.value = heavier(index);
    View.redraw();
    plot.box.scrollIntoView({ block: "center" });
  };
}
