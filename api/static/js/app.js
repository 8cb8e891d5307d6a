// Scripts of every page: secrets of forms, the reader's time zone, the end of the session, menus.

const body = document.body;
const said = document.getElementById("said");

/** Announce a text to screen readers. */
export function announce(text) {
  said.textContent = "";
  requestAnimationFrame(() => { said.textContent = text; });
}

/** POST a form's fields as the page would. Return the Response. */
export function send(address, fields = {}, headers = {}) {
  const form = fields instanceof FormData ? fields : new URLSearchParams(fields);
  return fetch(address, { method: "POST", body: form, headers: { "X-CSRF": body.dataset.csrf, ...headers } });
}

/** Return whether keys typed now are text, or meant for a control. */
export function typing(event) {
  const on = event.target;
  return event.ctrlKey || event.metaKey || event.altKey || on.isContentEditable ||
    on.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select");
}

export const shortcuts = () => document.documentElement.dataset.shortcuts === "on";

document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF"] = body.dataset.csrf; });

for (const field of document.querySelectorAll("input[data-zone]")) {
  field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}

// Update countdowns: `in 3 h` becomes `in 2 h`, and `2 min late`, without asking the server.
const clock = JSON.parse(body.dataset.clock);
const HOUR = 3600;

/** Return seconds by their largest unit, as the server writes them. */
function span(seconds) {
  if (seconds < 60) return clock.least;
  if (seconds < HOUR) return clock.minutes.replace("{num}", Math.floor(seconds / 60));
  if (seconds < 48 * HOUR) return clock.hours.replace("{num}", Math.floor(seconds / HOUR));
  return clock.days.replace("{num}", Math.floor(seconds / (24 * HOUR)));
}

function tick() {
  for (const time of document.querySelectorAll("time[data-due]")) {
    const left = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const text = (left < 0 ? clock.late : clock.in).replace("{span}", span(Math.abs(left)));
    if (time.textContent !== text) time.textContent = text;
    time.className = `due ${left < 0 ? "late" : left < 4 * HOUR ? "soon" : left < 24 * HOUR ? "today" : "calm"}`;
  }
  for (const time of document.querySelectorAll("time[data-span]")) {
    const text = span((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(tick, 15_000);

// Menus close by Escape, and by a click elsewhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest?.("details.menu[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  announce(button.dataset.copied ?? button.dataset.copy);
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
});

// A refused form within a page shows the error beside the entered text, which stays.
export function refused(form, text) {
  let told = form.querySelector(":scope > .alert[data-refused]");
  if (!told) {
    told = document.createElement("p");
    Object.assign(told.dataset, { refused: "" });
    told.className = "alert";
    told.setAttribute("role", "alert");
    form.prepend(told);
  }
  told.textContent = text;
}
document.addEventListener("refused", ({ target, detail }) => { if (target.closest("form")) refused(target.closest("form"), detail.value); });
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, ({ target, detail }) => {
    const form = target.closest("form");
    if (form && !detail.xhr?.getResponseHeader("HX-Trigger") && detail.xhr?.status !== 401) refused(form, body.dataset.failed);
  });
}

// A revealed value is gone when the reader comes back to the page, also if the browser has kept the page.
addEventListener("pagehide", () => document.querySelectorAll("[data-revealed]").forEach((each) => each.remove()));

// Announce the end of the session in time.
const ending = document.getElementById("ending");
const WARN_MS = 5 * 60 * 1000;
let ends = Date.parse(body.dataset.sessionEnds);
function watch() {
  const left = ends - Date.now();
  const text = ending.querySelector("p");
  ending.hidden = !(left < WARN_MS);
  if (ending.hidden) return;
  const over = left <= 0;
  const words = over ? text.dataset.over : text.dataset.soon;
  if (text.textContent !== words) {
    text.textContent = words;
    announce(words);
  }
  document.getElementById("session-stay").hidden = over;
  document.getElementById("session-again").hidden = !over;
}
/** Show that the session has ended, after the server said so to a script. */
export function signedOut() {
  ends = 0;
  watch();
}
if (ends) {
  watch();
  setInterval(watch, 5000);
  document.getElementById("session-stay").addEventListener("click", async () => {
    const answer = await send("/session");
    if (answer.ok) ends = Date.parse((await answer.json()).ends_at);
    else if (answer.status === 401) ends = 0;
    watch();
  });
}
