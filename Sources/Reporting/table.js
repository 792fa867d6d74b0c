// A table that sorts by any column and shows one page of rows at a time, so that its length costs nothing.
// `columns`: { name, value(row), show(row), text, long, optional: left out when no row has a value }; rows are
// numbers 0..<count.
function table(parent, { title, id, count, columns, failed, sort, pick }) {
  let size = 50;
  columns = columns.filter(column => !column.optional || Array.from({ length: count }, (_, i) => i).some(i => column.value(i) != null));
  let order = Uint32Array.from({ length: count }, (_, i) => i), shown = order, page = 0, key = sort?.[0] ?? 0, down = sort?.[1] ?? false;
  const body = make("tbody"), caption = make("caption"), heads = [];
  const row = make("tr");
  columns.forEach((column, index) => {
    const head = make("th", { scope: "col", class: column.text ? "text" : null }, make("button", { type: "button", text: column.name, onclick: () => sortBy(index) }));
    heads.push(head);
    row.append(head);
  });
  const find = make("input", { type: "search", placeholder: "Find", "aria-label": `Find in ${title}` });
  const previous = make("button", { type: "button", text: "Previous" }), next = make("button", { type: "button", text: "Next" });
  const section = make("section", { id },
    make("h2", { text: title }), make("div", { class: "controls" }, find, previous, next),
    make("div", { class: "scroll" }, make("table", {}, caption, make("thead", {}, row), body)));
  parent.append(section);

  function sortBy(index) {
    if (index === key) down = !down; else { key = index; down = !columns[index].text; }
    arrange();
  }
  function arrange() {
    const { value } = columns[key], sign = down ? -1 : 1;
    const words = find.value.trim().toLowerCase();
    order = Uint32Array.from({ length: count }, (_, i) => i);
    shown = words ? order.filter(i => columns.some(c => String(c.show ? c.show(i) : c.value(i)).toLowerCase().includes(words))) : order;
    // What has no value comes last, whichever way.
    shown.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === y || (x == null && y == null)) return a - b;
      if (x == null) return 1;
      if (y == null) return -1;
      return (x < y ? -1 : 1) * sign;
    });
    page = 0;
    fill();
  }
  function fill() {
    const pages = Math.max(1, Math.ceil(shown.length / size));
    page = Math.max(0, Math.min(pages - 1, page));
    heads.forEach((head, index) => head.setAttribute("aria-sort", index === key ? (down ? "descending" : "ascending") : "none"));
    body.replaceChildren(...Array.from(shown.subarray(page * size, (page + 1) * size), i => {
      const line = make("tr", { class: failed?.(i) ? "failed" : null });
      for (const column of columns) {
        const raw = column.value(i), text = raw == null ? "–" : String(column.show ? column.show(i) : raw);
        line.append(make("td", { class: column.text ? (column.long ? "text long" : "text") : null, text }));
      }
      if (pick) { line.style.cursor = "pointer"; line.onclick = () => pick(i); }
      return line;
    }));
    caption.textContent = pages > 1 || shown.length < count
      ? `${digits(shown.length, 0)} of ${digits(count, 0)} rows, page ${page + 1} of ${pages}` : `${digits(count, 0)} row${count === 1 ? "" : "s"}`;
    previous.disabled = page === 0;
    next.disabled = page >= pages - 1;
    root.dataset[id + "Rows"] = shown.length;
  }
  previous.onclick = () => { page--; fill(); };
  next.onclick = () => { page++; fill(); };
  let wait = 0;
  find.oninput = () => { clearTimeout(wait); wait = setTimeout(arrange, 150); };
  // On paper nobody turns pages.
  addEventListener("beforeprint", () => { size = 2000; page = 0; fill(); });
  addEventListener("afterprint", () => { size = 50; page = 0; fill(); });
  if (count <= size) section.querySelector(".controls").hidden = true;
  arrange();
}
