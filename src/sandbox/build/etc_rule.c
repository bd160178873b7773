/* etc_rule.c - the table of /etc.
 *
 * Asked by etc_tree.c about each entry, in a process that sees the host. Pure: nothing is opened
 * here, so what decides about the host's secrets can be read and tested without a host.
 *
 * Programs find their configuration in /etc, and without it they fail or are silently crippled.
 * The same directory holds who works here, what this machine is called and connected to, and
 * passwords; what reads it inside is not trusted. An entry is shown when all of this is true:
 *
 *   1. no line of the table hides it. A line is about a name of /etc, whoever brought it; some say
 *      that a package must list this very file.
 *   2. everybody on the host may read it. Whoever meant it to be secret has said so by its mode.
 *   3. its name does not say that it is a secret, a copy of an old version, or the like.
 *   4. a line of the table shows it, or a package has brought the first part of its path. What an
 *      administrator has put there (/etc/myapp/config.yml, readable by everybody, with the
 *      password of a database in it) no package knows, and no program of the system needs.
 *
 * So what nobody has thought of is hidden, and an operator who wants it binds it. */
#include "sandbox/build/etc_rule.h"

#include <fnmatch.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"

/* Reasons that several lines share. */
#define IDENTITY  "says who works on this host"
#define FACTS     "says what this host is and what it is connected to"
#define SECRETS   "may hold keys or passwords"
#define SERVICE   "settings of a service of this host; no program inside can run it"
#define GENERATED "made by a package's script, so that no package lists it"

/* `path` is a pattern of fnmatch(3) and stands for what is below it, too. The first line that
 * matches counts. */
