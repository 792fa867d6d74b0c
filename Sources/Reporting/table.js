// A table that sorts by any column and shows one page of rows at a time, so that its length costs nothing. On a narrow
// screen each row is a card; on paper all rows are there.
// `columns`: { name, value(row), show(row), text, long, optional: left out when no row has a value }; rows are numbers
// 0..<count. `sort`: [column, descending], or nothing. `pick(row)`: what a row leads to, `pickName` in words.
function table(parent, { title, id, count, columns, failed, sort, pick, pickName }) {
  const onScreen = 50, onPaper = 20000;
  let size = onScreen;
  const key = sort ? columns[sort[0]] : null;
  columns = columns.filter(column => !column.optional || Array.from({ length: count }, (_, i) => i).some(i => column.value(i) != null));
  let order = Uint32Array.from({ length: count }, (_, i) => i), shown = order, page = 0, by = columns.indexOf(key), down = sort?.[1] ?? false;
  const body = make("tbody", { role: "rowgroup" }), caption = make("caption"), heads = [];
  const row = make("tr", { role: "row" });
  const sorter = make("select"), turn = make("button", { type: "button", onclick: () => sortBy(by) });
  columns.forEach((column, index) => {
    const head = make("th", { role: "columnheader", scope: "col", class: column.text ? "text" : null }, make("button", { type: "button", text: column.name, onclick: () => sortBy(index) }));
    heads.push(head);
    row.append(head);
    sorter.append(make("option", { value: index, text: column.name }));
  });
  const find = make("input", { type: "search", placeholder: "Find", "aria-label": `Find in ${title}` });
  const previous = make("button", { type: "button", text: "Previous" }), next = make("button", { type: "button", text: "Next" });
  const pages = make("span", { class: "pages" }, previous, next);
  const section = make("section", { id },
    make("h2", { text: title }),
    make("div", { class: "controls" }, find, pages, make("span", { class: "narrow" }, make("label", { text: "Sort by " }, sorter), turn)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, make("table", { class: "cards", role: "table" }, caption, make("thead", { role: "rowgroup" }, row), body)));
  parent.append(section);

  function sortBy(index) {
    if (index === by) down = !down; else { by = index; down = !columns[index].text; }
    arrange();
  }
  function arrange() {
    const words = find.value.trim().toLowerCase();
    order = Uint32Array.from({ length: count }, (_, i) => i);
    shown = words ? order.filter(i => columns.some(c => String(c.show ? c.show(i) : c.value(i)).toLowerCase().includes(words))) : order;
    const column = columns[by], sign = down ? -1 : 1;
    // What has no value comes last, whichever way.
    if (column) shown.sort((a, b) => {
      const x = column.value(a), y = column.value(b);
      if (x === y || (x == null && y == null)) return a - b;
      if (x == null) return 1;
      if (y == null) return -1;
      return (x < y ? -1 : 1) * sign;
    });
    page = 0;
    fill();
  }
  function cell(column, i, isFirst) {
    const raw = column.value(i), text = raw == null ? "–" : String(column.show ? column.show(i) : raw);
    const box = make("td", { role: "cell", "data-name": column.name, class: column.text ? (column.long ? "text long" : "text") : null });
    if (pick && isFirst) box.append(make("button", { type: "button", class: "pick", text, title: pickName, "aria-label": `${text}: ${pickName}`, onclick: () => pick(i) }));
    else box.append(make("span", { text }));
    return box;
  }
  function fill() {
    const most = Math.max(1, Math.ceil(shown.length / size));
    page = Math.max(0, Math.min(most - 1, page));
    heads.forEach((head, index) => head.setAttribute("aria-sort", index === by ? (down ? "descending" : "ascending") : "none"));
    sorter.value = by;
    turn.textContent = down ? "▼" : "▲";
    turn.setAttribute("aria-label", down ? "Sorted downwards; turn round" : "Sorted upwards; turn round");
    body.replaceChildren(...Array.from(shown.subarray(page * size, (page + 1) * size), i =>
      make("tr", { role: "row", class: failed?.(i) ? "failed" : null }, ...columns.map((column, index) => cell(column, i, index === 0)))));
    caption.textContent = most > 1 || shown.length < count
      ? `${digits(shown.length, 0)} of ${digits(count, 0)} rows, page ${page + 1} of ${most}` : `${digits(count, 0)} row${count === 1 ? "" : "s"}`;
    previous.disabled = page === 0;
    next.disabled = page >= most - 1;
    root.dataset[id + "Rows"] = shown.length;
  }
  previous.onclick = () => { page--; fill(); };
  next.onclick = () => { page++; fill(); };
  sorter.onchange = () => { by = +sorter.value; down = !columns[by].text; arrange(); };
  let wait = 0;
  find.oninput = () => { clearTimeout(wait); wait = setTimeout(arrange, 150); };
  Paper.tables.push(on => { size = on ? onPaper : onScreen; page = 0; fill(); });
  pages.hidden = count <= onScreen;
  find.hidden = count < 8;
  section.querySelector(".narrow").hidden = count < 3;
  arrange();
}
