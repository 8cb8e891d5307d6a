// The code of a one-time link follows the # of its address, which browsers do not send. The code goes into the form, and out
// of the address, so that neither the history of the browser nor a shoulder sees it for long.
const code = location.hash.slice(1);
const field = document.querySelector("#link-code");
if (code && field) {
  field.value = code;
  history.replaceState(null, "", location.pathname);
  document.querySelector("#link-new")?.focus();
}
