#!/usr/bin/env bash
# From a clone to a model trained on the bundled molecules: sets up what is missing, builds the
# program, trains recipes/quickstart.yaml. Arguments go to gtrain, e.g. train.epochs=10.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

set_up
compile gtrain
cd "$root"
exec "$build/bin/gtrain" --recipe recipes/quickstart.yaml "$@"
