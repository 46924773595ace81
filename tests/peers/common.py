"""Shared by the peer checks: the batch, our `forward` program, and how logits are compared."""

import pathlib
import subprocess
import sys

import torch
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
