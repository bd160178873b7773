/* zygote - the messages between worker and zygote, one JSON object per datagram of a SEQPACKET
 * socket.
 *
 * worker to zygote:  {"op":"create","seq":N,"spec":{...}}     (sandbox_spec_json)
 * zygote to worker:  {"ready":true} or {"ready":false,"error":"..."}                  once, first
 *                    {"seq":N,"ok":true,"pid":P} + descriptors [init's socket, pidfd]
 *                    {"seq":N,"ok":false,"error":"...","code":errno}
 *                    {"ended":P,"status":wait status}
 * "ok" means cloned; whether the sandbox could be built is the first message on init's socket
 * (init.h). */
#pragma once

#include "sandbox/sandbox.h"
