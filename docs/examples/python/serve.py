#!/usr/bin/env python3
"""Predictions for molecules, from a model that gtrain exported, with torch and ogb alone.

  serve.py model.pt CCO c1ccccc1          one line a molecule: SMILES and outputs
  serve.py model.pt --port 8000           POST {"smiles": ["CCO"]} to it; answers {"outputs": [[...]]}

The model has to be of a data set with OGB's atom and bond columns (dataset.features: ogb_mol).
TorchScript files are programs: load only those of people you trust.
"""
import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    import torch
    from ogb.utils import smiles2graph
    from rdkit import Chem
except ImportError as missing:
    sys.exit(f"serve.py: {missing}; it needs torch, ogb and rdkit: pip install torch ogb rdkit")

ARGUMENTS = ["x", "edge_index", "edge_attr", "batch"]
LARGEST_REQUEST = 1 << 20  # bytes


def load(path, library):
    """The module of a file whose arguments are those that predict() has."""
    if library is not None:
        torch.ops.load_library(library)
    extra = {"gtrain.json": ""}
    try:
        model = torch.jit.load(path, _extra_files=extra)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"serve.py: {path} cannot be loaded (of --fused: it needs --library): {error}")
    about = json.loads(extra["gtrain.json"] or "{}")
    if about.get("inputs") != ARGUMENTS:
        sys.exit(f"serve.py: {path} takes {about.get('inputs')}; expected {ARGUMENTS}")
    print(f"task {about['task']}, metric {about['metric']}", file=sys.stderr)
    return model


def graph_of(smiles):
    """Node columns, edge_index (both directions of each bond) and edge columns."""
    if not isinstance(smiles, str) or smiles.strip() == "" or Chem.MolFromSmiles(smiles) is None:
        raise ValueError(f"{smiles!r}: no molecule that RDKit can read")
    graph = smiles2graph(smiles)
    return tuple(torch.from_numpy(graph[key]) for key in ("node_feat", "edge_index", "edge_feat"))


def predict(model, molecules):
    """One row of outputs a molecule."""
    if not isinstance(molecules, list):
        raise ValueError(f"smiles: {molecules!r}; expected a list of SMILES")
    graphs = [graph_of(smiles) for smiles in molecules]
    if not graphs:
        return []
    sizes = torch.tensor([x.size(0) for x, _, _ in graphs])
    first = torch.cumsum(sizes, 0) - sizes
    with torch.no_grad():
        return model(
            torch.cat([x for x, _, _ in graphs]),
            torch.cat([ends + start for (_, ends, _), start in zip(graphs, first)], 1),
            torch.cat([bonds for _, _, bonds in graphs]),
            torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        ).tolist()


def handler_of(model):
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a client may be silent

        def read_json(self):
            length = int(self.headers["Content-Length"] or 0)
            if not 0 <= length <= LARGEST_REQUEST:
                raise ValueError(f"Content-Length: {length}; expected 0 to {LARGEST_REQUEST}")
            request = json.loads(self.rfile.read(length))
            if not isinstance(request, dict) or "smiles" not in request:
                raise ValueError('expected {"smiles": [...]}')
            return request

        def do_POST(self):
            try:
                status, answer = 200, {"outputs": predict(model, self.read_json()["smiles"])}
            except (ValueError, RuntimeError) as error:
                status, answer = 400, {"error": str(error)}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="file that gtrain export wrote")
    parser.add_argument("smiles", nargs="*", help="molecules")
    parser.add_argument("--port", type=int, help="serve on this port of this machine; 0: a free one")
    parser.add_argument("--library", help="libgtrain_ops.so, for a file exported with --fused")
    arguments = parser.parse_args()
    model = load(arguments.model, arguments.library)
    try:
        for smiles, row in zip(arguments.smiles, predict(model, arguments.smiles)):
            print(smiles, *(f"{value:.6g}" for value in row))
    except (ValueError, RuntimeError) as error:
        sys.exit(f"serve.py: {error}")
    if arguments.port is not None:
        server = ThreadingHTTPServer(("127.0.0.1", arguments.port), handler_of(model))
        print(f"serving on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
