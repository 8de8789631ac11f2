// Tables sorted by their heads: the first direction, the other one, as written. Without this script they stand as written.
const words = new Intl.Collator("en", { numeric: true });
const lists = new Map(); // table -> [where its items stand, the items as written]
for (const hint of document.querySelectorAll("[data-scripted]")) hint.hidden = false;
for (const table of document.querySelectorAll("table[data-sorted]")) {
  const heads = [...table.tHead.rows[0].cells].filter((head) => head.dataset.sort);
  const numbers = heads.filter((head) => head.dataset.sort === "number");
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "Sort; once more: the other way round; again: as written";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, heads, head, numbers.indexOf(head)));
  }
  // What is moved, in the order of the file: rows within each body, or whole bodies.
  const bodies = [...table.tBodies];
  const rows = bodies.map((body) => [body, [...body.rows].filter((row) => row.querySelector("td"))]);
  lists.set(table, table.dataset.sorted === "groups" ? [[table, bodies]] : rows);
}

function sort(table, heads, head, place) {
  const first = head.dataset.first ?? "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const order = head.ariaSort === first ? second : head.ariaSort === second ? null : first;
  for (const each of heads) each.ariaSort = each === head ? order : null;
  for (const [parent, items] of lists.get(table)) parent.append(...(order ? sorted(items, place, order) : items));
}

// Items without a number stand last in both directions; equal ones keep their order.
function sorted(items, place, order) {
  const keys = new Map(items.map((item) => [item, place < 0 ? name(item) : number(item, place)]));
  const missing = (item) => Number.isNaN(keys.get(item));
  const sign = order === "ascending" ? 1 : -1;
  const compare = (one, other) => {
    const [a, b] = [keys.get(one), keys.get(other)];
    return sign * (place < 0 ? words.compare(a, b) : a - b);
  };
  return [...items.filter((item) => !missing(item)).sort(compare), ...items.filter(missing)];
}

function name(item) {
  return item.querySelector("th.name span:not(.row, .mark, .badge, .sub)").textContent; // without marker and badge
}

function number(item, place) {
  const row = item.querySelector("tr[data-key]") ?? item;
  return Number(row.querySelectorAll("td.num")[place].dataset.value ?? NaN);
}
