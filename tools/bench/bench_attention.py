#!/usr/bin/env python3
"""Attention over random edges, forward and backward: DGL and PyG against gtrain on the same edges.

Softmax over the in-edges of each node, float32. The sides run in turn, --rounds rounds, so that a
busy machine disturbs them alike; medians over the rounds and the ratios are printed, each side's
peak memory above what it held before, and the fraction of the memory bound that gtrain reaches:
the rows that forward and backward must gather (2 of D floats per edge in each of the three passes)
at the rate at which a bare loop of the same gathers runs on this machine, measured in the same run.
Every side is its own process, so memory and thread pools are its own.

    python bench_attention.py --program build/release/bin/gtrain_bench_sparse

With --large N E, gtrain alone is run at that size under an address-space limit of --limit GiB.
Needs numpy, torch, torch_geometric and dgl (2.1.0: its graphbolt is not needed and is stubbed).
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

CASES = ((100_000, 1_000_000), (100_000, 5_000_000))
GATHER = r"""
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define AHEAD 16
static float *k, *v;
static int32_t* column;
static size_t edges, width;
static float sums[64][16];
struct part { size_t begin, end; int id; };
static void* gather(void* p) {
  struct part* part = p;
  float sum[16] = {0};
  for (size_t e = part->begin; e < part->end; ++e) {
    const size_t next = (size_t)column[e + AHEAD] * width, row = (size_t)column[e] * width;
    for (size_t c = 0; c < width; c += 16) {
      _mm_prefetch((const char*)(k + next + c), _MM_HINT_T0);
      _mm_prefetch((const char*)(v + next + c), _MM_HINT_T0);
    }
    for (size_t c = 0; c < width; c += 16)
      for (int l = 0; l < 16; ++l) sum[l] += k[row + c + l] + v[row + c + l];
  }
  for (int l = 0; l < 16; ++l) sums[part->id][l] = sum[l];
  return 0;
}
int main(int argc, char** argv) {
  const size_t nodes = strtoull(argv[1], 0, 10), threads = strtoull(argv[4], 0, 10);
  edges = strtoull(argv[2], 0, 10);
  width = strtoull(argv[3], 0, 10);
  k = aligned_alloc(64, nodes * width * 4);
  v = aligned_alloc(64, nodes * width * 4);
  column = malloc((edges + AHEAD) * 4);
  for (size_t i = 0; i < nodes * width; ++i) k[i] = v[i] = 1;
  uint64_t x = 88172645463325252ull;
  for (size_t e = 0; e < edges + AHEAD; ++e) {
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    column[e] = (int32_t)(x % nodes);
  }
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    struct timespec a, b;
    pthread_t id[64];
    struct part part[64];
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (size_t t = 0; t < threads; ++t) {
      part[t] = (struct part){edges * t / threads, edges * (t + 1) / threads, (int)t};
      pthread_create(id + t, 0, gather, part + t);
    }
    for (size_t t = 0; t < threads; ++t) pthread_join(id[t], 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("{\"seconds\":%.6f,\"sum\":%g}\n", b.tv_sec - a.tv_sec + 1e-9 * (b.tv_nsec - a.tv_nsec),
           sums[0][0]);
    fflush(stdout);
  }
}
"""


def edges_of(nodes, edges):
    """Targets in ascending order and sources, int64."""
    import numpy as np
    random = np.random.default_rng(0)
    return np.sort(random.integers(0, nodes, edges)), random.integers(0, nodes, edges)


def status(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def dgl_attention(target, source, nodes, scale):
    import types

    class Absent(types.ModuleType):
        """Whatever is asked of a module that cannot be loaded here: an empty class."""

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})
    sys.modules["dgl.graphbolt"] = Absent("dgl.graphbolt")  # built for older torch only
    import dgl
    import dgl.ops
    from dgl.nn.functional import edge_softmax
    graph = dgl.graph((source, target), num_nodes=nodes)
    graph.create_formats_()
    return lambda q, k, v: dgl.ops.u_mul_e_sum(
        graph, v, edge_softmax(graph, dgl.ops.u_dot_v(graph, k, q) * scale)), dgl.__version__


def pyg_attention(target, source, nodes, scale):
    import torch_geometric
    from torch_geometric.utils import scatter, softmax

    def attend(q, k, v):  # index_select as PyG's MessagePassing: indexing costs more backward
        score = (q.index_select(0, target) * k.index_select(0, source)).sum(-1) * scale
        weight = softmax(score, target, num_nodes=nodes).unsqueeze(-1)
        return scatter(v.index_select(0, source) * weight, target, 0, nodes, "sum")
    return attend, torch_geometric.__version__


def serve(args):
    """A peer, waiting for what to run: a line for each run, as gtrain_bench_sparse."""
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    nodes, edges = args.serve_case
    target, source = map(torch.from_numpy, edges_of(nodes, edges))
    shape = (nodes, args.heads, args.width // args.heads)
    q, k, v = (torch.randn(shape).requires_grad_() for _ in range(3))
    gradient = torch.randn(shape)
    make = {"dgl": dgl_attention, "pyg": pyg_attention}[args.serve]
    attend, version = make(target, source, nodes, (args.width // args.heads) ** -0.5)
    print(json.dumps({"version": version, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before, start = status("VmRSS"), time.perf_counter()
        if line.strip() == "forward":
            with torch.no_grad():
                attend(q, k, v)
        else:
            attend(q, k, v).backward(gradient)
        seconds = time.perf_counter() - start
        peak = status("VmHWM") - before
        q.grad = k.grad = v.grad = None
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


class Side:
    """A process that answers each line with the figures of one run."""

    def __init__(self, command, data=b"", greets=True, **options):
        self.errors = tempfile.TemporaryFile()  # shown only if the process fails: peers warn a lot
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, **options)
        self.process.stdin.write(data)
        self.process.stdin.flush()
        self.facts = self.answer() if greets else {}

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.errors.seek(0)
            sys.exit(f"{self.errors.read().decode()}\n{self.process.args} ended with exit code {code}")
        return json.loads(line)

    def run(self, what):
        self.process.stdin.write(what.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def gtrain(args, nodes, edges, **options):
    target, source = edges_of(nodes, edges)
    command = [args.program, *map(str, (nodes, edges, args.heads, args.width, args.threads))]
    return Side(command, target.tobytes() + source.tobytes(), **options)


def bare_gather(args, nodes, edges, folder):
    source, program = folder / "gather.c", folder / "gather"
    source.write_text(GATHER)
    subprocess.run(["gcc", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    return Side([program, *map(str, (nodes, edges, args.width, args.threads))], greets=False)


def median(results, what, key="seconds"):
    return statistics.median(r[key] for r in results[what])


def measure(args, nodes, edges, folder):
    sides = {"gather": bare_gather(args, nodes, edges, folder), "gtrain": gtrain(args, nodes, edges)}
    for peer in args.peers:
        sides[peer] = Side([sys.executable, __file__, "--serve", peer, "--serve-case", str(nodes),
                            str(edges), "--heads", str(args.heads), "--width", str(args.width),
                            "--threads", str(args.threads)])
    results = {name: {"forward": [], "both": []} for name in sides}
    for number in range(args.rounds + 1):
        for name, side in sides.items():
            for what in ("forward", "both"):
                figures = side.run(what)
                if number == 0:  # first touches memory
                    results[name].setdefault("first", []).append(figures)
                else:
                    results[name][what].append(figures)
    for side in sides.values():
        side.close()
    return results, {name: side.facts for name, side in sides.items()}


def report(args, nodes, edges, results):
    shape_mb = 4 * nodes * args.width * 4 / 2**20
    print(f"\nN = {nodes:,}, E = {edges:,}, {args.heads} heads of {args.width // args.heads}, "
          f"{args.threads} threads, {args.rounds} rounds")
    print(f"{'':<8}{'forward ms':>12}{'both ms':>12}{'least':>10}{'peak MiB':>10}{'x gtrain':>10}")
    peaks = {}
    for name in ("gtrain", *args.peers):
        side = results[name]
        both = median(side, "both")
        # The first run pays for all its memory; later ones may find some of it freed but kept.
        peaks[name] = max(r["peak_mb"] for r in side["first"] + side["both"])
        print(f"{name:<8}{1e3 * median(side, 'forward'):>12.1f}{1e3 * both:>12.1f}"
              f"{1e3 * min(r['seconds'] for r in side['both']):>10.1f}{peaks[name]:>10.0f}"
              f"{both / median(results['gtrain'], 'both'):>10.2f}")
    gathered = statistics.median(
        r["seconds"] for r in results["gather"]["forward"] + results["gather"]["both"])
    rate = 8 * edges * args.width / gathered / 1e9
    print(f"bare gather of the same rows: {1e3 * gathered:.1f} ms a pass ({rate:.1f} GB/s); "
          f"bound {1e3 * gathered:.1f} ms forward, {3e3 * gathered:.1f} ms both; gtrain reaches "
          f"{100 * gathered / median(results['gtrain'], 'forward'):.0f} % and "
          f"{300 * gathered / median(results['gtrain'], 'both'):.0f} %")
    print(f"peak memory: gtrain {peaks['gtrain'] / shape_mb:.2f} x four [N, D] results "
          f"({shape_mb:.0f} MiB)" + "".join(
              f"; {name} {peaks[name] / peaks['gtrain']:.1f} x gtrain" for name in args.peers))


def large(args):
    nodes, edges = args.large
    limit = int(args.limit * 2**30)
    side = gtrain(args, nodes, edges,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    figures = [side.run("both") for _ in range(args.rounds)]
    side.close()
    print(f"\nN = {nodes:,}, E = {edges:,}: forward and backward within {args.limit:g} GiB of address "
          f"space, {1e3 * statistics.median(f['seconds'] for f in figures):.0f} ms, holding "
          f"{side.facts['held_mb']:.0f} MiB before and {max(f['peak_mb'] for f in figures):.0f} "
          "MiB more at the peak")


def processor():
    info = pathlib.Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", help="gtrain_bench_sparse")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--case", type=int, nargs=2, action="append", metavar=("NODES", "EDGES"),
                        help="instead of 100,000 nodes with 1 and 5 million edges")
    parser.add_argument("--peers", nargs="*", default=["dgl", "pyg"])
    parser.add_argument("--large", type=int, nargs=2, metavar=("NODES", "EDGES"),
                        default=(300_000, 3_000_000))
    parser.add_argument("--limit", type=float, default=4.0, help="GiB, for --large")
    parser.add_argument("--serve", choices=("dgl", "pyg"), help=argparse.SUPPRESS)
    parser.add_argument("--serve-case", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch reads it
    os.environ["DGLBACKEND"] = "pytorch"
    if args.serve:
        serve(args)
        return
    if not args.program:
        parser.error("--program is required")
    print("command:", shlex.join([pathlib.Path(sys.executable).name, *sys.argv]))
    print(f"machine: {processor()}, {os.cpu_count()} processors, load average "
          f"{os.getloadavg()[0]:.2f}, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder:
        for nodes, edges in args.case or CASES:
            results, facts = measure(args, nodes, edges, pathlib.Path(folder))
            versions = {name: f for name, f in facts.items() if "version" in f}
            if versions:
                print("versions: " + ", ".join(f"{name} {f['version']} on torch {f['torch']}"
                                               for name, f in versions.items()))
            report(args, nodes, edges, results)
    large(args)
    print(f"load average at the end: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
