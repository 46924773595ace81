"use strict";
// Puts the page together.
const content = JSON.parse(document.getElementById("document").textContent);

function oneRun(run) {
  // What the model was not chosen by comes first, the rest after the training.
  const [first, ...others] = run.evaluations;
  return [overview(run), ...(first ? evaluation(first) : []), curves(run), dataSummary(run.data), ...others.flatMap(evaluation),
          provenance(run)];
}

function show() {
  const sections = content.lr_finder ? learningRates(content.lr_finder)
    : content.runs.length > 1 ? comparison(content.runs) : oneRun(content.runs[0]);
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
