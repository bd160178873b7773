#!/bin/bash
# http.sh BUILD_DIR: small keep-alive responses, this server beside nginx `return 200`, same wrk, same connections.
#
# Compared are answers per second of the serving process's CPU time, because the load generator and the rest of the machine
# take their share of the wall clock and not always the same. Then the memory of idle event streams. Needs nginx and wrk.
set -euo pipefail
build=${1:?usage: bench/http.sh BUILD_DIR}
connections=${CONNECTIONS:-64} seconds=${SECONDS_EACH:-4} rounds=${ROUNDS:-5} streams=${STREAMS:-10000}
dir=$(mktemp -d)
hello='' nginx=''
trap 'kill ${hello:-} ${nginx:-} 2>/dev/null || true; rm -rf "$dir"' EXIT

ulimit -n "$(ulimit -Hn)"
"$build/bench/bench_http_hello" 127.0.0.1:0 >"$dir/addr" &
hello=$!
port=$((20000 + RANDOM % 10000))
cat >"$dir/nginx.conf" <<END
worker_processes 1; daemon off; pid $dir/pid; error_log $dir/error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000;
  client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  server { listen 127.0.0.1:$port; location / { default_type text/plain; return 200 "ok"; } } }
END
nginx -c "$dir/nginx.conf" -p "$dir" &
nginx=$!
for _ in $(seq 100); do
    [ -s "$dir/addr" ] && worker=$(pgrep -P "$nginx") && curl -sf "http://127.0.0.1:$port/" >/dev/null && break
    sleep 0.05
done
addr=$(cat "$dir/addr")

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
measure() # pid url -> answers per CPU second
{
    local before after answers
    before=$(ticks "$1")
    answers=$(wrk -t1 -c"$connections" -d"${seconds}s" "$2" | awk '/requests in/ { print $1 }')
    after=$(ticks "$1")
    echo $((answers * $(getconf CLK_TCK) / (after - before)))
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for _ in $(seq "$rounds"); do
    measure "$worker" "http://127.0.0.1:$port/" >>"$dir/theirs"
    measure "$hello" "http://$addr/" >>"$dir/ours"
done
ours=$(median <"$dir/ours") theirs=$(median <"$dir/theirs")
awk -v o="$ours" -v t="$theirs" 'BEGIN { printf "http_answers_per_cpu_second ours=%d nginx=%d ratio=%.2f\n", o, t, o / t }'

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$hello/status"; }
before=$(rss)
python3 - "$addr" "$streams" "$dir/go" <<'END' &
import os, socket, sys, time
host, port = sys.argv[1].split(":")
held = []
for _ in range(int(sys.argv[2])):
    s = socket.create_connection((host, int(port)))
    s.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
    held.append(s)
for s in held:
    s.recv(4096)
open(sys.argv[3], "w").close()
time.sleep(600)
END
holder=$!
until [ -e "$dir/go" ]; do kill -0 "$holder" || exit 1; sleep 0.1; done
sleep 2 # a wait gives its stack back after a second
after=$(rss)
kill "$holder"
echo "http_idle_streams n=$streams rss_kib=$after per_stream_bytes=$(((after - before) * 1024 / streams))"
