/* forward_asks.c - messages of a server as a whole: what it asks of the client, and tasks that it has made.
 *
 * Called on the request's fiber with each message that may be one of these, before lists are filtered. A server that is
 * allowed to be called is not thereby allowed to use the model of whoever calls it, or to ask the person in front of
 * it: the route says which kinds pass (server_requests). Where a call is waiting, it ends with an error that
 * names the rule; on a stream that belongs to no call the question is left out, and the server waits for an answer as long
 * as it likes. What may hold a question that is not to pass, and cannot be read, does not pass either. */
#include "tunnel/gateway/forward_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"

METRIC_COUNTER(n_refused, "sallyport_gateway_server_requests_refused_total", "",
               "What servers have asked of their clients and the route does not let through")

static bool possible(void *arg, const char *text, size_t n)
{
    const struct gateway_request *q = arg;
    static const char task[] = "\"taskId\"";
    return (q->route->server_requests != ASK_ALL && asks_possible(text, n)) ||
           (n && memmem(text, n, task, sizeof(task) - 1));
}

static int refuse(struct gateway_request *q, unsigned kinds, const json_t *message, struct err *e)
{
    const char *word = asks_word(kinds);
    metric_add(&n_refused, 1);
    log_info("a server has asked something of its client that does not pass", "host=%s what=%s",
             q->host->text, word);
    if (!q->call.id && json_object_get(message, "method"))
        return 1;
    (void)snprintf(q->asked, sizeof(q->asked), "server_requests: %s", word);
    return err_set(e, -E_DENIED,
                   "the server has asked the client for something (%s) that the gateway does not "
                   "let through; an operator of the gateway can change that in server_requests",
                   word);
}

static int look(void *arg, const json_t *message, struct err *e)
{
    struct gateway_request *q = arg;
    const unsigned kinds = asks_of(message) & ~q->route->server_requests;
    forward_tasks_learn(q, message);
    return kinds ? refuse(q, kinds, message, e) : 0;
}

void forward_look_at_messages(struct list_sieve *sieve)
{
    sieve->message = look;
    sieve->possible = possible;
}