static const struct line {
    const char *path;
    enum etc_verdict verdict;
    const char *reason;
} lines[] = {
    /* ours: skeleton.c */
    {"passwd", ETC_MADE, IDENTITY},
    {"group", ETC_MADE, IDENTITY},
    {"hosts", ETC_MADE, FACTS},
    {"hostname", ETC_MADE, FACTS},
    {"resolv.conf", ETC_MADE, FACTS},
    {"nsswitch.conf", ETC_MADE, "sends look-ups to services that are not there"},
    {"shells", ETC_MADE, "is about logging in"},
    {"mtab", ETC_MADE, FACTS},

    /* who */
    {"passwd?*", ETC_HIDE, IDENTITY},
    {"group?*", ETC_HIDE, IDENTITY},
    {"shadow*", ETC_HIDE, SECRETS},
    {"gshadow*", ETC_HIDE, SECRETS},
    {"subuid*", ETC_HIDE, IDENTITY},
    {"subgid*", ETC_HIDE, IDENTITY},
    {"sudo*", ETC_HIDE, IDENTITY},
    {"doas*", ETC_HIDE, IDENTITY},
    {"login.defs", ETC_HIDE, "is about logging in"},
    {"pam*", ETC_HIDE, "is about logging in"},
    {"security", ETC_HIDE, "is about logging in"},
    {"skel", ETC_HIDE, "is about new users"},
    {"adduser*", ETC_HIDE, "is about new users"},
    {"deluser*", ETC_HIDE, "is about new users"},
    {"aliases*", ETC_HIDE, IDENTITY},
    {"mailname", ETC_HIDE, FACTS},
    {"email-addresses", ETC_HIDE, IDENTITY},
    {"ftpusers", ETC_HIDE, IDENTITY},
    {"at.*", ETC_HIDE, IDENTITY},
    {"cron*", ETC_HIDE, IDENTITY},
    {"anacrontab", ETC_HIDE, FACTS},

    /* keys */
    {"ssl/private", ETC_HIDE, SECRETS},
    {"ssh", ETC_HIDE, SECRETS},
    {"krb5*", ETC_HIDE, SECRETS},
    {"*.keytab", ETC_HIDE, SECRETS},
    {"ldap", ETC_HIDE, FACTS},
    {"*ldap.conf", ETC_HIDE, SECRETS},
    {"sssd", ETC_HIDE, SECRETS},
    {"realmd*", ETC_HIDE, FACTS},
    {"samba", ETC_HIDE, SECRETS},
    {"wireguard", ETC_HIDE, SECRETS},
    {"openvpn", ETC_HIDE, SECRETS},
    {"ipsec*", ETC_HIDE, SECRETS},
    {"strongswan*", ETC_HIDE, SECRETS},
    {"swanctl", ETC_HIDE, SECRETS},
    {"ppp", ETC_HIDE, SECRETS},
    {"wpa_supplicant", ETC_HIDE, SECRETS},
    {"pki/nssdb", ETC_HIDE, SECRETS},
    {"pki/consumer*", ETC_HIDE, SECRETS},
    {"pki/entitlement*", ETC_HIDE, SECRETS},
    {"pki/libvirt*", ETC_HIDE, SECRETS},
    {"letsencrypt", ETC_HIDE, SECRETS},
    {"vault*", ETC_HIDE, SECRETS},
    {"docker", ETC_HIDE, SECRETS},
    {"containers", ETC_HIDE, SECRETS},
    {"containerd", ETC_HIDE, SECRETS},
    {"kubernetes", ETC_HIDE, SECRETS},
    {"rancher", ETC_HIDE, SECRETS},
    {"salt", ETC_HIDE, SECRETS},
    {"puppet*", ETC_HIDE, SECRETS},
    {"chef", ETC_HIDE, SECRETS},
    {"ansible", ETC_HIDE, SECRETS},
    {"sallyport*", ETC_HIDE, SECRETS},
    {"apt", ETC_HIDE, "names sources of packages, some with passwords in their addresses"},
    {"yum*", ETC_HIDE, "names sources of packages, some with passwords in their addresses"},
    {"dnf", ETC_HIDE, "names sources of packages, some with passwords in their addresses"},
    {"pip.conf", ETC_HIDE, "names sources of packages, some with passwords in their addresses"},
    {"npmrc", ETC_HIDE, "names sources of packages, some with passwords in their addresses"},
    {"environment", ETC_HIDE, "variables of logins, tokens of proxies among them"},
    {"environment.d", ETC_HIDE, "variables of logins, tokens of proxies among them"},
    {"profile.d/*", ETC_LISTED, "variables of logins: only what packages say"},
    {"gitconfig", ETC_LISTED, "may name credentials and this host's servers"},

    /* what this host is */
    {"machine-id", ETC_MADE, FACTS},
    {"machine-info", ETC_HIDE, FACTS},
    {"hostid", ETC_HIDE, FACTS},
    {"adjtime", ETC_HIDE, FACTS},
    {"fstab*", ETC_HIDE, FACTS},
    {"crypttab", ETC_HIDE, SECRETS},
    {"exports*", ETC_HIDE, FACTS},
    {"auto.*", ETC_HIDE, FACTS},
    {"autofs*", ETC_HIDE, FACTS},
    {"lvm", ETC_HIDE, FACTS},
    {"mdadm", ETC_HIDE, FACTS},
    {"multipath*", ETC_HIDE, FACTS},
    {"iscsi", ETC_HIDE, SECRETS},
    {"blkid*", ETC_HIDE, FACTS},
    {"initramfs-tools", ETC_HIDE, FACTS},
    {"grub*", ETC_HIDE, FACTS},
    {"kernel*", ETC_HIDE, FACTS},
    {"modprobe.d", ETC_HIDE, FACTS},
    {"modules", ETC_HIDE, FACTS},
    {"modules-load.d", ETC_HIDE, FACTS},
    {"udev", ETC_HIDE, FACTS},
    {"sysctl*", ETC_HIDE, FACTS},
    {"cloud", ETC_HIDE, SECRETS},
    {"issue*", ETC_HIDE, FACTS},
    {"motd*", ETC_HIDE, FACTS},
    {"update-motd.d", ETC_HIDE, FACTS},
    {"hosts.*", ETC_HIDE, FACTS},
    {"host.conf", ETC_HIDE, FACTS},
    {"networks", ETC_HIDE, FACTS},
    {"network", ETC_HIDE, SECRETS},
    {"netplan", ETC_HIDE, SECRETS},
    {"NetworkManager", ETC_HIDE, SECRETS},
    {"resolv*", ETC_HIDE, FACTS},
    {"dhcp*", ETC_HIDE, FACTS},
    {"iproute2", ETC_HIDE, FACTS},
    {"iptables*", ETC_HIDE, FACTS},
    {"nftables*", ETC_HIDE, FACTS},
    {"ufw", ETC_HIDE, FACTS},
    {"firewalld", ETC_HIDE, FACTS},
    {"bluetooth", ETC_HIDE, FACTS},

    /* services */
    {"systemd", ETC_HIDE, SERVICE},
    {"xdg/systemd", ETC_HIDE, SERVICE},
    {"init*", ETC_HIDE, SERVICE},
    {"rc?.d", ETC_HIDE, SERVICE},
    {"default", ETC_HIDE, SERVICE},
    {"sysconfig", ETC_HIDE, SERVICE},
    {"conf.d", ETC_HIDE, SERVICE},
    {"logrotate*", ETC_HIDE, SERVICE},
    {"logcheck", ETC_HIDE, SERVICE},
    {"rsyslog*", ETC_HIDE, SERVICE},
    {"syslog*", ETC_HIDE, SERVICE},
    {"audit*", ETC_HIDE, SERVICE},
    {"apparmor*", ETC_HIDE, SERVICE},
    {"selinux", ETC_HIDE, SERVICE},
    {"polkit-1", ETC_HIDE, SERVICE},
    {"dbus-1", ETC_HIDE, SERVICE},
    {"PackageKit", ETC_HIDE, SERVICE},
    {"ntp*", ETC_HIDE, SERVICE},
    {"chrony", ETC_HIDE, SERVICE},
    {"postfix", ETC_HIDE, SERVICE},
    {"exim*", ETC_HIDE, SERVICE},
    {"dovecot", ETC_HIDE, SERVICE},
    {"bind", ETC_HIDE, SERVICE},
    {"squid", ETC_HIDE, SERVICE},
    {"haproxy", ETC_HIDE, SERVICE},
    {"cups", ETC_HIDE, SERVICE},
    {"fail2ban", ETC_HIDE, SERVICE},
    {"postgresql", ETC_HIDE, SERVICE},
    {"snmp", ETC_HIDE, SECRETS},
    {"zabbix*", ETC_HIDE, SECRETS},
    {"nagios*", ETC_HIDE, SECRETS},
    {"prometheus", ETC_HIDE, SECRETS},
    {"grafana", ETC_HIDE, SECRETS},
    {"telegraf", ETC_HIDE, SECRETS},
    {"datadog-agent", ETC_HIDE, SECRETS},
    {"gitlab*", ETC_HIDE, SECRETS},
    {"jenkins", ETC_HIDE, SECRETS},
    {"opt", ETC_HIDE, "settings of programs in /opt, which is not shown"},
    /* web servers are run by developers, too, with settings of their own */
    {"php/*/fpm", ETC_HIDE, SERVICE},
    {"*/sites-available", ETC_HIDE, FACTS},
    {"*/sites-enabled", ETC_HIDE, FACTS},

    /* shown though no package lists them */
    {"ld.so.preload", ETC_HIDE, "would be loaded into every program"},
    {"ld.so.cache", ETC_SHOW, GENERATED},
    {"ld.so.conf*", ETC_SHOW, GENERATED},
    {"alternatives", ETC_SHOW, GENERATED},
    {"localtime", ETC_SHOW, "the time zone, not the place"},
    {"timezone", ETC_SHOW, "the time zone, not the place"},
    {"locale.*", ETC_SHOW, GENERATED},
    {"os-release", ETC_SHOW, "the distribution; programs ask for it"},
    {"*-release", ETC_SHOW, "the distribution; programs ask for it"},
    {"lsb-release", ETC_SHOW, "the distribution; programs ask for it"},
    {"services", ETC_SHOW, "the same everywhere"},
    {"protocols", ETC_SHOW, "the same everywhere"},
    {"rpc", ETC_SHOW, "the same everywhere"},
    {"ethertypes", ETC_SHOW, "the same everywhere"},
    {"magic*", ETC_SHOW, "the same everywhere"},
    {"mime.types", ETC_SHOW, "the same everywhere"},
    {"mailcap", ETC_SHOW, GENERATED},
    {"papersize", ETC_SHOW, GENERATED},
    {"profile", ETC_SHOW, "what login shells begin with"},
    {"inputrc", ETC_SHOW, GENERATED},
    {"bash.bashrc", ETC_SHOW, "the distribution's"},
    {"ssl", ETC_SHOW, "certificates of authorities; private keys have lines of their own"},
    {"ca-certificates*", ETC_SHOW, GENERATED},
    {"pki", ETC_SHOW, "certificates of authorities, where they are not in ssl"},
    {"crypto-policies", ETC_SHOW, "which ciphers libraries take"},
    {"fonts", ETC_SHOW, GENERATED},
    {"java*", ETC_SHOW, GENERATED},
    {".java", ETC_SHOW, GENERATED},
    {"php", ETC_SHOW, GENERATED},
    {"python*", ETC_SHOW, GENERATED},
    {"perl", ETC_SHOW, GENERATED},
    {"texmf", ETC_SHOW, GENERATED},
    {"fpc*.cfg", ETC_SHOW, GENERATED},
    {"xml", ETC_SHOW, GENERATED},
    {"sgml", ETC_SHOW, GENERATED},
    {"emacs", ETC_SHOW, GENERATED},
    {"X11", ETC_SHOW, GENERATED},
    {"dictionaries-common", ETC_SHOW, GENERATED},
    {"mysql", ETC_SHOW, "clients' settings; those with a password are not for everybody"},
};

