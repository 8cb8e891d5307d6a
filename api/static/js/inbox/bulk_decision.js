// The bar of the inbox: what a decision on the selected tasks would do, and the decision itself.

import { announce, send } from "../app.js";
import { forget } from "../drafts.js";
import { decidedHere, replace } from "./live_changes.js";
import {
  active, all, box, choose, clear, current, inbox, keepSelected, link, mark, next, open, panel, picked, recount, say, words,
} from "./rows.js";

const bar = document.getElementById("bar");
const comment = document.getElementById("comment");
const wrong = document.getElementById("bar-wrong");

let asking = null; // the verdict that must still be confirmed

const targets = () => { const chosen = picked(); return chosen.length ? chosen : current && !current.classList.contains("gone") ? [current] : []; };

/** Return the sums of the amounts of rows, by currency. */
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

/** Show what the selection is, and which verdicts it takes. */
function summarise() {
  const list = asking ? targets() : picked();
  bar.classList.toggle("active", list.length > 0 && (asking !== null || picked().length > 0));
  inbox.classList.toggle("asking", asking !== null);
  document.getElementById("cancel").hidden = !bar.classList.contains("active");
  wrong.hidden = true;
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
  // The title as shown in its row: a payee keeps its place beside the amount.
  const named = list.length === 1 ? [...link(list[0]).cloneNode(true).childNodes] : [];
  sum.replaceChildren(question, ...named, (named.length && parts.length ? " · " : "") + parts.join(" · "));
  for (const button of bar.querySelectorAll("button[name=verdict]")) {
    button.disabled = !can.length || kinds.size > 1 || list.length > 100 || !can.every((row) => row.dataset.takes.split(" ").includes(button.value));
  }
}

/** Ask for the confirmation of a verdict. */
export function ask(verdict) {
  const list = targets();
  if (!list.length) return;
  const button = bar.querySelector(`button[value=${verdict}]`);
  asking = verdict;
  summarise();
  if (button.disabled) {
    if (list.length === 1 && !list[0].dataset.not) { open(list[0]); asking = null; summarise(); return; } // its page has the form
    return announce(document.getElementById("sum").textContent);
  }
  comment.placeholder = verdict === "approve" ? words.optional : words.needed;
  if (verdict === "approve") button.focus();
  else comment.focus();
}

/** Dismiss the confirmation, else clear the selection. */
export function dismiss() {
  const was = asking !== null;
  asking = null;
  summarise();
  if (was && current) choose(current, { show: false });
  else clear();
}

/** Open the page that asks for the password, with these tasks and the comment. */
function onPage(verdict, list) {
  const form = document.getElementById("bulk");
  for (const row of all()) box(row).checked = list.includes(row);
  const chosen = document.createElement("input");
  Object.assign(chosen, { type: "hidden", name: "verdict", value: verdict });
  form.append(chosen);
  form.submit();
}

/** Decide the selected tasks, and go on with the next row. */
async function decide(verdict) {
  const list = targets().filter((row) => !row.dataset.not).slice(0, 100);
  if (!list.length) return;
  const text = comment.value.trim();
  if (verdict !== "approve" && !text) {
    asking = verdict;
    summarise();
    wrong.textContent = words.needed;
    wrong.hidden = false;
    return comment.focus();
  }
  if (list.some((row) => "confirm" in row.dataset)) return onPage(verdict, list);
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
    // The next try sends the same id, so that no task is decided twice.
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
    // A busy server may report a failure although the decision is stored.
    if (item.status === "refused" && !decidedHere.has(row.id)) mark(row, item.message, "refused");
    else row.remove();
  }
  recount(-(items.length - refused.length));
  announce(say(refused.length ? words.some : words.done, { number: items.length - refused.length, refused: refused.length }));
  summarise();
  panel.removeAttribute("data-of");
  if (following) choose(following);
  else if (!active().length) await replace(true);
}

/** Show why nothing was decided, and what to do next. The comment and the selection are kept. */
async function notDecided(answer, list) {
  const out = [401, 403].includes(answer?.status);
  const problem = out ? null : await answer?.json().catch(() => null);
  wrong.textContent = out ? words.signed_out : problem?.detail ? `${problem.detail} ${words.kept}` : words.failed;
  if (out) {
    const again = document.createElement("a");
    Object.assign(again, { href: location.href, textContent: words.sign_in });
    wrong.append(" ", again);
    keepSelected(list);
  }
  wrong.hidden = false;
  announce(wrong.textContent);
}

/** Return whether there is a confirmation or a selection to dismiss. */
export const busy = () => asking !== null || picked().length > 0;

inbox.addEventListener("rowschanged", summarise);
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
  const row = all().find((each) => link(each).getAttribute("href") === panel.dataset.of);
  panel.removeAttribute("data-of");
  if (!row) return;
  const following = next(row, new Set([row.id]));
  row.remove();
  recount(-1);
  if (following) choose(following);
  else replace(true);
});
