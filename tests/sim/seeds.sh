#!/bin/sh
# SPDX-License-Identifier: MIT
# A bounded number of simulated worlds, and the scripts of failures that were found; many more with
# PEERFS_FULL=1.  A failing seed is made short: its script is the bug report.
sim=tests/sim/sim
[ -x "$sim" ] || exit 77
srcdir=${srcdir:-.}
for script in "$srcdir"/tests/sim/scripts/*; do
	"$sim" --script "$script" --runs 20 || exit 1
done
"$sim" --seed 1 --runs 5 --twice || exit 1
"$sim" --seed 1 --runs 1000 --small --roles || exit 1
"$sim" --seed 1 --runs 1500 --small --forks || exit 1
"$sim" --seed 1 --runs 200 --small --twice || exit 1
if [ -n "$PEERFS_FULL" ]; then
	"$sim" --seed 1000000 --runs 40000 --small --shrink || exit 1
	exec "$sim" --seed 1000 --runs 5000 --shrink
fi
"$sim" --seed 1000 --runs 2500 --seconds 12 --small --shrink || exit 1
exec "$sim" --seed 6 --runs 100 --seconds 12 --shrink