/* Names that say what they hold, in any directory and in any case. */
static const struct name {
    const char *pattern;
    const char *reason;
} names[] = {
    {"*secret*", SECRETS},
    {"*passw*", SECRETS},
    {"*credential*", SECRETS},
    /* as a word: PHP has a tokenizer */
    {"*token", SECRETS},
    {"*tokens", SECRETS},
    {"*token[-_.]*", SECRETS},
    {"*tokens[-_.]*", SECRETS},
    {"*apikey*", SECRETS},
    {"*api_key*", SECRETS},
    {"*api-key*", SECRETS},
    {"*htaccess*", SECRETS},
    {"*htpasswd*", SECRETS},
    {"*private*", SECRETS},
    {"*.key", SECRETS},
    {"*.p12", SECRETS},
    {"*.pfx", SECRETS},
    {"*.jks", SECRETS},
    {"*.kdbx", SECRETS},
    {"*.keytab", SECRETS},
    {"*.ovpn", SECRETS},
    {"id_rsa*", SECRETS},
    {"id_dsa*", SECRETS},
    {"id_ec*", SECRETS},
    {"id_ed*", SECRETS},
    {"kubeconfig*", SECRETS},
    {".netrc", SECRETS},
    {"netrc", SECRETS},
    {".pgpass", SECRETS},
    {".env*", SECRETS},
    {"*~", "an old version of something"},
    {"*.bak", "an old version of something"},
    {"*.old", "an old version of something"},
    {"*.orig", "an old version of something"},
    {"*.dpkg-*", "an old version of something"},
    {"*.ucf-*", "an old version of something"},
    {"*.rpm*", "an old version of something"},
    {"*.sw?", "an editor's"},
    {".#*", "an editor's"},
    {".git", "a history of all of it"},
    {".etckeeper", "a history of all of it"},
    {"*.lock", "nobody inside may write it"},
};

