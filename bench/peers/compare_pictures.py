"""How far the PNGs of two folders differ, in grey levels: {"pictures", "largest", "differing", "of", "share"}."""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

ours, theirs = map(pathlib.Path, sys.argv[1:3])
largest = differing = pixels = pictures = 0
for path in sorted(ours.rglob("*.png")):
    a, b = (np.asarray(Image.open(p)).astype(int) for p in (path, theirs / path.relative_to(ours)))
    if a.shape != b.shape:
        raise SystemExit(f"{path}: {a.shape} and {b.shape}")
    largest = max(largest, int(abs(a - b).max()))
    differing, pixels, pictures = differing + int((a != b).sum()), pixels + a.size, pictures + 1
print(json.dumps({"pictures": pictures, "largest": largest, "differing": differing, "of": pixels, "share": differing / pixels}))
