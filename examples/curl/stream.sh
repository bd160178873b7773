#!/bin/bash
# Watches an answer being written: event_deltas[] asks for the text as it comes.
#     ./stream.sh [dev.env]
. "$(dirname "$0")/lib.sh"

agent=$(api POST /v1/agents '{"name":"Curl agent","model":"'"$model"'","tools":[{"type":"agent_toolset_20260401"}]}' | id_of agent)
session=$(api POST /v1/sessions "{\"agent\":\"$agent\",\"environment_id\":\"$ANTHROPIC_ENVIRONMENT_ID\"}" | id_of sesn)

# Say something once the stream is open: who comes in the middle of a text gets none of its deltas. (curl
# does not tell when the head of an answer has arrived, so this waits a moment.)
follow "/v1/sessions/$session/events/stream?event_deltas[]=agent.message"
sleep 1
api POST "/v1/sessions/$session/events" '{"events":[{"type":"user.message","content":[{"type":"text","text":"Hello!"}]}]}' >/dev/null
while IFS= read -r line <&3; do
    case $line in
    'event: '*) event=${line#event: } ;;
    'data: '*)
        data=${line#data: }
        case $event in
        event_delta) printf '%s' "$(printf '%s' "$data" | field text)" ;;
        agent.message) echo ;;
        agent.tool_use) echo "[tool $(printf '%s' "$data" | field name)]" ;;
        esac
        case $data in *'"session.status_idle"'*'"requires_action"'*) ;; *'"session.status_idle"'*) echo "[turn over]"; break ;; esac
        ;;
    esac
done
unfollow
