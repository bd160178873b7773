/* test_config_refused.c - what is wrong with a file is said with its line, its field and what to do. */
#include "unit/tunnel/gateway/config_load.h"

#include <stdio.h>

#define AT(line, words) "gateway.yaml:" line ": " words

#define WITH       "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    credential: "
#define PROGRAM    "routes:\n  a.b:\n    command: [x]\n"
#define LIMITS     "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    limits: "
#define TOOLS      "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    tools: "
#define CREDENTIAL "routes.a.b.credential"
#define TAKEN                                                                                      \
    CREDENTIAL ".header: says something about the message: a credential has no place in it"
#define LITERAL                                                                                    \
    CREDENTIAL ".value: names no place to read the secret from, as ${file:/run/secrets/x}; it "    \
               "never stands here itself"
#define PLACE                                                                                      \
    CREDENTIAL ".value: a place is ${file:PATH}, ${env:NAME}, ${systemd:NAME} or ${secret}"

static const struct row {
    const char *yaml, *words;
} rows[] = {
    /* keys */
    {LISTEN TLS ROUTES "listen: x\n", AT("4", "listen: there is no such field of the file")},
    {LISTEN TLS ROUTES "conections: 2\n",
     AT("4", "conections: there is no such field; did you mean \"connections\"?")},
    {LISTEN "tls:\n  cert_file: c\n  keyfile: k\n" ROUTES,
     AT("4", "tls.keyfile: there is no such field; did you mean \"key_file\"?")},
    {LISTEN TLS ROUTES "upstream: {permitted: []}\n",
     AT("4", "upstream.permitted: there is no such field of upstream")},
    {LISTEN TLS ROUTES "upstream: {allowed_ip: []}\n",
     AT("4", "upstream.allowed_ip: there is no such field; did you mean \"allowed_ips\"?")},
    {LISTEN TLS ROUTES "upstream: {tls: {insecure: true}}\n",
     AT("4", "upstream.tls.insecure: there is no such field of upstream.tls")},
    {LISTEN TLS "routes:\n  a.example:\n    url: x\n",
     AT("5", "routes.a.example.url: there is no such field of routes.NAME")},
    {LISTEN TLS "tls: {}\n", "gateway.yaml: line 3 column 1: the key \"tls\" is given twice"},
    {LISTEN TLS "routes:\n  a.b: x\n  a.b: y\n",
     "gateway.yaml: line 5 column 3: the key \"a.b\" is given twice"},
    {"- x\n", AT("1", "an object is expected")},
    {"", "gateway.yaml: an object is expected"},
    /* what is not built */
    {LISTEN TLS TOOLS "{}\n",
     AT("6", "routes.a.b.tools: says nothing: give \"allow\", \"deny\", \"arguments\" or "
             "\"confirm\"")},
    {LISTEN TLS TOOLS "[a]\n", AT("6", "routes.a.b.tools: an object is expected")},
    {LISTEN TLS TOOLS "{alow: [a]}\n",
     AT("6", "routes.a.b.tools.alow: there is no such field; did you mean \"allow\"?")},
    {LISTEN TLS TOOLS "{allow: a}\n", AT("6", "routes.a.b.tools.allow: a list is expected")},
    {LISTEN TLS TOOLS "{deny: [a, 'b c']}\n",
     AT("6", "routes.a.b.tools.deny[1]: a tool's name is 1 to 128 letters, digits and _ - . / :, "
             "and * for "
             "any characters")},
    {LISTEN TLS TOOLS "{deny: ['']}\n",
     AT("6", "routes.a.b.tools.deny[0]: a text of 1 to 128 bytes is expected")},
    {LISTEN TLS TOOLS "{confirm: a}\n", AT("6", "routes.a.b.tools.confirm: a list is expected")},
    {LISTEN TLS TOOLS "{allow: [a], confirm_within: 5m}\n",
     AT("6", "routes.a.b.tools.confirm_within: says how long, and \"confirm\" is missing, which "
             "says what")},
    {LISTEN TLS TOOLS "{confirm: [a], confirm_within: 500ms}\n",
     AT("6", "routes.a.b.tools.confirm_within: nobody decides in less than a second")},
    {LISTEN TLS TOOLS "{confirm: [a], confirm_within: 25h}\n",
     AT("6", "routes.a.b.tools.confirm_within: at most 86400s are allowed")},
    {LISTEN TLS TOOLS "{arguments: {}}\n",
     AT("6", "routes.a.b.tools.arguments: tools with their arguments are expected, as in "
             "{get_ticket: {project: {enum: [ACME]}}}")},
    {LISTEN TLS TOOLS "{arguments: {'a b': {}}}\n",
     AT("6", "routes.a.b.tools.arguments.a b: a tool's name is 1 to 128 letters, digits and _ - . "
             "/ :, and * for any characters")},
    {LISTEN TLS TOOLS "{arguments: {a: {b: {$ref: 'http://x'}}}}\n",
     AT("6", "routes.a.b.tools.arguments.a.b.$ref: is not followed: write the schema here")},
    {LISTEN TLS LIMITS "{}\n", AT("6", "routes.a.b.limits: says nothing")},
    {LISTEN TLS LIMITS "{rate: 20}\n", AT("6", "routes.a.b.limits.rate: a rate is expected: a "
                                               "number and /s, /m, /h or /d, as in \"100/m\"")},
    {LISTEN TLS LIMITS "{concurrent: 0}\n",
     AT("6", "routes.a.b.limits.concurrent: a number from 1 to 10000 is expected")},
    {LISTEN TLS LIMITS "{result_bytes: 1MB}\n",
     AT("6", "routes.a.b.limits.result_bytes: a number of bytes is expected, as in 65536, "
             "\"512KiB\" or \"1MiB\"")},
    {LISTEN TLS LIMITS "{result_bytes: 17MiB}\n",
     AT("6", "routes.a.b.limits.result_bytes: at most 16777216 bytes are allowed")},
    {LISTEN TLS LIMITS "{deadline: 0s}\n",
     AT("6", "routes.a.b.limits: a deadline is more than nothing")},
    {LISTEN TLS LIMITS "{deadline: 2m, max_deadline: 1m}\n",
     AT("6", "routes.a.b.limits.max_deadline: is less than \"deadline\", which it bounds")},
    {LISTEN TLS ROUTES "audit: {}\n",
     AT("4", "audit.file: is missing: where are records written?")},
    {LISTEN TLS ROUTES "audit: {file: a, argument: true}\n",
     AT("4", "audit.argument: there is no such field; did you mean \"arguments\"?")},
    {LISTEN TLS ROUTES "allowed_origins: [inspector.example]\n",
     AT("4", "allowed_origins[0]: begins with neither http:// nor https://")},
    {LISTEN TLS ROUTES "allowed_origins: ['https://a/']\n",
     AT("4", "allowed_origins[0]: ends with host and port: no path, no slash, no query")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    pin_tools: first\n",
     AT("6", "routes.a.b.pin_tools: true, false or ask is expected")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    pin_tools: 1\n",
     AT("6", "routes.a.b.pin_tools: true, false or ask is expected")},
    /* programs */
    {LISTEN TLS "routes:\n  a.b:\n    sessions: 4\n",
     AT("5", "routes.a.b.sessions: goes with \"command\", which is missing")},
    {LISTEN TLS PROGRAM "    upstream: http://10.0.0.1:80\n",
     AT("6", "routes.a.b.upstream: give \"command\" or this, not both")},
    {LISTEN TLS PROGRAM "    credential: {header: X-Key, value: '${env:A}'}\n",
     AT("6", "routes.a.b.credential: a program has no header for it: \"sandbox.secrets\" adds "
             "credentials to what it sends")},
    {LISTEN TLS PROGRAM "    pass_authorization: true\n",
     AT("6", "routes.a.b.pass_authorization: a program has no header for it")},
    {LISTEN TLS "routes:\n  a.b:\n    command: node server.js\n",
     AT("5", "routes.a.b.command: a list is expected")},
    {LISTEN TLS "routes:\n  a.b:\n    command: []\n",
     AT("5", "routes.a.b.command: a program and its arguments are expected, as in [node, "
             "server.js]")},
    {LISTEN TLS "routes:\n  a.b:\n    command: [-x]\n",
     AT("5", "routes.a.b.command: a program's name does not begin with -")},
    {LISTEN TLS PROGRAM "    shared: yes please\n",
     AT("6", "routes.a.b.shared: true or false is expected")},
    {LISTEN TLS PROGRAM "    sessions: 0\n",
     AT("6", "routes.a.b.sessions: a number from 1 to 1000 is expected")},
    {LISTEN TLS PROGRAM "    session_idle: 500ms\n",
     AT("6", "routes.a.b.session_idle: a second is the least")},
    {LISTEN TLS PROGRAM "    sandbox: {bind: [/srv]}\n",
     AT("6", "routes.a.b.sandbox.bind: there is no such field; did you mean \"binds\"?")},
    {LISTEN TLS PROGRAM "    sandbox: {binds: /srv}\n",
     AT("6", "routes.a.b.sandbox.binds: a list is expected")},
    {LISTEN TLS PROGRAM "    sandbox: {env: [A]}\n",
     AT("6", "routes.a.b.sandbox.env: at most 128 names with texts are expected, as in {MODE: "
             "quiet}")},
    {LISTEN TLS PROGRAM "    sandbox: {env: {'A=B': c}}\n",
     AT("6", "routes.a.b.sandbox.env.A=B: is no name of a variable")},
    {LISTEN TLS PROGRAM "    sandbox: {memory: 1MiB}\n",
     AT("6", "routes.a.b.sandbox.memory: at least 16MiB are expected")},
    {LISTEN TLS PROGRAM "    sandbox: {cpus: 0}\n",
     AT("6", "routes.a.b.sandbox.cpus: a number of processors is expected, as 2 or 0.5")},
    /* credentials */
    {LISTEN TLS WITH "{}\n", AT("6", CREDENTIAL ".header: is missing")},
    {LISTEN TLS WITH "{header: X-Key, valeu: x}\n",
     AT("6", CREDENTIAL ".valeu: there is no such field; did you mean \"value\"?")},
    {LISTEN TLS WITH "{header: 'X Key', value: '${env:A}'}\n",
     AT("6", CREDENTIAL ".header: a header's name is expected, as in Authorization")},
    {LISTEN TLS WITH "{header: X_Key, value: '${env:A}'}\n",
     AT("6", CREDENTIAL ".header: a name with \"_\" is read in more than one way: write \"-\"")},
    {LISTEN TLS WITH "{header: Host, value: '${env:A}'}\n", AT("6", TAKEN)},
    {LISTEN TLS WITH "{header: Transfer-Encoding, value: '${env:A}'}\n", AT("6", TAKEN)},
    {LISTEN TLS WITH "{header: Mcp-Method, value: '${env:A}'}\n", AT("6", TAKEN)},
    {LISTEN TLS WITH "{header: X-Forwarded-User, value: '${env:A}'}\n", AT("6", TAKEN)},
    {LISTEN TLS WITH "{header: X-Key}\n", AT("6", CREDENTIAL ".value: is missing")},
    {LISTEN TLS WITH "{header: X-Key, value: sk-real-12345678}\n", AT("6", LITERAL)},
    {LISTEN TLS WITH "{header: X-Key, value: 'Bearer ${file:/run/x'}\n", AT("6", LITERAL)},
    {LISTEN TLS WITH "{header: X-Key, value: '${env:A} ${env:B}'}\n",
     AT("6", CREDENTIAL ".value: one place is expected")},
    {LISTEN TLS WITH "{header: X-Key, value: '${A}'}\n", AT("6", PLACE)},
    {LISTEN TLS WITH "{header: X-Key, value: '${file:}'}\n", AT("6", PLACE)},
    {LISTEN TLS WITH "{header: X-Key, value: \"\\xe9${env:A}\"}\n",
     AT("6", CREDENTIAL ".value: has a character that no header holds (printable ASCII alone)")},
    {LISTEN TLS WITH "{header: X-Key, value: '${secret}'}\n",
     AT("6", CREDENTIAL ".source: is missing: the value has ${secret}")},
    {LISTEN TLS WITH "{header: X-Key, value: '${env:A}', source: {env: A}}\n",
     AT("6", CREDENTIAL ".source: goes with ${secret} in the value")},
    {LISTEN TLS WITH "{header: X-Key, value: '${secret}', source: /run/x}\n",
     AT("6", CREDENTIAL ".source: an object is expected, as in {file: /run/secrets/name}")},
    {LISTEN TLS WITH "{header: X-Key, value: '${env:A}'}\n",
     AT("6", CREDENTIAL ": would go to an http upstream unencrypted; use https, or say "
                        "\"plaintext: true\"")},
    {LISTEN TLS WITH "{basic: {user: 'a:b', password: '${env:A}'}}\n",
     AT("6", CREDENTIAL ".basic.user: has a colon, with which the password begins")},
    {LISTEN TLS WITH "{basic: {user: a, password: 'x${env:A}'}}\n",
     AT("6",
        CREDENTIAL ".basic.password: is one place and nothing else, as ${file:/run/secrets/x}")},
    {LISTEN TLS WITH "{basic: {user: a}}\n", AT("6", CREDENTIAL ".basic.password: is missing")},
    {LISTEN TLS WITH "{basic: {user: a, password: '${env:A}'}, header: X-Key}\n",
     AT("6", CREDENTIAL ".basic: goes without header, value and oauth2")},
    {LISTEN TLS WITH "{query: key, header: X-Key, value: '${env:A}'}\n",
     AT("6", CREDENTIAL ".query: goes without header, basic and oauth2")},
    {LISTEN TLS WITH "{query: '', value: '${env:A}'}\n",
     AT("6", CREDENTIAL ".query: a text of 1 to 100 bytes is expected")},
    {LISTEN TLS WITH "{oauth2: x}\n",
     AT("6", CREDENTIAL ".oauth2: an object is expected, with token_url and what its grant needs")},
    {LISTEN TLS WITH "{oauth2: {token_url: 'https://a/'}, source: {file: /x}}\n",
     AT("6", CREDENTIAL ".source: goes without oauth2, or has it inside: give one of both")},
    {LISTEN TLS WITH "{oauth2: {token_url: 'https://a/'}, value: 'Bearer ${env:A}'}\n",
     AT("6", CREDENTIAL ".value: has no ${secret}, which is the token")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: https://10.0.0.1:80\n    pass_authorization: true\n"
                "    credential: {header: X-Token, oauth2: {subject: caller}}\n",
     AT("6",
        "routes.a.b.pass_authorization: the caller's token is exchanged, and not for the server "
        "to see")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: https://10.0.0.1:80\n    pass_authorization: true\n"
                "    credential: {header: authorizatioN, value: 'Bearer ${env:A}'}\n",
     AT("6", "routes.a.b.pass_authorization: the credential sets Authorization: give one of both")},
    /* what is missing */
    {TLS ROUTES,
     AT("1", "edge: is missing, and so is \"listen_addr\": nobody could reach this gateway")},
    {LISTEN ROUTES, AT("1", "tls: is missing")},
    {LISTEN "tls:\n  key_file: k\n" ROUTES, AT("2", "tls.cert_file: is missing")},
    {LISTEN "tls:\n  cert_file: k\n" ROUTES, AT("2", "tls.key_file: is missing")},
    {LISTEN TLS, AT("1", "routes: is missing")},
    {LISTEN TLS "routes:\n  a.b: {}\n", AT("4", "routes.a.b.upstream: is missing")},
    {"edge: https://e.example\n" TLS ROUTES,
     AT("1", "token_file: is missing: an edge lets in who has the tunnel's token")},
    /* what goes with something that is missing */
    {LISTEN TLS ROUTES "token_file: t\n",
     AT("4", "token_file: goes with \"edge\", which is missing")},
    {LISTEN TLS ROUTES "connections: 2\n",
     AT("4", "connections: goes with \"edge\", which is missing")},
    {LISTEN TLS ROUTES "proxy: http://p:1\n",
     AT("4", "proxy: goes with \"edge\", which is missing")},
    {LISTEN TLS ROUTES "ca_file: ca\n", AT("4", "ca_file: goes with \"edge\", which is missing")},
    {EDGE TLS ROUTES "no_proxy: [x]\n", AT("5", "no_proxy: goes with \"proxy\", which is missing")},
    {EDGE TLS ROUTES "proxy_password_file: x\n",
     AT("5", "proxy_password_file: goes with \"proxy\", which is missing")},
    /* listeners */
    {"listen_addr: 8080\n" TLS ROUTES, AT("1", "listen_addr: a text is expected (quote it)")},
    {"listen_addr: ''\n" TLS ROUTES, AT("1", "listen_addr: a text of 1 to 300 bytes is expected")},
    {"listen_addr: ':0'\n" TLS ROUTES, AT("1", "listen_addr: a port is a number from 1 to 65535")},
    {"listen_addr: ':http'\n" TLS ROUTES,
     AT("1", "listen_addr: a port is a number from 1 to 65535")},
    {"listen_addr: 127.0.0.1\n" TLS ROUTES,
     AT("1", "listen_addr: a port is expected, as in 127.0.0.1:8080")},
    {"listen_addr: host.example:80\n" TLS ROUTES,
     AT("1", "listen_addr: an address is expected, as in 127.0.0.1:8080")},
    {"listen_addr: ::1:80\n" TLS ROUTES,
     AT("1", "listen_addr: a port is a number from 1 to 65535")},
    {LISTEN TLS ROUTES "admin: ':9090'\n",
     AT("4", "admin: a loopback address is expected, as in 127.0.0.1:9090: whoever reaches it may "
             "ask")},
    {LISTEN TLS ROUTES "admin: 0.0.0.0:9090\n",
     AT("4", "admin: a loopback address is expected, as in 127.0.0.1:9090: whoever reaches it may "
             "ask")},
    {LISTEN TLS ROUTES "admin: '[fd00::1]:9090'\n",
     AT("4", "admin: a loopback address is expected, as in 127.0.0.1:9090: whoever reaches it may "
             "ask")},
    /* the process */
    {LISTEN TLS ROUTES "log_level: INFO\n",
     AT("4", "log_level: one of debug, info, warn, error is expected")},
    /* the edge */
    {"edge: edge.example\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: begins with neither http:// nor https://")},
    {"edge: http://edge.example\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: https://host is expected: the token goes there (http:// does for 127.0.0.1 and "
             "[::1] alone)")},
    {"edge: https://edge.example/\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: ends with host and port: no path, no slash, no query")},
    {"edge: https://user@edge.example\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: a URL names no user here")},
    {"edge: 'https://edge.example:'\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: a port is a number from 1 to 65535")},
    {"edge: https://127.1\ntoken_file: t\n" TLS ROUTES,
     AT("1", "edge: \"127.1\" is not a host: it ends in a number, so some would read an address")},
    {"edge: https://edge.example\ntoken_file: 7\n" TLS ROUTES,
     AT("2", "token_file: a text is expected (quote it)")},
    {EDGE TLS ROUTES "connections: 1\n", AT("5", "connections: a number from 2 to 4 is expected")},
    {EDGE TLS ROUTES "connections: 5\n", AT("5", "connections: a number from 2 to 4 is expected")},
    {EDGE TLS ROUTES "connections: '2'\n",
     AT("5", "connections: a number from 2 to 4 is expected")},
    {EDGE TLS ROUTES "ca_file: ''\n", AT("5", "ca_file: a text of 1 to 4095 bytes is expected")},
    /* the proxy */
    {"edge: http://127.0.0.1:8400\ntoken_file: t\n" TLS ROUTES "proxy: http://p:1\n",
     AT("5", "proxy: goes with an https edge: through a proxy the token would leave this machine "
             "without TLS")},
    {"edge: http://[::1]:8400\ntoken_file: t\n" TLS ROUTES
     "proxy: https://p:1\nno_proxy: ['::1']\n",
     AT("5", "proxy: goes with an https edge: through a proxy the token would leave this machine "
             "without TLS")},
    {EDGE TLS ROUTES "proxy: socks5://p:1\n",
     AT("5", "proxy: begins with neither http:// nor https://")},
    {EDGE TLS ROUTES "proxy: http://p\n",
     AT("5", "proxy: a port is expected: proxies have no usual one")},
    {EDGE TLS ROUTES "proxy: http://u:sEcReT@p:1\n",
     AT("5", "proxy: a password has no place in it; give \"proxy_password_file\"")},
    {EDGE TLS ROUTES "proxy: http://@p:1\n",
     AT("5", "proxy: one user stands before one @; write an @ in its name as %40")},
    {EDGE TLS ROUTES "proxy: http://a@b@p:1\n",
     AT("5", "proxy: one user stands before one @; write an @ in its name as %40")},
    {EDGE TLS ROUTES "proxy: http://a%4@p:1\n",
     AT("5", "proxy: a percent sign and no two hexadecimal digits")},
    {EDGE TLS ROUTES "proxy: http://a%@p:1\n",
     AT("5", "proxy: a percent sign and no two hexadecimal digits")},
    {EDGE TLS ROUTES "proxy: http://a%3ab@p:1\n",
     AT("5", "proxy: a user's name has no colon and no control character (RFC 7617 2)")},
    {EDGE TLS ROUTES "proxy: http://a%00b@p:1\n",
     AT("5", "proxy: a user's name has no colon and no control character (RFC 7617 2)")},
    {EDGE TLS ROUTES "proxy: http://p:1\nproxy_password_file: x\n",
     AT("6", "proxy_password_file: \"proxy\" names no user, as in http://user@host:port")},
    {EDGE TLS ROUTES "proxy: http://p:1\nno_proxy: x.example\n",
     AT("6", "no_proxy: a list is expected")},
    {EDGE TLS ROUTES "proxy: http://p:1\nno_proxy:\n- x.example\n- 'a b'\n",
     AT("8", "no_proxy[1]: \"a b\" is not a host: a name has letters, digits, '-' and '_' only")},
    {EDGE TLS ROUTES "proxy: http://p:1\nno_proxy: [10.0.0.1/8]\n",
     AT("6", "no_proxy[0]: the network begins at 10.0.0.0/8")},
    /* TLS */
    {LISTEN "tls: c.pem\n" ROUTES, AT("2", "tls: an object is expected")},
    {LISTEN "tls:\n  cert_file: [a]\n  key_file: k\n" ROUTES,
     AT("3", "tls.cert_file: a text is expected (quote it)")},
    {LISTEN "tls:\n  cert_file: c\n  key_file: ''\n" ROUTES,
     AT("4", "tls.key_file: a text of 1 to 4095 bytes is expected")},
    {LISTEN "tls:\n  cert_file: c\n  key_file: \"a\\nb\"\n" ROUTES,
     AT("4", "tls.key_file: has a control character")},
    /* the domain */
    {LISTEN TLS ROUTES "tunnel_domain: '*.example'\n",
     AT("4",
        "tunnel_domain: \"*.example\" is not a host: a star stands for whole labels, in front: "
        "\"*.example.com\"")},
    {LISTEN TLS ROUTES "tunnel_domain: 10.0.0.1\n",
     AT("4", "tunnel_domain: \"10.0.0.1\" is not a host: a name is expected, not an address")},
    {LISTEN TLS ROUTES "tunnel_domain: 7\n",
     AT("4", "tunnel_domain: a text is expected (quote it)")},
    /* routes: the map */
    {LISTEN TLS "routes:\n- a: http://10.0.0.1:80\n",
     AT("3",
        "routes: hosts with their upstreams are expected, as in {wiki: http://10.0.3.7:9000}")},
    {LISTEN TLS "routes: {}\n",
     AT("3",
        "routes: hosts with their upstreams are expected, as in {wiki: http://10.0.3.7:9000}")},
    {LISTEN TLS "routes:\n",
     AT("3",
        "routes: hosts with their upstreams are expected, as in {wiki: http://10.0.3.7:9000}")},
    /* routes: hosts */
    {LISTEN TLS "routes:\n  wiki: http://10.0.0.1:80\n",
     AT("4", "routes.wiki: is a name under \"tunnel_domain\", which is missing")},
    {LISTEN TLS "routes:\n  10.0.0.1: http://10.0.0.1:80\n",
     AT("4", "routes.10.0.0.1: \"10.0.0.1\" is not a host: a name is expected, not an address")},
    {LISTEN TLS "routes:\n  a.b:80: http://10.0.0.1:80\n",
     AT("4",
        "routes.a.b:80: \"a.b:80\" is not a host: a scheme, user, port or path has no place in "
        "a host")},
    {LISTEN TLS "routes:\n  '*.b': http://10.0.0.1:80\n",
     AT("4", "routes.*.b: \"*.b\" is not a host: a star stands for whole labels, in front: "
             "\"*.example.com\"")},
    {LISTEN TLS "routes:\n  a.b: http://10.0.0.1:80\n  A.B.: http://10.0.0.2:80\n",
     AT("5", "routes.A.B.: means the same host as a.b in line 4")},
    {LISTEN TLS
     "tunnel_domain: t.x\nroutes:\n  w: http://10.0.0.1:80\n  w.t.x: http://10.0.0.2:80\n",
     AT("6", "routes.w.t.x: means the same host as w in line 5")},
    {LISTEN TLS
     "tunnel_domain: t.x\nroutes:\n  w.t.x: http://10.0.0.1:80\n  w: http://10.0.0.2:80\n",
     AT("6", "routes.w: means the same host as w.t.x in line 5")},
    /* routes: upstreams */
    {LISTEN TLS "routes:\n  a.b: 17\n",
     AT("4", "routes.a.b: an upstream is expected, as in http://10.0.3.7:9000, or an object")},
    {LISTEN TLS "routes:\n  a.b: [x]\n",
     AT("4", "routes.a.b: an upstream is expected, as in http://10.0.3.7:9000, or an object")},
    {LISTEN TLS "routes:\n  a.b:\n",
     AT("4", "routes.a.b: an upstream is expected, as in http://10.0.3.7:9000, or an object")},
    {LISTEN TLS "routes:\n  a.b: ftp://10.0.0.1:80\n",
     AT("4", "routes.a.b: http://host:port, https://host:port or unix:/path is expected")},
    {LISTEN TLS "routes:\n  a.b: HTTP://10.0.0.1:80\n",
     AT("4", "routes.a.b: http://host:port, https://host:port or unix:/path is expected")},
    {LISTEN TLS "routes:\n  a.b: http://10.0.0.1\n",
     AT("4", "routes.a.b: a port is expected, as in http://host:8080")},
    {LISTEN TLS "routes:\n  a.b: https://w.x\n",
     AT("4", "routes.a.b: a port is expected, as in https://host:8080")},
    {LISTEN TLS "routes:\n  a.b: http://10.0.0.1:80/mcp\n",
     AT("4", "routes.a.b: ends with host and port: no path, no slash, no query")},
    {LISTEN TLS "routes:\n  a.b: http://10.0.0.1:80/\n",
     AT("4", "routes.a.b: ends with host and port: no path, no slash, no query")},
    {LISTEN TLS "routes:\n  a.b: http://10.0.0.1:80?x\n",
     AT("4", "routes.a.b: ends with host and port: no path, no slash, no query")},
    {LISTEN TLS "routes:\n  a.b: http://u:sEcReT@10.0.0.1:80\n",
     AT("4", "routes.a.b: a URL names no user here")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: http://:80\n",
     AT("5", "routes.a.b.upstream: \"\" is not a host: it is empty")},
    {LISTEN TLS "routes:\n  a.b: unix:run/a\n",
     AT("4", "routes.a.b: the path of a Unix socket is absolute, as in unix:/run/wiki.sock")},
    {LISTEN TLS "routes:\n  a.b: 'unix:'\n",
     AT("4", "routes.a.b: the path of a Unix socket is absolute, as in unix:/run/wiki.sock")},
    /* routes: addresses that a file itself names */
    {LISTEN TLS "routes:\n  a.b: http://8.8.8.8:80\n",
     AT("4", "routes.a.b: 8.8.8.8 (public) is not in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or "
             "fc00::/7; \"upstream.allowed_ips\" names others")},
    {LISTEN TLS "routes:\n  a.b:\n    upstream: http://[::1]:80\n",
     AT("5", "routes.a.b.upstream: ::1 (loopback) has to be named in \"upstream.allowed_ips\", "
             "beside the networks that this replaces, as in [10.0.0.0/8, \"::1\"]")},
    /* upstream */
    {LISTEN TLS ROUTES "upstream: []\n", AT("4", "upstream: an object is expected")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips: []\n",
     AT("5", "upstream.allowed_ips: is empty; leave it out for the default")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips: 10.0.0.0/8\n",
     AT("5", "upstream.allowed_ips: a list is expected")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n",
     AT("7", "upstream.allowed_ips[1]: what follows the slash is a number from 0 to 32")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips: [fd00::1/8]\n",
     AT("5", "upstream.allowed_ips[0]: the network begins at fd00::/8")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips: [wiki.internal]\n",
     AT("5", "upstream.allowed_ips[0]: it is no address")},
    {LISTEN TLS ROUTES "upstream:\n  allowed_ips: [10.0.0.0/8]\n  disable_ip_validation: true\n",
     AT("6", "upstream.disable_ip_validation: give \"allowed_ips\" or this, not both")},
    {LISTEN TLS ROUTES "upstream:\n  disable_ip_validation: yes\n",
     AT("5", "upstream.disable_ip_validation: true or false is expected")},
    {LISTEN TLS ROUTES "upstream:\n  tls: true\n", AT("5", "upstream.tls: an object is expected")},
    {LISTEN TLS ROUTES "upstream:\n  tls:\n    include_system_cas: 1\n",
     AT("6", "upstream.tls.include_system_cas: true or false is expected")},
    {LISTEN TLS "routes: {a.b: 'https://w.x:1'}\nupstream: {tls: {include_system_cas: false}}\n",
     AT("3", "routes.a.b: nobody is trusted for https: give \"upstream.tls.ca_file\", or leave "
             "\"include_system_cas\" out")},
};

