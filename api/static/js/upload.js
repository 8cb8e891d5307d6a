// Drop a file, and report a file that is too large before it is sent.

const form = document.getElementById("upload");
const input = document.getElementById("file");
const error = document.getElementById("file-error");

/** Show what is wrong with the chosen file. */
function check() {
  const large = input.files[0]?.size > Number(form.dataset.largest);
  error.textContent = large ? error.dataset.tooLarge : "";
  input.toggleAttribute("aria-invalid", large);
  return !large;
}

if (form) {
  const drop = form.querySelector(".drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
    check();
  });
  input.addEventListener("change", check);
  form.addEventListener("submit", (event) => { if (!check()) event.preventDefault(); });
}
