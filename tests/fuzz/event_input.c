/* event_input.c - fuzzes platform/event_input: what passes has the shape the log relies on, what
 * does not is refused in words.
 *
 * Theory of operation: one input is the body of a POST to a session's events. An accepted event has
 * a known inbound type and only content blocks with a type; the check changes nothing; a refusal is
 * a 400 with a message that is valid UTF-8. */
#include "fuzz.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "platform/events/event_input.h"
#include "session/refusal.h"

#include <string.h>

static void check_accepted(const json_t *event)
{
    const char *type = json_get_str(event, "type");
    MUST(type && str_starts(type, "user.") && event_type_known(type));
    const json_t *content = json_object_get(event, "content");
    MUST(!content || json_is_array(content));
    for (size_t i = 0; i < json_array_size(content); i++)
        MUST(json_get_str(json_array_get(content, i), "type"));
    if (!strcmp(type, "user.message"))
        MUST(json_array_size(content) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_JSON json_t *body = NULL;
    struct err e = {0};
    if (json_parse((const char *)data, n, &body, &e) < 0)
        return 0;
    const json_t *events = json_object_get(body, "events");
    if (!json_is_array(events))
        return 0;
    AUTO_JSON json_t *before = json_deep_copy(events);
    struct refusal r = {0};
    int code = event_input_check(&r, events, "events", 100, false);
    MUST(json_equal(before, events));
    if (code == 0) {
        MUST(r.status == 0);
        for (size_t i = 0; i < json_array_size(events); i++)
            check_accepted(json_array_get(events, i));
    } else {
        MUST(code == -E_DENIED && r.status == 400 && r.message[0]);
        MUST(str_is_utf8(r.message, strlen(r.message)));
    }
    return 0;
}
