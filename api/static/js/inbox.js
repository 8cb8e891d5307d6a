// The inbox by keyboard, with live changes, deciding in place, and the task beside the list on wide screens.
// Rule: nothing moves under the cursor. New tasks wait behind a button; what others decided stays, dimmed, where it was.

import { announce, send, shortcuts, signedOut, typing } from "./app.js";
import { forget, restore } from "./drafts.js";

const inbox = document.getElementById("inbox");
const words = JSON.parse(inbox.dataset.words);
const rows = document.getElementById("rows");
const bar = document.getElementById("bar");
const panel = document.getElementById("panel");
const fresh = document.getElementById("fresh");
const help = document.getElementById("help");
const comment = document.getElementById("comment");
const barWrong = document.getElementById("bar-wrong");
const wide = matchMedia("(min-width: 75rem)");

const say = (text, values = {}) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const all = () => [...(rows?.querySelectorAll("tbody tr") ?? [])];
const live = () => all().filter((row) => !row.classList.contains("gone"));
const box = (row) => row.querySelector("input[name=task]");
const picked = () => live().filter((row) => box(row).checked);
const title = (row) => row.querySelector("th a").textContent;

// ------------------------------------------------------------------------------------------------------- the current row

let current = null;
let anchor = null; // where a range begins
let showing = 0; // of the timer that opens the panel

