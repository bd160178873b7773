/* messages - what is said on the two kinds of channel (io/ctl.h). Names of operations; their members
 * stand beside them. A binding is a sandbox as egress knows it: the sockets that were born in it.
 *
 * Whoever holds sandboxes (client.h: worker, exec) to the keeper:
 *   start    audit: path, audit_named: it comes before the policy's, at: name of the section,
 *            proxies: how many, log: level; descriptors: the policy's text, and, after a keeper has died, what `start` answered last time.
 *            Answers ca: PEM, warnings: [words]; descriptor: to be kept for the next start, unread
 *   grant    answers binding: id, env: {NAME: placeholder}, doors: [{address, port, udp}]: what a
 *            sandbox is to be made with
 *   adopt    after a keeper has died: binding, env. Then `bind` and the rest, as before
 *   bind     binding, from: index of the first door; descriptors: listening sockets, in the order of
 *            doors, as often as it takes; sockets: how many; last: true with the last ones
 *   session  binding, session: id, or null when it is nobody's yet                        (notice)
 *   call     binding, call: id of the tool call that runs, or null, tool: its name        (notice)
 *   release  binding: the sandbox is gone                                                 (notice)
 *   policy   descriptor: text. Takes the place of the one before; answers warnings
 *   reread   every secret is read again when it is needed next                            (notice)
 *   state    answers {proxies: [...], credentials: [...]}: for doctor and /metrics
 *
 * The keeper to a proxy:
 *   policy   hash, descriptor: text                                                       (notice)
 *   ca       descriptor: the key                                                          (notice)
 *   bind     binding, session, call, env, from, sockets, last; descriptors                (notice)
 *   session, call, release: as above                                                      (notice)
 *   secret   credential; the tail of the question is a value of it that is to be put into requests now.
 *            Answers when what comes from here on is searched for it
 *
 * The keeper to the exporter (export/process.h):
 *   export   log: path, position: path, endpoint, ca_file, headers: [name]                (notice)
 *   finish   no more records come: send what there is, and end                            (notice)
 * The exporter to the keeper:
 *   header   name. The tail of the answer is the value
 *
 * A proxy to the keeper:
 *   ready    it has given up what it does not need and serves                             (notice)
 *   again    binding: not all of its sockets have come; it is told of it again before the answer
 *   value    credential: name. The tail of the answer is the secret. All proxies have answered `secret` about
 *            it then; not with look: true, which is for a value that no origin gets
 *   proxy_password  the same of upstream_proxy's */
#pragma once

#include "base/base.h"

/* A name for 127.0.0.1 that no resolver is asked for: where a worker tries its boundary at start. Only a
 * rule that says so lets anybody there. */
#define EGRESS_SELF_TEST_HOST "self-test.egress.sallyport"

#define EGRESS_DOORS_MAX  64
#define EGRESS_POLICY_MAX (64u << 20) /* bytes of a policy's text */
#define EGRESS_VALUE_MS   20          /* how long a proxy uses a value before it asks again */
/* How long an origin that has got a secret is taken to know it, after the secret has changed or the policy
 * has taken it away. As long as an answer may be silent. */
#define EGRESS_REMEMBER_MS (60 * 60000)
