#!/bin/sh
# SPDX-License-Identifier: MIT
# A bounded number of simulated worlds; many more with PEERFS_FULL=1.
sim=tests/sim/sim
[ -x "$sim" ] || exit 77
"$sim" --seed 1 --runs 3 --twice || exit 1
if [ -n "$PEERFS_FULL" ]; then
	exec "$sim" --seed 1000 --runs 5000
fi
exec "$sim" --seed 4 --runs 200 --seconds 30