static enum etc_verdict verdict(enum etc_verdict v, const char *reason, const char **ret_reason)
{
    if (ret_reason)
        *ret_reason = reason;
    return v;
}

/* The line about the entry or about a directory that it is in. */
static const struct line *find_line(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (fnmatch(lines[i].path, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0)
            return &lines[i];
    return NULL;
}

enum etc_verdict etc_rule(const struct etc_entry *entry, const char **ret_reason)
{
    const mode_t open_to_all = S_ISDIR(entry->mode) ? 0005 : 0004;
    const struct line *line = find_line(entry->path);
    if (line && (line->verdict == ETC_MADE || line->verdict == ETC_HIDE))
        return verdict(line->verdict, line->reason, ret_reason);
    if (line && line->verdict == ETC_LISTED && !entry->listed)
        return verdict(ETC_HIDE, line->reason, ret_reason);
    if (!S_ISREG(entry->mode) && !S_ISDIR(entry->mode) && !S_ISLNK(entry->mode))
        return verdict(ETC_HIDE, "neither a file nor a directory nor a link", ret_reason);
    if (!S_ISLNK(entry->mode) && (entry->mode & open_to_all) != open_to_all)
        return verdict(ETC_HIDE, "not everybody on the host may read it", ret_reason);
    const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (fnmatch(names[i].pattern, name, FNM_CASEFOLD) == 0)
            return verdict(ETC_HIDE, names[i].reason, ret_reason);
    if (line)
        return verdict(ETC_SHOW, line->reason, ret_reason);
    if (entry->packaged)
        return verdict(ETC_SHOW, "a package of this host brings it", ret_reason);
    return verdict(ETC_HIDE, "no package of this host brings it", ret_reason);
}

/* What libc reads in every program before the program has a say, and what tells it who it is. */
static const char *const fixed[] = {
    "passwd",        "group",  "hosts",       "hostname",   "resolv.conf",
    "nsswitch.conf", "mtab",   "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "ld.so.preload", "shadow", "gshadow",
};

bool etc_rule_bindable(const char *path, const char **ret_reason)
{
    bool ok = path[0] != '\0';
    for (size_t i = 0; ok && i < ARRAY_LEN(fixed); i++) {
        size_t n = strlen(fixed[i]);
        ok = strncmp(path, fixed[i], n) != 0 || (path[n] != '\0' && path[n] != '/');
    }
    if (!ok && ret_reason)
        *ret_reason = "the loader and libc read it in every program";
    return ok;
}

/* Raised by hand when what is shown changes by something else than a line: a rule, how it is copied,
 * what is made up. */
#define RULES 1

uint64_t etc_rule_fingerprint(void)
{
    static const uint64_t key[2] = {0x73616c6c79706f72, RULES};
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        sum = sum * 31 + map_siphash13(key, lines[i].path, strlen(lines[i].path)) +
              (uint64_t)lines[i].verdict;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        sum = sum * 31 + map_siphash13(key, names[i].pattern, strlen(names[i].pattern));
    return sum;
}
