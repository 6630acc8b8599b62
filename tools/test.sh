#!/usr/bin/env bash
# The whole test suite: the same set-up as the quick start, everything built, ctest.
# Arguments go to ctest, e.g. -L unit or -R graph.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

set_up
compile all
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
