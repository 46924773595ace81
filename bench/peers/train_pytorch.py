"""One round of training steps in PyTorch, for bench_train --vs pytorch: the transformers model of the same config, in
channels_last, binary cross-entropy, SGD with momentum, on fixed synthetic images. Prints one line of JSON."""
import argparse
import json
import resource
import statistics
import time

import torch
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

RESNETS = {
    "resnet-18": dict(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
    "resnet-34": dict(depths=[3, 4, 6, 3], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
    "resnet-50": dict(),
    "resnet-101": dict(depths=[3, 4, 23, 3]),
}
VITS = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}


def build(arch, image_size):
    if arch in RESNETS:
        return ResNetForImageClassification(ResNetConfig(num_labels=7, **RESNETS[arch])), image_size or 224
    _, size, patch, side = arch.split("-")
    width, heads = VITS[size]
    side = image_size or int(side)
    config = ViTConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width, image_size=side,
                       patch_size=int(patch.removeprefix("patch")), num_labels=7)
    return ViTForImageClassification(config), side


parser = argparse.ArgumentParser()
parser.add_argument("--arch", required=True)
parser.add_argument("--image-size", type=int, default=0)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--steps", type=int, required=True)
args = parser.parse_args()

torch.manual_seed(1)
model, side = build(args.arch, args.image_size)
model = model.to(memory_format=torch.channels_last).train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
loss_of = torch.nn.BCEWithLogitsLoss()
pixels = torch.randn(args.batch, 3, side, side).to(memory_format=torch.channels_last)
targets = torch.zeros(args.batch, 7)

seconds = []
for step in range(-2, args.steps):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss_of(model(pixel_values=pixels).logits, targets).backward()
    optimizer.step()
    if step >= 0:
        seconds.append(time.perf_counter() - start)

print(json.dumps({
    "images_per_second": args.batch / statistics.median(seconds),
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
}))
