// What is typed into a form outlives a session, an error, a restart of the gateway and a mistaken click, in this window
// only. It goes when the server says that the form went through, and when another person signs in.
//
// Secrets are never kept: no passwords, no files, nothing hidden. A form or a part with `data-unsaved` keeps nothing.

const body = document.body;
const STORE = "drafts";
const SENT = "holdgate-sent-"; // begins the cookie by which the server says that a form went through
const VOLATILE = new Set(["csrf", "decision_id", "key", "revision", "back", "draft", "following", "zone", "nonce", "credential", "verdict"]);
const SECRET = "[type=password], [type=hidden], [type=file], [type=submit], [autocomplete*=password], [autocomplete=one-time-code]";

/** Return the saved drafts: their person and, by form, the address and the entered text. */
let kept = read();

function read() {
  try {
    return { of: "", forms: {}, ...JSON.parse(sessionStorage.getItem(STORE) ?? "{}") };
  } catch {
    return { of: "", forms: {} };
  }
}

function write() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify(kept));
  } catch { /* storage is off or full: the entered text is still in the form */ }
}

const saved = (field) => field.form?.method === "post" && field.name && field.matches("input, textarea, select") &&
  !field.matches(SECRET) && !field.closest("[data-unsaved]");

/** The fields of a form that are kept, by name: boxes of one name belong together. */
function fieldsOf(form) {
  const by = new Map();
  for (const field of form.elements) if (saved(field)) by.set(field.name, [...(by.get(field.name) ?? []), field]);
  return by;
}

/** Return the identity of a form: its address and its hidden fields. */
function keyOf(form) {
  const { pathname, search } = new URL(form.getAttribute("action") ?? location.href, location.href);
  const about = [...form.elements].filter((each) => each.type === "hidden" && each.name && !VOLATILE.has(each.name));
  return JSON.stringify([pathname + search, ...about.map((each) => [each.name, each.value])]);
}

const homeOf = (within) => within.closest?.("[data-home]")?.dataset.home ?? body.dataset.home;
const isTicked = (field) => field.type === "checkbox" || field.type === "radio";
const labelOf = (field) => (field.labels?.[0]?.textContent ?? field.getAttribute("aria-label") ?? "").replace(/\s+/g, " ").trim();

function valuesOf(fields) {
  if (isTicked(fields[0])) return fields.filter((each) => each.checked).map((each) => each.value);
  return fields.flatMap((each) => each.multiple ? [...each.selectedOptions].map((one) => one.value) : [each.value]);
}

function put(fields, values) {
  if (isTicked(fields[0])) for (const each of fields) each.checked = values.includes(each.value);
  else if (fields[0].multiple) for (const one of fields[0].options) one.selected = values.includes(one.value);
  else fields.forEach((each, at) => { if (at < values.length) each.value = values[at]; });
}

/** Save the text in the form of this field. */
function keep(field) {
  if (!saved(field)) return;
  const { form } = field;
  const draft = kept.forms[keyOf(form)] ??= { home: homeOf(form), fields: {} };
  const same = fieldsOf(form).get(field.name) ?? [field];
  draft.fields[field.name] = { values: valuesOf(same), label: labelOf(field) };
  draft.sent = null;
  kept.of = body.dataset.person;
  write();
}

/** Delete the draft of a form that was accepted. */
export function forget(form) {
  delete kept.forms[keyOf(form)];
  write();
}

/** Delete the drafts of forms that the server has accepted. */
function settle() {
  for (const [key, draft] of Object.entries(kept.forms)) {
    if (!draft.sent || !document.cookie.includes(SENT + draft.sent)) continue;
    document.cookie = `${SENT}${draft.sent}=; path=/; max-age=0`;
    delete kept.forms[key];
  }
  write();
}

/** Restore drafts in the forms of this part of the page. */
export function restore(within) {
  settle();
  const forms = new Set();
  for (const form of [...(within.matches?.("form") ? [within] : []), ...within.querySelectorAll("form")]) {
    const key = keyOf(form);
    forms.add(key);
    const draft = kept.forms[key];
    if (!draft) continue;
    const fields = fieldsOf(form);
    for (const [name, { values }] of Object.entries(draft.fields)) if (fields.has(name)) put(fields.get(name), values);
    for (let box = form.closest("details") ?? form.parentElement.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    for (const name of Object.keys(draft.fields)) {
      const box = fields.get(name)?.[0].closest("details");
      if (box) box.open = true;
    }
  }
  for (const part of within === document ? [body] : [within, ...within.querySelectorAll("[data-home]")]) showLeft(part, forms);
}

/** Show drafts of forms that are no longer on the page, such as after another person's decision. */
function showLeft(part, forms) {
  const home = part.dataset?.home;
  if (!home || !body.dataset.person) return;
  const left = Object.entries(kept.forms).filter(([key, draft]) => draft.home === home && !forms.has(key));
  const place = part === body ? document.querySelector("main h1")?.closest("header, .head, main > *") : part.firstElementChild;
  for (const [key, draft] of left) {
    const typed = Object.values(draft.fields).map(({ values, label }) => [label, values.join(", ")]).filter(([, text]) => text.trim());
    // The server may have put the text into another form already.
    const shown = typed.every(([, text]) => [...part.querySelectorAll("textarea")].some((each) => each.value === text));
    if (!typed.length || shown) continue;
    const [box, why, list, button] = ["section", "strong", "dl", "button"].map((tag) => document.createElement(tag));
    [box.className, list.className, button.type] = ["card left-over", "fields", "button"];
    [why.textContent, button.textContent] = [body.dataset.left, body.dataset.discard];
    box.append(why, list, button);
    for (const [label, text] of typed) {
      const [term, said] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = label;
      said.append(document.createElement("bdi"));
      said.firstElementChild.textContent = text;
      list.append(term, said);
    }
    button.addEventListener("click", () => { delete kept.forms[key]; write(); box.remove(); });
    place?.after(box);
  }
}

const isSentBy = (draft, texts) => Object.values(draft.fields).every(({ values }) => values.every((text) => !text.trim() || texts.has(text)));

if (body.dataset.person && kept.of && kept.of !== body.dataset.person) {
  kept = { of: "", forms: {} };
  write();
}
document.addEventListener("input", (event) => keep(event.target));
document.addEventListener("change", (event) => keep(event.target));
// In the capture phase: before a script of the page sends the form by itself.
document.addEventListener("submit", ({ target: form }) => {
  if (form.method !== "post") return;
  const [own, texts] = [keyOf(form), new Set([...form.elements].map((each) => each.value))];
  // With it goes what is sent by this form instead of one that is no longer there.
  const drafts = Object.entries(kept.forms).filter(([key, draft]) => key === own || (draft.home === homeOf(form) && isSentBy(draft, texts)));
  if (!drafts.length) return;
  const sent = crypto.randomUUID?.() ?? `${Date.now().toString(16)}-${Math.random().toString(16).slice(2)}`;
  for (const [, draft] of drafts) draft.sent = sent;
  const field = form.querySelector(":scope > input[name=draft]") ?? document.createElement("input");
  Object.assign(field, { type: "hidden", name: "draft", value: sent });
  form.append(field);
  write();
}, true);
restore(document);
addEventListener("pageshow", (event) => { if (event.persisted) settle(); });
document.addEventListener("htmx:afterRequest", settle);
document.addEventListener("htmx:load", ({ detail }) => { if (detail.elt !== body) restore(detail.elt); });
