/* compiled - the inside of a policy, for the files of this folder that make and read it. */
#pragma once

#include "egress/policy/index.h"
#include "egress/policy/model.h"

struct policy {
    unsigned refs;
    struct policy *base;        /* a policy with a vault's credentials borrows from this one */
    const struct policy *rules; /* itself, or the base's: who has the rules and settings */
    char hash[POLICY_HASH_HEX];

    struct policy_rule *allow, *deny;
    size_t n_allow, n_deny;
    struct index allow_index, deny_index; /* what: the rule */

    struct policy_credential **credentials; /* all; the first n_borrowed belong to `base` */
    size_t n_credentials, n_borrowed;
    struct index bound; /* what: the credential; detail: the binding */

    uint16_t *ports;
    size_t n_ports;

    struct policy_settings settings;
    struct policy_proxy *proxy;
    struct policy_otlp *otlp;
    struct host_pattern *direct_hosts; /* no_proxy */
    size_t n_direct_hosts;
    struct cidr_list direct_networks;
    char *ca_file, *audit_file, *nameservers;
};
