#!/bin/bash
# A session from start to end: agent, session, message, wait, transcript.
#     ./session.sh [dev.env]
. "$(dirname "$0")/lib.sh"

agent=$(api POST /v1/agents '{"name":"Curl agent","model":"'"$model"'","tools":[{"type":"agent_toolset_20260401"}]}' | id_of agent)
session=$(api POST /v1/sessions "{\"agent\":\"$agent\",\"environment_id\":\"$ANTHROPIC_ENVIRONMENT_ID\"}" | id_of sesn)
echo "agent $agent, session $session"

api POST "/v1/sessions/$session/events" '{"events":[{"type":"user.message","content":[{"type":"text","text":"Run a command and tell me what it printed."}]}]}' >/dev/null

# Follow from the first event on (?after= and the id: lines are ours; the stream has no gaps) until the
# turn is over. A pause for a tool is an idle too, with another reason.
first=$(api GET "/v1/sessions/$session/events?limit=1" | id_of sevt)
follow "/v1/sessions/$session/events/stream${first:+?after=$first}"
while IFS= read -r line <&3; do
    case $line in
    'data: '*) data=${line#data: }; echo "$data" ;;
    '') case ${data:-} in *'"session.status_idle"'*'"requires_action"'*) ;; *'"session.status_idle"'*) break ;; esac ;;
    esac
done
unfollow
