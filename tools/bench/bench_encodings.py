#!/usr/bin/env python3
"""Laplacian (10 pairs) and random walk (20 steps): GraphGPS's own functions against gtrain.

Both run in turn in one process tree, several rounds, so that a busy machine disturbs them alike;
medians and the ratio are printed. GraphGPS is one process with OPENBLAS_NUM_THREADS=1, as it runs;
gtrain uses --threads. The data set is an OGB-style folder (raw/*.csv.gz) of graphs.

    OPENBLAS_NUM_THREADS=1 python bench_encodings.py --graphgps GraphGPS --data ogbg-molhiv \\
        --program build/release/bin/gtrain_bench_encode

Needs numpy, torch and torch_geometric.
"""

import argparse
import gzip
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import types

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch_geometric.utils import get_laplacian, to_scipy_sparse_matrix  # noqa: E402

COUNT, STEPS = 10, 20


def load_graphgps(folder):
    """GraphGPS's posenc_stats.py, without the package whose import needs its whole environment."""
    encoder = types.ModuleType("graphgps.encoder.graphormer_encoder")
    encoder.graphormer_pre_processing = None
    for name in ("graphgps", "graphgps.encoder"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[encoder.__name__] = encoder
    path = pathlib.Path(folder) / "graphgps" / "transform" / "posenc_stats.py"
    spec = importlib.util.spec_from_file_location("posenc_stats", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_graphs(folder, count):
    """[(nodes, edge_index)] with both directions of every edge."""
    raw = pathlib.Path(folder) / "raw"

    def lines(name):
        with gzip.open(raw / name, "rt") as file:
            yield from file

    nodes = [int(line) for _, line in zip(range(count), lines("num-node-list.csv.gz"))]
    sizes = [int(line) for _, line in zip(range(count), lines("num-edge-list.csv.gz"))]
    edges = lines("edge.csv.gz")
    graphs = []
    for n, size in zip(nodes, sizes):
        pairs = [tuple(map(int, next(edges).split(","))) for _ in range(size)]
        both = [e for a, b in pairs for e in ((a, b), (b, a))]
        graphs.append((n, torch.tensor(both, dtype=torch.long).reshape(-1, 2).t().contiguous()))
    return graphs


def graphgps_laplacian(stats, graphs):
    for n, edge_index in graphs:
        matrix = to_scipy_sparse_matrix(
            *get_laplacian(edge_index, normalization=None, num_nodes=n))
        values, vectors = np.linalg.eigh(matrix.toarray())
        stats.get_lap_decomp_stats(values, vectors, max_freqs=COUNT, eigvec_norm="L2")


def graphgps_random_walk(stats, graphs):
    for n, edge_index in graphs:
        stats.get_rw_landing_probs(list(range(1, STEPS + 1)), edge_index, num_nodes=n)


def seconds_of_gtrain(args, encoding, size):
    line = subprocess.run(
        [args.program, args.data, str(args.graphs), str(args.threads), "3", encoding, str(size)],
        check=True, capture_output=True, text=True).stdout
    return statistics.median(json.loads(line)["seconds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphgps", required=True, help="checkout of rampasek/GraphGPS")
    parser.add_argument("--data", required=True, help="OGB-style folder")
    parser.add_argument("--program", required=True, help="gtrain_bench_encode")
    parser.add_argument("--graphs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)

    stats = load_graphgps(args.graphgps)
    graphs = read_graphs(args.data, args.graphs)
    args.graphs = len(graphs)
    rivals = {"laplacian": (graphgps_laplacian, COUNT), "random_walk": (graphgps_random_walk, STEPS)}
    for run, _ in rivals.values():
        run(stats, graphs[:50])
    for encoding, (run, size) in rivals.items():
        theirs, ours = [], []
        for _ in range(args.rounds):
            begin = time.perf_counter()
            run(stats, graphs)
            theirs.append(time.perf_counter() - begin)
            ours.append(seconds_of_gtrain(args, encoding, size))
        a, b = statistics.median(theirs), statistics.median(ours)
        print(f"{encoding} {size}: GraphGPS {1e6 * a / args.graphs:.1f} us/graph, "
              f"gtrain {1e6 * b / args.graphs:.1f} us/graph on {args.threads} threads, "
              f"ratio {a / b:.1f} ({args.graphs} graphs, median of {args.rounds})", flush=True)


if __name__ == "__main__":
    main()
