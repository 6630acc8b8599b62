#!/usr/bin/env bash
# The test suite: the same set-up as the quick start, everything built, ctest. Arguments go to
# ctest, e.g. -L unit or -R graph; without any, all runs but what is labelled `long`, five to ten
# minutes each: every recipe's dry run, every exported family (tools/test.sh -L long).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

set_up
compile all
if [ $# -eq 0 ]; then set -- -LE long; fi
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
