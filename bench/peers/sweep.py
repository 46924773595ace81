"""Looks for PyTorch's fastest configuration on this machine: memory layout, torch.compile or eager, allocator, pinned
threads and batch size, each in a process of its own, on an idle machine. The first round runs all of them, further ones
only the fastest. Prints a table, fastest first, and writes it as JSON after every run, so that nothing is lost when it is
interrupted. `bench_train --vs pytorch --peer-from FILE` takes the rival from there.

    python3 bench/peers/sweep.py --arch resnet-50 --batch 8 16 24 --rounds 3 \\
        --json bench/results/2026-11-23-peers-resnet50-train.json
"""
import argparse
import datetime
import glob
import itertools
import json
import os
import pathlib
import re
import resource
import shlex
import statistics
import subprocess
import sys
import time

JEMALLOC = next(iter(glob.glob("/usr/lib/*/libjemalloc.so.2")), None)
# Memory that was freed stays with the process, as with Sagitta's own allocator: no page faults from step to step.
KEEP = "oversize_threshold:1,background_thread:true,metadata_thp:auto,dirty_decay_ms:-1,muzzy_decay_ms:-1"
ALLOCATORS = {
    "glibc": {},
    "glibc+thp": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "jemalloc": {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": KEEP},
    "jemalloc+thp": {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": KEEP + ",thp:always"},
}
PINNED = {"GOMP_CPU_AFFINITY": f"0-{os.cpu_count() - 1}", "OMP_PROC_BIND": "true"}
WORKER = pathlib.Path(__file__).with_name("train_pytorch.py")


def cpu_seconds():
    """CPU time used since the machine started: of everything, and the part of low-priority processes, which give way."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / per_second, ticks[1] / per_second


def own_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def wait_until_idle(limit):
    """As in machine.cpp: until others use less than a tenth of a processor."""
    end = time.time() + limit
    while time.time() < end:
        busy, nice = cpu_seconds()
        time.sleep(0.25)
        busy, nice = cpu_seconds()[0] - busy, cpu_seconds()[1] - nice
        if busy - nice < 0.1 * 0.25:
            return
    print("sweep: the machine does not become idle; figures will be low", file=sys.stderr)


def processor_name():
    facts = dict(re.findall(r"^(\S.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0], re.M))
    if "model name" not in facts:
        return "unknown"
    # Virtual machines name whole generations alike; family and model tell them apart.
    generation = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return facts["model name"] + generation


def configurations(args):
    for batch, layout, mode, allocator, pinned in itertools.product(args.batch, args.layout, args.mode, args.allocator, args.pin):
        flags = ["--batch", str(batch), "--layout", layout]
        environment = dict(ALLOCATORS[allocator])
        if mode == "compile":
            flags.append("--compile")
        if pinned == "pinned":
            environment |= PINNED
        name = f"batch {batch}, {layout}, {mode}, {allocator}, {pinned}"
        yield {"name": name, "flags": flags, "environment": environment, "images_per_second": [], "peak_mb": [],
               "others_cpu": []}


def run(args, entry):
    common = ["--arch", args.arch, "--image-size", str(args.image_size), "--steps", str(args.steps)]
    command = [*shlex.split(args.launcher), sys.executable, str(WORKER), *common, *entry["flags"]]
    if args.inference:
        command.append("--inference")
    wait_until_idle(args.idle_wait)
    started, busy, own = time.time(), cpu_seconds()[0], own_seconds()
    done = subprocess.run(command, env=os.environ | entry["environment"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    others = ((cpu_seconds()[0] - busy) - (own_seconds() - own)) / (time.time() - started)
    try:
        result = json.loads((done.stdout.strip().splitlines() or ["{}"])[-1])
    except json.JSONDecodeError:
        result = {}
    if done.returncode != 0 or "images_per_second" not in result:
        entry["error"] = result.get("error") or (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{entry['name']}: {entry['error']}", file=sys.stderr, flush=True)
        return
    entry["images_per_second"].append(result["images_per_second"])
    entry["peak_mb"].append(result["peak_mb"])
    entry["others_cpu"].append(round(max(0, others), 3))
    entry["torch"] = result["torch"]
    print(f"{entry['name']}: {result['images_per_second']:.2f} img/s, others used {others:.2f} processors", file=sys.stderr,
          flush=True)


def speed(entry):
    return statistics.median(entry["images_per_second"] or [0])


def print_table(entries):
    print(f"{'configuration':<62}{'img/s':>8}{'MB':>8}{'rounds':>8}")
    for entry in entries:
        memory = statistics.median(entry["peak_mb"] or [0])
        print(f"{entry['name']:<62}{speed(entry):>8.2f}{memory:>8.0f}{len(entry['images_per_second']):>8}  "
              f"{entry.get('error', '')}".rstrip())


def measured_before(args):
    """The configurations of --json when it holds the same case: a sweep that was cut off, or a narrower one, goes on."""
    if not args.json or not args.json.exists():
        return []
    document = json.loads(args.json.read_text())
    for key in ("arch", "image_size", "inference", "steps"):
        if document[key] != getattr(args, key):
            sys.exit(f"sweep: {args.json} was made with {key} {document[key]}, not {getattr(args, key)}; name another file")
    return [entry for entry in document["configurations"] if entry["images_per_second"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--inference", action="store_true")
    parser.add_argument("--batch", type=int, nargs="+", required=True)
    parser.add_argument("--layout", nargs="+", default=["channels_last", "contiguous"])
    parser.add_argument("--mode", nargs="+", default=["eager", "compile"], choices=["eager", "compile"])
    parser.add_argument("--allocator", nargs="+", default=list(ALLOCATORS), choices=list(ALLOCATORS))
    parser.add_argument("--pin", nargs="+", default=["free", "pinned"], choices=["free", "pinned"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=int, default=4, help="configurations that go on after the first round")
    parser.add_argument("--idle-wait", type=float, default=120, help="seconds to wait at most for an idle machine")
    parser.add_argument("--launcher", default="", help="what to put before each command, e.g. 'numactl --localalloc'")
    parser.add_argument("--json", type=pathlib.Path, help="where the table goes; one of the same case is added to")
    args = parser.parse_args()
    if JEMALLOC is None and any(name.startswith("jemalloc") for name in args.allocator):
        parser.error("jemalloc, which decides PyTorch's speed, is missing: install libjemalloc2, or leave it out with --allocator")

    entries = measured_before(args)
    known = {entry["name"] for entry in entries}
    alive = [entry for entry in configurations(args) if entry["name"] not in known]
    entries += alive
    for _ in range(args.rounds):
        for entry in alive:
            run(args, entry)
            entries.sort(key=speed, reverse=True)
            if args.json:
                document = {"machine": processor_name(), "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
                            "threads": os.cpu_count(), "arch": args.arch, "image_size": args.image_size,
                            "inference": args.inference, "steps": args.steps, "configurations": entries}
                args.json.write_text(json.dumps(document, indent=1) + "\n")
        alive = entries[:args.keep]
    print_table(entries)
    return 0 if speed(entries[0]) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