function choose(row, { focus = true, show = true } = {}) {
  if (!row) return;
  current?.removeAttribute("data-current");
  current = row;
  row.setAttribute("data-current", "");
  const link = row.querySelector("th a");
  if (focus) {
    link.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  if (show && wide.matches) {
    clearTimeout(showing);
    showing = setTimeout(() => look(row), 120);
  }
}

function step(by) {
  const list = all();
  if (!list.length) return;
  const at = current ? list.indexOf(current) : by > 0 ? -1 : list.length;
  choose(list[Math.min(Math.max(at + by, 0), list.length - 1)]);
}

async function look(row, into = false) {
  const address = row.querySelector("th a").getAttribute("href");
  if (panel.dataset.of !== address) {
    panel.setAttribute("aria-busy", "true");
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
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

function open(row) {
  if (wide.matches) look(row, true);
  else location.assign(row.querySelector("th a").href);
}

rows?.addEventListener("focusin", (event) => {
  const row = event.target.closest("tbody tr");
  if (row && row !== current) choose(row, { focus: false });
});
rows?.addEventListener("click", (event) => {
  const link = event.target.closest("th a");
  if (link && wide.matches && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    choose(link.closest("tr"), { show: false });
    open(current);
  }
});

// ------------------------------------------------------------------------------------------------------------ selection

function pick(row, on = !box(row).checked, { range = false } = {}) {
  if (range && anchor?.isConnected) {
    const list = live();
    const [from, to] = [list.indexOf(anchor), list.indexOf(row)].sort((a, b) => a - b);
    for (const each of list.slice(from, to + 1)) if (!box(each).disabled) box(each).checked = true;
  } else if (!box(row).disabled) {
    box(row).checked = on;
    anchor = row;
  }
  summarise();
}

function pickUnflagged() {
  const like = (current ?? live()[0])?.dataset.of;
  let number = 0;
  for (const row of live()) {
    const fits = row.dataset.of === like && !row.dataset.flags && !row.dataset.not && !box(row).disabled && number < 100;
    box(row).checked = fits;
    number += fits;
  }
  summarise();
}

function clear() {
  for (const row of picked()) box(row).checked = false;
  asking = null;
  summarise();
}

rows?.addEventListener("click", (event) => {
  if (!event.target.matches("input[name=task]")) return;
  const row = event.target.closest("tr");
  if (event.shiftKey) pick(row, true, { range: true });
  else { anchor = row; summarise(); }
});

// --------------------------------------------------------------------------------------------- the bar: what would happen

let asking = null; // the verdict that waits for its confirmation

const targets = () => { const chosen = picked(); return chosen.length ? chosen : current && !current.classList.contains("gone") ? [current] : []; };

function sums(list) {
  const by = new Map();
  for (const row of list) {
    if (row.dataset.minor === undefined) continue;
    const key = row.dataset.in;
    const [sum] = by.get(key) ?? [0n];
    by.set(key, [sum + BigInt(row.dataset.minor), Number(row.dataset.decimals)]);
  }
  return [...by].map(([currency, [sum, decimals]]) => `${decimal(sum, decimals)} ${currency}`);
}

function decimal(minor, decimals) {
  const sign = minor < 0n ? "-" : "";
  const digits = String(minor < 0n ? -minor : minor).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ",");
  return sign + whole + (decimals ? "." + digits.slice(-decimals) : "");
}

function summarise() {
  const list = asking ? targets() : picked();
  bar.classList.toggle("active", list.length > 0 && (asking !== null || picked().length > 0));
  inbox.classList.toggle("asking", asking !== null);
  document.getElementById("cancel").hidden = !bar.classList.contains("active");
  barWrong.hidden = true;
  for (const button of bar.querySelectorAll("button[name=verdict]")) {
    button.classList.toggle("asked", button.value === asking);
    button.disabled = list.length === 0;
  }
  const sum = document.getElementById("sum");
  if (!list.length) { sum.textContent = words.none; return; }
  const [one, many] = list[0].dataset.noun.split("|");
  const can = list.filter((row) => !row.dataset.not);
  const kinds = new Set(list.map((row) => row.dataset.of));
  const parts = list.length === 1 ? [] : [`${list.length} ${many || words.tasks}`, ...sums(list)];
  const flagged = list.filter((row) => row.dataset.flags).length;
  if (flagged) parts.push(say(words.flagged, { number: flagged }));
  const cannot = new Map();
  for (const row of list) if (row.dataset.not) cannot.set(row.dataset.not, (cannot.get(row.dataset.not) ?? 0) + 1);
  for (const [why, number] of cannot) parts.push(say(words.cannot, { number, why: why.replace(/\.$/, "") }));
  if (kinds.size > 1) parts.push(words.mixed);
  if (list.length > 100) parts.push(words.most);
  const question = asking ? `${say(words.ask[asking], { number: can.length, noun: can.length === 1 ? one : many })} ` : "";
  // The title as it stands in its row: a payee keeps its place beside the amount.
  const named = list.length === 1 ? [...list[0].querySelector("th a").cloneNode(true).childNodes] : [];
  sum.replaceChildren(question, ...named, (named.length && parts.length ? " · " : "") + parts.join(" · "));
  for (const button of bar.querySelectorAll("button[name=verdict]")) {
    button.disabled = !can.length || kinds.size > 1 || list.length > 100 || !can.every((row) => row.dataset.takes.split(" ").includes(button.value));
  }
}

function ask(verdict) {
  const list = targets();
  if (!list.length) return;
  const button = bar.querySelector(`button[value=${verdict}]`);
  asking = verdict;
  summarise();
  if (button.disabled) {
    if (list.length === 1 && !list[0].dataset.not) { open(list[0]); asking = null; summarise(); return; } // its page has what it takes
    return announce(document.getElementById("sum").textContent);
  }
  comment.placeholder = verdict === "approve" ? words.optional : words.needed;
  if (verdict === "approve") button.focus();
  else comment.focus();
}

function dismiss() {
  const was = asking !== null;
  asking = null;
  summarise();
  if (was && current) choose(current, { show: false });
  else clear();
}

async function decide(verdict) {
  const list = targets().filter((row) => !row.dataset.not).slice(0, 100);
  if (!list.length) return;
  const text = comment.value.trim();
  if (verdict !== "approve" && !text) {
    asking = verdict;
    summarise();
    barWrong.textContent = words.needed;
    barWrong.hidden = false;
    return comment.focus();
  }
  const form = new URLSearchParams({ verdict, comment: text, sure: "yes", decision_id: document.querySelector("#bulk input[name=decision_id]").value });
  for (const row of list) {
    form.append("task", box(row).value);
    row.setAttribute("aria-busy", "true");
  }
  const last = list.at(-1);
  let answer;
  try {
    answer = await send("/bulk", form, { Accept: "application/json" });
  } catch {
    answer = null;
  }
  for (const row of list) row.removeAttribute("aria-busy");
  if (!answer?.ok || !answer.headers.get("content-type")?.includes("json")) {
    // The same id goes with the next try: what came through this time is not decided twice.
    return notDecided(answer, list);
  }
  forget(comment.form);
  const { items, decision_id } = await answer.json();
  document.querySelector("#bulk input[name=decision_id]").value = decision_id;
  const by = new Map(items.map((item) => [item.task_id, item]));
  const following = next(last, new Set(items.filter((item) => item.status !== "refused").map((item) => item.task_id)));
  const refused = items.filter((item) => item.status === "refused");
  asking = null;
  comment.value = "";
  for (const row of list) {
    const item = by.get(row.id);
    box(row).checked = false;
    // A machine that is too busy answers that it failed, and it happens all the same.
    if (item.status === "refused" && !own.has(row.id)) mark(row, item.message, "refused");
    else row.remove();
  }
  recount(-(items.length - refused.length));
  announce(say(refused.length ? words.some : words.done, { number: items.length - refused.length, refused: refused.length }));
  summarise();
  panel.removeAttribute("data-of");
  if (following) choose(following);
  else if (!live().length) await replace(true);
}

/** Nothing was decided: why, and a way on. The comment is kept as all that is typed is, the selection until one is back. */
async function notDecided(answer, list) {
  const out = [401, 403].includes(answer?.status);
  const problem = out ? null : await answer?.json().catch(() => null);
  barWrong.textContent = out ? words.signed_out : problem?.detail ? `${problem.detail} ${words.kept}` : words.failed;
  if (out) {
    const again = document.createElement("a");
    Object.assign(again, { href: location.href, textContent: words.sign_in });
    barWrong.append(" ", again);
    try {
      sessionStorage.setItem("selected", JSON.stringify([document.body.dataset.person, ...list.map((row) => box(row).value)]));
    } catch { /* then they are selected anew */ }
  }
  barWrong.hidden = false;
  announce(barWrong.textContent);
}

/** Select what was selected when the session ended, as far as it has not changed since. */
function reselect() {
  const [person, ...chosen] = JSON.parse(sessionStorage.getItem("selected") ?? "[]");
  sessionStorage.removeItem("selected");
  if (person !== document.body.dataset.person || chosen.length < 2) return;
  for (const row of live()) box(row).checked = chosen.includes(box(row).value);
}

/** Where one goes on: behind the last row, or before it, without those that go. */
function next(row, going) {
  const list = all();
  const at = list.indexOf(row);
  const stays = (each) => !going.has(each.id) && !each.classList.contains("gone");
  return list.slice(at + 1).find(stays) ?? list.slice(0, at).reverse().find(stays) ?? list.slice(0, at + 1).find((each) => !going.has(each.id));
}

function mark(row, text, kind) {
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

function recount(by) {
  const count = document.getElementById("count");
  const number = parseInt(count.textContent.replace(/\D/g, ""), 10);
  if (!Number.isNaN(number)) count.textContent = count.textContent.replace(/[\d,]+/, (number + by).toLocaleString("en"));
}

document.getElementById("bulk")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const verdict = event.submitter?.value ?? asking;
  if (!verdict) return;
  if (event.submitter && verdict !== asking && picked().length !== 1 && targets().length > 1) return ask(verdict); // sums first, then the click
  if (verdict !== asking) return ask(verdict);
  decide(verdict);
});
document.getElementById("cancel")?.addEventListener("click", dismiss);
comment?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && asking) { event.preventDefault(); decide(asking); }
});

