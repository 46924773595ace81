"use strict";
// Charts in the page's colors: made by Chart.js, drawn again when the theme changes, each with a name for a screen reader.
// A canvas carries data-drawn once something is on it, which is what the tests look for.

const charts = [];
// Told apart by most color-blind readers (after Okabe and Ito); a pair per color for light and dark.
const palette = [["#0b63b5", "#6db3f2"], ["#c4560a", "#f0a35e"], ["#177245", "#63c795"], ["#8a3d8f", "#d59ad9"],
                 ["#a37b00", "#e3c04d"], ["#b3261e", "#f2867c"], ["#00778a", "#5cc9dc"], ["#5b6776", "#aab6c4"]];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
const color = (i) => palette[i % palette.length][isDark() ? 1 : 0];
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A card with a heading and a chart. `make()` returns Chart.js' {type, data, options}; it is asked again for every theme.
function chartCard(title, summary, make, note) {
  const card = element("section", {className: "card"}, element("h3", {}, title));
  const canvas = element("canvas", {role: "img"});
  canvas.setAttribute("aria-label", title + ". " + summary);
  card.append(element("div", {className: "plot"}, canvas));
  if (note) card.append(element("p", {className: "note"}, note));
  charts.push({canvas, make, chart: null});
  return card;
}

const markDrawn = {
  id: "markDrawn",
  afterDraw(chart) { if (chart.chartArea && chart.chartArea.width > 0) chart.canvas.dataset.drawn = "yes"; },
};

function drawCharts() {
  if (typeof Chart === "undefined") {
    for (const {canvas} of charts) canvas.replaceWith(element("p", {className: "note"}, "No chart: this build of sagitta had no Chart.js (Debian's libjs-chart.js)."));
    charts.length = 0;
    return;
  }
  Chart.defaults.color = variable("--soft");
  Chart.defaults.borderColor = variable("--grid");
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  for (const entry of charts) {
    if (entry.chart) entry.chart.destroy();
    entry.chart = new Chart(entry.canvas, {...entry.make(), plugins: [markDrawn]});
  }
}

// A chart of lines over numbers. series: [{label, points: [[x, y], ...], color, ...}].
function lines(series, {x, y, xRange, yRange, logarithmic, square} = {}) {
  const axis = (title, range, more = {}) => ({
    type: "linear", title: {display: !!title, text: title}, min: range && range[0], max: range && range[1], ...more,
  });
  return {
    type: "line",
    data: {datasets: series.filter((one) => one.points.length > 0).map((one, i) => ({
      label: one.label, data: one.points.map(([px, py]) => ({x: px, y: py})), borderColor: one.color || color(i),
      backgroundColor: one.color || color(i), borderWidth: one.width || 2, borderDash: one.dash, tension: 0,
      pointRadius: one.dots ? one.dots : one.points.length === 1 ? 3 : 0, pointHitRadius: 8, stepped: one.stepped || false,
      yAxisID: one.axis || "y", spanGaps: false, hidden: one.hidden,
    }))},
    options: {
      parsing: false, interaction: {mode: "nearest", axis: square ? "xy" : "x", intersect: false},
      plugins: {legend: {labels: {boxWidth: 14, boxHeight: 2, filter: (item) => !item.text.startsWith("_")}},
                tooltip: {filter: (item) => !item.dataset.label.startsWith("_")}},
      scales: {
        x: axis(x, xRange),
        y: axis(y, yRange, logarithmic ? {type: "logarithmic"} : {}),
        ...(series.some((one) => one.axis === "right")
          ? {right: axis(series.find((one) => one.axis === "right").label, [0, 1], {position: "right", grid: {drawOnChartArea: false}})}
          : {}),
      },
    },
  };
}

function bars(labels, series, {y, yRange} = {}) {
  return {
    type: "bar",
    data: {labels, datasets: series.map((one, i) => ({label: one.label, data: one.values, backgroundColor: color(i)}))},
    options: {plugins: {legend: {labels: {boxWidth: 14}}},
              scales: {y: {title: {display: !!y, text: y}, min: yRange && yRange[0], max: yRange && yRange[1]}}},
  };
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// rows: arrays of cells; a cell is a text, a node, or null.
function table(caption, head, rows, {textColumns = [], totals = 0} = {}) {
  const cell = (kind, content, column) => {
    const made = element(kind, {}, content === null || content === undefined ? "–" : content);
    if (textColumns.includes(column)) made.className = "text";
    return made;
  };
  const body = rows.map((row, r) => {
    const line = element("tr", {className: r >= rows.length - totals ? "total" : ""});
    row.forEach((content, c) => line.append(cell(c === 0 ? "th" : "td", content, c)));
    if (line.firstChild) line.firstChild.scope = "row";
    return line;
  });
  const heads = head.map((text, c) => Object.assign(cell("th", text, c), {scope: "col"}));
  return element("div", {className: "scroll", tabIndex: 0}, element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body)));
}
