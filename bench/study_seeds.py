#!/usr/bin/env python3
"""Whether a study model beats the rules that aggregate slices: on a phantom data set, for every seed (which is also that of
the split), trains a slice model, fold models inside its split, and study models on top of both; every study model is compared
on the same test patients with the rules mean, max, noisy-or and learned over its own slice models. Prints a table and writes
everything as JSON after every run; a run that was interrupted goes on, and finished ones are not done again.

    python3 bench/study_seeds.py --work /tmp/study-seeds --json bench/results/$(date +%F)-study-seeds.json

Of the rules, "chosen" is the one that the validation patients prefer, as a user would choose; "best" the one that turns out
best on the test patients, which nobody can know beforehand. Fold models are trained on fewer patients than the one slice model,
so a study model on top of them is compared with the best rule over that one, too.
"""
import argparse
import datetime
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

from kept_runs import SOURCE, keep_settings, make_slices, spread, spread_text

LABELS = "patient_overall,C1,C2,C3,C4,C5,C6,C7"
ONE = "one slice model"


def call(log, program, *arguments):
    """Runs a program; its words go to a file."""
    with open(log, "a") as stream:
        subprocess.run([str(program), *map(str, arguments)], check=True, stdout=stream, stderr=stream)


def is_finished(run):
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return bool(lines) and json.loads(lines[-1]).get("outcome") == "finished"


def train(args, program, run, *arguments):
    if is_finished(run) and (program != "train_study" or (run / "evaluation" / "evaluation.json").exists()):
        return
    print(f"study_seeds: {run.name}", file=sys.stderr, flush=True)
    log = args.work / f"{run.name}.log"
    if (run / "recipe.toml").exists():
        call(log, args.bin / program, "--resume", run)
    else:
        call(log, args.bin / program, "--out", run, "--data", args.work / "slices", "--device", "cpu", *arguments)


def train_slice_model(args, run, seed, *arguments):
    train(args, "train_resnet", run, "--recipe", "demo-resnet", "--labels", LABELS, "--epochs", args.epochs,
          "--validation-fraction", 0.15, "--test-fraction", args.test_fraction, "--seed", seed, "--threads", args.threads,
          "--loader-threads", 1, *arguments)


def train_seed(args, seed):
    """The runs of a seed: name of the kind -> folder of the study model."""
    base = args.work / f"slice-{seed}"
    train_slice_model(args, base, seed)
    folds = [args.work / f"fold-{seed}-{k}" for k in range(1, args.folds + 1)]
    for k, fold in enumerate(folds, 1):
        train_slice_model(args, fold, seed, "--split", base / "split.json", "--fold", f"{k}/{args.folds}")
    studies = {}
    for kind, models in {ONE: [base], "fold models": folds}.items():
        if not models:
            continue
        studies[kind] = args.work / f"study-{seed}-{'folds' if models is folds else 'one'}"
        train(args, "train_study", studies[kind], *[part for model in models for part in ("--slice-model", model / "best")],
              "--seed", seed, "--threads", args.threads)
    return studies


def read_study(run, kind, seed):
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text())
    rules = {rule["rule"]: rule for rule in evaluation["slice_aggregations"]["rules"]}
    chosen = evaluation["slice_aggregations"]["chosen_on_validation"]
    best = max(rules, key=lambda name: rules[name]["test_macro_auroc"])
    intervals = {}
    for comparison in evaluation["comparisons"]:
        rule = comparison["with"].split(", ")[-1]
        row = next(r for r in comparison["patients"] if r["label"] is None and r["metric"] == "macro_auroc")
        intervals[rule] = {"difference": row["difference"], "interval": row["interval"], "p": row["p"]}
    return {"kind": kind, "seed": seed, "test_patients": evaluation["patients"]["rows"],
            "study_model": evaluation["patients"]["macro_auroc"], "chosen_rule": chosen,
            "chosen": rules[chosen]["test_macro_auroc"], "best_rule": best, "best": rules[best]["test_macro_auroc"],
            "study_model_log_loss": evaluation["rsna_log_loss"],
            "lowest_rule_log_loss": min(rule["test_rsna_log_loss"] for rule in rules.values()),
            "best_constant_log_loss": evaluation["rsna_best_constant"],
            "rules": rules, "study_model_minus_rule": intervals}


def summarize(runs):
    best_of_one = {run["seed"]: run["best"] for run in runs if run["kind"] == ONE}
    summary = {}
    for kind in dict.fromkeys(run["kind"] for run in runs):
        own = [run for run in runs if run["kind"] == kind]
        summary[kind] = {key: spread([run[key] for run in own]) for key in
                         ("study_model", "chosen", "best", "study_model_log_loss", "lowest_rule_log_loss")}
        summary[kind]["study_model_minus_chosen"] = spread([run["study_model"] - run["chosen"] for run in own])
        summary[kind]["study_model_minus_best"] = spread([run["study_model"] - run["best"] for run in own])
        summary[kind]["study_model_minus_best_of_one"] = spread([run["study_model"] - best_of_one[run["seed"]] for run in own])
    return summary


def print_table(summary):
    print(f"{'test patients, mean over seeds +- deviation':<46}" + "".join(f"{kind:>22}" for kind in summary))
    for key, title in {"study_model": "macro AUROC of the study model", "chosen": "... of the rule chosen on validation",
                       "best": "... of the rule that is best on test", "study_model_minus_chosen": "study model - chosen rule",
                       "study_model_minus_best": "study model - best rule",
                       "study_model_minus_best_of_one": "study model - best rule, one slice model",
                       "study_model_log_loss": "competition's loss of the study model",
                       "lowest_rule_log_loss": "... of the best rule"}.items():
        print(f"{title:<46}" + "".join(f"{spread_text(each[key]):>22}" for each in summary.values()))


def machine():
    models = re.findall(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return models[0] if models else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for the data set and the runs")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--bin", type=pathlib.Path, default=SOURCE / "build/release/bin", help="folder of the programs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--planes", type=int, default=9)
    parser.add_argument("--span-mm", type=float, default=36)
    parser.add_argument("--epochs", type=int, default=8, help="of the slice models")
    parser.add_argument("--folds", type=int, default=4, help="0: no fold models")
    parser.add_argument("--test-fraction", type=float, default=0.45)
    parser.add_argument("--threads", type=int, default=0, help="of every program (0: one per processor)")
    args = parser.parse_args()
    settings = {key: getattr(args, key) for key in ("studies", "planes", "span_mm", "epochs", "folds", "test_fraction")}
    keep_settings(args.work, settings)
    make_slices(functools.partial(call, args.work / "data.log"), args.bin, args.work, args.studies, args.planes, args.span_mm)
    runs = []
    for seed in args.seeds:
        runs += [read_study(run, kind, seed) for kind, run in train_seed(args, seed).items()]
        document = {"machine": machine(), "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                    "threads": args.threads or os.cpu_count(), "arch": "resnet-18", "recipe": "demo-resnet", **settings,
                    "summary": summarize(runs), "runs": runs}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    print_table(document["summary"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
