// Forms that the browser answers with a passkey: the server makes the options, the person confirms in the browser, and the
// form sends the result. A form stays hidden where the browser cannot use passkeys, as at an IP address.

import { send } from "./app.js";

const CEREMONIES = {
  create: (options) => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }),
  get: (options) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
};

/** Return whether this browser offers passkeys of the domain to this page. */
const usable = (domain) => Boolean(window.PublicKeyCredential?.parseCreationOptionsFromJSON) &&
  (location.hostname === domain || location.hostname.endsWith(`.${domain}`));

/** Return the options for the browser. Throws an Error whose message is for the person. */
async function optionsFor(form) {
  const password = form.elements.password?.value ?? "";
  const answer = await send(form.dataset.options, { password }, { Accept: "application/json" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

/** Return the sentence about a failure: what the server said, or what the error of the browser means. */
function words(form, error) {
  switch (error.name) {
    case "NotAllowedError": case "AbortError": return form.dataset.cancelled; // cancelled, too late, or not verified
    case "InvalidStateError": return form.dataset.known;
    case "Error": return error.message;
    case "TypeError": return document.body.dataset.failed; // no answer of the server
    default: return form.dataset.failed;
  }
}

async function answer(form) {
  const button = form.querySelector("button");
  const told = form.querySelector("[role=alert]");
  told.hidden = button.disabled = true;
  try {
    const made = await CEREMONIES[form.dataset.passkey](await optionsFor(form));
    form.querySelector("[name=passkey], [name=credential]").value = JSON.stringify(made.toJSON());
    form.submit(); // without another submit event
  } catch (error) {
    told.textContent = words(form, error);
    told.hidden = false;
  } finally {
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!usable(form.dataset.domain)) continue;
  form.hidden = false;
  document.querySelector("[data-without-passkeys]")?.remove();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer(form);
  });
}
