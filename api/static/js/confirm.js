// A decision that needs a passkey. The server first says what the passkey must sign, and then gets the form with the
// signature. The server computes again what was to be signed, so a form that has changed in between is refused.

import { refused, send } from "./app.js";

const confirmed = new WeakSet(); // forms that go on to the server

/** Let the passkey sign the decision, if the server asks for that. Return whether the form can be sent. */
async function sign(form, fields) {
  const answer = await send(form.action, fields, { Accept: "application/json" });
  const problem = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (!problem?.options) return true; // the form itself gets the same answer, and shows it
  if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
    refused(form, form.dataset.unsupported);
    return false;
  }
  try {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(problem.options);
    const credential = await navigator.credentials.get({ publicKey });
    form.elements.nonce.value = problem.nonce;
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    return true;
  } catch { // closed by the reader, too late, or not allowed at this address
    refused(form, form.dataset.declined);
    return false;
  }
}

// While the event goes down, before htmx sees it.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-signing]") || confirmed.delete(form)) return;
  event.preventDefault();
  event.stopPropagation();
  const button = event.submitter;
  const verdict = form.querySelector("input[name=verdict]");
  verdict.disabled = true;
  form.elements.nonce.value = form.elements.credential.value = "";
  const fields = new FormData(form, button); // a disabled button would be left out
  button.disabled = true;
  const ready = await sign(form, fields).catch(() => true); // without a connection the form says so itself
  button.disabled = false;
  if (!ready) return;
  verdict.disabled = false; // in place of the button, which htmx forgets while the browser asks for the passkey
  verdict.value = button.value;
  confirmed.add(form);
  form.requestSubmit();
}, true);
