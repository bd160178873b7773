#!/bin/bash
# Permissions by hand: an agent whose every tool call must be confirmed. Shows the call, allows it, and
# waits for the worker to run it.
#     ./confirm.sh [dev.env]
. "$(dirname "$0")/lib.sh"

agent=$(api POST /v1/agents '{"name":"Careful agent","model":"'"$model"'","tools":[{"type":"agent_toolset_20260401","default_config":{"permission_policy":{"type":"always_ask"}}}]}' | id_of agent)
session=$(api POST /v1/sessions "{\"agent\":\"$agent\",\"environment_id\":\"$ANTHROPIC_ENVIRONMENT_ID\"}" | id_of sesn)
api POST "/v1/sessions/$session/events" '{"events":[{"type":"user.message","content":[{"type":"text","text":"Run a command."}]}]}' >/dev/null

status() { api GET "/v1/sessions/$session" | field status; }
wait_idle() { for _ in $(seq 600); do [ "$(status)" = running ] || return 0; sleep 0.1; done; echo "still running after a minute" >&2; exit 1; }

wait_idle
call=$(api GET "/v1/sessions/$session/events?types=agent.tool_use" | id_of sevt)
echo "asked for: $call"
api POST "/v1/sessions/$session/events" "{\"events\":[{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"$call\",\"result\":\"allow\"}]}" >/dev/null

for _ in $(seq 600); do
    result=$(api GET "/v1/sessions/$session/events?types=user.tool_result")
    case $result in *"$call"*) break ;; esac
    sleep 0.1
done
echo "result: $result"
wait_idle
