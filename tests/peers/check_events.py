"""Reads a run's TensorBoard events with TensorBoard's own reader and compares every number of metrics.jsonl;
its pictures are there, too.

usage: check_events.py RUN      (needs the package tensorboard; checked with 2.21)
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer


def numbers(prefix, entry):
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from numbers(f"{prefix}/{key}", value)
        elif isinstance(value, (bool, int, float)) and key != "step":
            yield f"{prefix}/{key}", value


def check_images(reader, epochs):
    """The pictures of a run: the first batch, and the hardest slices at the end of some of the epochs."""
    steps = {}
    for tag in reader.Tags()["images"]:
        for event in reader.Images(tag):
            png = event.encoded_image_string
            size = struct.unpack(">II", png[16:24])
            if png[:8] != b"\x89PNG\r\n\x1a\n" or size != (event.width, event.height):
                sys.exit(f"{tag} at step {event.step} is no PNG of {event.width} x {event.height}")
            steps.setdefault(tag, []).append(event.step)
    if steps.pop("training/first_batch", None) != [1]:
        sys.exit("TensorBoard does not find the first batch, once")
    shown = steps.pop("validation/highest_loss", [])
    if not shown or shown[0] != epochs[0] or not set(shown) <= set(epochs):
        sys.exit(f"TensorBoard finds the hardest slices of steps {shown}; the epochs end at {epochs}")
    if steps:
        sys.exit(f"TensorBoard finds pictures that nobody knows: {steps}")
    return 1 + len(shown)


def main():
    run = Path(sys.argv[1])
    reader = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    reader.Reload()
    found = {tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}
    equal = 0
    epochs = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["type"] == "epoch":
            epochs.append(entry["step"])
        for tag, value in numbers(entry["type"], entry):
            event = found.get(tag, {}).pop(entry["step"], None)
            if event is None or np.float32(event) != np.float32(value):
                sys.exit(f"{tag} at step {entry['step']}: metrics.jsonl says {value}, TensorBoard {event}")
            equal += 1
    surplus = {tag: steps for tag, steps in found.items() if steps}
    if surplus:
        sys.exit(f"TensorBoard finds what metrics.jsonl does not have: {surplus}")
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(run))
    runs.Reload()
    plugins = runs.GetAccumulator("events")
    for plugin in ("pr_curves", "hparams"):
        if not plugins.PluginTagToContent(plugin):
            sys.exit(f"TensorBoard finds nothing for its plugin {plugin}")
    curves = len(plugins.PluginTagToContent("pr_curves"))
    # A study model is trained on features, of which there is nothing to see.
    of_studies = json.loads((run / "run.json").read_text())["program"] == "train_study"
    pictures = 0 if of_studies else check_images(reader, epochs)
    print(f"{equal} scalars equal, in f32; precision-recall curves of {curves} labels, hyperparameters, {pictures} pictures")


if __name__ == "__main__":
    main()
