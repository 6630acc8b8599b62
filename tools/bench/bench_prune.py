#!/usr/bin/env python3
"""What `gtrain prune` promises against what it gives, and against models built small at once.

For each structured rule: a short run of a recipe with the rule, `gtrain prune` of it, and a dense
recipe that builds the same shape natively. Compared are

  parameters, FLOPs   predicted by prune, and counted on what it wrote
  time                of an epoch of training and of an evaluation: the pruned run trained on, the
                      native twin, and what `gtrain plan` says of the pruned run

All of a rule's programs take turns, --rounds times, so that a busy machine disturbs them alike;
medians count. Where other processes run beside them, the processor's seconds of whole runs (cpu)
say more: they hold the start of the program, which is the same, and none of the waiting.

The twins: heads of Performer, whose width a recipe gives (--heads fewer of them); hidden units of
Graphormer; for layers, which a recipe cannot leave out one by one, the share of the way from the
recipe without attention to the one with it. Their weights differ, their shapes do not.

    python bench_prune.py --data tu-nci1 --program build/release/bin/gtrain
"""

import argparse
import json
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile

PERFORMER = ["model.global=performer", "model.performer={head_width: 16}", "model.width=64"]
DENSE_HEADS = 8

CASES = {
    "heads": {
        "recipe": "nci1/gps",
        "keys": PERFORMER + [f"model.heads={DENSE_HEADS}"],
        "rules": "{name: heads, keep: 0.5, end: 8}",
        "twins": [(1.0, PERFORMER + [f"model.heads={DENSE_HEADS // 2}"])],
    },
    "hidden units": {
        "recipe": "nci1/graphormer",
        "keys": ["model.hidden=320"],
        "rules": "{name: weights, structure: neuron, method: gmp, keep: 0.25, end: 8}",
        "twins": [(1.0, ["model.hidden=80"])],
    },
    "layers": {
        "recipe": "nci1/gps",
        "keys": [],
        "rules": "{name: layers, method: learned, keep: 0.5, end: 8}",
        "twins": [(0.5, []), (0.5, ["model.global=none"])],
    },
    "all": {
        "recipe": "nci1/gps",
        "keys": PERFORMER + [f"model.heads={DENSE_HEADS}"],
        "rules": "{name: heads, keep: 0.5, end: 8}, {name: layers, method: learned, keep: 0.5, "
                 "end: 8}",
        "twins": [(0.5, PERFORMER + [f"model.heads={DENSE_HEADS // 2}"]),
                  (0.5, ["model.global=none"])],
    },
}
COMMON = ["repeat={seeds: [0]}", "dataset.split=fold0", "train.schedule={name: constant}"]


def call(args, *words):
    return subprocess.run([args.program, *map(str, words)], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def processor():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(args, recipe, run, keys):
    before = processor()
    train(args, recipe, run, keys, args.epochs)
    return seconds(run) + [processor() - before]


def train(args, recipe, run, keys, epochs):
    call(args, "train", recipe, f"dataset.path={args.data}", f"train.epochs={epochs}", *keys,
         "--run", run, "--quiet", "--threads", 1)
    return run


def figures(run, name):
    return json.loads((run / name).read_text())


def seconds(run):
    """[of an epoch of training, of an evaluation], medians of the epochs but the first, which also
    warms up."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    out = []
    for split in ("train", "valid"):
        found = [line["seconds"] for line in lines if line["split"] == split and line["epoch"] > 1]
        out.append(statistics.median(found))
    return out


def planned(args, recipe):
    """Seconds of an epoch that `plan` says."""
    text = call(args, "plan", recipe, "--threads", 1)
    found = re.search(r"^time +(\S+(?: \d+[ms])?) an epoch", text, re.M).group(1)
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1}[unit]
               for n, unit in re.findall(r"([\d.]+)([hms])", found))


def measure(args, folder, name, case):
    base = train(args, case["recipe"], folder / "base",
                 COMMON + case["keys"] + ["sparsify={rules: [" + case["rules"] + "]}"], 1)
    pruned = folder / "pruned"
    call(args, "prune", base, "--out", pruned)
    said = figures(pruned, "prune.json")
    of_pruned, of_plan, of_twins = [], [], [[] for _ in case["twins"]]
    for turn in range(args.rounds):
        of_pruned.append(timed(args, pruned / "recipe.yaml", folder / f"on-{turn}", []))
        for i, (_, keys) in enumerate(case["twins"]):
            run = folder / f"twin-{i}-{turn}"
            of_twins[i].append(timed(args, case["recipe"], run, COMMON + keys))
        of_plan.append(planned(args, pruned / "recipe.yaml"))
    twins = [figures(folder / f"twin-{i}-0", "result.json") for i in range(len(case["twins"]))]
    weights = [share for share, _ in case["twins"]]
    mixed = [[sum(w * rounds[turn][k] for w, rounds in zip(weights, of_twins)) for k in range(3)]
             for turn in range(args.rounds)]

    def ratio(k):
        return statistics.median(p[k] / t[k] for p, t in zip(of_pruned, mixed))

    after = said["after"]
    counted = sum(w * t["parameters"] for w, t in zip(weights, twins))
    print(f"{name:<13} {after['parameters']:>10} {counted:>10.0f}"
          f" {100 * (said['predicted_parameters'] / after['parameters'] - 1):>+8.2f}"
          f" {100 * (said['predicted_flops_per_graph'] / after['flops_per_graph'] - 1):>+8.2f}"
          f" {1e3 * statistics.median(p[0] for p in of_pruned):>9.0f}"
          f" {ratio(0):>8.3f} {ratio(1):>8.3f} {ratio(2):>8.3f}"
          f" {statistics.median(s / p[0] for s, p in zip(of_plan, of_pruned)):>8.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="NCI1 in OGB's layout, or its store")
    parser.add_argument("--program", default="build/release/bin/gtrain")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="of each timed run; the first is not")
    parser.add_argument("--rules", nargs="*", default=list(CASES), choices=list(CASES))
    args = parser.parse_args()
    args.data = str(pathlib.Path(args.data).resolve())
    args.program = str(pathlib.Path(args.program).resolve())
    print(f"{'':<13} {'parameters':>10} {'twin':>10} {'pred. %':>8} {'FLOPs %':>8} {'epoch ms':>9}"
          f" {'/ twin':>8} {'eval /':>8} {'cpu /':>8} {'plan /':>8}")
    for name in args.rules:
        with tempfile.TemporaryDirectory() as folder:
            measure(args, pathlib.Path(folder), name, CASES[name])


if __name__ == "__main__":
    main()