// A task that is decided in the panel leaves the list, too.
document.body.addEventListener("decided", () => {
  const row = all().find((each) => each.querySelector("th a").getAttribute("href") === panel.dataset.of);
  panel.removeAttribute("data-of");
  if (!row) return;
  const following = next(row, new Set([row.id]));
  row.remove();
  recount(-1);
  if (following) choose(following);
  else replace(true);
});

// -------------------------------------------------------------------------------------------------------- live changes

const closed = new Map(); // task id to why it left
const own = new Set(); // task ids that the reader has decided, and that are closed
let latest = null; // the list as it is now, not shown yet
let looking = null;
let lately = 0;

/** Look at the list again, soon; not more than every three seconds, for many may change at once. */
function changed() {
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
  summarise();
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
  if (focused) row.querySelector("th a").focus({ preventScroll: true });
}

/** Show the list as it is now. The selection stays, and the place where one was. */
async function replace(again = false) {
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
  current = null;
  prepare();
  const row = (was && document.getElementById(was)) || all()[0];
  if (row) choose(row);
  else document.querySelector("#inbox h1").focus();
  summarise();
}
fresh.addEventListener("click", () => replace(true));

let stream = null;
let since = inbox.dataset.since;

/** Listen from where the page was made, or where one stopped listening; what was missed comes first. */
function listen() {
  stream = new EventSource(`/events?since=${since}`);
  stream.addEventListener("task", (event) => {
    const task = JSON.parse(event.data);
    since = event.lastEventId || since;
    const row = document.getElementById(task.task_id);
    const mine = task.decided_by?.includes(document.body.dataset.person);
    if (task.kind === "closed") closed.set(task.task_id, say(mine ? words.own : words.closed, { outcome: words.outcomes[task.outcome] ?? "" }));
    else if (task.assignee) closed.set(task.task_id, say(words.claimed, { by: task.assignee }));
    else closed.set(task.task_id, words.moved);
    if (mine && task.kind === "closed") own.add(task.task_id);
    if (row?.classList.contains("refused") && own.has(row.id)) { row.remove(); recount(-1); return summarise(); }
    // What is decided is said at once; the list itself is not asked for more than every few seconds.
    if (row && task.kind === "closed" && !row.hasAttribute("aria-busy") && !row.classList.contains("gone")) { mark(row, closed.get(row.id), "gone"); summarise(); }
    if (row || task.kind !== "closed") changed();
  });
  stream.addEventListener("error", () => { if (stream?.readyState === EventSource.CLOSED) changed(); }); // signed out, perhaps
  stream.addEventListener("case", (event) => { since = event.lastEventId || since; });
  stream.addEventListener("reset", (event) => { since = event.lastEventId || since; changed(); });
}

