"""Writes the golden heat maps that tests/test_explain.cpp compares with, for the models of make_golden.py.

Usage: python tests/golden/make_explanations.py   (needs torch, transformers, safetensors)

For each model NAME of this folder and the batch in its golden.safetensors, explanations.safetensors holds
  labels [N]               which label of each picture is asked about
  <method> [N,H,W]         the heat: maps at the network's resolution, enlarged by torch.nn.functional.interpolate
                           (bilinear, align_corners=False), each picture divided by its largest value
with <method> grad-cam for ResNets (and grad-cam-last, of the last stage whatever its size), gradient-attention and attention-rollout for ViTs. The witness takes another way than
the C++ code: feature maps and attention weights come from transformers' own outputs (output_hidden_states,
output_attentions with the eager attention), their gradients from retain_grad, and whole matrices are multiplied.
Computed in float64 from float32 weights. The versions that made a file are in its metadata.
"""

import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
METADATA = {"torch": torch.__version__, "transformers": transformers.__version__}
LEAST_CELLS = 7
RESNETS = ["resnet_basic", "resnet_bottleneck", "resnet_gelu", "resnet_first_stage_silu"]
VITS = {"vit": {}, "vit_no_qkv_bias": {}, "vit_interpolated": {"interpolate_pos_encoding": True}}


def heat(maps, size):
    big = torch.nn.functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    largest = big.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, big / largest.clamp_min(1e-300), torch.zeros_like(big))


def from_labels(logits, labels):
    logits.gather(1, labels[:, None]).sum().backward()


def grad_cam(model, pixels, labels):
    out = model(pixel_values=pixels, output_hidden_states=True)
    stages = out.hidden_states[1:]  # [N,C,h,w] each
    for features in stages:
        features.retain_grad()
    from_labels(out.logits, labels)

    def cam(features):
        weights = features.grad.mean(dim=(2, 3), keepdim=True)
        return torch.relu((weights * features).sum(dim=1))

    large = [features for features in stages if min(features.shape[2:]) >= LEAST_CELLS]
    return {"grad-cam": cam((large or stages[:1])[-1]), "grad-cam-last": cam(stages[-1])}


def attention_flow(model, pixels, labels, **forward):
    out = model(pixel_values=pixels, output_attentions=True, **forward)
    for a in out.attentions:  # [N,heads,T,T] each
        a.retain_grad()
    from_labels(out.logits, labels)
    tokens = out.attentions[0].shape[-1]
    eye = torch.eye(tokens, dtype=pixels.dtype).expand(pixels.shape[0], -1, -1)
    relevance, rollout = eye, eye
    for a in out.attentions:
        relevance = relevance + torch.relu(a * a.grad).mean(dim=1) @ relevance
        rollout = (a.mean(dim=1) + eye) / 2 @ rollout
    patch = model.config.patch_size
    grid = (pixels.shape[2] // patch, pixels.shape[3] // patch)
    return {"gradient-attention": relevance[:, 0, 1:].unflatten(1, grid),
            "attention-rollout": rollout[:, 0, 1:].unflatten(1, grid)}


def make(name, model, explain, **forward):
    pixels = load_file(HERE / name / "golden.safetensors")["pixel_values"]
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(model.config.num_labels, (pixels.shape[0],), generator=generator)
    maps = explain(model.eval().double(), pixels.double(), labels, **forward)
    out = {"labels": labels}
    for method, values in maps.items():
        out[method] = heat(values.detach(), pixels.shape[2:]).float().contiguous()
        print(f"{name:20s} {method:20s} largest cell of each picture", [f"{v:.4g}" for v in values.amax(dim=(1, 2))])
    save_file(out, HERE / name / "explanations.safetensors", metadata=METADATA)


def main():
    for name in RESNETS:
        make(name, transformers.ResNetForImageClassification.from_pretrained(HERE / name), grad_cam)
    for name, forward in VITS.items():
        model = transformers.ViTForImageClassification.from_pretrained(HERE / name, attn_implementation="eager")
        make(name, model, attention_flow, **forward)


if __name__ == "__main__":
    main()
