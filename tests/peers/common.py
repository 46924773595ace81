"""Shared by the peer checks: our `forward` program, how a model is loaded in transformers, how logits are compared."""

import logging
import pathlib
import subprocess
import sys
import warnings

import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary(name, build):
    path = pathlib.Path(build) / "bin" / name
    if not path.exists():
        sys.exit(f"error: {path} does not exist; build it first (cmake --build {build} --target {name})")
    return path


def forward(build, model, pixels, folder):
    """Logits of our `forward` program for pixels [N,3,H,W]."""
    save_file({"pixel_values": pixels}, folder / "input.safetensors")
    subprocess.run(
        [binary("forward", build), "--model", model, "--input", folder / "input.safetensors", "--output",
         folder / "output.safetensors"], check=True)
    return load_file(folder / "output.safetensors")["logits"]


def compare(label, ours, theirs, tolerance=1e-4):
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"{label:44s} logits differ by {error:.2e} of the largest: {'ok' if error < tolerance else 'FAILED'}", flush=True)
    return error < tolerance


def peer_logits(model, pixels):
    with torch.no_grad():
        return model.eval()(pixel_values=pixels).logits


def random_pixels(processor):
    """A batch of two at the size that the image processor would make."""
    size = processor.size.get("shortest_edge") or processor.size["height"]
    return torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(3))


class Collector(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def load(folder):
    """The model and its image processor; every warning or key that did not match."""
    transformers.utils.logging.disable_progress_bar()
    collector = Collector()
    logging.getLogger("transformers").addHandler(collector)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = transformers.AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
    logging.getLogger("transformers").removeHandler(collector)
    problems = [f"{kind}: {sorted(names)}" for kind, names in info.items() if names]
    return model, processor, problems + collector.messages + [str(w.message) for w in caught]
