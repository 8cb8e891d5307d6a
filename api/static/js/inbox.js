// The inbox by keyboard, with live changes, deciding in place, and the task beside the list on wide screens.

import { shortcuts, typing } from "./app.js";
import { ask, busy, dismiss } from "./inbox/bulk_decision.js";
import "./inbox/live_changes.js";
import {
  all, changed, choose, current, inbox, panel, pick, pickUnflagged, prepare, reselect, rows, step, wide,
} from "./inbox/rows.js";

const help = document.getElementById("help");

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  a: () => ask("approve"),
  r: () => ask("reject"),
  c: () => ask("request_changes"),
  x: () => current && pick(current),
  X: () => current && pick(current, true, { range: true }),
  s: pickUnflagged,
  "/": () => document.getElementById("search").focus(),
  "?": () => help.showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !help.open && busy()) {
    event.preventDefault();
    return dismiss();
  }
  if (!shortcuts() || typing(event) || help.open || panel.contains(event.target)) return;
  const does = KEYS[event.key];
  if (does && (rows || "/?".includes(event.key))) {
    event.preventDefault();
    does();
  }
});
panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && current) { event.stopPropagation(); choose(current, { show: false }); }
});

inbox.classList.add("scripted");
if (rows) {
  prepare();
  reselect();
  changed();
  if (all().length && document.activeElement === document.body) choose(all()[0], { show: wide.matches });
}
const keys = document.getElementById("keys");
keys.hidden = !shortcuts();
keys.addEventListener("click", () => help.showModal());
for (const select of document.querySelectorAll("#filters select")) select.addEventListener("change", () => select.form.requestSubmit());
// Keep only filters with a value in the address, so that it is short to share.
document.getElementById("filters").addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
