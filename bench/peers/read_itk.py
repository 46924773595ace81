"""The job of `reslice` by SimpleITK or MONAI with their own readers and resamplers: series to volume, sagittal planes
around x = --center (the midline is not sought), window, PNG. Prints one JSON line; the time is without imports."""

import argparse
import json
import pathlib
import time

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tool", choices=["simpleitk", "monai"], required=True)
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("--slices", type=int, default=25)
parser.add_argument("--span-mm", type=float, default=40)
parser.add_argument("--spacing-mm", type=float, default=0.5)
parser.add_argument("--png", type=pathlib.Path, required=True)
args = parser.parse_args()


def simpleitk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    corners = np.array([image.TransformIndexToPhysicalPoint(tuple(int(s - 1) * b for s, b in zip(image.GetSize(), bits)))
                        for bits in np.ndindex(2, 2, 2)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = args.span_mm / (args.slices - 1)
    # One resampling for all planes: x across planes, y along columns, -z down the rows.
    size = [int((high[1] - low[1]) / args.spacing_mm) + 1, int((high[2] - low[2]) / args.spacing_mm) + 1, args.slices]
    origin = [(low[0] + high[0]) / 2 - args.span_mm / 2, low[1], high[2]]
    direction = [0, 0, 1, 1, 0, 0, 0, -1, 0]
    spacing = [args.spacing_mm, args.spacing_mm, step]
    planes = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, direction, -1024, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(planes), image.GetSize()[2]


def monai(folder):
    image = load(folder)  # RAS: first axis across, second to the front, third up
    planes = spacing(orientation(image))
    middle, count = planes.shape[1] // 2, planes.shape[1]
    index = np.clip(middle + np.arange(args.slices) - args.slices // 2, 0, count - 1)
    return np.asarray(planes[0, index]).transpose(0, 2, 1)[:, ::-1, ::-1], image.shape[-1]


if args.tool == "simpleitk":
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    version, cut = sitk.Version.VersionString(), simpleitk
else:
    import monai as package
    import torch
    from monai.transforms import LoadImage, Orientation, Spacing

    torch.set_num_threads(1)
    load = LoadImage(reader="PydicomReader", image_only=True, ensure_channel_first=True)
    orientation = Orientation(axcodes="RAS")
    spacing = Spacing(pixdim=(args.span_mm / (args.slices - 1), args.spacing_mm, args.spacing_mm), mode="bilinear")
    version, cut = package.__version__, monai

slices = studies = 0
start = time.perf_counter()
for folder in sorted((args.data / "train_images").iterdir()):
    planes, depth = cut(folder)
    grey = np.rint(np.clip((planes - 399.5) / 1799 + 0.5, 0, 1) * 255).astype(np.uint8)
    target = args.png / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for k, picture in enumerate(grey):
        Image.fromarray(np.ascontiguousarray(picture)).save(target / f"{k}.png", compress_level=1, compress_type=3)
    studies, slices = studies + 1, slices + depth
print(json.dumps({"studies": studies, "slices": slices, "seconds": time.perf_counter() - start, "version": version}))
