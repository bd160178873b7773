/* time.c - the two clocks, RFC 3339 and HTTP dates.
 *
 * Theory of operation: all code asks here what time it is, so a test can stop both clocks and move
 * them by hand. The hook is three atomics read on any thread; tests set them while nothing else
 * runs. Dates are converted with the civil-calendar arithmetic of era/day-of-era (no tables, no
 * time zone files, no libc statics). time_parse reads what peers send and refuses what it does not
 * fully understand. Never suspends. */
#include "base/time.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define S_PER_DAY   86400LL
#define REAL_US_MAX (253402300800LL * US_PER_S - 1) /* the last microsecond of year 9999 */

static atomic_bool test_on;
static _Atomic int64_t test_mono_ns, test_real_ns_part, test_real_us;

int64_t time_mono_ns(void)
{
    if (atomic_load_explicit(&test_on, memory_order_acquire))
        return atomic_load(&test_mono_ns);
    struct timespec ts;
    MUST(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t time_real_us(void)
{
    if (atomic_load_explicit(&test_on, memory_order_acquire))
        return atomic_load(&test_real_us);
    struct timespec ts;
    MUST(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

void time_test_set(int64_t mono_ns, int64_t real_us)
{
    atomic_store(&test_mono_ns, mono_ns);
    atomic_store(&test_real_us, real_us);
    atomic_store(&test_real_ns_part, 0);
    atomic_store_explicit(&test_on, true, memory_order_release);
}

void time_test_advance(int64_t ns)
{
    atomic_fetch_add(&test_mono_ns, ns);
    int64_t part = atomic_load(&test_real_ns_part) + ns; /* carries what is below a microsecond */
    atomic_fetch_add(&test_real_us, part / 1000);
    atomic_store(&test_real_ns_part, part % 1000);
}

void time_test_reset(void)
{
    atomic_store_explicit(&test_on, false, memory_order_release);
}

/* Days since 1970-01-01 of a proleptic Gregorian date; year >= 1. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

char *time_format(char ret[TIME_RFC3339_MAX], int64_t real_us)
{
    if (real_us < 0)
        real_us = 0;
    if (real_us > REAL_US_MAX)
        real_us = REAL_US_MAX;
    int64_t s = real_us / US_PER_S, z = s / S_PER_DAY + 719468;
    int64_t era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    int64_t y = yoe + era * 400 + (m <= 2);
    /* The remainders change nothing; they let the compiler see that the text fits. */
    (void)snprintf(ret, TIME_RFC3339_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
                   (unsigned)y % 10000, (unsigned)m % 100, (unsigned)d % 100,
                   (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
                   (unsigned)(real_us % US_PER_S));
    return ret;
}

/* Exactly `n` digits at *s, moved past on success. */
static int digits(const char **s, size_t n, int64_t max, int64_t *ret)
{
    uint64_t v;
    if (strnlen(*s, n) < n || str_to_u64(*s, n, (uint64_t)max, &v) < 0)
        return -E_PARSE;
    *s += n;
    *ret = (int64_t)v;
    return 0;
}

static int literal(const char **s, const char *one_of)
{
    if (**s == '\0' || !strchr(one_of, **s))
        return -E_PARSE;
    (*s)++;
    return 0;
}

static bool day_exists(int64_t y, int64_t m, int64_t d)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && leap);
}

/* ".123456789" as microseconds, 0 when there is none. */
static int fraction(const char **s, int64_t *ret_us)
{
    *ret_us = 0;
    if (**s != '.')
        return 0;
    (*s)++;
    size_t n = strspn(*s, "0123456789");
    if (n < 1 || n > 9)
        return -E_PARSE;
    for (size_t i = 0; i < 6; i++)
        *ret_us = *ret_us * 10 + (i < n ? (*s)[i] - '0' : 0);
    *s += n;
    return 0;
}

/* "Z" or "+hh:mm" as seconds east of UTC. */
static int zone(const char **s, int64_t *ret_s)
{
    int64_t h, m;
    if (literal(s, "Zz") == 0) {
        *ret_s = 0;
        return 0;
    }
    int64_t sign = **s == '-' ? -1 : 1;
    if (literal(s, "+-") < 0 || digits(s, 2, 23, &h) < 0 || literal(s, ":") < 0 ||
        digits(s, 2, 59, &m) < 0)
        return -E_PARSE;
    *ret_s = sign * (h * 3600 + m * 60);
    return 0;
}

int time_parse(const char *s, int64_t *ret_us)
{
    int64_t y, mon, d, h, min, sec, us, off;
    if (!s || digits(&s, 4, 9999, &y) < 0 || literal(&s, "-") < 0 || digits(&s, 2, 12, &mon) < 0 ||
        literal(&s, "-") < 0 || digits(&s, 2, 31, &d) < 0 || literal(&s, "Tt") < 0 ||
        digits(&s, 2, 23, &h) < 0 || literal(&s, ":") < 0 || digits(&s, 2, 59, &min) < 0 ||
        literal(&s, ":") < 0 || digits(&s, 2, 60, &sec) < 0 || fraction(&s, &us) < 0 ||
        zone(&s, &off) < 0 || *s != '\0' || y < 1 || !day_exists(y, mon, d))
        return -E_PARSE;
    /* A leap second (":60") counts as the first moment of the next minute, as POSIX time does. */
    int64_t t = days_from_civil(y, mon, d) * S_PER_DAY + h * 3600 + min * 60 + sec - off;
    t = t * US_PER_S + us;
    if (t < 0 || t > REAL_US_MAX)
        return -E_PARSE;
    *ret_us = t;
    return 0;
}

int time_parse_http(const char *s, int64_t *ret_us)
{
    /* As it is sent today, as RFC 850 had it, and as asctime prints it. */
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    for (size_t i = 0; s && i < ARRAY_LEN(forms); i++) {
        struct tm tm = {0};
        /* lint-allow: banned this is the better way, and these forms are what it is for */
        const char *end = strptime(s, forms[i], &tm);
        int64_t t = end && *end == '\0' ? (int64_t)timegm(&tm) : -1;
        if (t >= 0) {
            *ret_us = t * US_PER_S;
            return 0;
        }
    }
    return -E_PARSE;
}

int time_parse_duration_ms(const char *s, int64_t *ret_ms)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(s, "0123456789");
    int64_t n;
    int r = str_to_i64(s, digits, 0, INT64_MAX, &n);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq(s + digits, units[i].suffix))
            continue;
        return __builtin_mul_overflow(n, units[i].ms, ret_ms) ? -ERANGE : 0;
    }
    return -EINVAL;
}
