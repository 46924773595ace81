"""One round of training steps in PyTorch, for bench_train --vs pytorch: the transformers model of the same config, in
channels_last, binary cross-entropy, SGD with momentum, on fixed synthetic images. bf16 and fp16 are PyTorch's automatic
mixed precision (autocast, for fp16 with GradScaler). Prints one line of JSON."""
import argparse
import contextlib
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
parser.add_argument("--device", default="cpu")
parser.add_argument("--precision", choices=["f32", "tf32", "bf16", "fp16"], default="f32")
parser.add_argument("--compile", action="store_true")
args = parser.parse_args()

device = torch.device(args.device)
on_gpu = device.type == "cuda"
torch.manual_seed(1)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
model, side = build(args.arch, args.image_size)
model = model.to(device, memory_format=torch.channels_last).train()
forward = torch.compile(model) if args.compile else model
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
loss_of = torch.nn.BCEWithLogitsLoss()
pixels = torch.randn(args.batch, 3, side, side).to(device, memory_format=torch.channels_last)
targets = torch.zeros(args.batch, 7, device=device)
half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.precision)
scaler = torch.amp.GradScaler(device.type, enabled=args.precision == "fp16")


def step():
    optimizer.zero_grad()
    with torch.autocast(device.type, half) if half else contextlib.nullcontext():
        loss = loss_of(forward(pixel_values=pixels).logits.float(), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


def synchronize():
    if on_gpu:
        torch.cuda.synchronize()


for _ in range(10 if on_gpu else 2):
    step()
synchronize()
# As in bench_train.cpp: every step by itself on the CPU, all steps in one go on a GPU.
per_measurement = args.steps if on_gpu else 1
seconds = []
for _ in range(0, args.steps, per_measurement):
    start = time.perf_counter()
    for _ in range(per_measurement):
        step()
    synchronize()
    seconds.append((time.perf_counter() - start) / per_measurement)

if on_gpu:
    peak = torch.cuda.max_memory_allocated() / 2**20
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({
    "images_per_second": args.batch / statistics.median(seconds),
    "peak_mb": peak,
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
}))
