/* The runtime part of the report: which goroutine groups are shown, and its flame graphs. */
(() => {
  for (const pills of document.querySelectorAll(".pills")) {
    const table = document.getElementById(pills.dataset.groups);
    const empty = table.closest(".part").querySelector(".nogroup");
    pills.hidden = false;
    pills.addEventListener("change", (event) => {
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = event.target.value !== "" && row.dataset.origin !== event.target.value;
        shown += !row.hidden;
      }
      empty.hidden = shown > 0;
    });
  }
  const source = document.getElementById("flames");
  if (!source) return;
  for (const note of document.querySelectorAll(".unscripted")) note.hidden = true;
  document.flames = JSON.parse(source.textContent);
  for (const figure of document.querySelectorAll("figure.flame")) flame(figure, document.flames[Number(figure.dataset.flame)]);
})();
