#!/usr/bin/env python3
"""How scripts/gpu_check judges, goes on and reports, with made-up tools in place of the GPU's."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

NVIDIA_SMI = 'echo "NVIDIA H100 80GB HBM3, 580.1, 81559 MiB, 9.0"'
NVCC = 'echo "Cuda compilation tools, release 13.0, V13.0.88"'
PASSES = 'echo "[doctest] test cases: 3 | 3 passed | 0 failed | 1 skipped"'
FAILS = 'echo "[doctest] test cases: 3 | 2 passed | 1 failed | 1 skipped"; exit 1'
SANITIZER = 'shift 4; "$@" && echo "========= ERROR SUMMARY: 0 errors"'
# Leaves the arguments that follow --json in $file.
FIND_JSON = 'all="$*"; while [ $# -gt 1 ]; do [ "$1" = --json ] && file=$2; shift; done\n'
TRAIN = FIND_JSON + '''case "$all" in *--vs*) theirs=100 ratio=1.5 ;; *) theirs=0 ratio=0 ;; esac
echo "{\\"median\\": {\\"sagitta_images_per_second\\": 150, \\"pytorch_images_per_second\\": $theirs, \\"ratio\\": $ratio,
\\"sagitta_peak_mb\\": 10, \\"pytorch_peak_mb\\": 20}}" >"$file"'''
DEVICE = FIND_JSON + '''echo '{"ms_per_step": 60, "ms_per_step_at_ceilings": 40, "copy_gb_per_s": 3000, "matmul_tflop_per_s": 700,
"ops": [{"op": "conv2d", "shapes": "1x2", "calls_per_step": 4, "microseconds": 5.5, "share_of_ceiling": 0.5, "ms_per_step": 1}]}' >"$file"'''
CMAKE = '''if [ "$1" = -S ]; then echo "-- CUDA: toolkit 13.0.88, cuDNN 9.19.0, for sm_90"; exit; fi
mkdir -p "$2/tests" "$2/bin"
cd "$2"
shift 5
for program; do case $program in test_*) cp "$TOOLS/$program" tests ;; *) cp "$TOOLS/$program" bin ;; esac; done'''


class GpuCheck(unittest.TestCase):
    def check(self, *arguments, build=None, **tools):
        """Runs gpu_check with these tools changed (None: broken); returns exit code, output, JSON."""
        scripts = {"nvidia-smi": NVIDIA_SMI, "nvcc": NVCC, "cmake": CMAKE, "compute-sanitizer": SANITIZER,
                   "python3": 'echo "2.11.0 91900"', "bench_train": TRAIN, "bench_device": DEVICE,
                   **{f"test_cuda{name}": PASSES for name in ("", "_attention", "_golden", "_kernels", "_models", "_observing",
                                                             "_trainer")}}
        scripts.update({name.replace("_smi", "-smi").replace("compute_", "compute-"): text for name, text in tools.items()})
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            bin_folder, out = folder / "tools", folder / "out"
            bin_folder.mkdir()
            for name, text in scripts.items():
                (bin_folder / name).write_text(f"#!/bin/sh\n{text or 'exit 9'}\n")
                (bin_folder / name).chmod(0o755)
            environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "TOOLS": str(bin_folder)}
            done = subprocess.run([sys.executable, ROOT / "scripts" / "gpu_check", "--build", build or folder / "build", "--out", out,
                                   "--python", bin_folder / "python3", *arguments],
                                  env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            files = list(out.glob("*.json")) if out.is_dir() else []
            return done.returncode, done.stdout, json.loads(files[0].read_text()) if files else None

    def outcomes(self, result):
        return {part["name"]: part["outcome"] for part in result["parts"]}

    def test_everything_passes(self):
        status, output, result = self.check()
        self.assertEqual(status, 0, output)
        self.assertTrue(result["succeeded"])
        self.assertEqual({part["outcome"] for part in result["parts"]}, {"passed"})
        self.assertEqual((result["gpu"], result["cuda"], result["cudnn"], result["pytorch"]),
                         ("NVIDIA H100 80GB HBM3", "13.0.88", "9.19.0", "2.11.0"))
        names = self.outcomes(result)
        for name in ("test_cuda_golden", "test_cuda_attention --attention=cudnn", "memcheck test_cuda_products",
                     "racecheck test_cuda_products",
                     "train resnet-50 batch 256 fp16", "train vit-base-patch16-384 batch 64 bf16 against torch.compile",
                     "ops resnet-50 batch 256 fp16"):
            self.assertIn(name, names)
        self.assertRegex(output, r"resnet-50 batch 256 fp16 +150 +100 +1\.50 +10 +20\n")
        self.assertRegex(output, r"conv2d +1x2 +4 x +5\.5 us +50 %")

    def test_a_failure_is_recorded_and_the_rest_goes_on(self):
        status, output, result = self.check(test_cuda_models=FAILS)
        outcomes = self.outcomes(result)
        self.assertEqual((status, outcomes.pop("test_cuda_models")), (1, "failed"))
        self.assertEqual(outcomes.pop("test_cuda_models --attention=cudnn"), "failed")
        self.assertEqual(set(outcomes.values()), {"passed"})
        self.assertIn("1 failed", next(part["output"] for part in result["parts"] if part["outcome"] == "failed"))

    def test_skipped_is_not_passed(self):
        status, output, result = self.check(test_cuda='echo "skipped: no driver"; exit 77')
        self.assertEqual((status, self.outcomes(result)["test_cuda"]), (1, "failed"))
        self.assertIn("test_cuda: skipped is not passed: skipped: no driver", output)
        status, _, _ = self.check(test_cuda='echo "[doctest] test cases: 0 | 0 passed | 0 failed | 4 skipped"')
        self.assertEqual(status, 1)

    def test_a_finding_of_the_sanitizer_fails(self):
        status, output, result = self.check(
            compute_sanitizer='echo "========= COMPUTE-SANITIZER"; echo "========= Invalid __global__ read"; exit 86')
        self.assertEqual((status, self.outcomes(result)["memcheck test_cuda_products"]), (1, "failed"))
        self.assertIn("Invalid __global__ read", output)

    def test_out_of_time(self):
        status, output, result = self.check("--minutes", "0.1")
        self.assertEqual((status, self.outcomes(result)["test_cuda"]), (1, "not run"), output)

    def test_a_finding_counts_although_the_sanitizer_was_cut(self):
        tool = 'echo "========= Invalid read"; echo "========= ERROR SUMMARY: 1 error"; sleep 60'
        status, _, result = self.check("--minutes", "0.19", "--only", "^test_cuda$|memcheck", compute_sanitizer=tool)
        self.assertEqual((status, self.outcomes(result)["memcheck test_cuda_products"]), (1, "failed"))

    def test_time_limit(self):
        # No part starts with less than 10 s left, so the hanging one is the last.
        status, output, result = self.check("--minutes", "0.19", "--only", "^test_cuda$|^train", bench_train="sleep 60")
        outcomes = [part["outcome"] for part in result["parts"]]
        self.assertEqual(status, 0, output)
        self.assertEqual(outcomes[:5], ["passed", "passed", "passed", "cut", "not run"])
        self.assertIn("out of time", output)

    def test_continue(self):
        with tempfile.TemporaryDirectory() as build:
            status, output, _ = self.check("--continue", build=build)
            self.assertEqual((status, "no earlier run" in output), (1, True))
            self.check(build=build, test_cuda_models=FAILS)
            status, output, result = self.check("--continue", build=build)
            self.assertEqual((status, set(self.outcomes(result).values())), (0, {"passed"}), output)
            self.assertRegex(output, r"passed .* test_cuda_models: ")  # ran
            self.assertNotRegex(output, r"passed .* test_cuda_golden: ")
            self.assertRegex(output, r"resnet-50 batch 256 fp16 +150 ")  # kept

    def test_no_build(self):
        status, output, result = self.check(cmake='echo "-- CUDA: no nvcc found, building without the CUDA backend"')
        self.assertEqual(status, 1)
        self.assertIn("no nvcc found", output)
        self.assertEqual(self.outcomes(result)["test_cuda"], "not run")

    def test_without_pytorch(self):
        status, output, result = self.check(python3=None)
        self.assertEqual((status, result["pytorch"]), (0, None))
        self.assertFalse([name for name in self.outcomes(result) if "compile" in name])
        self.assertRegex(output, r"resnet-50 batch 256 fp16 +150 +- +- ")

    def test_without_a_gpu(self):
        status, output, result = self.check(nvidia_smi=None)
        self.assertEqual((status, result, output.count("\n")), (1, None, 1))
        self.assertIn("no NVIDIA GPU here", output)


if __name__ == "__main__":
    unittest.main()
