// Menus of the picture grids. Without this script every grid of the page is shown, one below the other.
for (const gallery of document.querySelectorAll("[data-gallery]")) {
  const [image, task] = ["image", "task"].map((menu) => gallery.querySelector(`[data-menu="${menu}"]`));
  const panels = [...gallery.querySelectorAll(".panel")];
  let across = null; // one task over all images, built when asked for

  const show = () => {
    across?.remove();
    across = null;
    const all = image.value === "all", one = task.value !== "all";
    for (const panel of panels) {
      panel.hidden = (all && one) || (!all && panel.dataset.image !== image.value);
      for (const cell of panel.querySelectorAll("[data-task]")) cell.hidden = one && cell.dataset.task !== task.value;
      panel.querySelector(".grid").style.setProperty("--columns", one ? 1 : task.options.length - 1);
    }
    if (all && one) panels.at(-1).after((across = overImages(panels, task.value)));
  };
  image.addEventListener("change", show);
  task.addEventListener("change", show);
  gallery.querySelector(".menus").hidden = false;
  show();
}

// A grid of one task: a row per image, a column for the input, the label and every model.
function overImages(panels, task) {
  const heads = new Map();
  for (const panel of panels) {
    for (const row of panel.querySelectorAll("tbody tr")) {
      if (!heads.has(row.dataset.row)) heads.set(row.dataset.row, row.querySelector("th"));
    }
  }
  const table = document.createElement("table");
  table.className = "grid";
  const top = table.createTHead().insertRow();
  top.append(header("", "name"), header("input"));
  for (const head of heads.values()) top.append(header([...head.childNodes].map((node) => node.cloneNode(true))));
  const body = table.createTBody();
  for (const panel of panels) {
    const line = body.insertRow();
    const name = header(panel.querySelector("figcaption").textContent, "name");
    name.scope = "row";
    line.append(name);
    line.insertCell().append(panel.querySelector("figure .zoom").cloneNode(true));
    for (const key of heads.keys()) {
      const row = [...panel.querySelectorAll("tbody tr")].find((each) => each.dataset.row === key);
      const cell = row?.querySelector(`[data-task="${task}"]`)?.cloneNode(true) ?? document.createElement("td");
      cell.hidden = false;
      line.append(cell);
    }
  }
  // Images differ in shape; each stands whole in a box of the widest one's.
  const ratios = [...table.querySelectorAll("img")].map((each) => each.naturalWidth / each.naturalHeight);
  table.style.setProperty("--columns", heads.size + 1);
  table.style.setProperty("--ratio", Math.min(2.5, Math.max(...ratios.filter(Number.isFinite), 1)));
  const scroll = document.createElement("div");
  scroll.className = "scroll tall";
  scroll.tabIndex = 0;
  scroll.append(table);
  const panel = document.createElement("div");
  panel.className = "panel across";
  panel.append(scroll);
  return panel;
}

function header(content, name = "") {
  const cell = document.createElement("th");
  cell.scope = "col";
  if (name) cell.className = name;
  cell.append(...(Array.isArray(content) ? content : [content]));
  return cell;
}

// A picture enlarged, beside the input and the label it belongs to. Arrow keys walk through the pictures on view.
const viewer = document.getElementById("viewer");
const partners = new Map(); // key of a picture -> the buttons to show with it
for (const panel of document.querySelectorAll(".panel[data-image]")) {
  const input = panel.querySelector("figure .zoom");
  for (const button of panel.querySelectorAll(".zoom")) {
    const task = button.closest("[data-task]")?.dataset.task;
    const label = task && panel.querySelector(`.truth [data-task="${task}"] .zoom`);
    button.dataset.key = partners.size;
    partners.set(button.dataset.key, [...new Set([input, label, button])].filter(Boolean));
  }
}
let current = null;
function open(button) {
  current = button;
  const figures = partners.get(button.dataset.key).map((each) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = each.dataset.caption;
    const image = each.querySelector("img").cloneNode();
    figure.append(image, caption);
    return figure;
  });
  const views = viewer.querySelector(".views");
  views.replaceChildren(...figures);
  views.scrollTop = 0;
  if (!viewer.open) viewer.showModal();
}
function walk(step) {
  const all = [...document.querySelectorAll(".zoom")].filter((each) => each.offsetParent !== null);
  open(all[(all.indexOf(current) + step + all.length) % all.length]);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".zoom");
  if (button) open(button);
  else if (event.target === viewer) viewer.close();
});
for (const button of viewer.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => walk(Number(button.dataset.step)));
}
viewer.addEventListener("close", () => current.focus());
viewer.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) walk(step);
});
