/* test_turn_crash.c - a server that dies between any two writes of the brain, and one that takes up
 * from there.
 *
 * A child process plays a whole session (a failure that is repeated, two parallel calls of which
 * one must be confirmed, a last answer; interrupts and steering are tested in test_turn.c, without
 * deaths) and dies at the n-th step transaction - before it, or after its commit and before anybody
 * heard of it. A second child opens the same directory and goes on to the end. For every n and both
 * moments the final log must be the log of an undisturbed run, but for model requests that were
 * made again: a span that ended with an error, right before another span. db_write is wrapped by
 * the linker (--wrap). */
#include "unit/brain/world.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "brain/step.h"

#include <sys/wait.h>

#define TEXT(t) "[{'type':'text','text':'" t "'}]"

/* ---- the fault ---- */

static int die_at; /* 0: never; otherwise the n-th step transaction */
static bool die_after;
static int steps;
static int refused_ends; /* so many answers are refused by the store first */

int __real_db_write(struct db *d, tx_fn *fn, void *arg);
int __wrap_db_write(struct db *d, tx_fn *fn, void *arg);
int __wrap_db_write(struct db *d, tx_fn *fn, void *arg)
{
    bool step = fn == step_begin_tx || fn == step_end_tx;
    bool now = step && ++steps == die_at;
    if (now && !die_after)
        _exit(9);
    if (fn == step_end_tx && refused_ends > 0) {
        refused_ends--;
        return -ENOSPC;
    }
    int r = __real_db_write(d, fn, arg);
    if (now)
        _exit(9);
    return r;
}

/* ---- the model: a function of the conversation, so that a repetition gets the same answer ---- */

static size_t failures;

static int say(struct model_result *r, const char *content)
{
    json_decref(r->content);
    r->content = J(content);
    str_copy(r->stop_reason, sizeof(r->stop_reason),
             strstr(content, "tool_use") ? "tool_use" : "end_turn");
    r->usage.output_tokens = 1;
    return 0;
}

static int generate(struct model *m, const struct model_request *q, const struct model_sink *sink,
                    struct model_result *r, struct err *e)
{
    (void)m;
    (void)sink;
    AUTO_FREE char *text = json_text(q->messages, NULL);
    *r = (struct model_result){.content = json_array(), .retry_after_ms = -1};
    if (strstr(text, "good bye"))
        return say(r, TEXT("bye"));
    if (strstr(text, "result of two"))
        return say(r, TEXT("both done"));
    if (failures++ == 0) {
        r->error = MODEL_OVERLOADED;
        r->retry_after_ms = 0;
        return err_set(e, -E_PROTO, "busy");
    }
    return say(
        r,
        "[{'type':'thinking','thinking':'t','signature':'s'},{'type':'text','text':'two things'},"
        "{'type':'tool_use','id':'a','name':'bash','input':{'command':'one'}},"
        "{'type':'tool_use','id':'b','name':'edit','input':{'file_path':'two'}}]");
}
static const struct model_ops ops = {.generate = generate};

/* ---- the user: looks at the log and does what comes next, so either process can go on ---- */

static bool has(const json_t *log, const char *type, size_t n)
{
    return world_id(log, type, n)[0] != '\0';
}

/* One input, or false when the session is at its end. */
static bool next_input(struct world *w)
{
    AUTO_JSON json_t *log = world_log(w);
    const char *one = world_id(log, "agent.tool_use", 0), *two = world_id(log, "agent.tool_use", 1);
    if (!has(log, "user.message", 0))
        world_send(w, "[{'type':'user.message','content':[{'type':'text','text':'start'}]}]");
    else if (!has(log, "user.tool_confirmation", 0))
        world_send(w, "[{'type':'user.tool_confirmation','tool_use_id':'%s','result':'allow'}]",
                   two);
    else if (!has(log, "user.tool_result", 0))
        world_send(w,
                   "[{'type':'user.tool_result','tool_use_id':'%s','content':[{'type':'text','text'"
                   ":'result of one'}]}]",
                   one);
    else if (!has(log, "user.tool_result", 1))
        world_send(w,
                   "[{'type':'user.tool_result','tool_use_id':'%s','content':[{'type':'text','text'"
                   ":'result of two'}]}]",
                   two);
    else if (!has(log, "user.message", 1))
        world_send(w, "[{'type':'user.message','content':[{'type':'text','text':'good bye'}]}]");
    else
        return false;
    return true;
}

static char *final_words; /* of the process that got to the end */

