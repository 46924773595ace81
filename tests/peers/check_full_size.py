"""Full-size models saved by transformers give the same logits when Sagitta loads them.

Usage: python tests/peers/check_full_size.py [--build build/release] [--batch 2]

ResNet-50, ViT-B/16 in one file, in shards, in float16, and under new (transformers >= 5.9) names; random weights with
batch-norm statistics away from their start, so that nothing cancels.
"""

import argparse
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

from common import compare, forward, peer_logits


def resnet50(generator):
    model = transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return model


def vit_base():
    return transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=1000, initializer_range=0.04))


def new_names(folder):
    """Rewrites a saved ViT under the names of transformers' own modules."""
    model = transformers.ViTForImageClassification.from_pretrained(folder)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return sorted(state)[5]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--batch", type=int, default=2)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn((args.batch, 3, 224, 224), generator=generator)
    ok = True
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for label, model in (("resnet-50", resnet50(generator)), ("vit-base-patch16-224", vit_base())):
            expected = peer_logits(model, pixels)
            model.save_pretrained(work / label)
            ok &= compare(label, forward(args.build, work / label, pixels, work), expected)
            model.save_pretrained(work / f"{label}-shards", max_shard_size="40MB")
            shards = len(list((work / f"{label}-shards").glob("model-*.safetensors")))
            ok &= compare(f"{label}, {shards} shards", forward(args.build, work / f"{label}-shards", pixels, work), expected)
            half = model.half()
            half.save_pretrained(work / f"{label}-half")
            expected = peer_logits(half.float(), pixels)
            ok &= compare(f"{label}, float16 file", forward(args.build, work / f"{label}-half", pixels, work), expected)
        expected = peer_logits(transformers.ViTForImageClassification.from_pretrained(work / "vit-base-patch16-224"), pixels)
        example = new_names(work / "vit-base-patch16-224")
        ok &= compare(f"vit, names like {example[:24]}", forward(args.build, work / "vit-base-patch16-224", pixels, work), expected)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
