"use strict";
// Puts the page together.
const content = JSON.parse(document.getElementById("document").textContent);

function show() {
  const runs = content.runs;
  const sections = runs.length > 1
    ? comparison(runs)
    : [overview(runs[0]), ...runs[0].evaluations.flatMap(evaluation), curves(runs[0]), dataSummary(runs[0].data), provenance(runs[0])];
  document.getElementById("report").append(...sections.filter((one) => one));
  drawCharts();
  document.documentElement.dataset.ready = "yes";
}

document.getElementById("theme").onclick = () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  drawCharts();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
show();
