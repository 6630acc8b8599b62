#!/usr/bin/env python3
"""Training throughput of GPS: PyG against gtrain, the same model on the same batches.

Both sides run in turn on --threads threads, --rounds rounds of --steps steps, each round after
--warmup steps that are not counted, so that a busy machine disturbs them alike; medians over the
rounds and the ratio are printed, and where the time of a step goes. A step is forward, loss,
backward, clipping, AdamW. gtrain's is its training loop with its loader, which collates while it
trains; PyG's batches are collated beforehand, so it pays nothing for loading. The batches are
those that gtrain's loader makes of the train split in epoch 1.

    python bench_step.py --model zinc --data zinc12k --program build/release/bin/gtrain_bench_step

zinc: 10 layers of GINE beside attention, width 64, 4 heads, random walk 20 (423,717 parameters).
molhiv: GatedGCN instead of GINE, random walk 16 (558,625). Parameter counts must agree.
Needs numpy, torch and torch_geometric.
"""

import argparse
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

RECIPES = {"zinc": ("zinc/gps", 423717), "molhiv": ("molhiv/gps", 558625)}
PHASES = ("load", "forward", "backward", "optimizer")


class Gtrain:
    """The program, waiting for how many steps to make."""

    def __init__(self, args):
        command = [args.program, RECIPES[args.model][0], args.data, str(args.steps),
                   str(args.threads), "train.schedule={name: constant}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"gtrain_bench_step ended with exit code {self.process.wait()}")
        return json.loads(line)

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def processor():
    info = pathlib.Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def measure(sides, args):
    """{name: [result of each round]}, rounds in turn."""
    rounds = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            side.run(args.warmup)
            rounds[name].append(side.run(args.steps))
    return rounds


def graphs_per_second(results, graphs):
    return [graphs / r["seconds"] for r in results]


def print_phases(rounds, steps):
    print(f"\n{'ms a step':<10}" + "".join(f"{name:>18}" for name in rounds))
    for phase in (*PHASES, "seconds"):
        cells = []
        for results in rounds.values():
            whole = statistics.median(r["seconds"] for r in results)
            part = statistics.median(r.get(phase, 0.0) for r in results)
            share = f"({100 * part / whole:.0f} %)"
            cells.append(f"{1e3 * part / steps:>10.2f}{share:>8}")
        print(f"{'step' if phase == 'seconds' else phase:<10}" + "".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=RECIPES, default="zinc")
    parser.add_argument("--data", required=True, help="OGB-style folder")
    parser.add_argument("--program", required=True, help="gtrain_bench_step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="per round")
    parser.add_argument("--warmup", type=int, default=10, help="steps before each round")
    parser.add_argument("--fused", action="store_true", help="PyG: torch's fused AdamW")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch reads it

    import torch
    import torch_geometric

    import peer_gps

    torch.manual_seed(0)
    torch.set_num_threads(1)  # two only disturb each other while small graphs are made
    gtrain = Gtrain(args)
    facts = gtrain.facts
    pyg = peer_gps.Trainer(args.model, args.data, facts["batches"], args.fused)
    torch.set_num_threads(args.threads)
    expected = RECIPES[args.model][1]
    if not pyg.parameters() == facts["parameters"] == expected:
        sys.exit(f"parameters: PyG {pyg.parameters()}, gtrain {facts['parameters']}; "
                 f"expected {expected} of both")
    sizes = [sum(getattr(b, n) for b in pyg.batches) for n in ("num_nodes", "num_edges")]
    if sizes != [facts["nodes"], facts["edges"]]:
        sys.exit(f"nodes and edges: PyG {sizes}, gtrain {[facts['nodes'], facts['edges']]}")
    count = len(facts["batches"])
    graphs = sum(len(facts["batches"][i % count]) for i in range(args.steps))

    print("command:", shlex.join([pathlib.Path(sys.executable).name, *sys.argv]))
    print(f"machine: {processor()}, {os.cpu_count()} processors, load average "
          f"{os.getloadavg()[0]:.2f}, {platform.platform()}")
    print(f"versions: torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, "
          f"gtrain on libtorch {facts['libtorch']}")
    print(f"model: {args.model}, {facts['parameters']} parameters on both sides; batches of "
          f"{graphs / args.steps:.1f} graphs, {sizes[0] / count:.1f} nodes, "
          f"{sizes[1] / count:.1f} edges; {args.threads} threads, {args.rounds} rounds of "
          f"{args.steps} steps in turn", flush=True)
    rounds = measure({"PyG": pyg, "gtrain": gtrain}, args)
    gtrain.close()
    medians = {}
    for name, results in rounds.items():
        speeds = graphs_per_second(results, graphs)
        medians[name] = statistics.median(speeds)
        print(f"{name}: median {medians[name]:.0f} graphs/s ({min(speeds):.0f} to "
              f"{max(speeds):.0f})")
    ratios = [b / a for a, b in zip(*(graphs_per_second(r, graphs) for r in rounds.values()))]
    print(f"ratio: {medians['gtrain'] / medians['PyG']:.2f} of the medians "
          f"({min(ratios):.2f} to {max(ratios):.2f} in single rounds)")
    print_phases(rounds, args.steps)
    print(f"\nload average at the end: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
