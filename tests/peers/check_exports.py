"""What Sagitta exports, transformers loads: no missing or unexpected key, no warning, the same logits.

Usage: python tests/peers/check_exports.py [DIR...] [--build build/release]

DIR is a model directory written by Sagitta, such as a run's checkpoint. Without one, the program export_models makes
some: ResNet-18, ResNet-50 and ViT-tiny at 224 and 384 pixels, labels C1 to C7.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

from common import binary, compare, forward, load, peer_logits, random_pixels


def check(label, folder, build, work):
    """Whether transformers loads the model in `folder` without a complaint, with the logits of our `forward`."""
    model, processor, problems = load(folder)
    pixels = random_pixels(processor)
    for problem in problems:
        print(f"{label}: {problem}")
    print(f"{label}: {type(model).__name__}, {type(processor).__name__}, labels {list(model.config.id2label.values())[:7]}")
    return compare(label, forward(build, folder, pixels, work), peer_logits(model, pixels)) and not problems


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
            ok &= check(folder.name, folder, args.build, pathlib.Path(name))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