static void every_error_names_the_line_and_the_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        refuse(rows[i].yaml, rows[i].words);
}

static void an_error_does_not_show_what_was_pasted(void **state)
{
    static const char *const pasted[] = {
        EDGE TLS ROUTES "proxy: http://u:sEcReT@p:1\n",
        EDGE TLS ROUTES "proxy: http://u:sEcReT/x@p:1\n",
        EDGE TLS ROUTES "proxy: sEcReT\n",
        EDGE TLS ROUTES "log_level: sEcReT\n",
        EDGE TLS ROUTES "connections: sEcReT\n",
        EDGE TLS ROUTES "shutdown_timeout: sEcReT\n",
        EDGE TLS ROUTES "upstream: sEcReT\n",
        EDGE TLS ROUTES "upstream: {allowed_ips: [sEcReT]}\n",
        "edge: https://u:sEcReT@edge.example\ntoken_file: t\n" TLS ROUTES,
        LISTEN TLS "routes: {a.b: 'http://u:sEcReT@10.0.0.1:80'}\n",
        LISTEN TLS "routes: {a.b: {upstream: sEcReT}}\n",
        LISTEN "tls: sEcReT\n" ROUTES,
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pasted); i++) {
        struct gateway_config *c = NULL;
        struct err e = {0};
        assert_int_equal(gateway_config_parse("g", pasted[i], strlen(pasted[i]), &c, &e), -E_PARSE);
        if (!e.msg[0] || strstr(e.msg, "sEcReT"))
            fail_msg("%s: %s", pasted[i], e.msg);
    }
}

