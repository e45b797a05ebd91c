#!/bin/sh
# SPDX-License-Identifier: MIT
# The time-bounded part of the trial against the model: every row of the matrix, then random histories; then
# those in which members come to be readers or go.
set -eu
command -v python3 >/dev/null || exit 77
here=${srcdir:-.}/tests/model
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
python3 "$here/compare.py" tests/model/replay --watch --seconds 18
exec python3 "$here/compare.py" tests/model/replay --roles --seconds 6
