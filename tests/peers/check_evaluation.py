"""Recomputes the figures of an evaluation from its tables with scikit-learn, and says how far they are apart.

usage: check_evaluation.py FOLDER      (as `evaluate --out FOLDER` wrote it; needs scikit-learn)
"""
import csv
import json
import pathlib
import sys

import numpy as np
from sklearn.metrics import (accuracy_score, average_precision_score, brier_score_loss, confusion_matrix, f1_score, log_loss,
                             precision_score, recall_score, roc_auc_score)

LEVELS = {"slices": "predictions.csv", "patients": "patients.csv"}


def compare(name, ours, theirs, worst):
    """Null is what is undefined; scikit-learn warns and says 0 or nan."""
    if ours is None:
        return worst
    difference = abs(ours - theirs)
    if not difference < 1e-6:
        print(f"{name}: {ours} here, {theirs} in scikit-learn")
    return max(worst, difference)


def check_level(folder, level, evaluation):
    rows = list(csv.DictReader((folder / LEVELS[level]).open()))
    worst, losses = 0, []
    assert len(rows) == evaluation[level]["rows"]
    for label in evaluation[level]["labels"]:
        truth = np.array([int(row[label["label"] + "_truth"]) for row in rows])
        score = np.array([float(row[label["label"] + "_probability"]) for row in rows])
        predicted = score >= evaluation["threshold"]
        losses.append(log_loss(truth, score, labels=[0, 1]))
        tn, fp, fn, tp = confusion_matrix(truth, predicted, labels=[False, True]).ravel()
        counts = label["confusion"]
        assert (tn, fp, fn, tp) == tuple(counts[key + "s"] for key in (
            "true_negative", "false_positive", "false_negative", "true_positive"))
        both = 0 < truth.sum() < len(truth)
        theirs = {"auroc": roc_auc_score(truth, score) if both else None,
                  "average_precision": average_precision_score(truth, score),
                  "f1": f1_score(truth, predicted), "precision": precision_score(truth, predicted),
                  "recall": recall_score(truth, predicted), "specificity": recall_score(1 - truth, ~predicted),
                  "npv": precision_score(1 - truth, ~predicted), "accuracy": accuracy_score(truth, predicted),
                  "brier": brier_score_loss(truth, score), "prevalence": truth.mean()}
        for metric, value in theirs.items():
            worst = compare(f"{level} {label['label']} {metric}", label[metric], value, worst)
        curve = label["roc"]
        area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
        if both and abs(area - label["auroc"]) > 1e-3:
            print(f"{level} {label['label']}: the area under the thinned curve is {area}, the AUROC {label['auroc']}")
    return compare(f"{level} loss", evaluation[level]["loss"], np.mean(losses), worst)


def main():
    folder = pathlib.Path(sys.argv[1])
    evaluation = json.loads((folder / "evaluation.json").read_text())
    worst = max(check_level(folder, level, evaluation) for level in LEVELS)
    print(f"largest difference to scikit-learn: {worst:.2g}")
    sys.exit(worst > 1e-6)


if __name__ == "__main__":
    main()
