"""The job of `reslice` by pydicom and numpy, written as a careful numpy user would: every file read once, whole arrays
instead of loops over pixels, the volume resampled by two small matrix products per plane. Prints one JSON line:
{"studies", "slices", "seconds", "parts"}; the time is without Python's start and imports.
"""

import argparse
import io
import json
import pathlib
import time
import zlib

import numpy as np
import pydicom
import scipy.ndimage
from PIL import Image

AIR = -1024


def read_volume(folder, decoder):
    """The stack in HU as int16 [slices, rows, columns], sorted along the normal, with its geometry."""
    datasets = []
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        if decoder and dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.pixel_array_options(use_v2_backend=False, decoding_plugin=decoder)
        datasets.append(dataset)
    first = datasets[0]
    x, y = (np.array(first.ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
    normal = np.cross(x, y)
    positions = np.array([d.ImagePositionPatient for d in datasets], float)
    order = np.argsort(positions @ normal)
    datasets, positions = [datasets[i] for i in order], positions[order]
    gaps = np.diff(positions @ normal)
    if any(d.SeriesInstanceUID != first.SeriesInstanceUID for d in datasets):
        raise SystemExit(f"{folder}: several series")
    if gaps.min() < 1e-3 or gaps.max() > 1.5 * np.median(gaps):
        raise SystemExit(f"{folder}: slices are missing or double")
    volume = np.empty((len(datasets), first.Rows, first.Columns), np.int16)
    for z, d in enumerate(datasets):
        stored = d.pixel_array
        hu = stored * np.float32(d.RescaleSlope) + np.float32(d.RescaleIntercept)
        np.rint(hu, out=hu)
        np.clip(hu, AIR, 32767, out=hu)
        if "PixelPaddingValue" in d:
            hu[stored == d.PixelPaddingValue] = AIR
        volume[z] = hu
    row_spacing, column_spacing = (float(v) for v in first.PixelSpacing)
    return volume, positions, x, y, row_spacing, column_spacing


def find_midline(volume, positions, x, y, row_spacing, column_spacing):
    """LPS x of the spine: bone in the back half of the largest region of body, the median over levels 2 mm apart."""
    row_step, column_step = max(1, round(2 / row_spacing)), max(1, round(2 / column_spacing))
    level_step = max(1, int(2 * len(volume) / np.linalg.norm(positions[-1] - positions[0])))
    area = row_step * row_spacing * column_step * column_spacing
    rows, columns = np.arange(0, volume.shape[1], row_step), np.arange(0, volume.shape[2], column_step)
    body_x, bone_x = [], []
    for z in range(0, len(volume), level_step):
        hu = volume[z, ::row_step, ::column_step]
        labels, count = scipy.ndimage.label(hu > -300)
        if count == 0:
            continue
        body = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        if body.sum() * area < 2000:
            continue
        dy, dx = rows[:, None] * row_spacing, columns[None, :] * column_spacing
        px = positions[z][0] + y[0] * dy + x[0] * dx
        py = positions[z][1] + y[1] * dy + x[1] * dx
        center = px[body].mean()
        body_x.append(center)
        bone = px[body & (hu > 250) & (py > py[body].mean() - 10)]
        for _ in range(20):
            inside = bone[np.abs(bone - center) <= 30]
            if len(inside) * area < 120:
                center = None
                break
            moved = inside.mean()
            if abs(moved - center) < 0.05:
                break
            center = moved
        if center is not None:
            bone_x.append(center)
    found = np.sort(bone_x or body_x)
    return found[len(found) // 2]


def weights(at, count):
    """Linear interpolation at fractional indices as a matrix [len(at), count]; a voxel reaches half beyond its center."""
    matrix = np.zeros((len(at), count), np.float32)
    inside = (at >= -0.5) & (at <= count - 0.5)
    clamped = np.clip(at, 0, count - 1)
    low = np.minimum(clamped.astype(int), count - 2)
    rows = np.arange(len(at))[inside]
    matrix[rows, low[inside]] = (1 - (clamped - low))[inside]
    matrix[rows, low[inside] + 1] += (clamped - low)[inside]
    return matrix


def averaged(matrix, across):
    return matrix.reshape(-1, across, matrix.shape[1]).mean(axis=1)


class Planes:
    """Cuts sagittal planes of square pixels, head up, anterior left. Columns of the images must run along x."""

    def __init__(self, volume, positions, x, y, row_spacing, column_spacing, spacing):
        if abs(x[0] - 1) > 1e-6 or abs(y[0]) > 1e-6:
            raise SystemExit("turned images are more than this peer handles")
        self.volume, self.spacing = volume, spacing
        self.x_first, self.column_spacing = positions[0][0], column_spacing
        reach = y * row_spacing * (volume.shape[1] - 1)
        corners = np.concatenate([positions, positions + reach])
        y_first, y_last = corners[:, 1].min(), corners[:, 1].max()
        z_first, z_last = corners[:, 2].max(), corners[:, 2].min()
        width = int((y_last - y_first) / spacing + 1e-6) + 1
        height = int((z_first - z_last) / spacing + 1e-6) + 1
        along = positions @ np.cross(x, y)
        gap = (along[-1] - along[0]) / (len(along) - 1)
        across_y = max(1, int(np.ceil(spacing / min(row_spacing, column_spacing) - 0.01)))
        across_z = max(1, int(np.ceil(spacing / gap - 0.01)))
        at_y = y_first + ((np.arange(width * across_y) + 0.5) / across_y - 0.5) * spacing
        at_z = z_first - ((np.arange(height * across_z) + 0.5) / across_z - 0.5) * spacing
        if abs(y[2]) < 1e-6:  # an upright stack: the axes do not mix
            self.across = averaged(weights((at_y - positions[0][1]) / row_spacing, volume.shape[1]), across_y).T.copy()
            slices = np.interp(at_z, along, np.arange(len(along)))
            slices[at_z < along[0]] -= ((along[0] - at_z) / gap)[at_z < along[0]]
            slices[at_z > along[-1]] += ((at_z - along[-1]) / gap)[at_z > along[-1]]
            self.down = averaged(weights(slices, len(volume)), across_z)
            self.sample = self.upright
            return
        # A tilted stack: where a point is in its lower and in its upper slice, once for all planes.
        py, pz = np.meshgrid(at_y, at_z)
        t = py * np.cross(x, y)[1] + pz * np.cross(x, y)[2]
        self.outside = (t < along[0] - gap / 2) | (t > along[-1] + gap / 2)
        low = np.clip(np.searchsorted(along, t, side="right") - 1, 0, len(along) - 1)
        high = np.minimum(low + 1, len(along) - 1)
        step = along[high] - along[low]
        self.up = np.where(step > 0, np.clip((t - along[low]) / np.where(step > 0, step, 1), 0, 1), 0).astype(np.float32)
        origin = positions @ y
        self.points = [self.in_slice((py * y[1] + pz * y[2] - origin[k]) / row_spacing, k) for k in (low, high)]
        self.shape = (height, across_z, width, across_y)
        self.sample = self.tilted

    def in_slice(self, row, k):
        count = self.volume.shape[1]
        outside = (row < -0.5) | (row > count - 0.5)
        row = np.clip(row, 0, count - 1)
        r = np.minimum(row.astype(np.int64), count - 2)
        return k * count + r, (row - r).astype(np.float32), outside

    def upright(self, sagittal):
        # Air is zero here, so that a weight of nothing gives air.
        return self.down @ (sagittal - AIR) @ self.across + AIR

    def tilted(self, sagittal):
        flat = sagittal.ravel()
        values = []
        for index, fraction, outside in self.points:
            value = flat[index] * (1 - fraction) + flat[index + 1] * fraction
            value[outside] = AIR
            values.append(value)
        hu = values[0] + self.up * (values[1] - values[0])
        hu[self.outside] = AIR
        return hu.reshape(self.shape).mean(axis=(1, 3))

    def cut(self, x_mm):
        column = (x_mm - self.x_first) / self.column_spacing
        count = self.volume.shape[2]
        if not -0.5 <= column <= count - 0.5:
            return self.sample(np.full(self.volume.shape[:2], AIR, np.float32))
        column = min(max(column, 0), count - 1)
        c = min(int(column), count - 2)
        sagittal = self.volume[:, :, c : c + 2].astype(np.float32) @ np.float32([1 - (column - c), column - c])
        return self.sample(sagittal)


def to_grey(hu, center=400, width=1800):
    return np.rint(np.clip((hu - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--slices", type=int, default=25)
    parser.add_argument("--span-mm", type=float, default=40)
    parser.add_argument("--spacing-mm", type=float, default=0.5)
    parser.add_argument("--decoder", default="", help="pydicom decoding plugin: gdcm, pylibjpeg; default: its own choice")
    parser.add_argument("--png", type=pathlib.Path, required=True, help="folder for the pictures")
    args = parser.parse_args()
    parts = {"read": 0.0, "midline": 0.0, "cut": 0.0, "write": 0.0}
    studies = slices = 0
    start = time.perf_counter()
    for folder in sorted((args.data / "train_images").iterdir()):
        t0 = time.perf_counter()
        volume, *geometry = read_volume(folder, args.decoder)
        t1 = time.perf_counter()
        middle = find_midline(volume, *geometry)
        t2 = time.perf_counter()
        planes = Planes(volume, *geometry, args.spacing_mm)
        at_x = middle + args.span_mm * np.linspace(-0.5, 0.5, args.slices)
        pictures = [to_grey(planes.cut(x_mm)) for x_mm in at_x]
        t3 = time.perf_counter()
        target = args.png / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for k, picture in enumerate(pictures):
            encoded = io.BytesIO()
            Image.fromarray(picture).save(encoded, "png", compress_level=1, compress_type=zlib.Z_RLE)
            (target / f"{k}.png").write_bytes(encoded.getvalue())
        t4 = time.perf_counter()
        for name, seconds in zip(parts, (t1 - t0, t2 - t1, t3 - t2, t4 - t3)):
            parts[name] += seconds
        studies, slices = studies + 1, slices + len(volume)
    print(json.dumps({"studies": studies, "slices": slices, "seconds": time.perf_counter() - start, "parts": parts}))


if __name__ == "__main__":
    main()