static void play(struct world *w)
{
    world_open(w, NULL, true);
    json_decref(world_published);
    world_published = NULL; /* the dead process published what we cannot see */
    w->model.ops = &ops;
    world_start_brain(w);
    do
        world_settle(w);
    while (next_input(w));
    world_settle(w);
    world_check_invariants(w);
    assert_int_equal(
        world_sql(w, "SELECT COUNT(*) FROM calls WHERE session_id = $1 AND answered_by IS NULL",
                  SESSION),
        0);
    assert_int_equal(world_sql(w, "SELECT COUNT(*) FROM inbox WHERE session_id = $1", SESSION), 0);
    assert_int_equal(world_sql(w, "SELECT wake FROM sessions WHERE id = $1", SESSION), 0);
    AUTO_JSON json_t *log = world_log(w);
    final_words = world_words(log);
    world_close(w);
}

/* Plays in a child. Returns its exit status: 9 died as told, 0 got to the end with its words
 * (malloc'ed) in *ret_words. */
static int play_in_child(struct world *w, int at, bool after, char **ret_words)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fd[0]);
        die_at = at;
        die_after = after;
        world_run(play, w);
        size_t n = strlen(final_words);
        bool ok = write(fd[1], final_words, n) == (ssize_t)n;
        _exit(ok ? 0 : 3);
    }
    close(fd[1]);
    static char text[8192];
    size_t have = 0;
    ssize_t n;
    while ((n = read(fd[0], text + have, sizeof(text) - 1 - have)) > 0)
        have += (size_t)n;
    close(fd[0]);
    text[have] = '\0';
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("child died of signal %d (step %d, %s)", WTERMSIG(status), at,
                 after ? "after" : "before");
    *ret_words = mem_strdup(text);
    return WEXITSTATUS(status);
}

/* Takes out spans that ended with an error and whatever repeats them leaves behind: "[ !]" before
 * another "[", and the rescheduling that the scripted failure causes (a dead process may or may not
 * have seen it). */
static char *without_retries(const char *words)
{
    static const char *const gone[] = {
        "[ !] error:retrying rescheduled t-rescheduled running t-running ", "[ !] "};
    struct buf b = BUF_INIT(16384);
    for (const char *p = words; *p;) {
        bool cut = false;
        for (size_t i = 0; i < ARRAY_LEN(gone) && !cut; i++)
            if (str_starts(p, gone[i])) {
                p += strlen(gone[i]);
                cut = true;
            }
        if (!cut)
            buf_addc(&b, *p++);
    }
    return buf_take(&b, NULL);
}

static void dies_at_every_step(void **state)
{
    (void)state;
    struct world w = {0};
    char *whole = NULL;
    scratch_init(&w.scratch);
    assert_int_equal(play_in_child(&w, 0, false, &whole), 0);
    assert_string_equal(
        whole,
        "running t-running user [ !] error:retrying rescheduled t-rescheduled running t-running "
        "[ thinks says calls calls ] t-idle usage idle:requires_action2 "
        "confirms t-idle usage idle:requires_action2 u-result t-idle usage idle:requires_action1 "
        "u-result running t-running [ says ] t-idle usage idle:end_turn "
        "running t-running user [ says ] t-idle usage idle:end_turn");
    char *want = without_retries(whole);
    world_remove(&w);

    int died = 0;
    for (int n = 1; n < 100; n++) {
        int alive = 0;
        for (int after = 0; after < 2; after++) {
            char *words = NULL;
            scratch_init(&w.scratch);
            int status = play_in_child(&w, n, after, &words);
            if (status == 9) {
                died++;
                free(words);
                status = play_in_child(&w, 0, false, &words);
            } else {
                alive++;
            }
            if (status != 0)
                fail_msg("step %d %s: child ended with %d", n, after ? "after" : "before", status);
            char *got = without_retries(words);
            if (!str_eq(got, want))
                fail_msg("step %d %s:\n got %s\nwant %s", n, after ? "after" : "before", words,
                         want);
            free(got);
            free(words);
            world_remove(&w);
        }
        if (alive == 2)
            break;
    }
    assert_true(died >= 16); /* 8 step transactions and more, before and after each */
    free(want);
    free(whole);
}

/* ---- a store that refuses for a while ---- */

static void play_full_disk(struct world *w)
{
    static const struct answer answers[] = {{.content = TEXT("kept")}};
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    world_open(w, NULL, true);
    world_start_brain(w);
    refused_ends = 3;
    world_send(w, "[{'type':'user.message','content':[{'type':'text','text':'start'}]}]");
    world_settle(w);
    assert_int_equal(refused_ends, 0);
    assert_int_equal(w->asked, 1); /* the answer waited; it was not asked for again */
    world_expect(w, "running t-running user [ says ] t-idle usage idle:end_turn");
    world_check_invariants(w);
    world_close(w);
}

static void a_full_disk_loses_no_answer(void **state)
{
    (void)state;
    struct world w = {0};
    world_run(play_full_disk, &w);
    world_remove(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dies_at_every_step),
                                       cmocka_unit_test(a_full_disk_loses_no_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
