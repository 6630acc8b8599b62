"""The recipe families of export_matrix.py: a small model, its encodings and its data each."""

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
                few=(a, b) == ("gine", "attention"))
        out[f"gps {a} + biased"] = family(
            gps(local=a, **{"global": "biased"}, bias=bias),
            PATHS + [{"name": "shortest_path", "ties": "search"}])
    for reduce in ("sum", "max", "min"):
        out[f"gps deep sets, {reduce}"] = family(
            gps(local="none", **{"global": "deep_sets"}, deep_sets={"layers": 2, "reduce": reduce}))
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
        out[f"encoding laplacian {name}"] = family(gps(encoders=[deepset]), [encode])
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
                     "encoders": [vectors]}, [{**LAPLACIAN, "skip": 1}])
    for quirks in ([], ["md5_rank"]):
        out[f"gt roles{' by MD5' if quirks else ''}"] = family(
            {**gt, "encoders": [{"of": "weisfeiler_lehman", "kind": "embedding", "dim": 16,
                                 "count": 41}]},
            [{"name": "weisfeiler_lehman", "quirks": quirks}], few=bool(quirks))
    san = {"name": "san", "width": 16, "layers": 2, "heads": 2, "head": HALVING, **CATEGORIES,
           "encoders": [{"of": "laplacian", "kind": "transformer", "dim": 4, "heads": 2,
                         "feed_width": 8}]}
    for gamma in (0.0, 1e-2):
        out[f"san gamma {gamma}"] = family({**san, "gamma": gamma}, [LAPLACIAN])
    mpnn = {"name": "mpnn", "width": 16, "layers": 3, "norm": "batch",
            "head": {"name": "mlp", "layers": 2, "pool": "sum"}, **CATEGORIES}
    nodes = {"none": {"name": "none"}, "classic": {"name": "classic"},
             "heterogeneous": {"name": "heterogeneous"}, "attention": {"name": "attention"},
             "random features": {"name": "attention", "features": "exp"}}
    for local in ("gine", "gated_gcn", "gcn", "gcnii", "ogb_gin", "ogb_gcn", "gat", "pna"):
        for name, options in nodes.items():
            if name == "random features" and local != "gine":
                continue
            keys = {"norm": "none"} if local == "gated_gcn" else {}
            if local in ("gcn", "gcnii"):
                keys = {"edge": {"name": "none"}}
            out[f"mpnn {local}, virtual node {name}"] = family(
                {**mpnn, "local": local, "virtual_node": options, **keys},
                few=(local, name) == ("gine", "heterogeneous"))
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
    out["numbers as columns"] = family(gps(**NUMBERS, **walks), [WALK], "numbers")
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
    out["node tasks"] = family(gps(head=node, **walks), [WALK], "node")
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


def sparse_families():
    schedule = {"keep": 0.5, "start": 0, "end": 2, "every": 1}
    out = {}
    for name, rule in {"nodes": {"name": "tokens"}, "heads": {"name": "heads"},
                       "branches": {"name": "layers", "method": "learned"},
                       "weights": {"name": "weights"},
                       "hidden units": {"name": "weights", "structure": "neuron"}}.items():
        for prune in (False, True):
            if prune and name in ("nodes", "weights"):
                continue  # nothing is switched off for good
            out[f"{'pruned' if prune else 'sparse'} {name}"] = {
                **family(gps(encoders=[walk_encoder()]), [WALK]),
                "sparsify": {"rules": [{**rule, **schedule}]}, "prune": prune}
    out["pruned heads, biased"] = {
        **family(gps(**{"global": "biased"}, bias={"degrees": 8, "path": "none", "token": False}),
                 PATHS),
        "sparsify": {"rules": [{"name": "heads", **schedule}]}, "prune": True}
    return out


def token_families():
    """Nodes that leave an attention or the network, by each scorer, on each attention."""
    schedule = {"name": "tokens", "keep": 0.5, "start": 0, "end": 2, "every": 1}
    scorers = {"learned": {}, "attention": {"scorer": "attention"},
               "pagerank": {"scorer": "pagerank", "propagate": 0.5}}
    small = {"width": 16, "layers": 3, "heads": 2, "head": HALVING}
    models = {
        "gps": (gps(encoders=[walk_encoder()]), [WALK], scorers),
        "performer": (gps(**{"global": "performer"}, encoders=[walk_encoder()]), [WALK], ["learned"]),
        "bigbird": (gps(**{"global": "bigbird"}), [], ["learned"]),
        "gt": ({"name": "gt", **small, **CATEGORIES}, [], ["learned"]),
        "san": ({"name": "san", **small, **CATEGORIES, "gamma": 1e-2}, [], ["learned"]),
        "graphtrans": ({"name": "graphtrans", **small, "hidden": 16,
                        "head": {**HALVING, "pool": "graph_token"},
                        "gnn": {"width": 8, "layers": 2}, **CATEGORIES}, [], scorers),
        "graphormer": ({"name": "graphormer", **small, "hidden": 16, "node": {"name": "merged"},
                        "head": {**HALVING, "pool": "graph_token"},
                        "bias": {"degrees": 16, "max_distance": 12, "hops": 5, "token": True}},
                       PATHS + [{"name": "shortest_path"}], scorers)}
    out = {}
    for name, (model, encode, known) in models.items():
        for depth in ("attention", "network"):
            for scorer in known:
                rule = {**schedule, **scorers[scorer], "depth": depth}
                out[f"tokens of {name}, {depth}, {scorer}"] = {
                    **family(model, encode, few=(name, depth, scorer) in (
                        ("gt", "attention", "learned"), ("gps", "network", "pagerank"))),
                    "sparsify": {"rules": [rule]}}
    return out


def families():
    return {**gps_families(), **encoding_families(), **graphormer_families(), **other_families(),
            **data_families(), **sparse_families(), **token_families()}
