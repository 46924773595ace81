"""What benchmarks that train several runs on phantoms share: their data set, settings that a folder of runs keeps, and figures
over seeds."""
import json
import pathlib
import statistics
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def keep_settings(work, settings):
    """Finished runs in `work` are reused, so they must be of the same kind."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {work} holds runs with {file.read_text().strip()}; name another --work")
    file.write_text(json.dumps(settings) + "\n")


def make_slices(call, binaries, work, studies, planes, span_mm):
    """The demo's phantoms, more of them, in WORK/ct and WORK/slices; call(program, argument...) runs a program."""
    ct = work / "ct"
    if not (ct / "train.csv").exists():
        call(binaries / "make_phantom", "--out", ct, "--studies", studies, "--seed", 1, "--size", 144, "--step-mm", 1.4,
             "--prevalence-scale", 2.5, "--difficulty", 0.15)
    call(binaries / "reslice", "--data", ct, "--out", work / "slices", "--slices", planes, "--span-mm", span_mm, "--size", 128)


def spread(values):
    """Mean and standard deviation of the values that are defined."""
    values = [value for value in values if value is not None]
    return {"mean": statistics.mean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None}


def number(value, pattern):
    return "-" if value is None else format(value, pattern)


def spread_text(value):
    return f"{number(value['mean'], '.4f')} +- {number(value['deviation'], '.4f')}"
