"""Writes tests/golden/statistics/statistics.json: what scikit-learn, scipy, numpy and R's pROC say about small samples.

usage: make_statistics.py        (needs scikit-learn, scipy, and Rscript with pROC: apt install r-cran-proc)
"""
import json
import pathlib
import subprocess

import numpy as np
import scipy
import scipy.stats
import sklearn
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (average_precision_score, brier_score_loss, f1_score, precision_recall_curve, roc_auc_score,
                             roc_curve)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# DeLong by pROC: reads lines "a b target", prints numbers.
PROC = """
suppressMessages(library(pROC))
input <- read.table(file("stdin"), col.names = c("a", "b", "targets"))
roc_of <- function(scores) roc(input$targets, scores, direction = "<", levels = c(0, 1), quiet = TRUE)
a <- roc_of(input$a); b <- roc_of(input$b)
test <- roc.test(a, b, method = "delong", paired = TRUE)
cat(sprintf("%.17g", c(as.numeric(ci.auc(a, method = "delong")), var(a, method = "delong"),
                       cov(a, b, method = "delong"), as.numeric(test$statistic), test$p.value)),
    as.character(packageVersion("pROC")))
"""


def points(x, y, thresholds):
    return {"x": x.tolist(), "y": y.tolist(),
            "thresholds": [float(t) if np.isfinite(t) else None for t in thresholds]}


def proc(a, b, targets):
    text = "\n".join(f"{x:.17g} {y:.17g} {t:d}" for x, y, t in zip(a, b, targets))
    words = subprocess.run(["Rscript", "-e", PROC], input=text, capture_output=True, text=True, check=True).stdout.split()
    names = "low", "auroc", "high", "variance", "covariance", "z", "p"
    return dict(zip(names, map(float, words))), words[7]


def sample(rng, rows, step):
    """Two correlated models' probabilities, rounded to `step` so that some are tied."""
    targets = (rng.random(rows) < 0.3).astype(int)
    common = rng.normal(size=rows)
    logits = [1.2 * targets + common + 0.5 * rng.normal(size=rows), 0.8 * targets + common + rng.normal(size=rows)]
    a, b = (np.round(1 / (1 + np.exp(1 - x)) / step) * step for x in logits)
    return a.astype(np.float32).astype(float), b.astype(np.float32).astype(float), targets


def at_specificity(scores, targets, goal):
    """The lowest threshold whose specificity is still at least the goal."""
    best = None
    for threshold in sorted(set(scores), reverse=True):
        predicted = scores >= threshold
        if np.sum(~predicted & (targets == 0)) >= goal * np.sum(targets == 0) - 1e-9:
            best = threshold
    predicted = scores >= (np.inf if best is None else best)
    return {"threshold": best, "true_positives": int(np.sum(predicted & (targets == 1))),
            "false_positives": int(np.sum(predicted & (targets == 0)))}


def case(rng, rows, step):
    a, b, targets = sample(rng, rows, step)
    fpr, tpr, roc_thresholds = roc_curve(targets, a, drop_intermediate=False)
    precision, recall, pr_thresholds = precision_recall_curve(targets, a)
    observed, predicted = calibration_curve(targets, a, n_bins=10)
    delong, version = proc(a, b, targets)
    features = np.stack([a, np.sqrt(b), a * b], axis=1)
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, tol=1e-12, max_iter=10000)).fit(features, targets)
    return {
        "a": a.tolist(), "b": b.tolist(), "targets": targets.tolist(),
        "auroc": roc_auc_score(targets, a), "average_precision": average_precision_score(targets, a),
        "f1": f1_score(targets, a >= 0.5), "brier": brier_score_loss(targets, a),
        "roc": points(fpr, tpr, roc_thresholds), "roc_corners": len(roc_curve(targets, a)[0]),
        "precision_recall": points(recall, precision, np.append(pr_thresholds, np.inf)),
        "calibration": {"observed": observed.tolist(), "predicted": predicted.tolist()},
        "at_specificity": {str(goal): at_specificity(a, targets, goal) for goal in (0.5, 0.9, 0.95, 1.0)},
        "delong": delong,
        "logistic": {"penalty": 2.0, "logits": fit.decision_function(features).tolist()},
    }, version


def main():
    rng = np.random.default_rng(20220729)
    cases, versions = zip(*(case(rng, rows, step) for rows, step in ((40, 0.05), (300, 1 / 4096))))
    values = rng.normal(size=101)
    golden = {
        "made_with": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": np.__version__,
                      "pROC": versions[0]},
        "cases": cases,
        "percentiles": {"values": values.tolist(), "low": np.percentile(values, 2.5), "high": np.percentile(values, 97.5)},
        "normal": {str(c): scipy.stats.norm.ppf(0.5 + c / 2) for c in (0.5, 0.8, 0.9, 0.95, 0.99)},
        "tails": {str(z): 2 * scipy.stats.norm.sf(abs(z)) for z in (0.0, -1.0, 1.96, 5.0)},
    }
    path = pathlib.Path(__file__).parent / "statistics" / "statistics.json"
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
