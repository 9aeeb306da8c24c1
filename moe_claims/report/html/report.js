"use strict";
// Search, filters, sorting, folding and figures. Without this the page is whole, only still.
//
// What the reader chose stands after the # of the address, as in #q=norm&sort=0.effect&open=live-3&at=row-7, so that the
// address of the page shows the same to whoever opens it. A plain #row-7 is a place alone.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const by = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");

  // --- what is on the page ------------------------------------------------------------------------
  const table = by("verdicts");
  const lines = table ? [...table.tBodies[0].rows] : [];
  const heads = table ? all("th[data-column]", table) : [];
  const claims = all(".claim");
  const folds = new Map(claims.map((claim) => [claim.id, claim.querySelector("details.fold")]));
  const words = (element) => element.textContent.replace(/\s+/g, " ").toLowerCase();
  const about = (claim) => all("h3, .statement, h4, .about", claim).map(words).join(" ");
  const measured = all("#claims .claim");
  const ofLine = new Map(lines.map((line) => [line, words(line.cells[0]) + " " + words(line.cells[1])]));
  // Other things that search finds: (element, its words), by the part of the page that they are in.
  const others = all("main > .part")
    .filter((part) => !["matrix", "claims"].includes(part.id))
    .map((part) => ({
      part,
      title: all("h2", part).map(words).join(" "),
      items: all("figure, .claim, #audits tbody tr, .card, .changes, #errors li", part).map((item) => ({
        item,
        said: item.matches(".claim") ? about(item) : words(item),
      })),
    }));
  const control = {
    q: by("filter-text"),
    family: by("filter-family"),
    verdict: by("filter-verdict"),
    changed: by("filter-changed"),
    sort: by("sort"),
    desc: by("descending"),
  };
  const box = (input) => input && input.type === "checkbox";

  // --- the address ----------------------------------------------------------------------------------
  let at = "";
  const parsed = () => {
    const hash = location.hash.slice(1);
    return new URLSearchParams(hash.includes("=") ? hash : hash ? { at: hash } : {});
  };
  const address = () => {
    const found = new URLSearchParams();
    for (const [name, input] of Object.entries(control)) {
      const value = !input ? "" : box(input) ? (input.checked ? "1" : "") : input.value.trim();
      if (value) found.set(name, value);
    }
    const open = [...folds].filter(([, fold]) => fold.open).map(([id]) => id);
    if (open.length) found.set("open", open.length === folds.size ? "all" : open.join("."));
    if (at) found.set("at", at);
    const names = [...found.keys()];
    return "#" + (names.length === 1 && names[0] === "at" ? at : found.toString());
  };
  const keep = () => {
    if (address() !== (location.hash || "#")) history.replaceState(null, "", address());
  };
  let due = 0;
  // Many claims fold at once, and browsers refuse many changes of the address in a short time.
  const keepSoon = () => {
    clearTimeout(due);
    due = setTimeout(keep, 40);
  };

  // --- sorting and filtering ----------------------------------------------------------------------------
  const value = (line, column, what) =>
    what === "verdict"
      ? Number(line.dataset.ranks.split(" ")[column])
      : line.dataset.effects.split(" ").map((one) => (one === "-" ? null : Number(one)))[column];

  const sort = () => {
    const [column, what] = control.sort.value.split(".");
    const sign = control.desc.checked ? -1 : 1;
    const place = (line) => Number(line.dataset.place);
    const order = (a, b) => {
      if (!what) return sign * (place(a) - place(b));
      const [left, right] = [value(a, column, what), value(b, column, what)];
      if (left === null || right === null) return (left === null) - (right === null) || place(a) - place(b);
      return sign * (left - right) || place(a) - place(b);
    };
    table.tBodies[0].append(...[...lines].sort(order));
    for (const head of heads) {
      const here = head.dataset.column === (what ? column : "claim");
      if (here) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
      for (const button of all("button", head))
        button.setAttribute("aria-pressed", String(here && button.dataset.by === (what || "claim")));
    }
  };

  const filter = () => {
    const wanted = control.q.value.trim().toLowerCase();
    const [family, verdict] = [control.family.value, control.verdict.value];
    const shown = new Set();
    for (const line of lines) {
      const fits =
        ofLine.get(line).includes(wanted) &&
        (!family || line.dataset.family === family) &&
        (!verdict || line.dataset.verdicts.split(" ").includes(verdict)) &&
        (!control.changed || !control.changed.checked || line.dataset.changed === "yes");
      line.hidden = !fits;
      if (fits) shown.add(line.dataset.claim);
    }
    for (const claim of measured) claim.hidden = !shown.has(claim.dataset.claim);
    const said = by("shown");
    said.replaceChildren(`${lines.filter((line) => !line.hidden).length} of ${lines.length} rows`);
    for (const { part, title, items } of others) {
      const whole = title.includes(wanted);
      const fit = items.filter(({ item, said }) => !(item.hidden = !whole && !said.includes(wanted)));
      part.hidden = !whole && !fit.length;
      if (!wanted || part.hidden) continue;
      const link = document.createElement("a");
      link.href = "#" + (whole ? part.id : fit[0].item.id || part.id);
      const name = part.querySelector("h2").textContent;
      link.textContent = whole ? name : `${fit.length} of ${items.length} in ${name}`;
      said.append(" · ", link);
    }
  };

  // --- places ---------------------------------------------------------------------------------------------
  const show = () => {
    for (const old of all(".here")) old.classList.remove("here");
    const place = at && by(at);
    if (!place) return;
    for (let one = place; one; one = one.parentElement) {
      if (one.matches("details")) one.open = true;
      if (one.matches(".claim")) folds.get(one.id).open = true;
      one.hidden = false;
    }
    place.classList.add("here");
    place.scrollIntoView({ block: place.matches("td") ? "nearest" : "start", behavior: "instant" });
    if (place.hasAttribute("tabindex")) place.focus({ preventScroll: true });
  };

  const apply = () => {
    const found = parsed();
    for (const [name, input] of Object.entries(control)) {
      if (!input) continue;
      if (box(input)) input.checked = found.get(name) === "1";
      else input.value = found.get(name) || "";
      if (input.tagName === "SELECT" && input.selectedIndex < 0) input.value = ""; // an address of another report
    }
    const open = (found.get("open") || "").split(".");
    for (const [id, fold] of folds) fold.open = open[0] === "all" || open.includes(id);
    at = found.get("at") || "";
    if (table) {
      sort();
      filter();
    }
    show();
  };

  const go = (id, from) => {
    if (from) {
      at = from; // so that the way back leads to the cell that was left
      keep();
    }
    at = id;
    show();
    history.pushState(null, "", address());
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const id = link.getAttribute("href").slice(1);
    if (!by(id)) return;
    event.preventDefault();
    const cell = link.closest("td[id]");
    go(id, cell && cell.id);
    if (link.matches(".back")) by(id).querySelector("a").focus({ preventScroll: true });
    if (link.matches(".skip")) by(id).focus();
  });
  window.addEventListener("popstate", apply);

  // --- controls ---------------------------------------------------------------------------------------------
  for (const head of heads) {
    const choices = head.dataset.column === "claim" ? ["claim"] : ["verdict", "effect"];
    const name = head.textContent.trim();
    if (choices.length === 1) head.replaceChildren();
    const row = document.createElement("span");
    row.className = "sorts";
    for (const what of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.by = what;
      button.textContent = what;
      if (what !== "claim") button.setAttribute("aria-label", `sort by ${what} of ${name}`);
      button.addEventListener("click", () => {
        const key = what === "claim" ? "" : `${head.dataset.column}.${what}`;
        control.desc.checked = control.sort.value === key && !control.desc.checked;
        control.sort.value = key;
        sort();
        keep();
      });
      row.append(button);
    }
    head.append(row);
  }
  const form = by("filters");
  if (form) {
    form.hidden = false;
    const changed = () => {
      sort();
      filter();
      keepSoon();
    };
    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(changed));
  }
  for (const button of all("button[data-fold]")) {
    button.closest("p").hidden = false;
    button.addEventListener("click", () => {
      for (const fold of folds.values()) fold.open = button.dataset.fold === "open";
    });
  }
  for (const [id, fold] of folds)
    fold.addEventListener("toggle", () => {
      if (!fold.open && at && by(at) && by(id).contains(by(at))) at = ""; // folded by the reader: no longer there
      keepSoon();
    });

  // --- figures ------------------------------------------------------------------------------------------------
  for (const image of all("figure img")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      const dialog = document.createElement("dialog");
      dialog.setAttribute("aria-label", image.alt);
      const close = document.createElement("button");
      close.type = "button";
      close.textContent = "Close";
      const large = image.cloneNode();
      large.loading = "eager";
      const sheet = document.createElement("div");
      sheet.tabIndex = 0;
      sheet.append(large);
      dialog.append(close, sheet);
      close.addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      dialog.addEventListener("close", () => (dialog.remove(), button.focus()));
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  window.addEventListener("beforeprint", () => {
    for (const fold of folds.values()) fold.open = true;
  });
  apply();
})();
