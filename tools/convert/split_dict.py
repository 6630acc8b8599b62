#!/usr/bin/env python3
"""Turns OGB's split_dict.pt into train.csv.gz, valid.csv.gz and test.csv.gz beside it.

    python tools/convert/split_dict.py dataset/ogbg_mine/split/random/split_dict.pt

Needs torch. A pickle can run code: convert only files you trust. Loaded with weights_only where the
file allows it; --trust loads the rest (numpy arrays inside).
"""

from __future__ import annotations

import argparse
import gzip
import pathlib
import sys

PARTS = ("train", "valid", "test")


def load(path: pathlib.Path, trust: bool) -> dict:
    import torch

    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises several kinds here
        if not trust:
            reason = type(error).__name__
            sys.exit(f"{path}: holds more than plain tensors ({reason}); OGB's own files hold numpy "
                     "arrays: if you trust the file, add --trust")
        return torch.load(path, weights_only=False)


def ids_of(path: pathlib.Path, part: str, values) -> list[int]:
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    if not all(isinstance(v, int) for v in values):
        sys.exit(f"{path}: '{part}' is not a list of ids; expected whole numbers")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split_dict", type=pathlib.Path)
    parser.add_argument("--trust", action="store_true", help="load a pickle that may run code")
    arguments = parser.parse_args()
    path = arguments.split_dict
    if not path.is_file():
        sys.exit(f"{path}: no such file")
    split = load(path, arguments.trust)
    if not isinstance(split, dict) or not set(PARTS) <= set(split):
        sys.exit(f"{path}: expected a dictionary with train, valid and test")
    texts = {p: "".join(f"{i}\n" for i in ids_of(path, p, split[p])) for p in PARTS}
    for part, text in texts.items():
        target = path.with_name(f"{part}.csv.gz")
        with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode())
        print(f"{target}: {text.count(chr(10))} ids")


if __name__ == "__main__":
    main()
