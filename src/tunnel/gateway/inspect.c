/* inspect.c - names of authorities that boxes make when they are set up.
 *
 * Called with a name out of a certificate that a stranger has shown; it decides about words for a person and
 * nothing else. Administrators can rename such an authority, so one that is not here may be one all the same.
 * Each word stands for itself in such names: none is part of the name of an authority of the public web. */
#include "tunnel/gateway/inspect.h"

#include "base/str.h"

#include <string.h>

static const struct {
    const char *word, *product;
} known[] = {
    {"zscaler", "Zscaler"},
    {"netskope", "Netskope"},
    {"goskope", "Netskope"},
    {"palo alto", "Palo Alto Networks"},
    {"paloalto", "Palo Alto Networks"},
    {"fortinet", "Fortinet FortiGate"},
    {"fortigate", "Fortinet FortiGate"},
    {"blue coat", "Blue Coat ProxySG"},
    {"bluecoat", "Blue Coat ProxySG"},
    {"proxysg", "Blue Coat ProxySG"},
    {"cloud services ca", "Symantec Web Security Service"},
    {"cisco umbrella", "Cisco Umbrella"},
    {"cisco secure access", "Cisco Secure Access"},
    {"ironport", "Cisco Secure Web Appliance"},
    {"check point", "Check Point"},
    {"checkpoint", "Check Point"},
    {"sophos", "Sophos"},
    {"sonicwall", "SonicWall"},
    {"watchguard", "WatchGuard"},
    {"forcepoint", "Forcepoint"},
    {"websense", "Forcepoint"},
    {"mcafee web gateway", "Skyhigh Secure Web Gateway"},
    {"skyhigh", "Skyhigh Secure Web Gateway"},
    {"barracuda", "Barracuda"},
    {"iboss", "iboss"},
    {"menlo security", "Menlo Security"},
    {"gateway ca - cloudflare managed", "Cloudflare Gateway"},
    {"cloudflare for teams", "Cloudflare Gateway"},
    {"cato networks", "Cato Networks"},
    {"lightspeed systems", "Lightspeed"},
    {"smoothwall", "Smoothwall"},
    {"securly", "Securly"},
    {"untangle", "Arista NG Firewall (Untangle)"},
    {"kaspersky", "Kaspersky"},
    {"eset ssl filter", "ESET"},
    {"bitdefender", "Bitdefender"},
    {"avast", "Avast"},
    {"avg web", "AVG"},
    {"mitmproxy", "mitmproxy"},
    {"portswigger", "Burp Suite"},
    {"charles proxy", "Charles"},
    {"do_not_trust_fiddlerroot", "Fiddler"},
    {"owasp zed attack proxy", "ZAP"},
    {"squid", "Squid"},
};

static bool holds(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; strlen(p) >= n; p++)
        if (str_ieq_n(p, n, word, n))
            return true;
    return false;
}

const char *inspect_product(const char *authority)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (holds(authority, known[i].word))
            return known[i].product;
    return NULL;
}
