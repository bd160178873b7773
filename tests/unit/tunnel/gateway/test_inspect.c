/* test_inspect.c - boxes that are known by their authority, and authorities of the web that are none. */
#include "unit/unit.h"

#include <string.h>

#include "tunnel/gateway/inspect.h"

static void a_box_is_known_by_its_authority(void **state)
{
    static const struct {
        const char *authority, *product; /* NULL: none */
    } rows[] = {
        {"C=US/O=Zscaler Inc./CN=Zscaler Root CA", "Zscaler"},
        {"CN=ZSCALER INTERMEDIATE ROOT CA (zscalertwo.net)", "Zscaler"},
        {"CN=ca.acme.goskope.com", "Netskope"},
        {"CN=FGT60E1234/O=Fortinet/OU=Certificate Authority", "Fortinet FortiGate"},
        {"O=Palo Alto Networks/CN=Decrypt", "Palo Alto Networks"},
        {"CN=Gateway CA - Cloudflare Managed G1 0a1b", "Cloudflare Gateway"},
        {"CN=mitmproxy", "mitmproxy"},
        {"CN=DO_NOT_TRUST_FiddlerRoot", "Fiddler"},
        {"CN=PortSwigger CA", "Burp Suite"},
        /* authorities of the web, some of companies that make boxes, too */
        {"C=US/O=Internet Security Research Group/CN=ISRG Root X1", NULL},
        {"C=US/O=DigiCert Inc/CN=DigiCert Global Root G2", NULL},
        {"C=US/O=Google Trust Services LLC/CN=GTS Root R1", NULL},
        {"C=US/O=Amazon/CN=Amazon Root CA 1", NULL},
        {"O=Cloudflare, Inc./CN=Cloudflare Inc ECC CA-3", NULL},
        {"C=BE/O=GlobalSign nv-sa/CN=GlobalSign Root CA", NULL},
        {"CN=ACME Corp Secure CA", NULL},
        {"", NULL},
        {"z", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *p = inspect_product(rows[i].authority);
        if (!!p != !!rows[i].product || (p && strcmp(p, rows[i].product) != 0))
            fail_msg("%s: %s", rows[i].authority, p ? p : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_box_is_known_by_its_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
