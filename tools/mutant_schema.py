"""Many mutants in one object: every mutated statement becomes a choice made when the program runs.

    x = a + b;   ->   if (gtrain_mutant_is(7)) { x = a - b; } else { x = a + b; }
    for (int i = 0; i < n; ++i) {   ->   for (int i = 0; (gtrain_mutant_is(8) ? i <= n : i < n); ++i) {

so that trying a mutant costs a run of the test and no compilation. instrument() rewrites one source
and keeps its line numbers, by which compile() finds and leaves out what does not compile this way
(constant expressions, declarations of types). Those, and every mutant that no test caught, are left
to a compilation of their own.
"""

import collections
import re
from typing import NamedTuple

SWITCH_HEADER = """\
extern "C" int gtrain_mutant;
// Read by an instruction the sanitizer does not see: the choice is no access of the kernel.
static inline __attribute__((always_inline)) bool gtrain_mutant_is(int id) {
  int chosen;
  __asm__("movl gtrain_mutant(%%rip), %0" : "=r"(chosen));
  return chosen == id;
}
"""
SWITCH_SOURCE = """\
#include <cstdlib>
extern "C" {
int gtrain_mutant = std::getenv("GTRAIN_MUTANT") ? std::atoi(std::getenv("GTRAIN_MUTANT")) : 0;
}
"""
KEYWORDS = r"(constexpr|using|typedef|template|struct|class|extern|namespace|case|default|static_assert)\b"
DECLARED = re.compile(r"^(?!return\b|goto\b|delete\b)((const|static|typename|unsigned|long) )*"
                      r"[\w:]+(<[^;=]*>)?(::\w+)*[\s*&]+\w+( =|\[|,|;|\{|\()")


class Statement(NamedTuple):
    first: int
    last: int  # inclusive


def code_of(line):
    return line.split("//")[0].strip()


def statements(lines):
    """What stands between one ; { } and the next outside round brackets; directives left out."""
    start, depth, directive = None, 0, False
    for number, line in enumerate(lines):
        code = code_of(line)
        inside, directive = directive, (code.startswith("#") or directive) and code.endswith("\\")
        if inside or code.startswith("#") or not code:
            continue
        start = number if start is None else start
        depth += code.count("(") - code.count(")")
        if code[-1] in ";{}:" and depth <= 0:
            yield Statement(start, number)
            start, depth = None, 0


def split(text, separator):
    """`text` at the separators outside every bracket."""
    parts, depth, begin = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == separator and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
    return parts + [text[begin:]]


def closing(text, opening):
    depth = 0
    for i in range(opening, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


def choice(expression, variants, void=False):
    """`expression`, or a variant's where that mutant is chosen. None: nothing differs."""
    different = [(i, v) for i, v in variants if v.strip() != expression.strip()]
    if not different or not all(v.strip() for _, v in different) or not expression.strip():
        return expression if not different else None
    cast = "(void)" if void else ""
    chain = "".join(f"gtrain_mutant_is({i}) ? {cast}({v.strip()}) : " for i, v in different)
    return f"({chain}{cast}({expression.strip()}))"


def between(variants, prefix, suffix):
    """The part of every variant between the two; None where one changed those."""
    if all(v.startswith(prefix) and v.endswith(suffix) for _, v in variants):
        return [(i, v[len(prefix):len(v) - len(suffix)]) for i, v in variants]
    return None


def controlled(text, variants):
    """if, while and for with an opening brace."""
    head = re.match(r"^(\} else )?(if|while|for) \(", text)
    if not head:
        return None
    opening = head.end() - 1
    end = closing(text, opening)
    prefix, inner, suffix = text[:opening + 1], text[opening + 1:end], text[end:]
    inners = between(variants, prefix, suffix)
    if inners is None or suffix.strip(") ") != "{":
        return None
    if head.group(2) != "for":
        made = choice(inner, inners)
        return None if made is None else prefix + made + suffix
    parts, others = split(inner, ";"), [(i, split(v, ";")) for i, v in inners]
    if len(parts) != 3 or any(len(o) != 3 for _, o in others):
        return None
    first = initialised(parts[0], [(i, o[0]) for i, o in others])
    test = choice(parts[1], [(i, o[1]) for i, o in others])
    step = choice(parts[2], [(i, o[2]) for i, o in others], void=True)
    if None in (first, test, step):
        return None
    return f"{prefix}{first}; {test}; {step}{suffix}"


def initialised(text, variants):
    """`T x = e` with the mutants' e."""
    if all(v == text for _, v in variants):
        return text
    at = text.find(" = ")
    if at < 0:
        return None
    values = between(variants, text[:at + 3], "")
    value = text[at + 3:]
    if values is None or value.lstrip().startswith("{") or len(split(value, ",")) > 1:
        return None
    made = choice(value, values)
    return None if made is None else text[:at + 3] + made


def merged(text, variants, following):
    """One statement that holds them all, or None."""
    if re.match(KEYWORDS, text) or re.match(r"^else\b", text):
        return None
    if text.endswith("{"):
        return controlled(text, variants)
    if not text.endswith(";"):
        return None
    if DECLARED.match(text):
        bare = between(variants, "", ";")
        made = initialised(text[:-1], bare) if bare else None
        return None if made is None else made + ";"
    if re.match(r"^else\b", following) or text.startswith("}"):
        return None
    chain = "".join(f"if (gtrain_mutant_is({i})) {{ {v} }} else " for i, v in variants)
    return f"{chain}{{ {text} }}"


def instrument(lines, mutants):
    """`mutants`: (id, mutant) of this source. (new lines, line number -> ids of its statement)."""
    by_line = collections.defaultdict(list)
    for identity, m in mutants:
        by_line[m.line].append((identity, m))
    out, found = list(lines), list(statements(lines))
    held = {}
    for place, s in enumerate(found):
        inside = [pair for n in range(s.first, s.last + 1) for pair in by_line.get(n, [])]
        if not inside:
            continue
        codes = {n: code_of(lines[n]) for n in range(s.first, s.last + 1)}

        def joined(replaced=None, by=""):
            return " ".join(filter(None, (by if n == replaced else codes[n] for n in codes)))

        variants = [(i, joined(m.line, code_of(m.after))) for i, m in inside]
        following = code_of(lines[found[place + 1].first]) if place + 1 < len(found) else ""
        text = merged(joined(), variants, following)
        if text is None:
            continue
        out[s.first] = text
        for n in range(s.first + 1, s.last + 1):
            out[n] = ""
        held[s.first + 1] = [i for i, _ in inside]
    return out, held
