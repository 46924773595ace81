"use strict";
// The sections of a report, each from one part of the document that the program `report` put into the page. A section of
// which the run has nothing is left out.

const number = (value, digits = 3) => value === null || value === undefined ? null : value.toFixed(digits);
const percent = (value) => value === null || value === undefined ? null : (100 * value).toFixed(1) + " %";
const unique = (values) => [...new Set(values)];

function duration(seconds) {
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

// A value with its interval, and where both lie between 0 and 1.
function estimate(holder, name) {
  const value = holder[name], interval = (holder.intervals || {})[name];
  if (value === null || value === undefined) return null;
  const cell = element("div", {}, number(value));
  if (!interval) return cell;
  cell.append(" ", element("span", {className: "interval"}, `${number(interval[0], 2)}–${number(interval[1], 2)}`));
  if (interval[0] >= 0 && interval[1] <= 1) {
    const band = element("span"), mark = element("b");
    band.style.left = 100 * interval[0] + "%";
    band.style.width = 100 * (interval[1] - interval[0]) + "%";
    mark.style.left = 100 * value + "%";
    const range = element("div", {className: "range"}, band, mark);
    range.setAttribute("aria-hidden", "true");
    cell.append(range);
  }
  return cell;
}

// A difference with its sign and its interval.
function difference(found, digits) {
  if (!found || found.difference === null) return null;
  const signed = (value) => (value < 0 ? "−" : "+") + number(Math.abs(value), digits);
  const cell = element("div", {}, signed(found.difference));
  if (found.interval) cell.append(" ", element("span", {className: "interval"}, `${signed(found.interval[0])} to ${signed(found.interval[1])}`));
  return cell;
}

// What the figures of a run's epochs are of: a study model is trained on whole studies, with the competition's loss.
const isOfStudies = (run) => (run.record || {}).program === "train_study";
const lossName = (run) => isOfStudies(run) ? "RSNA weighted log loss" : "binary cross-entropy";
const areaName = (run) => isOfStudies(run) ? "AUROC, studies" : "AUROC, slices";

function tile(name, value, more) {
  return element("div", {className: "tile"}, element("div", {className: "name"}, name),
                 element("div", {className: "value"}, value), element("div", {className: "more"}, more || ""));
}

function overview(run) {
  const epochs = run.metrics.epochs;
  const best = epochs.validation_loss ? epochs.validation_loss.indexOf(Math.min(...epochs.validation_loss)) : -1;
  const tiles = [tile("state", run.state.text, run.state.more)];
  if (best >= 0) {
    tiles.push(tile("lowest validation loss", number(epochs.validation_loss[best], 4), `epoch ${epochs.epoch[best]}`));
    const areas = epochs.validation_macro_auroc || [], known = areas.filter((area) => area !== null);
    if (known.length)
      tiles.push(tile("highest validation AUROC", number(Math.max(...known)), `mean of the labels, epoch ${epochs.epoch[areas.indexOf(Math.max(...known))]}`));
  }
  for (const evaluation of run.evaluations) {
    const patients = evaluation.result.patients, interval = (patients.intervals || {}).macro_auroc;
    if (patients.macro_auroc !== null)
      tiles.push(tile(`AUROC, ${evaluation.name} patients`, number(patients.macro_auroc),
                      interval ? `95 % interval ${number(interval[0], 2)}–${number(interval[1], 2)}` : "mean of the labels"));
  }
  const steps = run.metrics.steps;
  if (steps.images_per_second && steps.images_per_second.length)
    tiles.push(tile("speed", number(steps.images_per_second.at(-1), 1) + " img/s", `waiting for data ${percent(steps.wait_share.at(-1))}`));
  if (epochs.peak_memory_mb) tiles.push(tile("peak tensor memory", Math.round(epochs.peak_memory_mb.at(-1)) + " MB", ""));
  return section("Overview", element("div", {className: "tiles"}, ...tiles));
}

const pairs = (xs, ys) => (xs || []).map((x, i) => [x, (ys || [])[i]]).filter(([, y]) => y !== null && y !== undefined);

function curves(run) {
  const {steps, epochs} = run.metrics;
  if (!(steps.step || []).length && !(epochs.epoch || []).length) return null;
  const cards = element("div", {className: "cards"});
  const end = (values) => values && values.length ? number(values.at(-1), 4) : "unknown";
  cards.append(chartCard("Loss", `Training ends at ${end(epochs.training_loss)}, validation at ${end(epochs.validation_loss)}.`, () => lines([
    {label: "training, per step", points: pairs(steps.epoch_position, steps.loss), color: color(0) + "55", width: 1},
    {label: "training, per epoch", points: pairs(epochs.epoch, epochs.training_loss), color: color(0), dots: 2},
    {label: "validation", points: pairs(epochs.epoch, epochs.validation_loss), color: color(1), dots: 2},
  ], {x: "epoch", y: lossName(run)})));
  if (epochs.validation_macro_auroc) {
    const labels = epochs.validation_auroc || {};
    cards.append(chartCard("AUROC in the validation", `The mean of the labels ends at ${end(epochs.validation_macro_auroc)}.`, () => lines([
      {label: "mean", points: pairs(epochs.epoch, epochs.validation_macro_auroc), color: variable("--ink"), width: 3},
      ...Object.keys(labels).map((label, i) => ({label, points: pairs(epochs.epoch, labels[label]), color: color(i), width: 1})),
    ], {x: "epoch", y: areaName(run), yRange: [0, 1]})));
  }
  cards.append(chartCard("Learning rate", `It ends at ${steps.lr && steps.lr.length ? steps.lr.at(-1).toExponential(2) : "an unknown value"}.`, () => lines(
    [{label: "learning rate", points: pairs(steps.step, steps.lr)}], {x: "step", y: "learning rate"})));
  cards.append(chartCard("Gradient norm", "L2 norm before clipping, on a logarithmic axis.", () => lines(
    [{label: "gradient norm", points: pairs(steps.step, steps.gradient_norm).filter(([, y]) => y > 0), color: color(3), width: 1}],
    {x: "step", y: "L2 norm", logarithmic: true})));
  if (steps.images_per_second) cards.append(chartCard("Throughput", "Images per second, and the share of the time that was spent waiting for data.", () => lines([
    {label: "images per second", points: pairs(steps.step, steps.images_per_second), color: color(2)},
    {label: "share of waiting", points: pairs(steps.step, steps.wait_share), color: color(5), axis: "right", width: 1},
  ], {x: "step", y: "images per second", yRange: [0, undefined]})));
  const thinned = run.metrics.steps_per_point > 1 ? ` Points are means of ${run.metrics.steps_per_point} logged steps.` : "";
  return section("Training", element("p", {className: "note"}, "Click a name in a legend to hide its line." + thinned), cards);
}

const curvePoints = (curve, x, y) => curve[x].map((value, i) => [value, curve[y][i]]);

// All labels in one: rows add up, means are weighted by them.
function pooledCalibration(labels) {
  return labels[0].calibration.map((bin, b) => {
    const bins = labels.map((label) => label.calibration[b]).filter((one) => one.rows > 0);
    const rows = bins.reduce((sum, one) => sum + one.rows, 0);
    const mean = (name) => rows ? bins.reduce((sum, one) => sum + one.rows * one[name], 0) / rows : null;
    return {rows, mean_predicted: mean("mean_predicted"), observed: mean("observed")};
  });
}

function evaluationCharts(level) {
  const cards = element("div", {className: "cards"});
  const known = level.labels.filter((label) => label.auroc !== null);
  const listed = known.map((label) => `${label.label} ${number(label.auroc, 2)}`).join(", ");
  const chance = {label: "_chance", points: [[0, 0], [1, 1]], color: "#8888", dash: [5, 5], width: 1};
  const unit = {xRange: [0, 1], yRange: [0, 1], square: true};
  cards.append(chartCard("ROC", "Area under the curve: " + listed + ".", () => lines(
    [...known.map((label, i) => ({label: `${label.label} ${number(label.auroc, 2)}`, points: curvePoints(label.roc, "false_positive_rate", "true_positive_rate"), color: color(i)})), chance],
    {x: "false positive rate (1 − specificity)", y: "sensitivity", ...unit})));
  cards.append(chartCard("Precision and recall", "Average precision: " + known.map((label) => `${label.label} ${number(label.average_precision, 2)}`).join(", ") + ".", () => lines(
    known.map((label, i) => ({label: `${label.label} ${number(label.average_precision, 2)}`, points: curvePoints(label.precision_recall, "recall", "precision"), color: color(i), stepped: "before"})),
    {x: "recall (sensitivity)", y: "precision (PPV)", ...unit})));
  const bins = (calibration) => calibration.filter((bin) => bin.rows > 0).map((bin) => [bin.mean_predicted, bin.observed]);
  cards.append(chartCard("Calibration", "Observed share of fractures against the predicted probability, all labels together.", () => lines([
    {label: "all labels", points: bins(pooledCalibration(level.labels)), color: variable("--ink"), width: 3, dots: 3},
    ...level.labels.map((label, i) => ({label: label.label, points: bins(label.calibration), color: color(i), width: 1, dots: 2, hidden: true})),
    chance], {x: "predicted probability", y: "observed share", ...unit}), "Single labels are hidden at first; click them in the legend."));
  return cards;
}

function metricTable(level, rows) {
  const head = ["label", "positive", "AUROC", "average precision", "Brier", "F1"];
  const body = level.labels.map((label) => [label.label, `${label.positives} (${percent(label.positives / level.rows)})`, estimate(label, "auroc"),
    estimate(label, "average_precision"), number(label.brier), estimate(label, "f1")]);
  body.push(["mean", "", estimate(level, "macro_auroc"), estimate(level, "macro_average_precision"), "", estimate(level, "macro_f1")]);
  return table(`${rows} (${level.rows}); intervals are 95 %, from a bootstrap of the patients`, head, body, {totals: 1});
}

function operatingTable(level) {
  const point = (label) => (label.operating_points || []).find((one) => one.goal === "specificity");
  const body = level.labels.filter(point).map((label) => [label.label, number(point(label).threshold), estimate(point(label), "sensitivity"),
    estimate(point(label), "specificity"), estimate(point(label), "ppv"), estimate(point(label), "npv")]);
  if (!body.length) return "";
  return table(`At a specificity of at least ${percent(point(level.labels.find(point)).at_least)}`,
               ["label", "threshold", "sensitivity", "specificity", "PPV", "NPV"], body);
}

function confusionTable(level, threshold) {
  const body = level.labels.map((label) => [label.label, ...["true_positives", "false_negatives", "false_positives", "true_negatives"].map((name) => String(label.confusion[name]))]);
  return table(`Confusion at a probability of ${threshold}`, ["label", "found", "missed", "false alarms", "rightly negative"], body);
}

const kinds = {found: "Fractures found, with the highest probability", missed: "Fractures missed, with the lowest probability",
               alarm: "False alarms, with the highest probability"};

function gallery(examples) {
  const box = element("div");
  for (const kind of unique(examples.map((one) => one.kind))) {
    const figures = examples.filter((one) => one.kind === kind).map((one) => {
      const pictures = element("div", {className: "pictures"}, element("img", {src: one.picture, loading: "lazy",
        alt: `Sagittal slice of study ${one.study}: ${one.label} predicted ${number(one.probability, 2)}, truth ${one.truth.join(" ") || "no fracture"}`}));
      if (one.heat) pictures.append(element("img", {src: one.heat, className: "heat", alt: "", loading: "lazy"}));
      return element("figure", {}, pictures, element("figcaption", {}, element("b", {className: one.kind === "found" ? "good" : "bad"}, `${one.label} ${number(one.probability, 2)}`),
        ` · true: ${one.truth.join(" ") || "none"}`, element("br"), `…${one.study.slice(-8)}, x ${number(one.x_mm, 1)} mm`));
    });
    box.append(element("h3", {}, kinds[kind] || kind), element("div", {className: "gallery"}, ...figures), element("br"));
  }
  if (!examples.some((one) => one.heat)) return box;
  const toggle = element("button", {type: "button"}, "Hide where the model looked");
  toggle.onclick = () => { toggle.textContent = box.classList.toggle("without-heat") ? "Show where the model looked" : "Hide where the model looked"; };
  return element("div", {}, element("div", {className: "controls"}, toggle), box);
}

// A study model beside the rules that make one answer of its slice models'.
function rulesTable(result) {
  const {chosen_on_validation: chosen, rules} = result.slice_aggregations;
  const against = (rule, metric) => {
    const comparison = (result.comparisons || []).find((one) => one.with === "slices, " + rule.rule);
    return comparison && comparison.patients.find((one) => one.label === null && one.metric === metric);
  };
  const body = rules.map((rule) => [rule.rule + (rule.rule === chosen ? ", chosen on validation" : ""), number(rule.validation_macro_auroc),
    number(rule.test_macro_auroc), difference(against(rule, "macro_auroc"), 3), number(rule.test_rsna_log_loss), difference(against(rule, "rsna_log_loss"), 3)]);
  body.push(["study model", null, number(result.patients.macro_auroc), "", number(result.rsna_log_loss), ""]);
  return table(`The study model and the rules over its slice models' slices, on the same patients (${result.patients.rows}); differences are study model − rule, intervals 95 %`,
               ["rule", "AUROC, validation", "AUROC", "difference", "RSNA log loss", "difference"], body, {totals: 1});
}

function evaluation(one) {
  const result = one.result;
  const log_loss = `RSNA weighted log loss ${number(result.rsna_log_loss, 4)}; the best constant reaches ${number(result.rsna_best_constant, 4)}` +
    (result.overall_was_derived ? " (patient_overall derived from C1..C7)." : ".");
  const parts = [element("p", {className: "note"}, log_loss)];
  if (result.slice_aggregations) parts.push(element("div", {className: "card wide"}, rulesTable(result)), element("br"));
  const slices = result.slice_aggregations ? "Slices, by the slice models" : "Slices";
  for (const [name, level] of [["Patients", result.patients], [slices, result.slices]])
    parts.push(element("div", {className: "card wide"}, metricTable(level, name)), element("br"));
  parts.push(evaluationCharts(result.patients), element("br"));
  for (const one of [operatingTable(result.patients), confusionTable(result.patients, result.threshold)])
    if (one) parts.push(element("div", {className: "card wide"}, one), element("br"));
  const made = [section(`Evaluation on the ${one.name} patients`, ...parts)];
  if (one.examples.length) made.push(section(`Hits and errors, ${one.name} patients`, gallery(one.examples)));
  return made;
}

function dataSummary(data) {
  if (!data) return null;
  const parts = ["train", "validation", "test"].filter((part) => data[part] && data[part].studies > 0);
  const labels = Object.keys(data.train.positive_studies);
  const share = (part, label) => data[part].studies ? data[part].positive_studies[label] / data[part].studies : null;
  const rows = labels.map((label) => [label, ...parts.map((part) => `${data[part].positive_studies[label]} (${percent(share(part, label))})`)]);
  const counts = ["patients", "studies", "slices"].map((what) => [what, ...parts.map((part) => String(data[part][what]))]);
  const cards = element("div", {className: "cards"},
    element("div", {className: "card"}, table("Parts of the split, by patient; positive studies per label", ["", ...parts], [...counts, ...rows])),
    chartCard("Prevalence", "Share of positive studies per label in each part of the split.", () => bars(labels,
      parts.map((part) => ({label: part, values: labels.map((label) => share(part, label))})), {y: "share of the studies"})));
  const made = [cards];
  if (data.warned_studies) made.push(element("p", {className: "note"}, `${data.warned_studies} studies are used with a warning; reslice noted it in studies.json.`));
  if (data.refused_studies.length)
    made.push(element("details", {open: data.refused_studies.length < 6}, element("summary", {}, `${data.refused_studies.length} studies were refused`),
      table("Refused studies", ["study", "why"], data.refused_studies.map((one) => [one.study, one.reasons.join("; ")]), {textColumns: [1]})));
  return section("Data", ...made);
}

function provenance(run) {
  const parts = [];
  const sessions = (run.record || {}).sessions || [];
  for (const one of sessions) {
    parts.push(element("p", {className: "note"}, `${one.started} on ${one.device}, ${one.precision}, ${one.threads} threads; ` +
      Object.entries(one.build).map(([name, value]) => `${name} ${value}`).join(", ")), element("pre", {className: "wrap"}, one.command));
  }
  if (run.recipe) parts.push(element("p", {className: "note"}, `The whole recipe, seed included; it makes the same weights again: ${(run.record || {}).program || "train_resnet"} --recipe recipe.toml --out NEW`),
                             element("details", {}, element("summary", {}, "recipe.toml"), element("pre", {}, run.recipe)));
  return parts.length ? section("How it was made", ...parts) : null;
}

// Only what is of one kind stands in one chart or column.
function comparison(runs) {
  const alike = runs.every((run) => isOfStudies(run) === isOfStudies(runs[0]));
  const ofEpochs = (name) => runs.map((run, i) => ({label: run.name, color: color(i), points: pairs(run.metrics.epochs.epoch, run.metrics.epochs[name])}));
  const cards = element("div", {className: "cards"});
  if (alike) {
    cards.append(
      chartCard("Validation loss", runs.map((run) => run.name).join(", ") + ".", () => lines(ofEpochs("validation_loss"), {x: "epoch", y: lossName(runs[0])})),
      chartCard("AUROC in the validation", "Mean of the labels.", () => lines(ofEpochs("validation_macro_auroc"), {x: "epoch", y: areaName(runs[0])})),
      chartCard("Training loss", "Per epoch.", () => lines(ofEpochs("training_loss"), {x: "epoch", y: lossName(runs[0])})));
  } else {
    cards.append(element("p", {className: "note"}, "Losses and areas in the validation are left out: those of models of slices are of slices, those of study models of studies."));
  }
  if (runs.some((run) => run.metrics.steps.images_per_second))
    cards.append(chartCard("Throughput", "Images per second.", () => lines(runs.map((run, i) => ({label: run.name, color: color(i), points: pairs(run.metrics.steps.step, run.metrics.steps.images_per_second)})), {x: "step", y: "images per second", yRange: [0, undefined]})));
  const lowest = (run) => run.metrics.epochs.validation_loss && run.metrics.epochs.validation_loss.length ? Math.min(...run.metrics.epochs.validation_loss) : null;
  const rows = runs.map((run) => [run.name, run.state.text, alike ? number(lowest(run), 4) : null,
    ...["validation", "test"].map((part) => { const found = run.evaluations.find((one) => one.name === part); return found ? estimate(found.result.patients, "macro_auroc") : null; }),
    (() => { const found = run.evaluations.find((one) => one.name === "test"); return found ? number(found.result.rsna_log_loss, 4) : null; })(),
    run.metrics.steps.images_per_second && run.metrics.steps.images_per_second.length ? number(run.metrics.steps.images_per_second.at(-1), 1) : null]);
  const made = [section("Runs", element("div", {className: "card wide"}, table("Macro AUROC is of patients, with its 95 % interval", ["run", "state", "validation loss", "AUROC, validation", "AUROC, test", "RSNA log loss, test", "img/s"], rows)), element("br"), cards)];
  for (const part of ["test", "validation"]) {
    const evaluated = runs.map((run) => ({run, found: run.evaluations.find((one) => one.name === part)})).filter((one) => one.found);
    if (evaluated.length < 2) continue;
    const labels = unique(evaluated.flatMap((one) => one.found.result.patients.labels.map((label) => label.label)));
    made.push(section(`AUROC per label, ${part} patients`, chartCard("AUROC per label", "One bar per run.", () => bars(labels, evaluated.map((one) => ({label: one.run.name,
      values: labels.map((label) => (one.found.result.patients.labels.find((candidate) => candidate.label === label) || {}).auroc)})), {y: "AUROC", yRange: [0, 1]}))));
  }
  const keys = unique(runs.flatMap((run) => Object.keys(run.settings))).filter((key) => key !== "out" && unique(runs.map((run) => run.settings[key])).length > 1);
  made.push(section("What differs", keys.length ? table("Options of the recipes that are not the same", ["option", ...runs.map((run) => run.name)], keys.map((key) => [key, ...runs.map((run) => run.settings[key] ?? null)]))
                                                : element("p", {className: "note"}, "The recipes are the same.")));
  return made;
}

function learningRates(found) {
  const suggestion = found.steepest > 0
    ? `The loss falls fastest at ${found.steepest.toExponential(1)}; with warm-up a rate near it is a good first try, without one a third of it.`
    : "The loss never fell: look at the data, the labels and the weights first.";
  return [section("Learning-rate range test", element("p", {className: "note"}, suggestion),
    chartCard("Loss against the learning rate", suggestion, () => {
      const chart = lines([
        {label: "loss of a batch", points: pairs(found.learning_rate, found.loss), color: color(0) + "55", width: 1},
        {label: "smoothed", points: pairs(found.learning_rate, found.smoothed), color: color(0)},
        {label: "falls fastest here", points: found.steepest > 0 ? [[found.steepest, Math.min(...found.smoothed)], [found.steepest, found.smoothed[0]]] : [],
         color: color(1), dash: [4, 4]},
      ], {x: "learning rate, one step each", y: "loss", yRange: [0, 2 * found.smoothed[0]]});
      const isDecade = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;
      Object.assign(chart.options.scales.x, {type: "logarithmic", ticks: {maxRotation: 0, callback: (value) => isDecade(value) ? value.toExponential(0) : ""}});
      return chart;
    }))];
}

function section(title, ...content) {
  const id = title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  document.getElementById("contents").append(element("a", {href: "#" + id}, title));
  return element("section", {id}, element("h2", {}, title), ...content);
}