// A browser has six connections to one server: a tab that nobody looks at must not keep one from those that are seen.
function listenIfSeen() {
  stream?.close();
  stream = null;
  if (!document.hidden) listen();
}
if (rows) {
  listen();
  document.addEventListener("visibilitychange", listenIfSeen);
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) listenIfSeen(); });
}

// ------------------------------------------------------------------------------------------------------------ the keys

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
  if (event.key === "Escape" && !help.open && (asking || picked().length)) {
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

// ------------------------------------------------------------------------------------------------------- at the beginning

function prepare() {
  const every = document.getElementById("all");
  if (!every) return;
  every.hidden = false;
  every.addEventListener("change", () => {
    for (const row of live()) if (!box(row).disabled) box(row).checked = every.checked;
    summarise();
  });
}
inbox.classList.add("scripted");
if (rows) {
  prepare();
  reselect();
  summarise();
  if (all().length && document.activeElement === document.body) choose(all()[0], { show: wide.matches });
}
const keys = document.getElementById("keys");
keys.hidden = !shortcuts();
keys.addEventListener("click", () => help.showModal());
for (const select of document.querySelectorAll("#filters select")) select.addEventListener("change", () => select.form.requestSubmit());
// An address to share holds what is set, and nothing else.
document.getElementById("filters").addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
