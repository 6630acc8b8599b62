#!/usr/bin/env python3
"""Inference of GPS on ogbg-molhiv: PyG eager against files of `gtrain export`, the same weights on
the same batches.

A run of recipe molhiv/gps (--run; made with sixty steps of training where none is given) is
exported as it is, frozen, fused and both, each with the encodings inside and as inputs. PyG's model takes the weights from the portable file, and the outputs have to agree. All
forms then run in turn in one process, --rounds times over --batches batches, so that a busy machine
disturbs them alike; medians per batch and ratios are printed for each number of threads.

    python bench_export.py --data ogbg-molhiv --program build/release/bin/gtrain \\
        --library build/release/lib/libgtrain_ops.so

"given": random walks are there already. "inside": the file computes them from the edges; PyG's
side does it graph by graph with dense powers, as its models' own preparation does, and collates.
Needs numpy, torch of the version that gtrain was built with, and torch_geometric.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

RECIPE = "molhiv/gps"
FORMS = {"portable": [], "frozen": ["--freeze"], "fused": ["--fused"],
         "fused, frozen": ["--fused", "--freeze"]}


def run_of(args, folder):
    if args.run:
        return args.run
    run = folder / "run"
    subprocess.run([args.program, "train", RECIPE, f"dataset.path={args.data}", "train.epochs=1",
                    "train.schedule.warmup=0", "train.steps=60", "--run", str(run), "--quiet",
                    "--seeds", "0"], check=True)
    return run / "seed-0" if (run / "seed-0").exists() else run


def exported(args, run, folder):
    """{(form, encodings): path}"""
    out = {}
    for form, flags in FORMS.items():
        for encodings in ("input", "inside"):
            path = folder / f"{form.replace(', ', '-')}-{encodings}.pt"
            subprocess.run([args.program, "export", str(run), "--out", str(path), "--encodings",
                            encodings, *flags], check=True, stderr=subprocess.DEVNULL)
            out[form, encodings] = path
    return out


def name_in_peer(name):
    """gtrain's name of a tensor in the model of peer_gps.py."""
    parts = name.split(".")
    if parts[0] == "features":
        if parts[1] in ("node", "edge"):
            return f"{parts[1]}.tables.{parts[2].removeprefix('column_')}.weight"
        return ".".join(["walk", "0" if parts[2] == "norm" else "1", *parts[3:]])
    if parts[0] == "head":
        return f"head.{2 * int(parts[1].removeprefix('linear_'))}.{parts[2]}"
    rest = ".".join(parts[1:])
    for ours, theirs in (("local.norm_x", "local.node_norm"), ("local.norm_e", "local.edge_norm"),
                         ("attention.in_", "attention.in_proj_"),
                         ("attention.out_", "attention.out_proj."), ("norm_local", "norms.0"),
                         ("norm_attention", "norms.1"), ("norm_out", "norms.2"),
                         ("feed_0", "feed_forward.0"), ("feed_1", "feed_forward.3")):
        if rest.startswith(ours):
            rest = theirs + rest.removeprefix(ours)
            break
    return f"layers.{parts[0].removeprefix('layer_')}.{rest}"


def peer_with(state):
    import peer_gps
    from peer_gps import GatedLayer, Gps

    sizes = [[state[f"features.{kind}.column_{c}"].size(0)
              for c in range(sum(n.startswith(f"features.{kind}.column_") for n in state))]
             for kind in ("node", "edge")]
    model = Gps(*sizes, 16, 16, GatedLayer, 0.05, "mean").eval()
    missing, unexpected = model.load_state_dict(
        {name_in_peer(n): t for n, t in state.items()}, strict=False)
    missing = [n for n in missing if not n.endswith("num_batches_tracked")]
    assert not missing and not unexpected, (missing, unexpected)
    return model, peer_gps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="OGB-style folder")
    parser.add_argument("--program", required=True, help="gtrain")
    parser.add_argument("--library", required=True, help="libgtrain_ops.so")
    parser.add_argument("--run", type=pathlib.Path, help="a run of molhiv/gps")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--largest", type=int, default=0, help="graphs of at most so many nodes")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(max(args.threads))  # before torch reads it

    import numpy as np
    import torch
    from torch_geometric.data import Batch

    torch.set_num_threads(1)
    torch.ops.load_library(str(pathlib.Path(args.library).resolve()))
    with tempfile.TemporaryDirectory() as name:
        files = exported(args, run_of(args, pathlib.Path(name)), pathlib.Path(name))
        modules = {key: torch.jit.load(path) for key, path in files.items()}
    model, peer_gps = peer_with(modules["portable", "input"].state_dict())

    sizes = peer_gps.read(args.data, "num-node-list")[:, 0]
    usable = np.flatnonzero(sizes <= (args.largest or sizes.max()))
    ids = np.random.default_rng(0).choice(usable, (args.batches, args.batch), replace=False)
    batches = peer_gps.batches_of(args.data, ids, 16)
    print("largest graph of each batch:", [int(sizes[i].max()) for i in ids],
          "mean nodes:", round(float(sizes[ids].mean()), 1))

    def pyg_inside(batch):
        graphs = batch.to_data_list()
        for g in graphs:
            g.walk = peer_gps.random_walk(g.edge_index, g.num_nodes, 16)
        return model(Batch.from_data_list(graphs))

    def file(module, encodings):
        if encodings == "inside":
            return lambda b: module(b.x, b.edge_index, b.edge_attr, b.batch)
        return lambda b: module(b.x, b.edge_index, b.edge_attr, b.batch, b.walk)

    calls = {("PyG eager", "input"): model, ("PyG eager", "inside"): pyg_inside,
             **{key: file(module, key[1]) for key, module in modules.items()}}
    with torch.no_grad():
        for batch in batches:
            want = model(batch)
            for key, call in calls.items():
                gap = float((call(batch) - want).abs().max())
                assert gap < 1e-3 * max(1.0, float(want.abs().max())), (key, gap)
        for threads in args.threads:
            torch.set_num_threads(threads)
            times = {key: [] for key in calls}
            for turn in range(args.rounds + 1):  # the first one warms up
                for batch in batches:
                    for key, call in calls.items():
                        begin = time.perf_counter()
                        call(batch)
                        if turn > 0:
                            times[key].append(1e3 * (time.perf_counter() - begin))
            medians = {key: statistics.median(t) for key, t in times.items()}
            print(f"\n{threads} threads, ms a batch of {args.batch}"
                  f"\n{'':<16}{'given':>10}{'ratio':>8}{'inside':>10}{'ratio':>8}")
            for form in ("PyG eager", *FORMS):
                cells = ""
                for encodings in ("input", "inside"):
                    own, peer = medians[form, encodings], medians["PyG eager", encodings]
                    cells += f"{own:>10.1f}{peer / own:>8.1f}"
                print(f"{form:<16}{cells}", flush=True)


if __name__ == "__main__":
    main()
