"""The loader's job in PyTorch: DataLoader over PIL and numpy. Decode a PNG, fit it into a square with equal scale (area
average), turn, zoom and shift with bilinear interpolation, change contrast and brightness, give three equal channels as
bytes. Prints one JSON line; the time is without imports."""

import argparse
import csv
import json
import pathlib
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

torch.set_num_threads(1)


class Slices(Dataset):
    def __init__(self, root, size, augment, epochs):
        with open(root / "manifest.csv") as file:
            rows = list(csv.DictReader(file))
        self.files = [root / row["slice"] for row in rows] * epochs
        self.labels = np.float32([[float(row[f"C{i}"]) for i in range(1, 8)] for row in rows] * epochs)
        self.size, self.augment = size, augment

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = Image.open(self.files[index])
        size = self.size
        factor = size / max(image.size)
        width, height = (round(side * factor) for side in image.size)
        method = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
        square = Image.new("L", (size, size))
        square.paste(image.resize((width, height), method), ((size - width) // 2, (size - height) // 2))
        if self.augment:
            random = np.random.default_rng(index)
            angle, zoom = np.deg2rad(random.uniform(-10, 10)), random.uniform(0.85, 1.15)
            shift_x, shift_y = random.uniform(-0.1, 0.1, 2) * size
            brightness, gain = random.uniform(-0.1, 0.1), random.uniform(0.8, 1.2)
            c, s, m = np.cos(angle) / zoom, np.sin(angle) / zoom, size / 2
            matrix = (c, s, m - c * (m + shift_x) - s * (m + shift_y), -s, c, m + s * (m + shift_x) - c * (m + shift_y))
            square = square.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
            values = np.arange(256, dtype=np.float32) / 255
            table = np.rint(255 * np.clip((values - 0.5) * gain + 0.5 + brightness, 0, 1)).astype(np.uint8)
            grey = table[np.asarray(square)]
        else:
            grey = np.asarray(square)
        return torch.from_numpy(np.repeat(grey[:, :, None], 3, axis=2)), self.labels[index]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--slices", type=pathlib.Path, required=True)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--augment", action="store_true")
args = parser.parse_args()
data = Slices(args.slices, args.size, args.augment, args.epochs)
start = time.perf_counter()
images = checksum = 0
for pixels, labels in DataLoader(data, batch_size=24, shuffle=True, num_workers=args.workers):
    images += len(pixels)
    checksum += int(pixels.view(-1)[pixels.numel() // 2])
print(json.dumps({"seconds": time.perf_counter() - start, "images": images, "sum": checksum}))
