"""Writes tests/golden/study, which tests/test_study_model.cpp compares with: a small study model, computed by PyTorch.

Usage: python tests/golden/make_study_model.py   (needs torch, safetensors, numpy)

config.json and model.safetensors are a model in Sagitta's format; golden.safetensors has a batch (features, slice_logits,
targets), logits, loss, and grad.<parameter>, in evaluation mode. The transformer is torch.nn.TransformerEncoderLayer; the
loss is the RSNA 2022 competition's, written down from its definition. Computed in float64 from float32 weights. The version
that made the file is in its metadata.
"""

import json
import pathlib
import re

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "study"
CONFIG = {
    "architecture": "sagitta-study", "planes": 5, "embedding_width": 6, "slice_labels": [f"C{i}" for i in range(1, 8)],
    "slice_models": [{"directory": "fold-1/best", "fingerprint": "0123456789abcdef"},
                     {"directory": "fold-2/best", "fingerprint": "fedcba9876543210"}],
    "labels": ["patient_overall", *(f"C{i}" for i in range(1, 8))], "members": 2, "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 3, "intermediate_size": 20, "hidden_dropout_prob": 0.1, "feature_dropout_prob": 0.2,
    "initializer_range": 0.02, "layer_norm_eps": 1e-05}
WIDTH = CONFIG["hidden_size"]
FEATURES = len(CONFIG["slice_models"]) * (CONFIG["embedding_width"] + len(CONFIG["slice_labels"]))


class Transformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.projection = torch.nn.Linear(FEATURES, WIDTH)
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position_embeddings = torch.nn.Parameter(torch.zeros(1, 1 + CONFIG["planes"], WIDTH))
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(WIDTH, CONFIG["num_attention_heads"], CONFIG["intermediate_size"], dropout=0,
                                             activation="gelu", layer_norm_eps=CONFIG["layer_norm_eps"], batch_first=True,
                                             norm_first=True)
            for _ in range(CONFIG["num_hidden_layers"]))
        self.layernorm = torch.nn.LayerNorm(WIDTH, eps=CONFIG["layer_norm_eps"])
        self.classifier = torch.nn.Linear(WIDTH, 8)

    def forward(self, features):
        tokens = self.projection(features)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.position_embeddings
        for layer in self.layers:
            tokens = layer(tokens)
        return self.classifier(self.layernorm(tokens)[:, 0])


class Study(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.member = torch.nn.ModuleList(Transformer() for _ in range(CONFIG["members"]))

    def forward(self, features, slice_logits):
        return torch.stack([member(features) for member in self.member]).mean(dim=0) + slice_logits


def competition_loss(logits, targets):
    weights = torch.where(targets > 0.5, 2.0, 1.0).double() * torch.tensor([7.0] + [1.0] * 7, dtype=torch.float64)
    p = torch.sigmoid(logits)
    losses = -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p))
    return ((weights * losses).sum(dim=1) / weights.sum(dim=1)).mean()


def file_names(tensors):
    """PyTorch's names of a TransformerEncoderLayer become those of the file; the packed q, k and v are three tensors there."""
    spelled = {"self_attn.out_proj": "attention.output.dense", "linear1": "intermediate.dense", "linear2": "output.dense",
               "norm1": "layernorm_before", "norm2": "layernorm_after"}
    result = {}
    for full_name, tensor in tensors.items():
        member, name = re.match(r"(member\.\d+\.)(.*)", full_name).groups()
        if not name.startswith("layers."):
            result[full_name] = tensor
            continue
        _, index, rest = name.split(".", 2)
        prefix = f"{member}encoder.layer.{index}."
        if rest.startswith("self_attn.in_proj_"):
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3)):
                result[f"{prefix}attention.attention.{part}.{rest.removeprefix('self_attn.in_proj_')}"] = rows
        else:
            module, kind = rest.rsplit(".", 1)
            result[f"{prefix}{spelled[module]}.{kind}"] = tensor
    return result


def main():
    generator = torch.Generator().manual_seed(11)
    model = Study().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm_weight = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.3 * noise if is_norm_weight else 0.3 * noise)
    weights = file_names({k: v.clone() for k, v in model.state_dict().items()})
    scaling = (len(CONFIG["slice_models"]), FEATURES // len(CONFIG["slice_models"]))
    weights["feature_mean"] = torch.randn(scaling, generator=generator)
    weights["feature_std"] = 0.5 + torch.rand(scaling, generator=generator)
    FOLDER.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, FOLDER / "model.safetensors", metadata={"format": "pt"})
    (FOLDER / "config.json").write_text(json.dumps(CONFIG, indent=2, sort_keys=True) + "\n")

    batch = {"features": torch.randn((3, CONFIG["planes"], FEATURES), generator=generator),
             "slice_logits": torch.randn((3, 8), generator=generator),
             "targets": (torch.rand((3, 8), generator=generator) < 0.4).float()}
    model = model.double()
    logits = model(batch["features"].double(), batch["slice_logits"].double())
    loss = competition_loss(logits, batch["targets"].double())
    loss.backward()
    out = batch | {"logits": logits.detach().float(), "loss": loss.detach().float().reshape(1)}
    out |= {f"grad.{k}": v.float() for k, v in file_names({k: p.grad for k, p in model.named_parameters()}).items()}
    save_file({k: v.contiguous() for k, v in out.items()}, FOLDER / "golden.safetensors",
              metadata={"torch": torch.__version__})


if __name__ == "__main__":
    main()
