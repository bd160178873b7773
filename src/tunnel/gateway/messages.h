/* messages - what a gateway and its keeper say to each other (io/ctl.h). The gateway reads strangers' bytes
 * and may open nothing; the keeper reads the operator's files and no caller's byte. The gateway asks for what
 * the configuration names, by the name of the field: it cannot name a file, a program or a server.
 *
 * The gateway to its keeper:
 *   begin    answers config: the configuration's path, metrics: an address (absent: as the configuration says),
 *            level_given
 *   files    reads the configuration anew and opens what it names. Answers number, mark: of the files, from
 *            before they were read, one: certificate and key are one file, ca: upstream.tls.ca_file is among
 *            the descriptors, clients: tls.client_ca_file: the configuration's text, the key, the certificate unless
 *            `one`, the CA if `ca`, that of callers if `clients`; shown: of upstream.tls the key (1), and the certificate
 *            if it is not in the same file (2); keys: callers.jwt.jwks_file is the last one
 *   taken    number: these files are what is served from now on                              (notice)
 *   mark     answers mark: what it would be now
 *   secret   source: as in the configuration; subject: a caller's token, of a source that wants one; refused: SHA-256,
 *            as hex, of a value that a server has refused (both may be absent). The tail of the answer: its value
 *   keys     url: callers.jwt.jwks_url. Asks there. Answers max_age: seconds that the answer is good for (absent: not
 *            said), and a descriptor with its text
 *   line     field: token_file or proxy_password_file. The tail of the answer: what is in the file
 *   resolver file: resolv.conf or hosts. Answers a descriptor
 *   connect  path: of a Unix socket that a route leads to. Answers a descriptor that is connected
 *   stdio    route: whose program is to be started, in a sandbox. Answers two descriptors: what it reads and writes,
 *            and one that is closed when it is to end
 *   audit    answers a descriptor that leads to the log's writer, or none when nothing is recorded
 *   state    of a configuration that keeps something: answers path: of the file, uid: who decides beside root, kept:
 *            there is one, and the descriptors: a listening socket for decisions, the file's text if `kept`
 *   sheet    answers a descriptor to write to what is to be kept
 *   keep     what was written there is to be kept: answered when it is on disk
 *   ready    line: for whoever waits for it                                                  (notice)
 *
 * The keeper to the gateway, notices:
 *   stop     no new callers, those that are there get the shutdown_timeout
 *   reload   look at the files now */
#pragma once

#define GATEWAY_READY_MAX 700 /* bytes of a line that says it is ready */
