"""Reads the secondary captures of a `predict --secondary-capture` with pydicom: are they what their pictures are?

usage: check_secondary_captures.py OUT      (needs pydicom, numpy and Pillow; uses dciodvfy of dicom3tools where it is)
"""
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pydicom
from PIL import Image

out = pathlib.Path(sys.argv[1])
series = set()
for file in sorted((out / "secondary-captures").glob("*.dcm")):
    capture = pydicom.dcmread(file)
    picture = np.asarray(Image.open(out / "pictures" / (file.stem + ".png")))
    assert capture.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian, file
    assert capture.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage, file
    assert capture.file_meta.MediaStorageSOPInstanceUID == capture.SOPInstanceUID, file
    for uid in (capture.StudyInstanceUID, capture.SeriesInstanceUID, capture.SOPInstanceUID):
        assert uid.is_valid, (file, uid)
    assert capture.Modality == "OT" and capture.BurnedInAnnotation == "YES", file
    assert "not a medical device" in capture.DerivationDescription, file
    assert np.array_equal(capture.pixel_array, picture), f"{file}: other pixels than its picture"
    series.add(capture.SeriesInstanceUID)
    if shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True).stderr
        assert "Error" not in said, f"{file}: {said}"
    print(f"{file.name}: study {capture.StudyInstanceUID}, {capture.Columns} x {capture.Rows}, as its picture")
assert series, f"{out}: has no secondary captures"
assert len(series) == len(list((out / "secondary-captures").glob("*.dcm"))), "two captures share a series"
