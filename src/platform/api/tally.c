/* tally.c - two tables of counters: answers by class, refusals by error.type.
 *
 * Called once for each answer, on the loop. Labels are ours: a type that is not in the table is
 * counted as "other", so nothing of a peer's becomes a label. */
#include "platform/api/tally.h"

#include "base/metrics.h"
#include "base/str.h"

#define ANSWERS(var, class)                                                                        \
    METRIC_COUNTER(var, "sallyport_server_answers_total", "class=\"" class "\"",                   \
                   "API calls by the class of their status.")
ANSWERS(answers_2xx, "2xx")
ANSWERS(answers_4xx, "4xx")
ANSWERS(answers_5xx, "5xx")

#define REFUSALS(R)                                                                                \
    R(invalid_request_error)                                                                       \
    R(authentication_error)                                                                        \
    R(permission_error)                                                                            \
    R(not_found_error)                                                                             \
    R(conflict_error)                                                                              \
    R(request_too_large)                                                                           \
    R(rate_limit_error)                                                                            \
    R(overloaded_error)                                                                            \
    R(timeout_error)                                                                               \
    R(api_error)                                                                                   \
    R(other)

#define COUNTER(type)                                                                              \
    METRIC_COUNTER(refused_##type, "sallyport_server_refusals_total", "type=\"" #type "\"",        \
                   "API calls that were refused, by error.type.")
REFUSALS(COUNTER)

static const struct {
    const char *type;
    struct metric *counter;
} refusals[] = {
#define ROW(type) {#type, &refused_##type},
    REFUSALS(ROW)};

void tally_answer(int status)
{
    metric_add(status < 400 ? &answers_2xx : status < 500 ? &answers_4xx : &answers_5xx, 1);
}

void tally_refusal(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (str_eq(type, refusals[i].type)) {
            metric_add(refusals[i].counter, 1);
            return;
        }
    metric_add(&refused_other, 1);
}
