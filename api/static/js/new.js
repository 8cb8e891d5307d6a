// Who will be asked is also said to those who listen.

import { announce } from "/static/js/app.js";

document.addEventListener("htmx:afterSwap", () => {
  const said = [...document.querySelectorAll("#preview li, #preview .error")];
  announce(said.map((part) => part.textContent.trim()).join(" "));
});
