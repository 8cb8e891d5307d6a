// A box that ticks all others of its table.
for (const all of document.querySelectorAll("[data-pick-all]")) {
  all.hidden = false;
  const boxes = [...all.closest("table").querySelectorAll("tbody input[type=checkbox]")];
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
}
