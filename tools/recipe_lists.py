#!/usr/bin/env python3
"""Writes the list of shipped recipes at the end of each docs/models/<model>.md from the recipes.

    tools/recipe_lists.py [--check]

What stands between the heading "## Recipes" and the first row stays, and so does what follows the
line of recipes without a published value. --check writes nothing and fails where a list is another
than the recipes give.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = "| recipe | published | runs | parameters | source |\n|---|---|---|---|---|\n"
OTHERS = "Without a published value of their own: "
NOT_METRICS = ("std", "runs", "parameters")


def published(text):
    """Keys of the recipe's one-line `published` map, as written; none where there is no such line."""
    line = re.search(r"^published: \{(.*)\}$", text, re.M)
    if line is None:
        return {}
    pairs = re.findall(r'(\w[\w@]*): (?:"([^"]*)"|([^,"]+))', line[1])
    return {key: quoted or plain for key, quoted, plain in pairs}


def row(name, said):
    metric = next(key for key in said if key not in NOT_METRICS and key != "source")
    spread = f" ± {said['std']}" if "std" in said else ""
    count = f"{int(said['parameters']):,}" if "parameters" in said else ""
    value = f"{metric} {said[metric]}{spread}"
    return f"| `{name}` | {value} | {said.get('runs', '')} | {count} | {said['source']} |\n"


def lists():
    """By model: rows of recipes with a published value, names of the others."""
    out = {}
    for path in sorted((ROOT / "recipes").glob("*/*.yaml"), key=str):
        text = path.read_text(encoding="utf-8")
        model = re.search(r"^model:\n(?:  .*\n)*?  name: (\w+)$", text, re.M)
        if model is None:
            continue  # a table
        name = f"{path.parent.name}/{path.stem}"
        rows, others = out.setdefault(model[1], ([], []))
        said = published(text)
        if said:
            rows.append(row(name, said))
        else:
            others.append(f"`{name}`")
    return out


def with_lists(page, rows, others):
    begin = page.index(HEAD) + len(HEAD)
    end = page.index("\n", page.index(OTHERS))
    return page[:begin] + "".join(rows) + "\n" + OTHERS + ", ".join(others) + "." + page[end:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    stale = False
    for model, (rows, others) in lists().items():
        path = ROOT / "docs" / "models" / f"{model}.md"
        before = path.read_text(encoding="utf-8")
        after = with_lists(before, rows, others)
        if before == after:
            continue
        stale = True
        if check:
            print(f"docs/models/{model}.md: not the recipes' list; run tools/recipe_lists.py")
        else:
            path.write_text(after, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
