"""What Sagitta exports, transformers loads: no missing or unexpected key, no warning, the same logits.

Usage: python tests/peers/check_exports.py [DIR...] [--build build/release]

DIR is a model directory written by Sagitta, such as a run's checkpoint. Without one, the program export_models makes
some: ResNet-18, ResNet-50 and ViT-tiny at 224 and 384 pixels, labels C1 to C7.
"""

import argparse
import logging
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers

from common import binary, compare, forward, peer_logits


class Collector(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def load(folder):
    """The model and its image processor; every warning or key that did not match."""
    collector = Collector()
    logging.getLogger("transformers").addHandler(collector)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = transformers.AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
    logging.getLogger("transformers").removeHandler(collector)
    problems = [f"{kind}: {sorted(names)}" for kind, names in info.items() if names]
    return model, processor, problems + collector.messages + [str(w.message) for w in caught]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", default="build/release")
    args = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    ok = True
    with tempfile.TemporaryDirectory() as name:
        exports = pathlib.Path(name) / "exports"
        if not args.models:
            subprocess.run([binary("export_models", args.build), exports], check=True)
        for folder in args.models or sorted(exports.iterdir()):
            model, processor, problems = load(folder)
            size = processor.size.get("shortest_edge") or processor.size["height"]
            pixels = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(3))
            for problem in problems:
                print(f"{folder.name}: {problem}")
            print(f"{folder.name}: {type(model).__name__}, {type(processor).__name__}, labels {list(model.config.id2label.values())[:7]}")
            ok &= not problems
            ok &= compare(folder.name, forward(args.build, folder, pixels, pathlib.Path(name)), peer_logits(model, pixels))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
