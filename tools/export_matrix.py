#!/usr/bin/env python3
"""Every recipe family as an exported file in plain torch: export_matrix.py [--few] [--only NAME]…

Makes small data sets with odd graphs (one node, no edges, several components), trains each family
for an epoch on a few of them, exports it, loads the file with torch alone and compares its outputs
with those of `gtrain predict` on the whole test split, in batches of 1, 7 and 256 graphs. A
difference may be max(1e-5 max(1, |y|), 10 times the model's own between float32 and float64).

  --gtrain PATH   the program                 --python PATH   an interpreter with torch alone
  --few           the families marked for every test run
  --only NAME     families whose names contain NAME           --keep DIR   files stay there
  --encodings inside|input   input: as arguments, from `gtrain predict FILE`    --list   names alone
  --library PATH  libgtrain_ops.so: exports with --fused, and loads it first

Exit code 1 where a family differs, 77 where torch is not there.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

from export_data import make_data, read
from export_families import families

BATCHES = (1, 7, 256)

TASKS = {"node": ("node_class", "acc"), "edge": ("edge_binary", "rocauc")}


# One family ---------------------------------------------------------------------------------------


def recipe_of(spec, folder):
    task, metric = TASKS.get(spec["data"], ("graph_regression", "mae"))
    return {
        "dataset": {"path": folder, "task": task, "metric": metric, "add_inverse_edge": False,
                    "batch_size": 8, **spec["dataset"]},
        "encode": spec["encode"],
        "model": spec["model"],
        "train": {"epochs": 1, "optimizer": {"name": "adamw", "lr": 1e-3}},
        "repeat": {"seeds": [0]},
        **({"sparsify": spec["sparsify"]} if "sparsify" in spec else {}),
    }


def call(command, environment):
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} ended with {done.returncode}: "
                           + done.stdout[-800:])


def compare_rows(want, got):
    """Of a module that takes encodings, which gtrain itself gives it."""
    def values(path):
        with open(path) as file:
            first = sum(not h.startswith("task") for h in next(file).split(","))
            return [[float(v) for v in line.split(",")[first:]] for line in file]
    a, b = values(want), values(got)
    size = max(abs(v) for row in a for v in row)
    apart = max(abs(v - w) for r, s in zip(a, b) for v, w in zip(r, s))
    answer = {f"batch_{n}": apart if len(a) == len(b) else math.inf for n in BATCHES}
    return {**answer, "bound": 1e-5 * max(1.0, size), "gap": 0.0, "seconds_256": 0.0}


def state_of(run):
    best = run + "/best.safetensors"
    return best if os.path.exists(best) else run + "/last.safetensors"


def run_family(name, spec, options, worker, work):
    folder = os.path.join(work, "data-" + spec["data"])
    if not os.path.exists(folder):
        make_data(folder, spec["data"])
    place = os.path.join(work, "".join(c if c.isalnum() else "-" for c in name))
    os.makedirs(place)
    recipe, run = place + "/recipe.yaml", place + "/run"
    with open(recipe, "w") as file:
        json.dump(recipe_of(spec, folder), file, indent=1)
    environment = {**os.environ, "GTRAIN_CACHE": os.path.join(work, "cache")}
    gtrain = lambda *words: call([options.gtrain, *words, "--threads", "1"], environment)
    gtrain("train", recipe, "--run", run, "--quiet")
    if spec.get("prune"):
        gtrain("prune", run, "--out", run + "-pruned")
        run += "-pruned"
    file = place + "/model.pt"
    gtrain("export", run, "--out", file, "--encodings", options.encodings,
           *(["--fused"] if options.library else []))
    gtrain("predict", run, "--data", folder, "--split", "test", "--out", place + "/rows.csv")
    if options.encodings == "input":
        gtrain("predict", file, "--data", folder, "--split", "test", "--out", place + "/own.csv")
        return compare_rows(place + "/rows.csv", place + "/own.csv")
    worker.stdin.write(json.dumps({"file": file, "data": folder, "rows": place + "/rows.csv",
                                   "state": state_of(run), "kind": spec["data"],
                                   "library": options.library}) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError("the process with torch ended")
    return json.loads(answer)


# In the interpreter with torch --------------------------------------------------------------------


def load_graphs(folder):
    """Of each graph of the test split: id, x, edge_index, edge_attr, pairs."""
    import torch
    raw = folder + "/raw/"
    nodes = [int(r[0]) for r in read(raw + "num-node-list")]
    edges = [int(r[0]) for r in read(raw + "num-edge-list")]
    pairs = [int(r[0]) for r in read(raw + "num-pair-list")]

    def table(name, total):
        rows = read(raw + name)
        if not rows:
            return torch.zeros(total, 0, dtype=torch.int64)
        values = torch.tensor(rows, dtype=torch.float64)
        whole = bool((values == values.floor()).all())
        return values.to(torch.int64 if whole else torch.float32)

    x, attr = table("node-feat", sum(nodes)), table("edge-feat", sum(edges))
    ends, pair = table("edge", 0), table("pair", 0)
    wanted = {int(r[0]) for r in read(folder + "/split/own/test")}
    out, n, e, p = [], 0, 0, 0
    for g in range(len(nodes)):
        count = pairs[g] if pairs else 0
        if g in wanted:
            out.append((g, x[n:n + nodes[g]], ends[e:e + edges[g]].reshape(-1, 2).t(),
                        attr[e:e + edges[g]], pair[p:p + count].reshape(-1, 2).t()))
        n, e, p = n + nodes[g], e + edges[g], p + count
    return out


def pack(graphs, with_pairs):
    import torch
    shift, edge, batch, pair = 0, [], [], []
    for k, (_, x, ends, _, pairs) in enumerate(graphs):
        edge.append(ends + shift)
        pair.append(pairs + shift)
        batch.append(torch.full((len(x),), k, dtype=torch.int64))
        shift += len(x)
    out = [torch.cat([g[1] for g in graphs]), torch.cat(edge, 1),
           torch.cat([g[3] for g in graphs]), torch.cat(batch)]
    return out + [torch.cat(pair, 1)] if with_pairs else out


def outputs(model, graphs, size, with_pairs):
    import torch
    with torch.no_grad():
        return torch.cat([model(*pack(graphs[i:i + size], with_pairs)).double()
                          for i in range(0, len(graphs), size)])


def check_names(model, path):
    """The file's tensors are the model's in the run's state, by name and value."""
    import struct
    import torch
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    own = {n: e for n, e in header.items()
           if n != "__metadata__" and not n.startswith(("optimizer.", "trainer.", "sparsify."))}
    state = model.state_dict()
    if set(own) != set(state):
        raise RuntimeError(f"names differ from the run's state: {sorted(set(own) ^ set(state))[:5]}")
    types = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32,
             "U8": torch.uint8, "BOOL": torch.bool}
    for name, entry in own.items():
        first, last = (8 + size + at for at in entry["data_offsets"])
        if first == last:
            continue
        values = torch.frombuffer(bytearray(content[first:last]), dtype=types[entry["dtype"]])
        if not torch.equal(values, state[name].reshape(-1)):
            raise RuntimeError(f"{name} has other values than in the run's state")


