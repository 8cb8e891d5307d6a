// Live changes of the list. No row moves under the cursor: new tasks stay behind a button, and a task
// that others decided stays, dimmed, where it was.

import { announce, signedOut } from "../app.js";
import { listen } from "../live.js";
import { all, box, changed, choose, current, inbox, leave, link, mark, picked, prepare, recount, rows, say, words } from "./rows.js";

const fresh = document.getElementById("fresh");
const closed = new Map(); // task id to why it left
/** The ids of tasks that the reader has decided, and that are closed. */
export const decidedHere = new Set();
let latest = null; // the list as it is now, not shown yet
let looking = null;
let lately = 0;

/** Load the list again soon, at most every three seconds, because many tasks may change at once. */
function lookAgain() {
  if (looking) return;
  const wait = Math.max(250, lately + 3000 - Date.now());
  looking = setTimeout(async () => {
    lately = Date.now();
    try {
      const answer = await fetch(inbox.dataset.list, { headers: { "HX-Request": "true" } });
      looking = null;
      if (answer.status === 401) return signedOut();
      if (!answer.ok) return;
      latest = new DOMParser().parseFromString(await answer.text(), "text/html");
      compare();
    } catch { looking = null; }
  }, wait);
}

/** Compare the rows with the list as it is now. */
function compare() {
  const now = new Map([...latest.querySelectorAll("tbody tr")].map((row) => [row.id, row]));
  for (const row of all()) {
    const other = now.get(row.id);
    if (other) {
      if (row.classList.contains("gone")) { row.classList.remove("gone"); box(row).disabled = false; row.querySelector(".mark")?.remove(); }
      if (other.dataset.revision !== row.dataset.revision || cells(other) !== cells(row)) refresh(row, other);
    } else if (closed.has(row.id) && !row.classList.contains("gone")) {
      mark(row, closed.get(row.id), "gone");
    }
    now.delete(row.id);
  }
  fresh.hidden = now.size === 0;
  if (now.size) {
    const text = say(now.size === 1 ? words.one_new : words.many_new, { number: now.size });
    if (fresh.textContent !== text) { fresh.textContent = text; announce(text); }
    if (!all().length) replace();
  }
  changed();
}

const cells = (row) => [...row.cells].slice(1).map((cell) => cell.textContent.replace(/\s+/g, " ").trim()).slice(2).join("|");

/** Put new contents into a row that stays where it is; selection and focus stay, too. */
function refresh(row, other) {
  const checked = box(row).checked;
  const focused = row.contains(document.activeElement);
  Object.assign(row.dataset, other.dataset);
  for (const [n, cell] of [...row.cells].entries()) if (n !== 0) cell.innerHTML = other.cells[n].innerHTML;
  box(row).value = box(other).value;
  box(row).checked = checked;
  if (focused) link(row).focus({ preventScroll: true });
}

/** Show the list as it is now. Selection and position stay. */
export async function replace(again = false) {
  if (again || !latest) {
    const answer = await fetch(inbox.dataset.list, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    latest = new DOMParser().parseFromString(await answer.text(), "text/html");
  }
  const chosen = new Set(picked().map((row) => row.id));
  const was = current?.id;
  const count = latest.getElementById("count");
  rows.replaceChildren(...latest.getElementById("rows").childNodes);
  if (count) document.getElementById("count").textContent = count.textContent;
  for (const row of all()) box(row).checked = chosen.has(row.id);
  latest = null;
  closed.clear();
  fresh.hidden = true;
  leave();
  prepare();
  const row = (was && document.getElementById(was)) || all()[0];
  if (row) choose(row);
  else document.querySelector("#inbox h1").focus();
  changed();
}
fresh.addEventListener("click", () => replace(true));

/** Return what happened to a task, in words for its row. */
function said(task, mine) {
  if (task.kind === "closed") return say(mine ? words.own : words.closed, { outcome: words.outcomes[task.outcome] ?? "" });
  return task.assignee ? say(words.claimed, { by: task.assignee }) : words.moved;
}

function taskChanged({ data }) {
  const task = JSON.parse(data);
  const row = document.getElementById(task.task_id);
  const mine = task.decided_by?.includes(document.body.dataset.person);
  closed.set(task.task_id, said(task, mine));
  if (mine && task.kind === "closed") decidedHere.add(task.task_id);
  if (row?.classList.contains("refused") && decidedHere.has(row.id)) { row.remove(); recount(-1); return changed(); }
  // What is decided is said at once; the list itself is not asked for more than every few seconds.
  if (row && task.kind === "closed" && !row.hasAttribute("aria-busy") && !row.classList.contains("gone")) {
    mark(row, closed.get(row.id), "gone");
    changed();
  }
  if (row || task.kind !== "closed") lookAgain();
}

// From where the page was made, or where it stopped listening: what was missed comes first.
if (rows) {
  listen((last) => `/events?since=${last || inbox.dataset.since}`, { task: taskChanged, case: () => {}, reset: lookAgain }, lookAgain);
}
