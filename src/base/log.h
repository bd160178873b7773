/* log - one line per fact: `ts=… level=… role=… msg="constant text" key=value …`.
 *
 * info: the state changed. warn: ignored and carried on. error: a request or session failed because
 * of us. debug: off unless asked for. The text is constant; values go into keys; strings from peers
 * are escaped and capped. Never a secret. Writes to stderr with one write(2) per line. */
#pragma once

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(const char *role, enum log_level min); /* role is copied */
void log_set_level(enum log_level min);
bool log_enabled(enum log_level l);

/* The fiber layer names the current fiber through this hook: a short constant-alphabet
 * text that stays valid until the next call on the same thread, or NULL for "none". It
 * appears as fiber=... */
void log_set_context_hook(const char *(*hook)(void));

/* Tests: lines go to `fd` (borrowed) instead of stderr. */
void log_test_set_fd(int fd);

/*     log_line(LOG_INFO, "session created", "session=%s events=%zu", id, n);
 *
 * `fmt` makes the key=value part (may be NULL or empty). A value that may hold spaces or peer bytes
 * is passed through log_q. Keeps errno. Never suspends. */
void log_line(enum log_level l, const char *msg, const char *fmt, ...) PRINTF(3, 4);
/* Quotes and escapes `s` (NULL gives "-") into one of 8 rotating per-thread
 * buffers of 256 bytes. */
const char *log_q(const char *s);

#define log_debug(msg, ...) log_line(LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...)  log_line(LOG_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...)  log_line(LOG_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) log_line(LOG_ERROR, msg, __VA_ARGS__)
