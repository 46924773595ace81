"""What a training run leaves behind loads in transformers, and goes on from there to ONNX, with the same logits.

Usage: python tests/peers/check_runs.py [--build build/release] [RUN...]

Without a RUN it trains some on a small phantom: the demo's recipes for both architectures, each with and without a moving
average of the weights. Every run's `last` and `best` is loaded (no missing or unexpected key, no warning), run beside our
`forward`, and, where the packages onnx, onnxscript and onnxruntime are installed, exported by torch.onnx and run there.
"""

import argparse
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

from check_exports import check
from common import binary, compare, forward, load, random_pixels

CAN_EXPORT = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def train(build, work):
    """Runs of the demo's recipes, cut short, on a phantom of 16 patients."""
    def call(program, *arguments):
        subprocess.run([binary(program, build), *map(str, arguments)], check=True, capture_output=True)

    call("make_phantom", "--out", work / "ct", "--studies", 16, "--size", 64, "--step-mm", 3)
    call("reslice", "--data", work / "ct", "--out", work / "slices", "--slices", 5, "--size", 112)
    for model in ("resnet", "vit"):
        for average in (0, 0.9):
            run = work / f"{model}{'-ema' if average else ''}"
            call(f"train_{model}", "--recipe", f"demo-{model}", "--data", work / "slices", "--out", run, "--epochs", 3,
                 "--batch-size", 8, "--validation-fraction", 0.3, "--ema", average)
            yield run


def check_onnx(label, folder, build, work):
    """Whether the model, exported from transformers, gives the logits of our `forward` in onnxruntime."""
    import onnxruntime

    model, processor, _ = load(folder)
    pixels = random_pixels(processor)
    file = work / "model.onnx"
    torch.onnx.export(model.eval(), (pixels,), file, input_names=["pixel_values"], output_names=["logits"],
                      dynamic_shapes=({0: "batch"},), verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    theirs = torch.from_numpy(session.run(["logits"], {"pixel_values": pixels.numpy()})[0])
    return compare(f"{label}, onnxruntime", forward(build, folder, pixels, work), theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", default="build/release")
    args = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    if not CAN_EXPORT:
        print("skipped: ONNX (needs onnx, onnxscript and onnxruntime)")
    ok = True
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for run in args.runs or train(args.build, work):
            for checkpoint in ("last", "best"):
                label = f"{run.name}/{checkpoint}"
                ok &= check(label, run / checkpoint, args.build, work)
                if CAN_EXPORT:
                    ok &= check_onnx(label, run / checkpoint, args.build, work)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
