"use strict";
// Sorting and filtering of the matrix. Without this the page is whole, only still.
(() => {
  const table = document.getElementById("verdicts");
  if (!table) return;
  const body = table.tBodies[0];
  const lines = [...body.rows];
  const heads = [...table.querySelectorAll("th[data-column]")];

  const key = (line, column) =>
    column === "claim" ? Number(line.dataset.place) : Number(line.dataset.ranks.split(" ")[Number(column)]);

  const sort = (head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = head.dataset.column;
    lines.sort((a, b) => (down ? -1 : 1) * (key(a, column) - key(b, column)) || a.dataset.place - b.dataset.place);
    body.append(...lines);
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }

  const form = document.getElementById("filters");
  const text = document.getElementById("filter-text");
  const family = document.getElementById("filter-family");
  const verdict = document.getElementById("filter-verdict");
  const shown = document.getElementById("shown");
  const sections = [...document.querySelectorAll("#claims .claim")];

  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    const claims = new Set();
    let count = 0;
    for (const line of lines) {
      const fits =
        line.dataset.name.toLowerCase().includes(wanted) &&
        (!family.value || line.dataset.family === family.value) &&
        (!verdict.value || line.dataset.verdicts.split(" ").includes(verdict.value));
      line.hidden = !fits;
      if (fits) {
        claims.add(line.dataset.claim);
        count += 1;
      }
    }
    for (const section of sections) section.hidden = !claims.has(section.dataset.claim);
    shown.textContent = `${count} of ${lines.length} rows`;
  };

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
