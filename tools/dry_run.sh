#!/usr/bin/env bash
# Every shipped recipe, or those named, as far as it goes without its data: read, checked against
# its card, two steps and one batch of evaluation on generated data in the card's likeness; with
# --plan also planned, on whole batches, which takes several times as long. One line a recipe;
# fails where one of them did.
#
#   tools/dry_run.sh [--plan] [NAME…]        $GTRAIN: the program, else that of build/release
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

gtrain=${GTRAIN:-build/release/bin/gtrain}
plan=0
[[ ${1:-} == --plan ]] && plan=1 && shift

# What lies in caches is real data, and would be used.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch GTRAIN_CACHE=$scratch/cache
unset GTRAIN_DATA

names=("$@")
if ((${#names[@]} == 0)); then
  mapfile -t names < <(find recipes -name '*.yaml' -not -path 'recipes/tables/*' |
    sed 's,^recipes/,,; s,\.yaml$,,' | LC_ALL=C sort)
fi

# Says what failed, with the program's own last words.
attempt() {
  "$@" >"$scratch/said" 2>&1 && return
  printf 'FAIL %s: %s: exit %d: %s\n' "$name" "$2" "$?" "$(tail -n 1 "$scratch/said")"
  return 1
}

failed=0
for name in "${names[@]}"; do
  if attempt "$gtrain" validate "recipes/$name.yaml" &&
    { ((plan == 0)) || attempt "$gtrain" plan "recipes/$name.yaml"; } &&
    attempt "$gtrain" train "recipes/$name.yaml" --dry-run --threads "${GTRAIN_THREADS:-2}"; then
    printf 'ok %s: %s\n' "$name" "$(grep -m 1 '^dry run' "$scratch/said")"
  else
    failed=$((failed + 1))
  fi
done
printf '%d of %d recipes failed\n' "$failed" "${#names[@]}"
((failed == 0 && ${#names[@]} > 0))
