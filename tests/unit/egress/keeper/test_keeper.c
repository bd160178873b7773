/* test_keeper.c - what the keeper holds on to while it waits: for a vault, for the log, for a proxy. */
#include "unit/audit/log.h"
#include "unit/egress/keeper/keeper_world.h"
#include "unit/secret/secret_world.h"
#include "unit/secret/vault_peer.h"
#include "unit/loop.h"
#include "base/buf.h"
#include "base/str.h"
#include "io/sock.h"
#include "sandbox/lock/capability.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- secrets ---- */

struct taker {
    struct keeper *k;
    struct policy *p;
};

static int take(void *arg)
{
    struct taker *t = arg;
    struct err e = {.code = 0};
    int r = secrets_take_policy(t->k, t->p, &e);
    if (r >= 0)
        secrets_let_go(t->k);
    return r;
}

static void expect_none(struct keeper *k, const char *name)
{
    struct secret_value *value = NULL;
    struct err e = {.code = 0};
    assert_int_equal(secrets_get(k, name, &value, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "no such credential"));
}

#define CREDENTIAL(name)                                                                           \
    "{'name':'" name "','hosts':['a.test'],'inject':{'header':['x-" name "']},'source':{"          \
    "'hashicorp':{'address':'http://%s','path':'app','auth':{'approle':{'role_id':'role-1',"       \
    "'secret_id':{'file':'%s/secret_id'}}}},'json_key':'key'}}"

/* The last source of a vault waits for its connection's end when it is let go. */
static int sources_that_are_let_go_are_not_found(void *arg)
{
    (void)arg;
    struct secret_world w;
    struct vault_peer peer = {.token = "hvs.root-token-1",
                              .value = "hunter2",
                              .role_id = "role-1",
                              .secret_id = "secret-1",
                              .lease_s = 3600,
                              .renewable = true};
    struct keeper *k = keeper_new();
    struct scope s;
    struct secret_value *value = NULL;
    struct err e = {.code = 0};
    scope_init(&s);
    world_begin(&w);
    world_write(&w, "secret_id", "secret-1");
    vault_peer_begin(&peer);
    k->sources = w.all;
    AUTO_FREE char *text = mem_printf("{'allow':[{'host':'a.test'}],'credentials':[" CREDENTIAL(
                                          "A") "," CREDENTIAL("B") "]}",
                                      peer.address, w.dir, peer.address, w.dir);
    struct policy *full = policy_of(text), *empty = policy_of("{'allow':[{'host':'a.test'}]}");
    struct taker t = {k, empty};
    assert_int_equal(secrets_take_policy(k, full, &e), 0);
    if (secrets_get(k, "A", &value, &e) < 0)
        fail_msg("%s", e.msg);
    secret_value_unref(value);
    assert_int_equal(fiber_spawn(&s, "take", take, &t, NULL), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fiber_yield(), 0);
        expect_none(k, "A");
        expect_none(k, "B");
    }
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    secrets_done(k);
    map_done(&k->secrets);
    policy_unref(full);
    policy_unref(empty);
    vault_peer_end(&peer);
    (void)unlink(world_path(&w, "secret_id"));
    world_end(&w);
    free(k);
    return 0;
}
ON_LOOP(sources_that_are_let_go_are_not_found)

static int warn(void *arg)
{
    struct keeper *k = keeper_new();
    struct secret value = {0};
    AUTO(buf) words = BUF_INIT(4096);
    (void)arg;
    k->policy = policy_of("{'allow':[{'host':'a.test'}]}");
    secrets_warnings(k, &words);
    assert_string_equal(buf_str(&words), "");
    const struct rlimit none = {0, 0};
    struct err e;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    assert_true(capability_drop_all(&e) >= 0);
    assert_int_equal(secret_set(&value, "x", 1), 0);
    secrets_warnings(k, &words);
    assert_non_null(strstr(buf_str(&words), "may be written to swap"));
    secret_done(&value);
    policy_unref(k->policy);
    free(k);
    return 0;
}

