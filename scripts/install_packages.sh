#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install_packages.sh GROUP...: installs with apt what scripts/packages.txt lists for these groups and is missing.
# A group ending in ? is optional: what cannot be installed is said, and the script still succeeds.
# Does nothing, silently, when nothing is missing: no apt, no sudo, no network.
set -euo pipefail
list=$(dirname "$0")/packages.txt

packages_of() {
    awk -v group="$1" '!/^#/ && $2 == group { print $1 }' "$list"
}

# Names of what is installed, and of what that provides (Ubuntu's libcurl4 is libcurl4t64).
present=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}, ${Provides}\n' 2>/dev/null |
    sed -n 's/^ii //p' | tr ',' '\n' | sed 's/^ *//; s/ .*//' || true)

installed() {
    grep -qxF -- "$1" <<<"$present"
}

missing=() optional=()
for group in "$@"; do
    names=$(packages_of "${group%\?}")
    [ -n "$names" ] || { echo "install_packages: no group '${group%\?}' in $list" >&2; exit 2; }
    for name in $names; do
        for choice in ${name//|/ }; do
            if installed "$choice"; then continue 2; fi
        done
        name=${name%%|*}
        if [ "${group%\?}" = "$group" ]; then missing+=("$name"); else optional+=("$name"); fi
    done
done
[ $((${#missing[@]} + ${#optional[@]})) -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install_packages: no apt-get on this machine; its own names for these are needed:" \
         "${missing[*]} ${optional[*]}" >&2
    exit 0 # cmake names what is really missing
fi
sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "install_packages: not root and no sudo; as root run: apt-get install ${missing[*]} ${optional[*]}" >&2
        [ ${#missing[@]} = 0 ] && exit 0 || exit 1
    }
    sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive

known() { # apt's lists have the package; grep reads it all, or apt-cache would die of the closed pipe
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null
}

install() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null
}

updated=0
update() {
    [ $updated = 0 ] || return 0
    updated=1
    echo "refreshing apt's lists (apt-get update)" >&2
    "${sudo[@]}" apt-get update -qq </dev/null || true # one broken list must not stop the others
}

for name in "${missing[@]}" "${optional[@]}"; do
    known "$name" || update
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing with apt: ${missing[*]}" >&2
    # Lists that are older than the mirror name files that are gone: refresh them once.
    install "${missing[@]}" || { update; install "${missing[@]}"; }
fi
for name in "${optional[@]}"; do
    known "$name" || { echo "optional package $name is not available here" >&2; continue; }
    echo "installing with apt (optional): $name" >&2
    install "$name" || echo "optional package $name could not be installed" >&2
done
