/* admit.c - what a claimed session is, before anything of it runs.
 *
 * Runs on a fiber beside the heartbeat (runner.c). Memory stores and skills are not built: a session
 * with a memory store is not served, because what its tools would write there would be lost; its calls
 * are answered with an error that says so, which its user sees. One with skills is served, because the
 * official worker does so when it cannot fetch them; its first result says that they are missing. The
 * platform controls every field; names are bounded before they are repeated. */
#include "worker/admit.h"
#include "base/log.h"
#include "base/str.h"

#include <string.h>

#define TRIES       5
#define NAMES_BYTES 400 /* of skills, in a notice */

void admit_done(struct admit *a)
{
    free(TAKE(a->metadata));
    free(TAKE(a->refusal));
    free(TAKE(a->notice));
}

/* Names of the agent's skills, for people: "a, b". NULL when there are none. */
static char *skill_names(const json_t *session)
{
    const json_t *skills = json_object_get(json_object_get(session, "agent"), "skills");
    if (json_array_size(skills) == 0)
        return NULL;
    struct buf b = BUF_INIT(2048);
    size_t i;
    json_t *skill;
    json_array_foreach (skills, i, skill) {
        const char *id = json_get_str(skill, "skill_id");
        if (b.len > NAMES_BYTES) {
            (void)buf_adds(&b, ", ...");
            break;
        }
        (void)buf_adds(&b, i ? ", " : "");
        str_escape(&b, id ? id : "?", id ? strlen(id) : 1, 100);
    }
    char *names = mem_strdup(buf_str(&b));
    buf_done(&b);
    return names;
}

static bool has_memory_store(const json_t *session)
{
    size_t i;
    json_t *resource;
    json_array_foreach (json_object_get(session, "resources"), i, resource)
        if (str_eq(json_get_str(resource, "type"), "memory_store"))
            return true;
    return false;
}

void admit_judge(struct admit *a, const json_t *session)
{
    const json_t *archived = json_object_get(session, "archived_at");
    if (str_eq(json_get_str(session, "status"), "terminated") ||
        (archived && !json_is_null(archived))) {
        a->verdict = ADMIT_OVER;
        return;
    }
    const json_t *metadata = json_object_get(session, "metadata");
    a->metadata = json_is_object(metadata) ? json_text(metadata, NULL) : mem_strdup("{}");
    if (has_memory_store(session))
        a->refusal =
            mem_strdup("This call was not run: the session has a memory store, and this worker "
                       "(sallyport) cannot mount memory stores yet. Nothing would be read from it, "
                       "and what is written there would be lost. Use a session without memory "
                       "stores, or a worker that mounts them.");
    AUTO_FREE char *skills = skill_names(session);
    if (skills)
        a->notice =
            mem_printf("Note of the worker: this worker (sallyport) does not install skills "
                       "yet. These skills of the agent are missing in the sandbox: %s.",
                       skills);
    a->verdict = ADMIT_SERVE;
}

/* One try. 0: it is known now; negative: ask again, or -ECANCELED. */
static int read_session(struct admit *a, int64_t *ret_after_ms)
{
    struct remote_answer answer;
    int r = remote_session(a->remote, a->session_id, &answer);
    *ret_after_ms = answer.retry_after_ms;
    if (r == 0 && answer.status == 200 && json_is_object(answer.body)) {
        admit_judge(a, answer.body);
    } else if (r != -ECANCELED) {
        bool for_good = r == 0 && remote_is_permanent(&answer);
        log_warn("the session could not be read", "session=%s status=%d why=%s", a->session_id,
                 answer.status, log_q(answer.words));
        a->verdict = for_good ? ADMIT_UNKNOWN : ADMIT_NOT_READ;
        r = for_good ? 0 : -EAGAIN;
    }
    remote_answer_done(&answer);
    return r;
}

int admit_run(void *arg)
{
    struct admit *a = arg;
    struct backoff retry = {.base_ms = 500, .cap_ms = 4000};
    for (int i = 1;; i++) {
        int64_t after_ms;
        int r = read_session(a, &after_ms);
        if (r != -EAGAIN)
            return r;
        if (i == TRIES)
            break;
        r = fiber_sleep_ms(backoff_next_ms(&retry, after_ms));
        if (r < 0)
            return r;
    }
    a->verdict = ADMIT_UNKNOWN;
    return 0;
}
