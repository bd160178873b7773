/* init - pid 1 of a sandbox: reaps, and serves tool calls on one inherited socket.
 *
 * Messages (frame.h), worker to init:
 *   {"op":"call","id":N,"tool":"bash","input":{...},"timeout_ms":N}   timeout_ms is optional: a
 * ceiling
 *   {"op":"cancel","id":N}       ends the call if it is queued or running; its answer says so
 *   {"op":"info","id":N}
 *   {"op":"shutdown"}
 * and back:
 *   {"ready":true}  or  {"ready":false,"error":"..."}                 once, first
 *   {"id":N,"is_error":bool,"duration_ms":N,"content":[blocks]}       one per call
 *   {"id":N,"info":{...}}
 * Calls are served one at a time, in order. */
#pragma once

#include "sandbox/spec.h"

/* Serves until the channel closes; then exits, and the kernel ends everything inside. `oom_fd` is a
 * file of cgroup_oom_fd, or -1. */
NORETURN void init_run(int channel_fd, int oom_fd, const struct sandbox_spec *spec);
