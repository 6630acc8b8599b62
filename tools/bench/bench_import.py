#!/usr/bin/env python3
"""Import of an OGB-style folder: ogb's read_csv_graph_raw + torch.save against gtrain's store.

Both run in turn, several rounds, so that a busy machine disturbs them alike; medians and the ratio
are printed. ogb reads into Python objects and torch.save writes without fsync; gtrain's figure
includes hashing, the durable write and its fsync.

    python bench_import.py --data ogbg-molhiv --name molhiv \\
        --program build/release/bin/gtrain_bench_import

Needs torch and ogb.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from ogb.io.read_graph_raw import read_csv_graph_raw


def seconds_of_ogb(raw, target):
    begin = time.perf_counter()
    graphs = read_csv_graph_raw(str(raw), add_inverse_edge=True)
    read = time.perf_counter()
    torch.save(graphs, target, pickle_protocol=4)
    return read - begin, time.perf_counter() - read


def seconds_of_gtrain(server):
    server.stdin.write("go\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=pathlib.Path, help="OGB-style folder")
    parser.add_argument("--name", default="molhiv", help="name of its card")
    parser.add_argument("--program", required=True, help="gtrain_bench_import")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    reading, saving, ours = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [args.program, args.name, str(args.data), f"{folder}/out.h5", str(args.threads)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as server:
            for _ in range(args.rounds):
                read, save = seconds_of_ogb(args.data / "raw", f"{folder}/out.pt")
                reading.append(read)
                saving.append(save)
                ours.append(seconds_of_gtrain(server))
            server.stdin.close()
    theirs = statistics.median(a + b for a, b in zip(reading, saving))
    own = statistics.median(ours)
    print(f"ogb {theirs:.3f} s (read_csv_graph_raw {statistics.median(reading):.3f}, torch.save "
          f"{statistics.median(saving):.3f}), gtrain {own:.3f} s on {args.threads} threads, ratio "
          f"{theirs / own:.1f} (median of {args.rounds})")


if __name__ == "__main__":
    main()
