// Announce the preview of who will decide to screen readers.

import { announce } from "/static/js/app.js";

document.addEventListener("htmx:afterSwap", () => {
  const said = [...document.querySelectorAll("#preview li, #preview .error")];
  announce(said.map((part) => part.textContent.trim()).join(" "));
});
