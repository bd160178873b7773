/* time - the two clocks, both replaceable in tests, RFC 3339 and HTTP dates. */
#pragma once

#include "base/base.h"

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL
#define US_PER_S  1000000LL

int64_t time_mono_ns(void); /* CLOCK_MONOTONIC; deadlines and durations */
int64_t time_real_us(void); /* CLOCK_REALTIME, microseconds since 1970; what is shown and stored */

/* Tests: replace both clocks by a constant that only time_test_advance moves; NULL-like reset. */
void time_test_set(int64_t mono_ns, int64_t real_us);
void time_test_advance(int64_t ns);
void time_test_reset(void);

#define TIME_RFC3339_MAX 40
/* "2026-05-28T22:58:34.155897Z". Range: years 1970..9999. Returns `ret`. */
char *time_format(char ret[TIME_RFC3339_MAX], int64_t real_us);
/* RFC 3339 with any offset and 0..9 fraction digits (beyond 6 cut off). -E_PARSE otherwise. */
int time_parse(const char *s, int64_t *ret_us) WARN_UNUSED;
/* A date of HTTP (RFC 9110 5.6.7), in any of its three forms. -E_PARSE otherwise. */
int time_parse_http(const char *s, int64_t *ret_us) WARN_UNUSED;
/* How long, as flags and configuration say it: digits and ms, s, m, h or d; without a unit seconds.
 * "1500ms", "30s", "5m", "2h", "30". 0, -EINVAL or -ERANGE. */
int time_parse_duration_ms(const char *s, int64_t *ret_ms) WARN_UNUSED;
