"""Reads a run's TensorBoard events with TensorBoard's own reader and compares every number of metrics.jsonl.

usage: check_events.py RUN      (needs the package tensorboard; checked with 2.21)
"""
import json
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


def main():
    run = Path(sys.argv[1])
    reader = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    reader.Reload()
    found = {tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}
    equal = 0
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
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
    print(f"{equal} scalars equal, in f32; precision-recall curves of {len(plugins.PluginTagToContent('pr_curves'))} labels, hyperparameters")


if __name__ == "__main__":
    main()
