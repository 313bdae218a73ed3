# SPDX-License-Identifier: Apache-2.0
# Sourced before every case.

# Says a line on both streams, so that each shows where it belongs.
say() {
    echo "$*"
    echo "$*" >&2
}

# Starts the hub of hub_server.py and points cfine at it. Its log is ./log.
start_hub() {
    command -v python3 > /dev/null || { echo "needs python3" >&2; exit 77; }
    cfine doctor --model tiny | grep -q 'libcurl.so.4: found' || { echo "needs libcurl.so.4" >&2; exit 77; }
    python3 "$TOOLS/hub_server.py" "$DATA/tiny" log port &
    hub=$!
    trap 'kill $hub' EXIT
    tries=100
    while [ ! -e port ] && [ $tries -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    HF_ENDPOINT=http://127.0.0.1:$(cat port)
    CFINE_CACHE=$PWD/cache
    export HF_ENDPOINT CFINE_CACHE
}
