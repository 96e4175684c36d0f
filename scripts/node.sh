#!/bin/sh
# Puts Node.js >= 24 and its npm on PATH; installs them once into the cache where they are missing.
#
#   . scripts/node.sh          the calling shell gets the PATH
#   scripts/node.sh            installs and prints the folder of node and npm
#   scripts/node.sh CMD ARGS   runs CMD with that PATH
#
# Needs an older Node.js with npm to fetch the pinned one (npm packages node-<os>-<arch> and npm).
# SIGNET_NODE_INSTALL=FOLDER installs the pinned release there, whatever is on PATH.
# Files: ${SIGNET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/signet}/node. No root.

signet_node_version=24.21.0
signet_npm_version=12.2.0

signet_say() { printf 'node.sh: %s\n' "$*" >&2; }

signet_node_is_new() {
  "$1" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 24 ? 0 : 1)' 2>/dev/null
}

signet_node_package() {
  case $(uname -s) in
    Linux) signet_os=linux ;;
    Darwin) signet_os=darwin ;;
    *) signet_say "no Node.js package for $(uname -s); install Node.js 24 or newer"; return 1 ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) echo "node-$signet_os-x64" ;;
    arm64 | aarch64) echo "node-$signet_os-arm64" ;;
    *) signet_say "no Node.js package for $(uname -m); install Node.js 24 or newer"; return 1 ;;
  esac
}

# Unpacks both npm packages next to the final folder and renames: never half a Node.js.
signet_node_install() {
  signet_dest=$1
  signet_package=$(signet_node_package) || return 1
  if ! command -v npm >/dev/null 2>&1; then
    signet_say "Node.js 24 or newer is needed; install it, or any Node.js with npm so that this script can fetch it"
    return 1
  fi
  signet_stage=$signet_dest.tmp.$$
  signet_say "installing Node.js $signet_node_version ($signet_package) and npm $signet_npm_version into $signet_dest"
  rm -rf "$signet_stage"
  mkdir -p "$signet_stage/pack" "$signet_stage/tree/lib/node_modules/npm" || return 1
  (
    set -e
    cd "$signet_stage/pack"
    npm pack --silent "$signet_package@$signet_node_version" "npm@$signet_npm_version" >/dev/null
    tar -xzf "$signet_package-$signet_node_version.tgz" -C "$signet_stage/tree" --strip-components=1
    tar -xzf "npm-$signet_npm_version.tgz" -C "$signet_stage/tree/lib/node_modules/npm" --strip-components=1
    chmod 755 "$signet_stage/tree/bin/node"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$signet_stage/tree/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$signet_stage/tree/bin/npx"
    chmod 755 "$signet_stage/tree/lib/node_modules/npm/bin/npm-cli.js" "$signet_stage/tree/lib/node_modules/npm/bin/npx-cli.js"
    "$signet_stage/tree/bin/node" --version >/dev/null
  ) || { rm -rf "$signet_stage"; signet_say "could not install Node.js $signet_node_version"; return 1; }
  rm -rf "$signet_dest"
  if ! mv "$signet_stage/tree" "$signet_dest" 2>/dev/null && ! signet_node_is_new "$signet_dest/bin/node"; then
    signet_say "could not move Node.js to $signet_dest"
    return 1
  fi
  rm -rf "$signet_stage"
  signet_say "Node.js $("$signet_dest/bin/node" --version) is ready"
}

signet_node_path() {
  if [ -n "${SIGNET_NODE_INSTALL:-}" ]; then
    signet_node_install "$SIGNET_NODE_INSTALL" && echo "$SIGNET_NODE_INSTALL/bin"
    return
  fi
  if command -v npm >/dev/null 2>&1 && signet_node_is_new node; then
    dirname "$(command -v node)"
    return 0
  fi
  signet_home=${SIGNET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/signet}/node
  if [ "$("$signet_home/bin/node" --version 2>/dev/null)" != "v$signet_node_version" ]; then
    mkdir -p "$(dirname "$signet_home")" && signet_node_install "$signet_home" || return 1
  fi
  echo "$signet_home/bin"
}

if signet_bin=$(signet_node_path); then
  case ":$PATH:" in
    *":$signet_bin:"*) ;;
    *) PATH=$signet_bin:$PATH && export PATH ;;
  esac
  # Executed, not sourced: run the given command, or say where Node.js is.
  case ${0##*/} in
    node.sh) if [ $# -gt 0 ]; then exec "$@"; else echo "$signet_bin"; fi ;;
  esac
else
  case ${0##*/} in
    node.sh) exit 1 ;;
    *) return 1 ;;
  esac
fi
