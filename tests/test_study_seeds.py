#!/usr/bin/env python3
"""How bench/study_seeds.py reads evaluations and what it makes of them, on evaluations that were made up."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
sys.dont_write_bytecode = True
import study_seeds


def study(seed, auroc, chosen, kind=study_seeds.ONE, **rules):
    """A run whose evaluation has these macro AUROCs on the test patients."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "evaluation").mkdir()
        comparisons = [{"with": f"slices, {rule}", "patients": [
            {"label": "C1", "metric": "macro_auroc", "difference": 9, "interval": [9, 9], "p": 9},
            {"label": None, "metric": "macro_auroc", "difference": auroc - value, "interval": [-1, 1], "p": 0.5}]}
            for rule, value in rules.items()]
        (folder / "evaluation" / "evaluation.json").write_text(json.dumps({
            "patients": {"rows": 10, "macro_auroc": auroc}, "rsna_log_loss": 0.5, "rsna_best_constant": 0.75,
            "comparisons": comparisons, "slice_aggregations": {"chosen_on_validation": chosen, "rules": [
                {"rule": rule, "test_macro_auroc": value, "test_rsna_log_loss": value} for rule, value in rules.items()]}}))
        return study_seeds.read_study(folder, kind, seed)


class StudySeeds(unittest.TestCase):
    def test_the_chosen_rule_and_the_best_one_are_told_apart(self):
        runs = [study(0, 0.75, "mean", mean=0.5, max=0.625), study(1, 0.5, "max", mean=0.5, max=0.625)]
        self.assertEqual([(run["chosen"], run["best"], run["best_rule"]) for run in runs],
                         [(0.5, 0.625, "max"), (0.625, 0.625, "max")])
        self.assertEqual(runs[0]["study_model_minus_rule"]["mean"]["difference"], 0.25)
        summary = study_seeds.summarize(runs)[study_seeds.ONE]
        self.assertEqual(summary["study_model"]["mean"], 0.625)
        self.assertEqual(summary["study_model_minus_chosen"]["mean"], 0.0625)
        self.assertEqual(summary["study_model_minus_best"], {"mean": 0, "deviation": 0.125 * 2 ** 0.5})
        study_seeds.print_table({study_seeds.ONE: summary})

    def test_fold_models_answer_to_the_one_slice_model_of_their_seed(self):
        runs = [study(0, 0.75, "mean", mean=0.5), study(0, 0.875, "mean", kind="fold models", mean=0.25),
                study(1, 0.75, "mean", mean=0.75), study(1, 0.875, "mean", kind="fold models", mean=0.25)]
        summary = study_seeds.summarize(runs)
        self.assertEqual(summary["fold models"]["study_model_minus_best"]["mean"], 0.625)
        self.assertEqual(summary["fold models"]["study_model_minus_best_of_one"]["mean"], 0.25)
        study_seeds.print_table(summary)

    def test_one_seed_has_no_deviation(self):
        summary = study_seeds.summarize([study(0, 0.75, "mean", mean=0.5)])
        self.assertIsNone(summary[study_seeds.ONE]["study_model"]["deviation"])
        study_seeds.print_table(summary)


if __name__ == "__main__":
    unittest.main()
