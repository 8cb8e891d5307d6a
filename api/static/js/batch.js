// An upload while it is imported: its counts change in place. Parts with forms or links are loaded again only when the
// status of the upload changes.

import { announce } from "./app.js";
import { listen } from "./live.js";

const batch = document.getElementById("batch");
const number = (value) => value.toLocaleString("en-GB");

function show({ status, rows, cases }) {
  const bar = document.getElementById("bar");
  if (bar) bar.value = rows.started + rows.failed;
  const done = batch.querySelector("[data-done]");
  if (done) done.textContent = number(rows.started + rows.failed);
  for (const figure of batch.querySelectorAll("[data-rows]")) {
    const count = rows[figure.dataset.rows];
    figure.textContent = number(count);
    if (count) figure.parentElement.hidden = false;
  }
  for (const line of batch.querySelectorAll("[data-case]")) {
    const count = cases[line.dataset.case] ?? 0;
    line.hidden = !count;
    line.querySelector(".number").textContent = number(count);
  }
  if (status !== batch.dataset.status) {
    batch.dataset.status = status;
    turn();
  }
}

/** Load the buttons and the rows again, for the new status; parts with the focus or with entered text stay. */
async function turn() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;  // the counts still arrive
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const state = page.getElementById("status");
  if (state) {
    document.getElementById("status").replaceWith(state);
    announce(state.textContent);
  }
  for (const id of ["orders", "rows"]) {
    const old = document.getElementById(id);
    const used = old.contains(document.activeElement) || old.querySelector("input[name=reason]")?.value;
    if (!used) old.replaceWith(page.getElementById(id));
  }
}

if (batch && !("ended" in batch.dataset)) {
  // Each connection begins with all counts, so none are missed while the page is hidden.
  const stop = listen(() => `/batches/${batch.dataset.batch}/events`, {
    counts: (event) => show(JSON.parse(event.data)),
    end: (event) => {
      stop();
      show(JSON.parse(event.data));
      announce(batch.dataset.finished);
      turn();
    },
  });
}
