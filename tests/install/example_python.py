"""docs/examples/python/serve.py, installed, answers for the bundled molecules' SMILES what gtrain
predict says of their graphs, on the command line and over HTTP; without ogb or rdkit it names what is
missing.

  example_python.py WORK      the scratch folder that prefix.cmake has filled
"""
import csv
import gzip
import importlib.util
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

MOLECULES = 40


def command(script, *arguments):
    return [sys.executable, "-B", "-W", "ignore", str(script), *map(str, arguments)]


def serve(script, *arguments):
    return subprocess.run(command(script, *arguments), capture_output=True, text=True)


def close(got, wanted):
    assert len(got) == len(wanted), (len(got), len(wanted))
    for a, b in zip(got, wanted):
        assert abs(a - b) <= 2e-5 * max(1, abs(b)), (a, b)


def post(url, body):
    """Status and answer."""
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check_server(url, port, smiles, wanted):
    status, answer = post(url, json.dumps({"smiles": smiles}).encode())
    assert status == 200, answer
    close([row[0] for row in answer["outputs"]], wanted)
    assert post(url, b'{"smiles": []}') == (200, {"outputs": []})
    bad = {
        b'{"smiles": "CCO"}': "expected a list",
        b'{"smiles": [7]}': "no molecule",
        b'{"smiles": ["C1CC"]}': "no molecule",
        b'{"other": []}': "expected {",
        b"[]": "expected {",
        b"rubbish": "Expecting value",
    }
    for body, said in bad.items():
        status, answer = post(url, body)
        assert status == 400 and said in answer["error"], (body, status, answer)
    # A length that lies ends its own connection and nobody else's.
    for length in ("-1", "99999999"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(f"POST / HTTP/1.0\r\nContent-Length: {length}\r\n\r\n".encode())
            assert b" 400 " in client.recv(64), length
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"POST / HTTP/1.0\r\nContent-Length: 50\r\n\r\n{")
        assert post(url, b'{"smiles": ["CCO"]}')[0] == 200


def check_http(script, model, smiles, wanted):
    with subprocess.Popen(command(script, model, "--port", 0), stderr=subprocess.PIPE, text=True) as server:
        try:
            found = next(filter(None, (re.search(r"http://\S+:(\d+)", s) for s in server.stderr)))
            check_server(found.group(0), int(found.group(1)), smiles, wanted)
        finally:
            server.kill()


def main():
    work = Path(sys.argv[1])
    script = work / "prefix/share/doc/gtrain/examples/python/serve.py"
    missing = [m for m in ("torch", "ogb", "rdkit") if importlib.util.find_spec(m) is None]
    if missing:
        ended = serve(script, "model.pt", "CCO")
        assert ended.returncode == 1 and "pip install torch ogb rdkit" in ended.stderr, ended
        print(f"skipped: {', '.join(missing)} not here (GTRAIN_PYTHON names an interpreter)")
        return 77
    mapping = work / "prefix/share/gtrain/datasets/freesolv/mapping/mol.csv.gz"
    with gzip.open(mapping, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)][:MOLECULES]
    with open(work / "predict.csv") as file:
        wanted = [float(row["task0"]) for row in csv.DictReader(file)][:MOLECULES]
    model = work / "model.pt"
    ended = serve(script, model, *smiles)
    assert ended.returncode == 0, ended.stderr
    close([float(line.rsplit(" ", 1)[1]) for line in ended.stdout.splitlines()], wanted)
    for arguments, said in (
        ((model, "C1CC"), "no molecule that RDKit can read"),
        ((work / "nothing.pt", "CCO"), "cannot be loaded"),
        ((work / "input.pt", "CCO"), "random_walk"),
    ):
        ended = serve(script, *arguments)
        assert ended.returncode == 1 and said in ended.stderr, (arguments, ended)
    check_http(script, model, smiles, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
