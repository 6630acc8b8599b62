#!/usr/bin/env python3
"""Turns OGB's split_dict.pt into train.csv.gz, valid.csv.gz and test.csv.gz beside it.

    python3 tools/convert/split_dict.py dataset/ogbg_mine/split/random/split_dict.pt

Needs torch. A pickle can run code: convert only files you trust. Loaded with weights_only where the
file allows it; --trust loads the rest (numpy arrays inside).
Exit code 2 for wrong arguments, 3 for wrong data.
"""

from __future__ import annotations

import argparse
import gzip
import pathlib
import sys

PARTS = ("train", "valid", "test")


class SplitError(Exception):
    """Something about the file; the message says what and what was expected."""


def load(path: pathlib.Path, trust: bool):
    import torch

    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises several kinds here
        if not trust:
            reason = type(error).__name__
            raise SplitError(
                f"{path}: holds more than plain tensors ({reason}); OGB's own files hold numpy "
                "arrays: if you trust the file, add --trust") from None
    try:
        return torch.load(path, weights_only=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SplitError(f"{path}: cannot be loaded ({reason}); expected OGB's split") from None


def ids_of(path: pathlib.Path, part: str, values) -> list[int]:
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise SplitError(f"{path}: '{part}' is not a list of ids; expected whole numbers")
    return values


def convert(path: pathlib.Path, trust: bool) -> None:
    if not path.is_file():
        raise SplitError(f"{path}: no such file")
    split = load(path, trust)
    if not isinstance(split, dict) or not set(PARTS) <= set(split):
        raise SplitError(f"{path}: expected a dictionary with train, valid and test")
    texts = {p: "".join(f"{i}\n" for i in ids_of(path, p, split[p])) for p in PARTS}
    for part, text in texts.items():
        target = path.with_name(f"{part}.csv.gz")
        with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode())
        print(f"{target}: {text.count(chr(10))} ids")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split_dict", type=pathlib.Path)
    parser.add_argument("--trust", action="store_true", help="load a pickle that may run code")
    arguments = parser.parse_args(argv)
    try:
        convert(arguments.split_dict, arguments.trust)
    except ImportError as error:
        print(f"split_dict: {error}; this converter needs: pip install torch", file=sys.stderr)
        return 2
    except (SplitError, OSError) as error:
        print(f"split_dict: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
