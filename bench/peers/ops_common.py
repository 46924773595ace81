"""The side of a peer in the protocol of bench/ops_peer.h: one line of JSON each way. A peer calls serve() with what it
can do; everything about the operations themselves is in ops_pytorch.py and ops_onednn.py."""
import argparse
import json
import statistics
import sys
import time


class Unsupported(Exception):
    """The library does not offer the operation."""


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--library", help="oneDNN only: a libdnnl.so 3.x instead of the one inside PyTorch")
    return parser.parse_args()


def answer(**fields):
    print(json.dumps(fields), flush=True)


def refuse(message):
    """Ends the program: bench_ops prints the message as its own error."""
    answer(error=message)
    sys.exit(1)


def median_seconds(run, budget, before):
    """As in machine.cpp: as many runs as fit into the budget, at least one; `before` is not timed."""
    seconds = []
    end = time.perf_counter() + budget
    while not seconds or time.perf_counter() < end:
        if before:
            before()
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def serve(name, prepare, empty_caches):
    """`prepare` takes a request and returns {way: function that computes it once}, or raises Unsupported."""
    answer(name=name)
    last, ways = None, {}
    for line in sys.stdin:
        request = json.loads(line)
        budget, cold = request.pop("seconds"), request.pop("cold")
        if request != last:
            ways = {}  # frees the memory of the last operation first
            try:
                ways = prepare(request)
                for run in ways.values():
                    run()
            except Unsupported as reason:
                ways = {"": reason}
            last = request
        if "" in ways:
            answer(unsupported=str(ways[""]))
            continue
        seconds = {}
        for way, run in ways.items():
            run()  # wakes the threads
            seconds[way] = median_seconds(run, budget, empty_caches if cold else None)
        answer(seconds=seconds)
