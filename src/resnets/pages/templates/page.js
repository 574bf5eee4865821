// Tables sort by their headers; one that is too wide becomes a list of its rows, each number with the name of its column;
// a link opens what it leads to; on paper all is open.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text);
    return text === "" || text === "–" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
  };
  for (const head of table.querySelectorAll("th[data-column]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th[data-column]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const column = Number(head.dataset.column);
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (x === null || y === null) return (x === null) - (y === null);  // what is missing is last, either way
        const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  }
}
for (const table of document.querySelectorAll(".scroll > table")) {  // each cell knows the name of its column
  const names = [];
  [...table.tHead.rows].forEach((row, level) => {
    let column = 0;
    for (const head of row.cells) {
      while (names[column]?.[level] !== undefined) column += 1;
      for (let across = 0; across < head.colSpan; across += 1) {
        for (let down = level; down < level + head.rowSpan; down += 1) (names[column + across] ??= [])[down] = head;
      }
      column += head.colSpan;
    }
  });
  const labels = names.map((heads) => [...new Set(heads)].map((head) => {
    const copy = head.cloneNode(true);
    for (const unseen of copy.querySelectorAll(".sr")) unseen.remove();
    return copy.textContent.trim();
  }).join(", "));
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      cell.dataset.label = labels[column];
      cell.classList.toggle("nothing", ["", "–"].includes(cell.textContent.trim()));
    });
  }
}
const regions = [...document.querySelectorAll(".scroll")];
const fit = () => {
  for (const region of regions) region.querySelector(":scope > table")?.classList.remove("stacked");
  const wide = regions.filter((region) => region.scrollWidth > region.clientWidth + 1);  // all, before any changes
  for (const region of wide) region.querySelector(":scope > table")?.classList.add("stacked");
  for (const region of regions) region.classList.toggle("wider", region.scrollWidth > region.clientWidth + 1);
};
let due = 0;
const refit = () => { cancelAnimationFrame(due); due = requestAnimationFrame(fit); };
addEventListener("resize", refit);
document.addEventListener("toggle", refit, true);
fit();
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) { details.open = true; details.dataset.shut = ""; }
});
addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-shut]")) { details.open = false; delete details.dataset.shut; }
});
