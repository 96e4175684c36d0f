#!/bin/sh
# Runs one of the project's commands on a machine that may have nothing yet:
#
#   sh scripts/run.sh demo | test | check | e2e | bench [ARGS]
#
# Brings Node.js 24 and the npm packages into place, then hands over to scripts/<command>.ts,
# which brings the rest (a container engine, a cluster) itself or says what to install.
set -eu
cd "$(dirname "$0")/.."
. ./scripts/node.sh

command=${1:?usage: sh scripts/run.sh demo|test|check|e2e|bench}
shift

# node_modules follows the lockfile: installed once, again when the lockfile or Node.js changes.
stamp=node_modules/.signet-stamp
wanted="$(node --version) $(cksum package-lock.json)"
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  echo "installing npm packages" >&2
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  printf '%s\n' "$wanted" >"$stamp"
fi

exec node "scripts/$command.ts" "$@"
