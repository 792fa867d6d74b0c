// What this report shows, out of the data that the page carries.
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const plots = document.getElementById("plots"), tables = document.getElementById("tables");
  View.start(D.startS, D.lengthS);
  const common = { outages: D.outages, moments: D.moments };
  // One moment has no course over time.
  const hasCourse = D.lengthS > 0;
  const group = (title, ...text) => {
    const section = make("section", {}, make("h2", { text: title }), ...text.map(t => make("p", { class: "said", text: t })));
    plots.append(section);
    return section;
  };
  const samples = s => ({ t: undelta(s.t, 1e-6), v: Float64Array.from(s.v, x => x ?? 0), n: s.n });
  const drawn = s => s.n > s.t.length ? `${digits(s.n, 0)} (drawn: the first, least and greatest of each short interval)` : digits(s.n, 0);

  // Server colours: Okabe and Ito's, which the colour-blind tell apart; and a shape each.
  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b8a000", "#7f7f7f"], shapes = ["circle", "square", "triangle", "diamond"];

  const names = { down: "down, to the client", up: "up, to the server" };
  const shadeLegend = [];
  if (D.outages.some(o => o.kind === "hold")) shadeLegend.push(["outage: packets waited (hold)", "hold", "hold"]);
  if (D.outages.some(o => o.kind === "drop")) shadeLegend.push(["outage: packets were lost (drop)", "drop", "drop"]);
  if (D.outages.some(o => o.kind === "senderIdle")) shadeLegend.push(["the sender had nothing to send", "idle", "area"]);
  const isBoth = D.crossings.length > 0;

  // Rates as Mbit/s; what is shown of a lane for the view.
  const top = (...lists) => 1.08 * Math.max(.001, ...lists.flat().map(c => c[2]));
  const valueAt = (corners, time) => corners.find(c => c[0] <= time && time < c[1])?.[2];

  if (hasCourse && D.lanes.length) {
    const box = group("Rate");
    D.lanes.forEach((lane, index) => {
      const [used, offered, cap] = [lane.used, lane.offered, lane.cap].map(list => Float64Array.from(list, x => x / 1e3));
      const isDashed = lane.bound || lane.assumed,
        capacityName = lane.assumed ? "capacity, assumed" : lane.bound ? "capacity: at least this" : "capacity", usedName = isBoth ? "came to the other end" : "passed";
      let now = {};
      const look = p => {
        const join = p.join(lane.binS);
        now = { bin: lane.binS * join, used: p.corners(used, lane.startS, lane.binS, join), offered: p.corners(offered, lane.startS, lane.binS, join),
          cap: p.corners(cap, lane.capStartS, lane.capBinS, p.join(lane.capBinS)) };
        return now;
      };
      new Plot(box, {
        ...common, title: `Rate ${names[lane.dir]}`, unit: "Mbit/s", height: 150, direction: lane.dir, labelled: index === 0,
        description: `What passed over time${lane.cap.length ? ", and " + capacityName : ""}.`,
        legend: [[usedName, lane.dir, "area"], ...(offered.length ? [["was sent", "queue", "line"]] : []),
          ...(cap.length ? [[capacityName, "cap", isDashed ? "dash" : "line"]] : []), ...(index === 0 ? shadeLegend : [])],
        range: p => { look(p); return [0, top(now.used, now.offered, now.cap)]; },
        paint: p => {
          p.area(now.used, lane.dir);
          p.steps(now.offered, "queue", { width: 1.1 });
          p.steps(now.cap, "cap", { dash: isDashed ? [6, 4] : [] }, p.gaps());
        },
        said: () => `Means of ${span(now.bin)} each.`,
        tip: (p, time) => {
          const gap = p.gaps().some(g => g[0] <= time && time <= g[1]);
          return [[usedName, now.used], ["was sent", now.offered], [capacityName, gap ? [] : now.cap]].map(([name, list]) => {
            const v = valueAt(list, time);
            return v === undefined ? null : `${name}: ${rate(v * 1e3)}`;
          });
        },
      });
    });
  }

  if (hasCourse && isBoth) {
    const box = group("Between the two ends");
    for (const way of D.crossings) {
      const delays = samples(way.delays);
      if (delays.t.length) new Plot(box, {
        ...common, title: `One-way delay ${names[way.dir]}`, unit: "ms", height: 150, direction: way.dir,
        description: "Each packet that came, by the time it was sent.", legend: [[`packets: ${drawn(delays)}`, way.dir, "circle"]],
        range: p => p.robust([delays]), said: p => p.note,
        paint: p => p.dots(delays.t, delays.v, colour(way.dir), { size: delays.t.length > 3000 ? 1.1 : 2 }),
        tip: (p, time, x, y) => { const i = p.nearest(delays.t, delays.v, x, y); return i < 0 ? null : `delay: ${millis(delays.v[i])}`; },
      });
      const sent = Float64Array.from(way.sent), share = Float64Array.from(way.lost, x => x * 100);
      const total = way.sent.reduce((a, b) => a + b, 0), gone = way.lost.reduce((a, b) => a + b, 0);
      if (!gone) { box.append(make("p", { class: "said", text: `Loss ${names[way.dir]}: none of ${digits(total, 0)} packets.` })); continue; }
      let now = [], bin = way.binS;
      new Plot(box, {
        ...common, title: `Loss ${names[way.dir]}`, unit: "% of packets sent", height: 96, direction: way.dir,
        description: `${gone} of ${total} packets did not come to the other end.`,
        legend: [[`lost: ${digits(gone, 0)} of ${digits(total, 0)} packets`, "bad", "area"]],
        range: p => { const join = p.join(way.binS); bin = way.binS * join; now = p.corners(share, way.startS, way.binS, join, sent); return [0, Math.min(104, Math.max(1, top(now)))]; },
        paint: p => p.area(now, "bad", .9), said: () => `Shares of ${span(bin)} each, by the time of sending.`,
        tip: (p, time) => { const v = valueAt(now, time); return v === undefined ? null : `lost: ${digits(v, 2)} %`; },
      });
    }
  }

  const calls = D.calls, answered = calls.t.map((_, i) => i).filter(i => calls.failure[i] === null);
  const servers = [...new Set(calls.by.filter(by => by !== null))].sort();
  const look = by => { const i = by === null ? -1 : servers.indexOf(by); return i < 0 ? ["#7f7f7f", "circle"] : [palette[i % palette.length], shapes[i % shapes.length]]; };
  if (calls.t.length) {
    const box = group("Calls");
    const order = calls.t.map((_, i) => i).sort((a, b) => calls.t[a] - calls.t[b]);
    const t = Float64Array.from(order, i => calls.t[i]), v = Float64Array.from(order, i => Math.max(.001, calls.ms[i]));
    const low = v.reduce((a, b) => Math.min(a, b), Infinity), high = v.reduce((a, b) => Math.max(a, b), 0);
    new Plot(box, {
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

  // Each on an axis of its own: the two sides of a capture point are seldom of one size.
  const rtts = D.rtts.map(series => ({ name: series.name, ...samples(series.samples) })).filter(s => s.t.length);
  if (hasCourse && rtts.length) {
    const box = group("Round trips");
    rtts.forEach((s, i) => new Plot(box, {
      ...common, title: s.name[0].toUpperCase() + s.name.slice(1), unit: "ms", height: i === 0 ? 190 : 130, description: `${s.n} round trips.`,
      legend: [[`round trips: ${drawn(s)}`, ["down", "up", "queue"][i % 3], "circle"]], range: p => p.robust([s]), said: p => p.note,
      paint: p => p.dots(s.t, s.v, colour(["down", "up", "queue"][i % 3]), { size: s.t.length > 5000 ? 1.2 : 2.2 }),
      tip: (p, time, x, y) => { const n = p.nearest(s.t, s.v, x, y); return n < 0 ? null : millis(s.v[n]); },
    }));
  }

  const select = hasCourse ? sequencePlot(D, group, common) : null;

  for (const link of D.links) {
    const own = { outages: link.outages, moments: [] }, still = [...new Set(link.outages.map(o => o.kind))].map(kind => [`outage (${kind})`, ...(kind === "drop" ? ["drop", "drop"] : ["hold", "hold"])]);
    const box = group(link.name), cap = Float64Array.from(link.cap), arrived = Float64Array.from(link.arrived), left = Float64Array.from(link.left);
    // Behind packets it stands back.
    const offer = arrived.length ? "idle-solid" : "down";
    let now = {};
    new Plot(box, {
      ...own, title: "Rate", unit: "Mbit/s", height: 190, description: `${link.name}: capacity${arrived.length ? ", what arrived and what left" : ""} over time.`,
      legend: [...(cap.length ? [["capacity", offer, "area"]] : []), ...(arrived.length ? [["arrived", "down", "line"], ["left", "up", "line"]] : []), ...still],
      range: p => {
        const join = p.join(link.binS), corners = list => p.corners(list, 0, link.binS, join);
        now = { bin: link.binS * join, cap: corners(cap), arrived: corners(arrived), left: corners(left) };
        return [0, top(now.cap, now.arrived, now.left)];
      },
      paint: p => { p.area(now.cap, offer, 1); if (arrived.length) p.steps(now.cap, "muted", { width: .8 }); p.steps(now.arrived, "down"); p.steps(now.left, "up"); },
      said: () => `Means of ${span(now.bin)} each.`,
      tip: (p, time) => [["capacity", now.cap], ["arrived", now.arrived], ["left", now.left]].map(([name, list]) => {
        const v = valueAt(list, time);
        return v === undefined ? null : `${name}: ${rate(v * 1e3)}`;
      }),
    });
    if (link.way.length) {
      const way = Float64Array.from(link.way);
      let now = [];
      new Plot(box, {
        ...own, title: "Delay, one way", unit: "ms", height: 110, description: "As the link is described.", legend: [["delay", "queue", "line"]],
        range: p => { now = p.corners(way, 0, link.binS, p.join(link.binS)); return [0, top(now)]; }, paint: p => p.steps(now, "queue"),
        tip: (p, time) => { const v = valueAt(now, time); return v === undefined ? null : `delay: ${millis(v)}`; },
      });
    }
    if (!link.delay.length) continue;
    const delay = Float64Array.from(link.delay), drops = link.dropped.reduce((a, b) => a + b, 0), at = time => Math.floor(time / link.binS);
    new Plot(box, {
      ...own, title: "Time in the queue", unit: "ms", height: 130, description: "The longest of each interval, and where packets were dropped.",
      legend: [["longest of each interval", "queue", "area"], ...(drops ? [[`dropped: ${digits(drops, 0)} packets`, "bad", "line"]] : [])],
      range: () => [0, 1.15 * Math.max(1, delay.slice(Math.max(0, at(View.from)), at(View.to) + 1).reduce((a, b) => Math.max(a, b), 0))],
      paint: (p, c) => {
        p.area(p.corners(delay, 0, link.binS, 1), "queue", .7);
        c.fillStyle = colour("bad");
        link.dropped.forEach((n, i) => { if (n) c.fillRect(p.x(i * link.binS), p.ceiling - 3, Math.max(1.5, p.x((i + 1) * link.binS) - p.x(i * link.binS)), 8); });
      },
      tip: (p, time) => [delay[at(time)] === undefined ? null : `longest: ${millis(delay[at(time)])}`, link.dropped[at(time)] ? `dropped: ${link.dropped[at(time)]}` : null],
    });
  }

  if (calls.t.length) {
    table(tables, {
      title: "Every call", id: "calls", count: calls.t.length, sort: [1, false], failed: i => calls.failure[i] !== null,
      columns: [
        { name: "Call", value: i => i, show: i => calls.name[i] },
        { name: "Began, s", value: i => calls.t[i], show: i => digits(calls.t[i], 3) },
        { name: "Latency, ms", value: i => calls.ms[i], show: i => digits(calls.ms[i], 1) },
        { name: "Served by", text: true, value: i => calls.by[i] },
        { name: "Attempts", value: i => calls.attempts[i] },
        { name: "Outcome", text: true, long: true, value: i => calls.failure[i] ?? "answered" },
      ],
    });
  }
  if (D.links.length) {
    const column = (name, at, extra) => ({ name, optional: true, value: i => { const v = D.links[i].rows[at]; return v === null || extra?.text || isNaN(v) ? v : +v; }, show: i => D.links[i].rows[at], ...extra });
    table(tables, {
      title: "Links", id: "links", count: D.links.length, sort: null,
      columns: [column("Link", 0, { text: true }), column("Length", 1, { text: true }), column("Mean capacity, Mbit/s", 2), column("Mean throughput, Mbit/s", 3), column("Used, %", 4),
        column("Queueing, median, ms", 5), column("95 %, ms", 6), column("Signal delay, 95 %, ms", 7), column("Silent for 200 ms or more, %", 8), column("In outages, %", 9), column("Packets arrived", 10), column("Dropped", 11)],
    });
  }
  if (D.moments.length) {
    table(tables, {
      title: "Moments", id: "moments", count: D.moments.length, sort: [0, false],
      columns: [{ name: "At, s", value: i => D.moments[i].at, show: i => digits(D.moments[i].at, 3) }, { name: "What", text: true, value: i => D.moments[i].label },
        { name: "Details", text: true, long: true, value: i => D.moments[i].detail }],
    });
  }
  if (D.outages.length) {
    table(tables, {
      title: "Outages and silences", id: "outages", count: D.outages.length, sort: [0, false], pick: i => { const o = D.outages[i], span = Math.max(.2, (o.to - o.from) * 4); View.show(o.from - span / 2, o.to + span / 2); plots.scrollIntoView(); }, pickName: "Show in the plots",
      columns: [
        { name: "From, s", value: i => D.outages[i].from, show: i => digits(D.outages[i].from, 3) }, { name: "From ±", value: i => D.outages[i].fromOff, show: i => D.outages[i].fromOff == null ? "" : digits(D.outages[i].fromOff, 3) },
        { name: "To, s", value: i => D.outages[i].to, show: i => digits(D.outages[i].to, 3) }, { name: "To ±", value: i => D.outages[i].toOff, show: i => D.outages[i].toOff == null ? "" : digits(D.outages[i].toOff, 3) },
        { name: "Length, ms", value: i => D.outages[i].to - D.outages[i].from, show: i => digits((D.outages[i].to - D.outages[i].from) * 1e3, 0) },
        { name: "Direction", text: true, value: i => D.outages[i].dir }, { name: "Kind", text: true, value: i => D.outages[i].kind === "senderIdle" ? "sender idle" : D.outages[i].kind },
        { name: "Confidence", value: i => D.outages[i].confidence }, { name: "How it was told", text: true, long: true, value: i => D.outages[i].basis },
      ],
    });
  }
  if (D.flows.length) {
    const side = (name, at, label, show) => ({ name: label, optional: true, value: i => D.flows[i][name][at], show: show && (i => show(D.flows[i][name][at])) });
    const whole = n => digits(n, 0), all = name => D.flows.reduce((sum, flow) => sum + flow[name][1], 0), heavier = all("up") > all("down") ? 6 : 4;
    table(tables, {
      title: "Flows", id: "flows", count: D.flows.length, sort: [heavier, true], pick: select, pickName: "Show the flow's plot",
      columns: [
        { name: "Flow, client to server", text: true, value: i => `${D.flows[i].protocol} ${D.flows[i].name}` },
        { name: "From, s", value: i => D.flows[i].first, show: i => digits(D.flows[i].first, 2) }, { name: "To, s", value: i => D.flows[i].last, show: i => digits(D.flows[i].last, 2) },
        side("down", 0, "Packets ↓", whole), side("down", 1, "Bytes ↓", bytes), side("up", 0, "Packets ↑", whole), side("up", 1, "Bytes ↑", bytes),
        side("down", 2, "Sent again ↓", whole), side("up", 2, "Sent again ↑", whole), side("down", 3, "Lost ↓", whole), side("up", 3, "Lost ↑", whole),
        { name: "Least RTT, ms", optional: true, value: i => D.flows[i].rtt, show: i => digits(D.flows[i].rtt, 1) },
      ],
    });
  }

  if (View.plots.length) zoomBar(); else document.getElementById("zoom").hidden = true;
  if (!hasCourse && D.flows.length) plots.append(make("p", { class: "note", text: "All packets are of one moment: there is nothing to draw over time." }));

  addEventListener("resize", () => View.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => View.redraw());
  View.drawNow();
  root.dataset.ready = "yes";
})();
