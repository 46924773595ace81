#!/usr/bin/env python3
"""How bench/conv_algorithms.py reads runs and what it makes of them, on runs that were made up."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
sys.dont_write_bytecode = True
import conv_algorithms


def run(algorithm, seed, losses, auroc):
    """A run of one step an epoch, as read from its files."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "evaluation").mkdir()
        lines = []
        for epoch, loss in enumerate(losses, 1):
            lines.append({"type": "step", "epoch": epoch, "loss": loss})
            lines.append({"type": "epoch", "epoch": epoch, "training_loss": loss, "validation_loss": loss + 1,
                          "validation_macro_auroc": None})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "evaluation" / "evaluation.json").write_text(json.dumps(
            {"loss": 0.5, "slices": {"macro_auroc": auroc, "macro_average_precision": 0.25}}))
        return conv_algorithms.read_run(folder, algorithm, seed)


class ConvAlgorithms(unittest.TestCase):
    def test_curves_are_compared_with_the_baseline_of_the_same_seed(self):
        runs = [run("direct", 0, [3, 2], 0.75), run("direct", 1, [7, 5], 0.5), run("auto", 0, [3, 2.25], 0.75),
                run("auto", 1, [7.125, 5], None), run("other", 9, [1, 1], 0.5)]
        result = conv_algorithms.summarize(runs, "direct")
        self.assertEqual(list(result), ["direct", "auto", "other"])
        self.assertEqual(result["direct"]["from_baseline"]["training_loss"], 0)
        self.assertEqual(result["auto"]["from_baseline"]["training_loss"], 0.25)
        self.assertEqual(result["auto"]["from_baseline"]["validation_loss"], 0.25)
        self.assertEqual(result["auto"]["between_seeds"]["training_loss"], 4.125)
        self.assertIsNone(result["other"]["from_baseline"])
        self.assertIsNone(result["other"]["between_seeds"])
        self.assertEqual(result["direct"]["final"]["test_macro_auroc"]["mean"], 0.625)
        self.assertEqual(result["direct"]["final"]["training_loss"]["mean"], 3.5)
        self.assertEqual(result["auto"]["final"]["test_macro_auroc"], {"mean": 0.75, "deviation": None})
        conv_algorithms.print_table(result, "direct")

    def test_steps_after_the_first_few_do_not_count_as_first(self):
        late = [0.0] * conv_algorithms.PREFIX
        difference = conv_algorithms.curve_differences(run("a", 0, [*late, 1], 0.5), run("b", 0, [*late, 2], 0.5))
        self.assertEqual(difference["first_steps"], 0)
        self.assertEqual(difference["training_loss"], 1)


if __name__ == "__main__":
    unittest.main()
