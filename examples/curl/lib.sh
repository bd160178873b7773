# Shared by the examples: reads dev.env (first argument; else what this shell has read already, or where
# `sallyport up` writes it) and offers `api METHOD PATH [JSON]`. The key goes to curl through a descriptor,
# not through its arguments, which every user of the machine can read.
set -euo pipefail

if [ $# -gt 0 ] || [ -z "${ANTHROPIC_BASE_URL:-}" ] || [[ ${ANTHROPIC_API_KEY:-} != sk-sp-* ]]; then
    data_home=${XDG_DATA_HOME:-$HOME/.local/share}
    [ -n "${XDG_DATA_HOME:-}" ] || [ "$(id -u)" != 0 ] || data_home=/var/lib
    env_file=${1:-$data_home/sallyport/dev.env}
    [ -r "$env_file" ] || { echo "no dev.env at $env_file: start \`sallyport up\`, or name the file" >&2; exit 1; }
    # shellcheck disable=SC1090 # written by sallyport up
    . "$env_file"
fi

# shellcheck disable=SC2034 # the examples use it
model=${SALLYPORT_MODEL:-claude-opus-5-5}

key_config() { printf 'header = "x-api-key: %s"\n' "$ANTHROPIC_API_KEY"; }
common=(--silent --show-error --fail-with-body --globoff
    --header 'anthropic-version: 2026-10-21' --header 'anthropic-beta: managed-agents-2026-04-01')

curl_auth() { curl --config <(key_config) "${common[@]}" "$@"; }

# follow PATH [CURL-OPTIONS]: opens an event stream; its lines come from descriptor 3. `unfollow` ends it.
follow() {
    local path=$1
    shift
    exec 3< <(exec curl --config <(key_config) "${common[@]}" --no-buffer --max-time 120 "$@" "$ANTHROPIC_BASE_URL$path")
    follower=$!
}
unfollow() { kill "$follower" 2>/dev/null || true; exec 3<&-; }

api() {
    local method=$1 path=$2 body=${3:-}
    if [ -n "$body" ]; then
        curl_auth --request "$method" --header 'content-type: application/json' --data-binary "$body" "$ANTHROPIC_BASE_URL$path"
    else
        curl_auth --request "$method" "$ANTHROPIC_BASE_URL$path"
    fi
}

# The value of the first "KEY":"…" in a JSON text; enough for ids, and needs no other program.
field() { sed -n "s/.*\"$1\":[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# The id of a new object: it is the first field of every answer that creates one.
id_of() { grep -o "\"id\":[[:space:]]*\"$1_[^\"]*\"" | head -n 1 | sed 's/.*"\([^"]*\)"$/\1/'; }