/* A text of `n` times `piece`, in `format`. */
static void refuse_many(const char *format, const char *piece, size_t n, const char *words)
{
    AUTO_FREE char *many = mem_zalloc(n * strlen(piece) + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(many + i * strlen(piece), piece, strlen(piece));
    const char *hole = strstr(format, "%s");
    assert_non_null(hole);
    AUTO_FREE char *yaml = mem_printf("%.*s%s%s", (int)(hole - format), format, many, hole + 2);
    refuse(yaml, words);
}

static void there_are_ceilings(void **state)
{
    (void)state;
    refuse_many(LISTEN TLS ROUTES "upstream: {allowed_ips: [%s]}\n", "10.0.0.1,", 257,
                AT("4", "upstream.allowed_ips: has 257 items, at most 256 are allowed"));
    refuse_many(EDGE TLS ROUTES "proxy: http://p:1\nno_proxy: [%s]\n", "a,", 257,
                AT("6", "no_proxy: has 257 items, at most 256 are allowed"));
    refuse_many(LISTEN TLS "routes:\n  a.b: unix:/%s\n", "x", 107,
                AT("4", "routes.a.b: the path of a Unix socket has at most 107 bytes"));
    refuse_many(LISTEN TLS "tunnel_domain: %sxxxxxx.y\nroutes:\n  wiki: http://10.0.0.1:80\n",
                "12345678.", 27,
                AT("5", "routes.wiki: has more than 253 bytes together with \"tunnel_domain\""));
    AUTO_FREE char *many = mem_zalloc(64 * 1100);
    size_t len = 0;
    for (unsigned i = 0; i < GATEWAY_ROUTES_MAX + 1; i++)
        len += (size_t)snprintf(many + len, 64, "  a%u.b: http://10.0.0.1:80\n", i);
    AUTO_FREE char *yaml = mem_printf(LISTEN TLS "routes:\n%s", many);
    refuse(yaml, AT("3", "routes: has 1025 routes, at most 1024 are allowed"));
}

/* ---- tokens of callers ---- */

#define JWT(x)  LISTEN TLS ROUTES "callers:\n  jwt: {issuer: i, audience: a, jwks_file: f" x "}\n"
#define BARE(x) LISTEN TLS ROUTES "callers:\n  jwt: {" x "}\n"
#define ROUTED(x)                                                                                  \
    LISTEN TLS "routes:\n  a.b:\n    upstream: http://10.0.0.1:80\n    callers: " x "\n"
#define GLOBAL     "callers: {jwt: {issuer: i, audience: a, jwks_file: f}}\n"
#define AT5(words) AT("5", "callers.jwt" words)

static const struct row caller_rows[] = {
    {LISTEN TLS ROUTES "callers: {}\n", AT("4", "callers: says nothing: give \"jwt\"")},
    {LISTEN TLS ROUTES "callers: {jwt: true}\n", AT("4", "callers.jwt: an object is expected")},
    {LISTEN TLS ROUTES "callers: {jwt: false}\n", AT("4", "callers.jwt: an object is expected")},
    {BARE("audience: a, jwks_file: f"), AT5(".issuer: is missing")},
    {BARE("issuer: i, jwks_file: f"),
     AT5(".audience: is missing, here and in a route without one: tokens that were made for others "
         "would be taken")},
    {BARE("issuer: i, audience: a"),
     AT5(".jwks_file: is missing, and so is \"jwks_url\": what are tokens checked by?")},
    {JWT(", jwks_url: 'https://i.example/k'"),
     AT5(".jwks_url: give \"jwks_file\" or this, not both")},
    {JWT(", ca_file: c"), AT5(".ca_file: goes with \"jwks_url\"")},
    {JWT(", alg: ES256"), AT5(".alg: there is no such field of callers.jwt")},
    {JWT(", algorithms: []"), AT5(".algorithms: is empty: nothing would be taken")},
    {JWT(", algorithms: [none]"),
     AT5(".algorithms[0]: is none of ES256, ES384, RS256, PS256 and EdDSA")},
    {JWT(", algorithms: [ES256, HS256]"),
     AT5(".algorithms[1]: has a secret for a key, and the keys of a set are public")},
    {JWT(", clock_skew: 10m"), AT5(".clock_skew: at most 300s are allowed")},
    {JWT(", header: content-length"),
     AT5(".header: says something about the message: a credential has no place in it")},
    {JWT(", pass_as: Authorization"),
     AT5(".pass_as: \"pass_authorization: true\" of a route lets Authorization through")},
    {JWT(", pass_as: host"),
     AT5(".pass_as: says something about the message: a credential has no place in it")},
    {LISTEN TLS WITH "{header: X-Who, value: '${env:A}', plaintext: true}\n"
                     "callers: {jwt: {issuer: i, audience: a, jwks_file: f, pass_as: X-WHO}}\n",
     AT("4", "routes.a.b: has a credential in the field of callers.jwt.pass_as")},
    {JWT(", header: x_token"),
     AT5(".header: a name with \"_\" is read in more than one way: write \"-\"")},
    {JWT(", scopes: ['a\"b']"),
     AT5(".scopes[0]: is no scope: printable ASCII without \" and \\ is expected")},
    {JWT(", scopes: ' '"),
     AT5(".scopes: is no scope: printable ASCII without \" and \\ is expected")},
    {JWT(", claims: {}"),
     AT5(".claims: an object of 1 to 16 claims is expected, as in {tenant: acme}")},
    {JWT(", claims: [a]"),
     AT5(".claims: an object of 1 to 16 claims is expected, as in {tenant: acme}")},
    {JWT(", claims: {tenant: []}"),
     AT5(".claims.tenant: a value is expected, or a list of 1 to 64 of which it is one")},
    {JWT(", claims: {tenant: {a: b}}"),
     AT5(".claims.tenant: a value is expected, or a list of 1 to 64 of which it is one")},
    {JWT(", claims: {tenant: [a, [b]]}"),
     AT5(".claims.tenant[1]: a text, a whole number, true or false is expected")},
    {JWT(", claims: {exp: 1}"), AT5(".claims.exp: has a field of its own, or is always checked")},
    {BARE("issuer: i, audience: a, jwks_url: 'http://i.example/k'"),
     AT5(".jwks_url: http:// does for this machine alone: others could change the keys")},
    {BARE("issuer: i, audience: a, jwks_url: 'https://u@i.example/k'"),
     AT5(".jwks_url: https://HOST/PATH is expected, without a user and a fragment")},
    {BARE("issuer: i, audience: a, jwks_url: 'file:///k'"),
     AT5(".jwks_url: https://HOST/PATH is expected, without a user and a fragment")},
    {ROUTED("{jwt: false}"),
     AT("6", "routes.a.b.callers: goes with \"callers\" of the file, which says whose tokens")},
    {ROUTED("{}") GLOBAL, AT("6", "routes.a.b.callers: says nothing: give \"jwt\"")},
    {ROUTED("{jwt: true}") GLOBAL, AT("6", "routes.a.b.callers.jwt: an object is expected")},
    {ROUTED("{jwt: {}}") GLOBAL, AT("6", "routes.a.b.callers.jwt: says nothing")},
    {ROUTED("{jwt: {issuer: j}}") GLOBAL,
     AT("6", "routes.a.b.callers.jwt.issuer: there is no such field of routes.NAME.callers.jwt")},
    {ROUTED("{jwt: {audience: []}}") GLOBAL,
     AT("6", "routes.a.b.callers.jwt.audience: is empty: nothing would be taken")},
};

static void tokens_of_callers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(caller_rows); i++)
        refuse(caller_rows[i].yaml, caller_rows[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_callers),
        cmocka_unit_test(every_error_names_the_line_and_the_field),
        cmocka_unit_test(an_error_does_not_show_what_was_pasted),
        cmocka_unit_test(there_are_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