static void memory_that_cannot_be_locked_is_told(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they answer mlock themselves */
#endif
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* it gives up what it needs */
        run_on_loop(warn, NULL);
        _exit(7);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* ---- records ---- */

static int begin_session(void *arg)
{
    struct keeper *k = arg;
    binding_set_session(k, map_get(&k->bindings, "bind_1"), "sesn_1");
    return 0;
}

static int find_hash(void *arg, const struct audit_line *l, const struct audit_chain *behind)
{
    (void)behind;
    if (l->kind == AUDIT_SESSION)
        assert_string_equal(json_get_str(l->json, "policy"), arg);
    return 0;
}

static int a_record_that_waits_keeps_its_policy(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {.code = 0};
    struct scope s;
    struct binding *b;
    int p[2];
    struct keeper *k = keeper_new();
    scope_init(&s);
    log_make(&l);
    const struct audit_options o = {.path = l.path};
    assert_int_equal(audit_server_open(&o, 0, &k->audit, &e), 0);
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(audit_server_add(k->audit, p[0], "egress", &e), 0);
    k->records = audit_client_new();
    assert_int_equal(audit_client_connect(k->records, p[1], &e), 0);
    k->policy = policy_of("{'allow':[{'host':'a.test'}]}");
    char hash[128];
    assert_true(str_copy(hash, sizeof(hash), policy_hash(k->policy)));
    assert_int_equal(binding_new(k, "bind_1", json_new_object(), &b, &e), 0);
    assert_int_equal(fiber_spawn(&s, "session", begin_session, k, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    assert_string_equal(b->session, ""); /* it waits for room */
    policy_unref(k->policy);
    k->policy = policy_of("{'allow':[{'host':'b.test'}]}");
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    assert_string_equal(b->session, "sesn_1");
    bindings_done(k);
    assert_int_equal(audit_client_free(k->records, 1000), 0);
    assert_int_equal(audit_server_close(k->audit, &e), 0);
    struct audit_report report;
    struct ed25519 *key = NULL;
    assert_int_equal(audit_key_read_public(l.pub, &key, &e), 0);
    assert_int_equal(audit_verify(l.path, key, NULL, find_hash, hash, &report, &e), 0);
    assert_int_equal(report.lines, 4); /* start, new, session, close */
    audit_report_done(&report);
    ed25519_free(key);
    policy_unref(k->policy);
    log_remove(&l);
    free(k);
    return 0;
}
ON_LOOP(a_record_that_waits_keeps_its_policy)

/* ---- bindings ---- */

static int sockets_that_did_not_come_are_missed(void *arg)
{
    (void)arg;
    struct keeper *k = keeper_new();
    struct ctl_fds fds = {.n = 1};
    struct err e = {.code = 0};
    struct binding *b;
    AUTO_JSON json_t *o = js("{'binding':'bind_1','sockets':2,'last':true}"),
                     *one = js("{'binding':'bind_1','sockets':1,'last':true}");
    assert_int_equal(binding_new(k, "bind_1", json_new_object(), &b, &e), 0);
    assert_true((fds.fd[0] = ctl_text_fd("socket", 6)) >= 0);
    assert_int_equal(binding_add_fds(k, b, o, &fds, &e), -EMFILE);
    assert_false(b->bound);
    assert_int_equal(fds.n, 1); /* still whose they were */
    assert_int_equal(binding_add_fds(k, b, one, &fds, &e), 0);
    assert_true(b->bound);
    bindings_done(k);
    free(k);
    return 0;
}
ON_LOOP(sockets_that_did_not_come_are_missed)

/* ---- proxies ---- */

static int hear_nothing(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                        struct ctl_answer *answer, struct err *e)
{
    (void)arg;
    (void)op;
    (void)o;
    (void)fds;
    (void)answer;
    return err_set(e, -E_PROTO, "nothing is asked here");
}

static int a_proxy_that_takes_nothing_is_ended(void *arg)
{
    (void)arg;
    struct proxy p = {.number = 1};
    int pair[2], status = 0;
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    give_process(&p);
    while (send(pair[0], "{\"op\":\"x\"}", 10, MSG_DONTWAIT) > 0)
        continue;
    p.ctl = ctl_new(pair[0], hear_nothing, NULL);
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "policy");
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(30000);
    assert_int_equal(proxy_tell(&p, o, NULL, 0), -ETIMEDOUT);
    assert_int_equal(proc_wait(&p.proc, &status), 0);
    assert_true(WIFSIGNALED(status));
    proc_done(&p.proc);
    ctl_free(p.ctl);
    p.ctl = NULL;
    assert_int_equal(proxy_tell(&p, o, NULL, 0), -E_CLOSED);
    assert_int_equal(proxy_tell(NULL, o, NULL, 0), -E_CLOSED);
    close(pair[1]);
    return 0;
}
ON_LOOP(a_proxy_that_takes_nothing_is_ended)

/* One that has been told what there is, and has not said "ready", gets what comes until then. */
static int a_proxy_that_is_about_to_serve_is_chosen(void *arg)
{
    (void)arg;
    struct keeper *k = keeper_new();
    struct proxy *p = k->proxies;
    k->n_proxies = 3;
    assert_null(proxies_choose(k));
    p[1].told = true;
    assert_ptr_equal(proxies_choose(k), &p[1]);
    p[1].bindings = 7;
    p[2] = (struct proxy){.told = true, .ready = true, .bindings = 9};
    assert_ptr_equal(proxies_choose(k), &p[2]);
    p[1].ready = true;
    assert_ptr_equal(proxies_choose(k), &p[1]);
    free(k);
    return 0;
}
ON_LOOP(a_proxy_that_is_about_to_serve_is_chosen)

struct far_end {
    unsigned binds;
    size_t fds;
};

static int hear_bind(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                     struct ctl_answer *answer, struct err *e)
{
    struct far_end *f = arg;
    (void)o;
    (void)answer;
    (void)e;
    assert_string_equal(op, "bind");
    f->binds++;
    f->fds += fds->n;
    return 0;
}

static int ask_again(struct ctl *c)
{
    struct err e = {.code = 0};
    AUTO_JSON json_t *o = js("{'op':'again','binding':'bind_1'}"), *answer = NULL;
    return ctl_ask(c, o, NULL, 0, &answer, NULL, NULL, &e);
}

/* The keeper's own lack of descriptors is no reason to end a channel, nor to forget a sandbox. */
static int sockets_that_cannot_be_sent_are_asked_for_again(void *arg)
{
    (void)arg;
    struct keeper *k = keeper_new();
    struct far_end f = {.binds = 0};
    struct ctl_fds fds = {.n = 1};
    struct err e = {.code = 0};
    struct binding *b;
    struct rlimit before;
    int pair[2];
    AUTO_JSON json_t *o = js("{'binding':'bind_1','sockets':1,'last':true}");
    struct proxy *p = &k->proxies[k->n_proxies++];
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    *p = (struct proxy){.k = k, .number = 1, .ready = true, .told = true};
    p->ctl = ctl_new(pair[0], proxy_hear, p);
    struct ctl *far = ctl_new(pair[1], hear_bind, &f);
    assert_int_equal(binding_new(k, "bind_1", json_new_object(), &b, &e), 0);
    assert_true((fds.fd[0] = ctl_text_fd("socket", 6)) >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {4, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const int bound = binding_add_fds(k, b, o, &fds, &e), again = ask_again(far);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(bound, -EMFILE);
    assert_int_equal(again, -EMFILE);
    assert_int_equal(f.binds, 0);
    assert_int_equal(ask_again(far), 0);
    assert_true(f.binds == 1 && f.fds == 1);
    ctl_free(far);
    ctl_free(p->ctl);
    bindings_done(k);
    free(k);
    return 0;
}
ON_LOOP(sockets_that_cannot_be_sent_are_asked_for_again)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sources_that_are_let_go_are_not_found),
        cmocka_unit_test(memory_that_cannot_be_locked_is_told),
        CASE(a_record_that_waits_keeps_its_policy),
        CASE(sockets_that_did_not_come_are_missed),
        CASE(a_proxy_that_takes_nothing_is_ended),
        CASE(a_proxy_that_is_about_to_serve_is_chosen),
        CASE(sockets_that_cannot_be_sent_are_asked_for_again),
    };
    secret_wipe_when_freed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
