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
import gzip
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time

GRAPHS, TRAIN, VALID = 320, 24, 8
BATCHES = (1, 7, 256)


# Data ---------------------------------------------------------------------------------------------


def odd_graphs():
    """(nodes, undirected edges): the odd ones, which the test split holds too."""
    star = [(0, i) for i in range(1, 9)]
    cycle = [(i, (i + 1) % 6) for i in range(6)]
    return [(1, []), (3, []), (2, [(0, 1)]), (9, star), (6, cycle), (4, [(0, 1), (2, 3)]),
            (7, [(0, 1), (1, 2), (0, 2), (4, 5)]), (5, [(i, j) for i in range(5) for j in range(i)])]


def molecule_like(rng):
    """A tree of degree at most 4 with rings of 5 or 6."""
    n = rng.choice((rng.randint(2, 12), rng.randint(10, 40)))
    edges, degree = [], [0] * n
    for i in range(1, n):
        j = rng.choice([k for k in range(max(0, i - 4), i) if degree[k] < 4] or [i - 1])
        edges.append((j, i))
        degree[i] += 1
        degree[j] += 1
    for i in range(n - 5):
        if rng.random() < 0.15 and (i, i + 5) not in edges:
            edges.append((i, i + 5))
    return n, edges


def write(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with gzip.open(path + ".csv.gz", "wt", compresslevel=1) as file:
        for row in rows:
            file.write(",".join(str(v) for v in row) + "\n")


def make_data(folder, kind):
    """kind: categories, numbers or none (node and edge columns), and node or edge (labels)."""
    rng = random.Random(kind)
    graphs = [molecule_like(rng) for _ in range(GRAPHS)]
    odd = odd_graphs()
    for k, graph in enumerate(odd):
        graphs[TRAIN + VALID + 11 * k] = graph  # in the test split, among the others
        graphs[2 * k] = graph
    edges = [[e for pair in g[1] for e in (pair, pair[::-1])] for g in graphs]
    raw = os.path.join(folder, "raw")
    write(raw + "/num-node-list", [[n] for n, _ in graphs])
    write(raw + "/num-edge-list", [[len(e)] for e in edges])
    write(raw + "/edge", [pair for e in edges for pair in e])
    nodes, total = sum(n for n, _ in graphs), sum(len(e) for e in edges)
    category = lambda sizes, count: [[rng.randrange(s) for s in sizes] for _ in range(count)]
    number = lambda width, count: [[round(rng.gauss(0, 1), 4) for _ in range(width)]
                                   for _ in range(count)]
    if kind == "numbers":
        write(raw + "/node-feat", number(3, nodes))
        write(raw + "/edge-feat", number(2, total))
    elif kind != "none":
        write(raw + "/node-feat", category((7, 5), nodes))
        write(raw + "/edge-feat", category((4, 3), total))
    if kind == "node":
        write(raw + "/node-label", [[rng.randrange(3)] for _ in range(nodes)])
    elif kind == "edge":
        pairs = [[(rng.randrange(n), rng.randrange(n)) for _ in range(3)] for n, _ in graphs]
        write(raw + "/num-pair-list", [[len(p)] for p in pairs])
        write(raw + "/pair", [pair for p in pairs for pair in p])
        write(raw + "/pair-label", [[rng.randrange(2)] for p in pairs for _ in p])
    else:
        write(raw + "/graph-label", number(2, GRAPHS))
    parts = {"train": range(TRAIN), "valid": range(TRAIN, TRAIN + VALID),
             "test": range(TRAIN + VALID, GRAPHS)}
    for part, ids in parts.items():
        write(f"{folder}/split/own/{part}", [[i] for i in ids])


TASKS = {"node": ("node_class", "acc"), "edge": ("edge_binary", "rocauc")}


# Families -----------------------------------------------------------------------------------------

CATEGORIES = {"node": {"name": "categorical"}, "edge": {"name": "categorical"}}
NUMBERS = {"node": {"name": "linear"}, "edge": {"name": "linear"}}
HALVING = {"name": "halving", "layers": 1, "pool": "mean"}
WALK = {"name": "random_walk", "steps": 8}
LAPLACIAN = {"name": "laplacian", "count": 5, "normalization": "sym"}
PATHS = [{"name": "degree"}, {"name": "hop_distance"}]
VIRTUAL = {"name": "virtual_node"}


def gps(**keys):
    model = {"name": "gps", "width": 16, "layers": 2, "heads": 2, "head": HALVING,
             "attention_dropout": 0.1, **CATEGORIES, **keys}
    return model


def walk_encoder(**keys):
    return {"of": "random_walk", "kind": "linear", "dim": 4, **keys}


def family(model, encode=(), data="categories", few=False, **dataset):
    return {"model": model, "encode": list(encode), "data": data, "few": few, "dataset": dataset}


def gps_families():
    out = {}
    local = ["gine", "gated_gcn", "gcn", "gin", "genconv", "gat", "pna", "ogb_gin", "ogb_gcn",
             "none"]
    kinds = {"attention": {}, "performer": {"performer": {"head_width": 4, "features": 12}},
             "bigbird": {"bigbird": {"window": 1, "random": 2, "global": 1}},
             "deep_sets": {"deep_sets": {"layers": 1}}, "none": {}}
    bias = {"degrees": 8, "max_distance": 9, "path": "multi_hop", "hops": 4, "token": False}
    for a in local:
        for b, more in kinds.items():
            if a == b == "none":
                continue
            out[f"gps {a} + {b}"] = family(
                gps(local=a, **{"global": b}, encoders=[walk_encoder()], **more), [WALK],
                few=(a, b) in (("gine", "attention"), ("gated_gcn", "performer")))
        out[f"gps {a} + biased"] = family(
            gps(local=a, **{"global": "biased"}, bias=bias),
            PATHS + [{"name": "shortest_path", "ties": "search"}])
    token = {**bias, "token": True}
    out["gps gine + biased, token"] = family(
        gps(**{"global": "biased"}, bias=token, head={**HALVING, "pool": "graph_token"}),
        PATHS + [{"name": "shortest_path"}])
    return out


def encoding_families():
    out = {}
    laplacian = lambda **keys: {"name": "laplacian", "count": 5, **keys}
    deepset = {"of": "laplacian", "kind": "deepset", "dim": 4}
    for name, encode in {
            "none": laplacian(normalization="none"), "rw": laplacian(normalization="rw", skip=1),
            "lower triangle": laplacian(normalization="rw", quirks=["rw_lower_triangle"]),
            "wavelength": laplacian(normalization="sym", vector_norm="wavelength")}.items():
        out[f"encoding laplacian {name}"] = family(gps(encoders=[deepset]), [encode],
                                                   few=name == "none")
    for kind, more in {"signnet": {"phi_layers": 2, "phi_width": 6, "phi_outputs": 4},
                       "transformer": {"heads": 2, "feed_width": 8}}.items():
        out[f"encoder {kind}"] = family(
            gps(encoders=[{"of": "laplacian", "kind": kind, "dim": 4, **more}]), [LAPLACIAN])
    out["encoder stable"] = family(
        gps(local="gated_gcn", encoders=[{"of": "laplacian", "kind": "stable", "join": "gate"}]),
        [LAPLACIAN])
    for name, more in {"heat_kernel": {"times": [0.5, 2, 4]}, "electrostatic": {}}.items():
        out[f"encoding {name}"] = family(
            gps(encoders=[{"of": name, "kind": "linear", "dim": 4}]), [{"name": name, **more}])
    out["encoding degree"] = family(
        gps(encoders=[{"of": "degree", "kind": "mlp", "dim": 16, "join": "add"}]),
        [{"name": "degree"}])
    out["encodings walk and laplacian"] = family(gps(encoders=[walk_encoder(), deepset]),
                                                 [WALK, LAPLACIAN], few=True)
    return out


def graphormer_families():
    base = {"name": "graphormer", "width": 16, "layers": 2, "heads": 2, "hidden": 16,
            "node": {"name": "merged"},
            "head": {"name": "halving", "layers": 0, "pool": "graph_token"}}
    tables = {"distances": 32, "edges": 1537, "edge_stride": 512, "matrices": 16}
    bias = {"degrees": 16, "max_distance": 12, "hops": 5, "token": True}
    ties = lambda t, **more: PATHS + [{"name": "shortest_path", "ties": t, **more}]
    return {
        "graphormer": family({**base, "bias": bias}, ties("smallest"), few=True),
        "graphormer v1": family(
            {**base, "bias": {**bias, "tables": tables,
                              "quirks": ["padding_rows", "v1_padding", "out_degree_twice"]}},
            ties("relaxation", quirks=["v1_node0_path"])),
        "graphormer v2": family(
            {**base, "norm": "after", "input_norm": True, "final_norm": False,
             "bias": {**bias, "tables": tables, "quirks": ["padding_rows", "out_degree_twice"]},
             "head": {"name": "transform", "pool": "graph_token", "quirks": ["idle_pooler"]}},
            ties("relaxation")),
        "graphormer port": family(
            {**base, "final_norm": False, "init": "own", "node": {"name": "categorical"},
             "bias": {**bias, "quirks": ["port_padding"]},
             "head": {"name": "graphormer", "pool": "graph_token"}}, ties("search")),
        "graphormer, no paths": family({**base, "bias": {**bias, "path": "none"}}, PATHS),
        "graphormer, nodes": family(
            {**base, "bias": {**bias, "token": False}, "node": {"name": "categorical"},
             "head": {"name": "halving", "layers": 0, "pool": "none"}}, ties("smallest"), "node"),
    }


def other_families():
    out = {}
    gt = {"name": "gt", "width": 16, "layers": 2, "heads": 2, "head": HALVING, **CATEGORIES}
    vectors = {"of": "laplacian", "kind": "eigenvectors", "dim": 16}
    for pattern in ("neighbours", "full"):
        for norm in ("batch", "layer"):
            for edge in ("categorical", "none"):
                out[f"gt {pattern}, {norm} norm, edges {edge}"] = family(
                    {**gt, "pattern": pattern, "norm": norm, "edge": {"name": edge},
                     "encoders": [vectors]}, [{**LAPLACIAN, "skip": 1}],
                    few=(pattern, norm, edge) == ("full", "layer", "none"))
    for quirks in ([], ["md5_rank"]):
        out[f"gt roles{' by MD5' if quirks else ''}"] = family(
            {**gt, "encoders": [{"of": "weisfeiler_lehman", "kind": "embedding", "dim": 16,
                                 "count": 41}]},
            [{"name": "weisfeiler_lehman", "quirks": quirks}], few=bool(quirks))
    san = {"name": "san", "width": 16, "layers": 2, "heads": 2, "head": HALVING, **CATEGORIES,
           "encoders": [{"of": "laplacian", "kind": "transformer", "dim": 4, "heads": 2,
                         "feed_width": 8}]}
    for gamma in (0.0, 1e-2):
        out[f"san gamma {gamma}"] = family({**san, "gamma": gamma}, [LAPLACIAN], few=gamma > 0)
    mpnn = {"name": "mpnn", "width": 16, "layers": 3, "norm": "batch",
            "head": {"name": "mlp", "layers": 2, "pool": "sum"}, **CATEGORIES}
    nodes = {"none": {"name": "none"}, "classic": {"name": "classic"},
             "heterogeneous": {"name": "heterogeneous"}, "attention": {"name": "attention"}}
    for local in ("gine", "gated_gcn", "gcn", "gcnii", "ogb_gin", "ogb_gcn", "gat"):
        for name, options in nodes.items():
            out[f"mpnn {local}, virtual node {name}"] = family(
                {**mpnn, "local": local, "virtual_node": options},
                few=(local, name) in (("gine", "heterogeneous"), ("ogb_gin", "classic")))
    for name, more in {"token": {}, "last nodes": {"max_nodes": 5},
                       "mean": {"token": False, "norm": "before"}}.items():
        head = HALVING if name == "mean" else {**HALVING, "pool": "graph_token"}
        out[f"graphtrans, {name}"] = family(
            {"name": "graphtrans", "width": 16, "layers": 2, "heads": 2, "hidden": 16,
             "gnn": {"width": 8, "layers": 2}, "head": head, **CATEGORIES, **more})
    return out


def data_families():
    out = {}
    walks = {"encoders": [walk_encoder()]}
    out["numbers as columns"] = family(gps(**NUMBERS, **walks), [WALK], "numbers", few=True)
    out["numbers, target scaling"] = family(gps(**NUMBERS, **walks), [WALK], "numbers",
                                            target_scaling="standard")
    plain = {"node": {"name": "categorical"}, "edge": {"name": "constant"}}
    out["features constant"] = family(gps(**plain), [], "none", features="constant")
    out["features degree_onehot"] = family(gps(**plain), [], "none", features="degree_onehot",
                                           degree_cap=3)
    lines = {"node": {"name": "linear"}, "edge": {"name": "constant"}}
    out["features local_degree_profile"] = family(gps(**lines), [], "none", few=True,
                                                  features="local_degree_profile")
    out["features one_hot"] = family(gps(**lines), [], features="one_hot")
    node = {"name": "node", "layers": 2}
    out["node tasks"] = family(gps(head=node, **walks), [WALK], "node", few=True)
    for decode in ("dot", "concat"):
        out[f"edge tasks, {decode}"] = family(
            gps(head={"name": "edge", "layers": 2, "decode": decode}, **walks), [WALK], "edge",
            few=decode == "dot")
    for after in ("encode", "import"):
        for pure in (False, True):
            out[f"virtual nodes after {after}{', pure' if pure else ''}"] = family(
                gps(**walks), [WALK], few=not pure and after == "encode",
                transform=[{**VIRTUAL, "after": after, "pure": pure}])
    out["virtual nodes, node tasks"] = family(gps(head=node), [], "node", transform=[VIRTUAL])
    out["virtual nodes, edge tasks"] = family(
        gps(head={"name": "edge", "layers": 1, "decode": "concat"}), [], "edge",
        transform=[VIRTUAL])
    out["virtual nodes, degree_onehot"] = family(
        gps(**plain), [], "none", features="degree_onehot", transform=[VIRTUAL])
    return out


def families():
    return {**gps_families(), **encoding_families(), **graphormer_families(), **other_families(),
            **data_families()}


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
    file = place + "/model.pt"
    gtrain("export", run, "--out", file, "--encodings", options.encodings,
           *(["--fused"] if options.library else []))
    gtrain("predict", run, "--data", folder, "--split", "test", "--out", place + "/rows.csv")
    if options.encodings == "input":
        gtrain("predict", file, "--data", folder, "--split", "test", "--out", place + "/own.csv")
        return compare_rows(place + "/rows.csv", place + "/own.csv")
    worker.stdin.write(json.dumps({"file": file, "data": folder, "rows": place + "/rows.csv",
                                   "state": run + "/best.safetensors", "kind": spec["data"],
                                   "library": options.library}) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError("the process with torch ended")
    return json.loads(answer)


# In the interpreter with torch --------------------------------------------------------------------


def read(path):
    if not os.path.exists(path + ".csv.gz"):
        return []
    with gzip.open(path + ".csv.gz", "rt") as file:
        return [[float(v) for v in line.split(",")] for line in file]


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
    for name, entry in own.items():
        first, last = (8 + size + at for at in entry["data_offsets"])
        values = torch.frombuffer(bytearray(content[first:last]), dtype=torch.float32)
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
    worker = subprocess.Popen([options.python, "-W", "ignore", __file__, "--worker"], text=True,
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
