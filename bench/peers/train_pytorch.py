"""One round of training steps (or of inference) in PyTorch, for bench_train --vs pytorch and sweep.py: the transformers
model of the same config, binary cross-entropy, SGD with momentum, on fixed synthetic images. bf16 and fp16 are
PyTorch's automatic mixed precision (autocast, for fp16 with GradScaler). Prints one line of JSON."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--arch", required=True)
parser.add_argument("--image-size", type=int, default=0)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--device", default="cpu")
parser.add_argument("--precision", choices=["f32", "tf32", "bf16", "fp16"], default="f32")
parser.add_argument("--inference", action="store_true", help="forward only, in evaluation mode")
parser.add_argument("--layout", choices=["channels_last", "contiguous"], default="channels_last")
parser.add_argument("--compile", action="store_true", help="torch.compile; for inference with frozen weights")
args = parser.parse_args()
if args.compile and args.inference:
    os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # read when torch is imported


def refuse(message):
    """Ends the program: bench_train prints the message as its own error."""
    print(json.dumps({"error": str(message)}), flush=True)
    sys.exit(1)


try:
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification
except ImportError as error:
    refuse(f"{error}; pip install torch transformers, or name a Python that has them with --python")

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
    kind, size, patch, side = arch.split("-") if arch.count("-") == 3 else ("", "", "", "")
    if kind != "vit" or size not in VITS:
        refuse(f"{arch} is not among the peer's models")
    width, heads = VITS[size]
    side = image_size or int(side)
    config = ViTConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width, image_size=side,
                       patch_size=int(patch.removeprefix("patch")), num_labels=7)
    return ViTForImageClassification(config), side


device = torch.device(args.device)
on_gpu = device.type == "cuda"
torch.manual_seed(1)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
model, side = build(args.arch, args.image_size)
model = model.to(device, memory_format=layout).train(not args.inference)
forward = torch.compile(model) if args.compile else model
pixels = torch.randn(args.batch, 3, side, side).to(device, memory_format=layout)
targets = torch.zeros(args.batch, 7, device=device)
half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.precision)
scaler = torch.amp.GradScaler(device.type, enabled=args.precision == "fp16")
loss_of = torch.nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)


def autocast():
    return torch.autocast(device.type, half) if half else contextlib.nullcontext()


def train():
    optimizer.zero_grad()
    with autocast():
        loss = loss_of(forward(pixel_values=pixels).logits.float(), targets)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


@torch.no_grad()
def infer():
    with autocast():
        forward(pixel_values=pixels)


def synchronize():
    if on_gpu:
        torch.cuda.synchronize()


step = infer if args.inference else train
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
    # Not getrusage's ru_maxrss, which a process inherits from the one that started it.
    peak = int(re.search(r"^VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text(), re.M).group(1)) / 1024
print(json.dumps({
    "images_per_second": args.batch / statistics.median(seconds),
    "peak_mb": peak,
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
}))
