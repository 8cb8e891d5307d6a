// A file while it is imported: its counts change in place. What has forms or links in it is fetched anew at turns only.

import { announce } from "/static/js/app.js";

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

/** Its state is another one: the buttons and the rows are, too. Whoever types or stands in them is left alone. */
async function turn() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;  // the counts still come
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
  let source = null;
  const listen = () => {
    source = new EventSource(`/batches/${batch.dataset.batch}/events`);
    source.addEventListener("counts", (event) => show(JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      source.close();
      document.removeEventListener("visibilitychange", listenIfSeen);
      show(JSON.parse(event.data));
      announce(batch.dataset.finished);
      turn();
    });
  };
  // Not in a tab that nobody looks at: a browser has six connections to one server. It begins with all counts anew.
  const listenIfSeen = () => {
    source?.close();
    if (!document.hidden) listen();
  };
  listen();
  document.addEventListener("visibilitychange", listenIfSeen);
  addEventListener("pagehide", () => source.close());
}
