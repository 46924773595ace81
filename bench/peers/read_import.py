"""Time to import a ViT-B checkpoint in PyTorch: build the transformers model and fill it. Prints one JSON line; the times
are without Python's start and imports, which are given beside them.

ways: from_pretrained - transformers' own import of a local directory;
      load_state_dict - the model built with random first values, then safetensors' load_file and load_state_dict;
      meta_assign     - the model built without memory, its tensors replaced by those of load_file (which maps the file).
Each way ends with one pass over all parameters if --touch is given: a mapped file is read only then.
"""

import argparse
import json
import pathlib
import time

start = time.perf_counter()
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification
from transformers.utils import logging

imports = time.perf_counter() - start

logging.set_verbosity_error()
parser = argparse.ArgumentParser()
parser.add_argument("--model", type=pathlib.Path, required=True)
parser.add_argument("--way", choices=["make", "from_pretrained", "load_state_dict", "meta_assign"], required=True)
parser.add_argument("--touch", action="store_true")
args = parser.parse_args()

if args.way == "make":
    torch.manual_seed(0)
    labels = {i: f"LABEL_{i}" for i in range(1000)}
    config = ViTConfig(id2label=labels, label2id={name: i for i, name in labels.items()})
    model = ViTForImageClassification(config)
    model.save_pretrained(args.model)
    # The published names differ from those in memory; load_state_dict wants the latter.
    (args.model / "state_dict").mkdir()
    save_file(model.state_dict(), args.model / "state_dict" / "model.safetensors")
    print(json.dumps({"made": str(args.model)}))
    raise SystemExit

start = time.perf_counter()
if args.way == "from_pretrained":
    model = ViTForImageClassification.from_pretrained(args.model)
else:
    config = ViTConfig.from_pretrained(args.model)
    with torch.device("meta" if args.way == "meta_assign" else "cpu"):
        model = ViTForImageClassification(config)
    model.load_state_dict(load_file(args.model / "state_dict" / "model.safetensors"), assign=args.way == "meta_assign")
model.eval()
built = time.perf_counter() - start
checksum = 0.0
if args.touch:
    with torch.no_grad():
        checksum = sum(float(p.sum()) for p in model.parameters())
print(json.dumps({"seconds": built, "with_touch": time.perf_counter() - start, "import_seconds": imports, "sum": checksum}))
