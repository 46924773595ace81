#!/usr/bin/env python3
"""The peers' scripts as far as they go without PyTorch: the search for the fastest configuration, with a played worker,
and the protocol of bench_ops."""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

PEERS = pathlib.Path(__file__).resolve().parent.parent / "bench" / "peers"

# Faster with larger batches and a kept memory; fails with torch.compile.
WORKER = '''import json, os, sys
arguments = sys.argv[1:]
if "--compile" in arguments:
    sys.exit("no compiler")
speed = int(arguments[arguments.index("--batch") + 1]) * (2 if "GLIBC_TUNABLES" in os.environ else 1)
print("a warning")
print(json.dumps({"images_per_second": speed, "peak_mb": 7, "torch": "played"}))
'''

SERVER = '''import ops_common
def prepare(request):
    if request["op"] == "none":
        raise ops_common.Unsupported("none")
    return {"a": lambda: None, "b": lambda: None}
ops_common.serve("Played", prepare, lambda: print("emptied", file=__import__("sys").stderr))
'''


class Peers(unittest.TestCase):
    def sweep(self, folder, *arguments):
        worker, document = folder / "worker.py", folder / "sweep.json"
        worker.write_text(WORKER)
        spec = importlib.util.spec_from_file_location("sweep", PEERS / "sweep.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        command = ["sweep.py", "--arch", "resnet-50", "--pin", "free", "--layout", "channels_last", "--idle-wait", "0",
                   "--json", str(document), *arguments]
        with mock.patch.object(module, "WORKER", worker), mock.patch.object(sys, "argv", command), \
                mock.patch("sys.stdout"), mock.patch("sys.stderr"):
            status = module.main()
        return status, json.loads(document.read_text())

    def test_sweep(self):
        with tempfile.TemporaryDirectory() as folder:
            status, document = self.sweep(pathlib.Path(folder), "--batch", "8", "16", "--allocator", "glibc", "glibc+thp",
                                          "--rounds", "3", "--keep", "2")
        self.assertEqual((status, document["arch"], document["inference"]), (0, "resnet-50", False))
        found = document["configurations"]
        self.assertEqual(len(found), 8)
        self.assertEqual(found[0]["images_per_second"], [32, 32, 32])
        self.assertEqual(found[0]["flags"][:2], ["--batch", "16"])
        self.assertIn("GLIBC_TUNABLES", found[0]["environment"])
        self.assertEqual([len(each["images_per_second"]) for each in found], [3, 3, 1, 1, 0, 0, 0, 0])
        self.assertEqual(found[-1]["error"], "no compiler")

    def test_sweep_without_any_speed(self):
        with tempfile.TemporaryDirectory() as folder:
            status, _ = self.sweep(pathlib.Path(folder), "--batch", "8", "--allocator", "glibc", "--mode", "compile")
        self.assertEqual(status, 1)

    def test_protocol(self):
        requests = [{"op": "any", "seconds": 0.001, "cold": False}, {"op": "none", "seconds": 0.001, "cold": False},
                    {"op": "any", "seconds": 0.001, "cold": True}]
        done = subprocess.run([sys.executable, "-c", SERVER], cwd=PEERS, input="\n".join(map(json.dumps, requests)),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        hello, first, second, third = map(json.loads, done.stdout.splitlines())
        self.assertEqual((hello, second), ({"name": "Played"}, {"unsupported": "none"}))
        for answer in (first, third):
            self.assertEqual(set(answer["seconds"]), {"a", "b"})
            self.assertGreater(min(answer["seconds"].values()), 0)
        self.assertIn("emptied", done.stderr)

    def test_a_missing_library_is_one_error(self):
        # -S: without the folder where PyTorch may be installed.
        for script, arguments in (("ops_pytorch.py", ["--threads", "1"]), ("ops_onednn.py", ["--threads", "1"]),
                                  ("ops_onednn.py", ["--threads", "1", "--library", "/no/such/libdnnl.so"]),
                                  ("train_pytorch.py", ["--arch", "resnet-50", "--batch", "1", "--steps", "1"])):
            done = subprocess.run([sys.executable, "-S", PEERS / script, *arguments], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (1, ""))
            self.assertEqual(set(json.loads(done.stdout)), {"error"})


if __name__ == "__main__":
    unittest.main()
