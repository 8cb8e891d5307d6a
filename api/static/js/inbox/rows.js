// The rows of the inbox: which there are, which are selected, which is the current one, and the task beside the list.

import { restore } from "../drafts.js";

export const inbox = document.getElementById("inbox");
export const words = JSON.parse(inbox.dataset.words);
export const rows = document.getElementById("rows");
export const panel = document.getElementById("panel");
export const wide = matchMedia("(min-width: 75rem)");

export const say = (text, values = {}) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
export const all = () => [...(rows?.querySelectorAll("tbody tr") ?? [])];
export const active = () => all().filter((row) => !row.classList.contains("gone"));
export const box = (row) => row.querySelector("input[name=task]");
export const link = (row) => row.querySelector("th a");
export const picked = () => active().filter((row) => box(row).checked);

/** Tell the bar that rows or their selection have changed. */
export const changed = () => inbox.dispatchEvent(new Event("rowschanged"));

// ------------------------------------------------------------------------------------------------------- the current row

export let current = null;
let showing = 0; // of the timer that opens the panel
let loading = ""; // the address that is being loaded: a second answer would replace a form that is in use

/** Make a row the current one. */
export function choose(row, { focus = true, show = true } = {}) {
  if (!row) return;
  current?.removeAttribute("data-current");
  current = row;
  row.setAttribute("data-current", "");
  if (focus) {
    link(row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  if (show && wide.matches) {
    clearTimeout(showing);
    showing = setTimeout(() => look(row), 120);
  }
}

/** Go up or down by so many rows. */
export function step(by) {
  const list = all();
  if (!list.length) return;
  const at = current ? list.indexOf(current) : by > 0 ? -1 : list.length;
  choose(list[Math.min(Math.max(at + by, 0), list.length - 1)]);
}

/** Show the task of a row in the panel; `into` moves the focus there. */
async function look(row, into = false) {
  const address = link(row).getAttribute("href");
  if (panel.dataset.of !== address && loading !== address) {
    loading = address;
    panel.setAttribute("aria-busy", "true");
    const answer = await fetch(address, { headers: { "HX-Request": "true" } }).finally(() => { loading = ""; });
    if (answer.status === 401) return location.reload();
    if (current !== row) return; // moved on meanwhile
    panel.innerHTML = await answer.text(); // from our own templates, which escape
    panel.dataset.of = address;
    panel.removeAttribute("aria-busy");
    panel.scrollTop = 0;
    htmx.process(panel);
    restore(panel);
  }
  if (into) panel.focus();
}

/** Show a task: beside the list where there is room, else as a page. */
export function open(row) {
  if (wide.matches) look(row, true);
  else location.assign(link(row).href);
}

rows?.addEventListener("focusin", (event) => {
  const row = event.target.closest("tbody tr");
  if (row && row !== current) choose(row, { focus: false });
});
rows?.addEventListener("click", (event) => {
  const clicked = event.target.closest("th a");
  if (clicked && wide.matches && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    choose(clicked.closest("tr"), { show: false });
    open(current);
  }
});

/** No row is the current one: the list was replaced. */
export function leave() {
  current = null;
}

// ------------------------------------------------------------------------------------------------- rows that come and go

/** Return the next row, else the one before, without rows that leave the list. */
export function next(row, going) {
  const list = all();
  const at = list.indexOf(row);
  const stays = (each) => !going.has(each.id) && !each.classList.contains("gone");
  return list.slice(at + 1).find(stays) ?? list.slice(0, at).reverse().find(stays) ?? list.slice(0, at + 1).find((each) => !going.has(each.id));
}

/** Mark a row as `gone` or `refused`, with the reason beside its title. */
export function mark(row, text, kind) {
  row.classList.add(kind);
  if (kind === "gone") { box(row).checked = false; box(row).disabled = true; }
  let note = row.querySelector(".mark");
  if (!note) {
    note = document.createElement("span");
    note.className = "mark";
    row.querySelector("th").append(note);
  }
  note.textContent = text;
}

/** Change the number of tasks in the heading. */
export function recount(by) {
  const count = document.getElementById("count");
  const number = parseInt(count.textContent.replace(/\D/g, ""), 10);
  if (!Number.isNaN(number)) count.textContent = count.textContent.replace(/[\d,]+/, (number + by).toLocaleString("en"));
}

// ------------------------------------------------------------------------------------------------------------ selection

let anchor = null; // where a range begins

/** Select a row, or all from the last one to it. */
export function pick(row, on = !box(row).checked, { range = false } = {}) {
  if (range && anchor?.isConnected) {
    const list = active();
    const [from, to] = [list.indexOf(anchor), list.indexOf(row)].sort((a, b) => a - b);
    for (const each of list.slice(from, to + 1)) if (!box(each).disabled) box(each).checked = true;
  } else if (!box(row).disabled) {
    box(row).checked = on;
    anchor = row;
  }
  changed();
}

/** Select all open rows of the same process and approval step that have no flag. */
export function pickUnflagged() {
  const like = (current ?? active()[0])?.dataset.of;
  let number = 0;
  for (const row of active()) {
    const fits = row.dataset.of === like && !row.dataset.flags && !row.dataset.not && !box(row).disabled && number < 100;
    box(row).checked = fits;
    number += fits;
  }
  changed();
}

/** Select nothing. */
export function clear() {
  for (const row of picked()) box(row).checked = false;
  changed();
}

rows?.addEventListener("click", (event) => {
  if (!event.target.matches("input[name=task]")) return;
  const row = event.target.closest("tr");
  if (event.shiftKey) pick(row, true, { range: true });
  else { anchor = row; changed(); }
});

/** Make the box that selects all work; again after the list was replaced. */
export function prepare() {
  const every = document.getElementById("all");
  if (!every) return;
  every.hidden = false;
  every.addEventListener("change", () => {
    for (const row of active()) if (!box(row).disabled) box(row).checked = every.checked;
    changed();
  });
}

/** Keep the selection until the same person is back in this window. */
export function keepSelected(list) {
  try {
    sessionStorage.setItem("selected", JSON.stringify([document.body.dataset.person, ...list.map((row) => box(row).value)]));
  } catch { /* storage is off: the reader selects them again */ }
}

/** Select what was selected when the session ended, as far as it has not changed since. */
export function reselect() {
  const [person, ...chosen] = JSON.parse(sessionStorage.getItem("selected") ?? "[]");
  sessionStorage.removeItem("selected");
  if (person !== document.body.dataset.person || chosen.length < 2) return;
  for (const row of active()) box(row).checked = chosen.includes(box(row).value);
}
