"""Writes the golden files that tests/test_golden.cpp compares with: small models, computed by PyTorch and transformers.

Usage: python tests/golden/make_golden.py   (needs torch, transformers, safetensors)

Each folder holds a model as transformers saves it (config.json, model.safetensors) and golden.safetensors with:
  pixel_values, labels or targets      the batch
  logits, loss, grad.<parameter>       in evaluation mode
  train_logits, train_loss, train_grad.<parameter>, train_stat.<buffer>   ResNets: in training mode, one forward pass
  sgd_losses, adam_losses, adamw_losses   of ten steps in training mode on that batch
Computed in float64 from float32 weights, so that the only rounding in a comparison is ours. The versions that made a
file are in its metadata.
"""

import pathlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
STEPS = 10
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.05),
}
METADATA = {
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "sgd": "lr 0.02, momentum 0.9, weight_decay 1e-3",
    "adam": "lr 1e-3, weight_decay 1e-3",
    "adamw": "lr 1e-3, weight_decay 0.05",
}


def randomize(model, generator):
    """Gives norms, biases and running statistics values that a mistake with them would show in."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.3 * noise)
            elif name.endswith("bias"):
                p.copy_(0.2 * noise)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.copy_(0.3 * torch.randn(b.shape, generator=generator))
            elif name.endswith("running_var"):
                b.copy_(0.5 + torch.rand(b.shape, generator=generator))
            elif name.endswith("num_batches_tracked"):
                b.fill_(17)


def gradients(model, prefix):
    return {f"{prefix}.{name}": p.grad.float() for name, p in model.named_parameters()}


def make(name, model, size, seed, **forward):
    generator = torch.Generator().manual_seed(seed)
    randomize(model, generator)
    folder = HERE / name
    model.eval().save_pretrained(folder)
    model = model.double()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    classes = model.config.num_labels
    batch = {"pixel_values": torch.randn((3, 3, *size), generator=generator)}
    if model.config.problem_type == "single_label_classification":
        batch["labels"] = torch.randint(classes, (3,), generator=generator)
    else:
        batch["targets"] = (torch.rand((3, classes), generator=generator) < 0.4).float()

    def run():
        logits = model(pixel_values=batch["pixel_values"].double(), **forward).logits
        if "labels" in batch:
            return logits, torch.nn.functional.cross_entropy(logits, batch["labels"])
        return logits, torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["targets"].double())

    out = dict(batch)
    for prefix, training in (("", False), ("train_", True)):
        if training and not any("running" in n for n in start):
            continue
        model.load_state_dict(start)
        model.train(training).zero_grad()
        logits, loss = run()
        loss.backward()
        out[f"{prefix}logits"] = logits.detach().float()
        out[f"{prefix}loss"] = loss.detach().float()
        out |= gradients(model, f"{prefix}grad")
        if training:
            out |= {f"train_stat.{n}": b.clone().float() for n, b in model.named_buffers() if "running" in n}
    for key, optimizer_for in OPTIMIZERS.items():
        model.load_state_dict(start)
        model.train()
        optimizer = optimizer_for(model.parameters())
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = run()[1]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        out[f"{key}_losses"] = torch.tensor(losses)
        print(f"{name:32s} {key:6s}", " ".join(f"{x:.4f}" for x in losses))
    save_file({k: v.contiguous() for k, v in out.items()}, folder / "golden.safetensors", metadata=METADATA)


def resnet(name, seed, size=(32, 32), classes=5, problem="single_label_classification", **config):
    torch.manual_seed(seed)
    config = transformers.ResNetConfig(embedding_size=12, num_labels=classes, problem_type=problem, **config)
    make(name, transformers.ResNetForImageClassification(config), size, seed)


def vit(name, seed, size=(32, 32), classes=5, problem="single_label_classification", forward=None, **config):
    torch.manual_seed(seed)
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=56, image_size=32, patch_size=8,
        initializer_range=0.2, num_labels=classes, problem_type=problem, **config)
    make(name, transformers.ViTForImageClassification(config), size, seed, **(forward or {}))


def main():
    multi = {"classes": 7, "problem": "multi_label_classification"}
    resnet("resnet_basic", 1, layer_type="basic", hidden_sizes=[12, 20], depths=[2, 2])
    resnet("resnet_bottleneck", 2, (40, 32), hidden_sizes=[24, 40], depths=[2, 2], **multi)
    resnet("resnet_downsample_in_bottleneck", 3, hidden_sizes=[24, 40], depths=[2, 2], downsample_in_bottleneck=True)
    resnet("resnet_gelu", 4, hidden_sizes=[24, 40], depths=[1, 2], hidden_act="gelu", **multi)
    resnet("resnet_first_stage_silu", 5, (48, 48), layer_type="basic", hidden_sizes=[12, 20], depths=[1, 2],
           downsample_in_first_stage=True, hidden_act="silu")
    vit("vit", 6)
    vit("vit_no_qkv_bias", 7, qkv_bias=False, hidden_act="gelu_pytorch_tanh", **multi)
    vit("vit_interpolated", 8, (48, 40), forward={"interpolate_pos_encoding": True}, **multi)


if __name__ == "__main__":
    main()
