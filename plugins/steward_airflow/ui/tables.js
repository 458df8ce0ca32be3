// Sorting and filtering of tables that are already on the page.

export function livenTables(root) {
  for (const table of root.querySelectorAll("table[data-table]")) livenHeads(table);
  const filters = [...root.querySelectorAll("[data-filter]")];
  const known = new URLSearchParams(globalThis.location.search);
  for (const filter of filters) {
    const wanted = known.get(keyOf(filter));
    if (wanted !== null) filter.value = wanted;
    filter.addEventListener("input", () => {
      apply(root, filters, filter.dataset.filter);
      keep(filters);
    });
  }
  for (const table of new Set(filters.map((filter) => filter.dataset.filter))) apply(root, filters, table);
}

const keyOf = (filter) => filter.name || filter.dataset.column || "q";

function apply(root, filters, selector) {
  const table = root.querySelector(selector);
  if (!table) return;
  const rules = filters.filter((each) => each.dataset.filter === selector && each.value).map(rule);
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  let shown = 0;
  for (const row of rows) {
    row.hidden = !rules.every((holds) => holds(row));
    shown += !row.hidden;
  }
  for (const place of root.querySelectorAll(`[data-count="${selector}"]`)) {
    place.textContent = shown === rows.length ? `${rows.length} shown` : `${shown} of ${rows.length} shown`;
  }
}

function rule(filter) {
  const { column } = filter.dataset;
  if (column) return (row) => row.getAttribute(`data-${column}`) === filter.value;
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => words.every((word) => textOf(row).includes(word));
}

const texts = new WeakMap();

function textOf(row) {
  if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
  return texts.get(row);
}

// In the address, so that a filtered page can be sent to a colleague.
function keep(filters) {
  const query = new URLSearchParams(globalThis.location.search);
  for (const filter of filters) {
    if (filter.value) query.set(keyOf(filter), filter.value);
    else query.delete(keyOf(filter));
  }
  const text = query.toString();
  history.replaceState(history.state, "", `${globalThis.location.pathname}${text && `?${text}`}`);
}

function livenHeads(table) {
  for (const head of table.tHead?.querySelectorAll("th[data-sort]") ?? []) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
  }
}

function sortBy(table, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = valueOf(head.cellIndex, head.dataset.sort);
  for (const body of table.tBodies) {
    const rows = [...body.rows].map((row) => [value(row), row]);
    rows.sort(([a], [b]) => compare(a, b, down));
    body.append(...rows.map(([, row]) => row));
  }
}

function valueOf(column, kind) {
  return (row) => {
    const cell = row.cells[column];
    const text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
    if (text === "" || text === "–") return null;
    if (kind === "number") return Number.isNaN(Number.parseFloat(text)) ? null : Number.parseFloat(text);
    return text;
  };
}

// What is empty is at the end, whichever way round.
function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true, sensitivity: "base" });
  return down ? -order : order;
}
