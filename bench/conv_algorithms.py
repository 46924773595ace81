#!/usr/bin/env python3
"""Whether it matters to a training which algorithm computes the convolutions on the CPU: trains the demo's ResNet-18 on a
phantom data set with every algorithm and several seeds, and compares loss curves and metrics. What two algorithms differ
by with one seed stands beside what two seeds differ by with one algorithm. Prints a table and writes everything as JSON
after every run; a run that was interrupted goes on, and finished ones are not done again.

    python3 bench/conv_algorithms.py --work /tmp/conv-algorithms --json bench/results/$(date +%F)-conv-algorithms.json
"""
import argparse
import datetime
import itertools
import json
import os
import pathlib
import subprocess
import sys

from kept_runs import SOURCE, keep_settings, make_slices, number, spread, spread_text

METRICS = ["training_loss", "validation_loss", "test_macro_auroc", "test_macro_average_precision", "test_loss"]
PREFIX = 10  # steps after which curves are also compared: rounding has not been magnified for long


def call(program, *arguments):
    subprocess.run([str(program), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def train(args, algorithm, seed):
    run, slices = args.work / f"{algorithm}-{seed}", args.work / "slices"
    if (run / "recipe.toml").exists():
        call(args.bin / "train_resnet", "--resume", run)
    else:
        call(args.bin / "train_resnet", "--recipe", "demo-resnet", "--data", slices, "--out", run, "--epochs", args.epochs,
             "--image-size", args.image_size, "--device", "cpu", "--seed", seed, "--conv-algo", algorithm)
    call(args.bin / "evaluate", "--model", run / "best", "--data", slices, "--out", run / "evaluation", "--device", "cpu",
         "--conv-algo", algorithm)
    return read_run(run, algorithm, seed)


def read_run(run, algorithm, seed):
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [entry for entry in entries if entry["type"] == "epoch"]
    test = json.loads((run / "evaluation" / "evaluation.json").read_text())
    return {"algorithm": algorithm, "seed": seed,
            "training_loss": [epoch["training_loss"] for epoch in epochs],
            "validation_loss": [epoch["validation_loss"] for epoch in epochs],
            "step_loss": [entry["loss"] for entry in entries if entry["type"] == "step"],
            "final": {"training_loss": epochs[-1]["training_loss"], "validation_loss": epochs[-1]["validation_loss"],
                      "test_macro_auroc": test["slices"]["macro_auroc"],
                      "test_macro_average_precision": test["slices"]["macro_average_precision"],
                      "test_loss": test["loss"]}}


def largest(one, other):
    return max(abs(a - b) for a, b in zip(one, other))


def curve_differences(one, other):
    return {"first_steps": largest(one["step_loss"][:PREFIX], other["step_loss"][:PREFIX]),
            "training_loss": largest(one["training_loss"], other["training_loss"]),
            "validation_loss": largest(one["validation_loss"], other["validation_loss"])}


def worst(differences):
    """The largest of each kind; None where there is nothing to compare."""
    differences = list(differences)
    return {kind: max(each[kind] for each in differences) for kind in differences[0]} if differences else None


def summarize(runs, baseline):
    """Per algorithm: metrics over the seeds, and curves beside the baseline's with the same seed."""
    base = {run["seed"]: run for run in runs if run["algorithm"] == baseline}
    algorithms = {}
    for algorithm in dict.fromkeys(run["algorithm"] for run in runs):
        own = [run for run in runs if run["algorithm"] == algorithm]
        algorithms[algorithm] = {
            "final": {metric: spread(run["final"][metric] for run in own) for metric in METRICS},
            "from_baseline": worst(curve_differences(run, base[run["seed"]]) for run in own if run["seed"] in base),
            "between_seeds": worst(curve_differences(a, b) for a, b in itertools.combinations(own, 2))}
    return algorithms


def print_table(summary, baseline):
    print(f"{'metric of the last epoch, best on test':<42}" + "".join(f"{name:>22}" for name in summary))
    for metric in METRICS:
        print(f"{metric:<42}" + "".join(f"{spread_text(each['final'][metric]):>22}" for each in summary.values()))
    titles = {"from_baseline": f"from {baseline}, same seed", "between_seeds": "between seeds"}
    kinds = {"first_steps": f"first {PREFIX} steps", "training_loss": "training", "validation_loss": "validation"}
    for (key, title), (kind, what) in itertools.product(titles.items(), kinds.items()):
        values = [number((each[key] or {}).get(kind), ".2e") for each in summary.values()]
        print(f"{'largest loss difference, ' + what:<42}" + "".join(f"{value:>22}" for value in values) + f"  {title}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for the data set and the runs")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--bin", type=pathlib.Path, default=SOURCE / "build/release/bin", help="folder of the programs")
    parser.add_argument("--algorithms", nargs="+", default=["direct", "winograd4", "auto"], help="the first is the baseline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--studies", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--image-size", type=int, default=112)
    args = parser.parse_args()
    settings, baseline = {"studies": args.studies, "epochs": args.epochs, "image_size": args.image_size}, args.algorithms[0]
    keep_settings(args.work, settings)
    make_slices(call, args.bin, args.work, args.studies, planes=9, span_mm=20)
    runs = []
    for seed, algorithm in itertools.product(args.seeds, args.algorithms):
        print(f"conv_algorithms: {algorithm}, seed {seed}", file=sys.stderr, flush=True)
        runs.append(train(args, algorithm, seed))
        document = {"date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "threads": os.cpu_count(),
                    "arch": "resnet-18", **settings, "baseline": baseline, "algorithms": summarize(runs, baseline),
                    "runs": runs}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    print_table(document["algorithms"], baseline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