def check(job, cache):
    import torch
    if job["data"] not in cache:
        cache[job["data"]] = load_graphs(job["data"])
    graphs, pairs = cache[job["data"]], job["kind"] == "edge"
    with open(job["rows"]) as file:
        head = next(file).strip().split(",")
        first = sum(not h.startswith("task") for h in head)
        want = torch.tensor([[float(v) for v in line.split(",")[first:]] for line in file],
                            dtype=torch.float64)
    if job["library"]:
        torch.ops.load_library(job["library"])
    model = torch.jit.load(job["file"])
    check_names(model, job["state"])
    answer = {"size": want.abs().max().item(), "rows": len(want)}
    best = {}
    for size in BATCHES:
        begin = time.monotonic()
        best[size] = outputs(model, graphs, size, pairs)
        answer[f"seconds_{size}"] = time.monotonic() - begin
        same = best[size].shape == want.shape
        answer[f"batch_{size}"] = (best[size] - want).abs().max().item() if same else math.inf
    wide = outputs(torch.jit.load(job["file"]).double(), graphs, 256, pairs)
    answer["gap"] = (best[256] - wide).abs().max().item()
    answer["bound"] = max(1e-5 * max(1.0, answer["size"]), 10 * answer["gap"])
    return answer


def work():
    import torch
    torch.set_num_threads(1)
    cache = {}
    for line in sys.stdin:
        try:
            answer = check(json.loads(line), cache)
        except Exception as error:  # told to the other side
            answer = {"error": str(error)[-800:]}
        print(json.dumps(answer), flush=True)


# The table ----------------------------------------------------------------------------------------


def row(name, answer, seconds):
    if "error" in answer:
        print(f"{'FAIL':5}{name:44} {answer['error']}", flush=True)
        return False
    worst = max(answer[f"batch_{b}"] for b in BATCHES)
    good = worst <= answer["bound"]
    cells = "".join(f"{answer[f'batch_{b}']:10.1e}" for b in BATCHES)
    print(f"{'ok' if good else 'FAIL':5}{name:44}{cells}{answer['bound']:10.1e}"
          f"{answer['gap']:10.1e}{answer['seconds_256']:8.2f}{seconds:8.1f}", flush=True)
    return good


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gtrain", default=root + "/build/release/bin/gtrain")
    parser.add_argument("--python", default=root + "/.deps/venv/bin/python")
    parser.add_argument("--encodings", default="inside", choices=["inside", "input"])
    parser.add_argument("--library", type=os.path.abspath)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--keep")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    chosen = {n: s for n, s in families().items()
              if (s["few"] or not options.few)
              and (not options.only or any(o in n for o in options.only))}
    if options.list:
        print("\n".join(chosen))
        return 0
    probe = [options.python, "-c", "import torch"]
    if not os.path.exists(options.python) or subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
        print(f"skipped: {options.python} has no torch")
        return 77
    worker = subprocess.Popen([options.python, "-B", "-W", "ignore", __file__, "--worker"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    print(f"{'':5}{'family':44}" + "".join(f"{f'batch {b}':>10}" for b in BATCHES)
          + f"{'bound':>10}{'gap':>10}{'s/256':>8}{'seconds':>8}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or temporary
        os.makedirs(place, exist_ok=True)
        for name, spec in chosen.items():
            begin = time.monotonic()
            try:
                answer = run_family(name, spec, options, worker, place)
            except RuntimeError as error:
                answer = {"error": str(error)}
            failed += not row(name, answer, time.monotonic() - begin)
    worker.stdin.close()
    worker.wait()
    print(f"{len(chosen)} families, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        sys.exit(main())
