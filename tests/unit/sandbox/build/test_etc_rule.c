/* test_etc_rule.c - which entries of /etc are shown. Pure: a table of them, as hosts have them. */
#include "unit/unit.h"

#include <string.h>

#include "sandbox/build/etc_rule.h"

#define D      (S_IFDIR | 0755)
#define F      (S_IFREG | 0644)
#define L      (S_IFLNK | 0777)
#define SHUT_D (S_IFDIR | 0750)
#define SHUT_F (S_IFREG | 0640)

enum by { NOBODY, PACKAGE, LISTED }; /* who has brought it */

static const struct {
    const char *path;
    mode_t mode;
    enum by by;
    enum etc_verdict want;
} cases[] = {
    /* programs' configuration */
    {"java-17-openjdk", D, PACKAGE, ETC_SHOW},
    {"java-17-openjdk/security/java.security", F, LISTED, ETC_SHOW},
    {"maven", D, PACKAGE, ETC_SHOW},
    {"maven/settings.xml", F, LISTED, ETC_SHOW},
    {"R/Renviron", F, LISTED, ETC_SHOW},
    {"php", D, PACKAGE, ETC_SHOW},
    {"php/8.2/cli/php.ini", F, PACKAGE, ETC_SHOW},
    {"php/8.2/cli/conf.d/20-tokenizer.ini", L, PACKAGE, ETC_SHOW},
    {"php/8.2/mods-available/tokenizer.ini", F, PACKAGE, ETC_SHOW},
    {"php/8.2/fpm/pool.d/www.conf", F, LISTED, ETC_HIDE},
    {"fonts/conf.d/10-antialias.conf", L, PACKAGE, ETC_SHOW},
    {"ImageMagick-6/policy.xml", F, LISTED, ETC_SHOW},
    {"chromium.d/README", F, LISTED, ETC_SHOW},
    {"emacs/site-start.d/00debian.el", F, LISTED, ETC_SHOW},
    {"manpath.config", F, LISTED, ETC_SHOW},
    {"environment-modules/initrc", F, LISTED, ETC_SHOW},
    {"groff/man.local", F, LISTED, ETC_SHOW},
    {"texmf/web2c/texmf.cnf", F, NOBODY, ETC_SHOW},
    {"fpc.cfg", L, NOBODY, ETC_SHOW},
    {"alternatives/awk", L, NOBODY, ETC_SHOW},
    {"ld.so.cache", F, NOBODY, ETC_SHOW},
    {"ld.so.conf.d/libc.conf", F, LISTED, ETC_SHOW},
    {"localtime", L, NOBODY, ETC_SHOW},
    {"bash.bashrc", F, LISTED, ETC_SHOW},
    {"ssl/certs/ca-certificates.crt", F, NOBODY, ETC_SHOW},
    {"ssl/certs/java/cacerts", F, NOBODY, ETC_SHOW},
    {"pki/tls/certs/ca-bundle.crt", L, NOBODY, ETC_SHOW},
    {"redhat-release", F, NOBODY, ETC_SHOW},
    {"profile.d/bash_completion.sh", F, LISTED, ETC_SHOW},
    {"nginx/mime.types", F, LISTED, ETC_SHOW},
    /* made up */
    {"passwd", F, NOBODY, ETC_MADE},
    {"group", F, NOBODY, ETC_MADE},
    {"hosts", F, NOBODY, ETC_MADE},
    {"resolv.conf", L, NOBODY, ETC_MADE},
    {"machine-id", F, NOBODY, ETC_MADE},
    {"nsswitch.conf", F, LISTED, ETC_MADE},
    /* who works here */
    {"passwd-", F, NOBODY, ETC_HIDE},
    {"group-", F, NOBODY, ETC_HIDE},
    {"subuid", F, NOBODY, ETC_HIDE},
    {"sudoers.d", D, PACKAGE, ETC_HIDE},
    {"sudoers.d/alice", F, NOBODY, ETC_HIDE},
    {"cron.d/backup", F, PACKAGE, ETC_HIDE},
    {"crontab", F, LISTED, ETC_HIDE},
    {"mailname", F, NOBODY, ETC_HIDE},
    {"aliases", F, NOBODY, ETC_HIDE},
    /* secrets, readable or not */
    {"shadow", F, LISTED, ETC_HIDE},
    {"shadow-", F, NOBODY, ETC_HIDE},
    {"ssh/ssh_host_rsa_key", F, PACKAGE, ETC_HIDE},
    {"ssl/private", D, LISTED, ETC_HIDE},
    {"ssl/private/server.crt", F, NOBODY, ETC_HIDE},
    {"ssl/certs/server.key", F, NOBODY, ETC_HIDE},
    {"krb5.conf", F, LISTED, ETC_HIDE},
    {"krb5.keytab", F, NOBODY, ETC_HIDE},
    {"wireguard/wg0.conf", F, PACKAGE, ETC_HIDE},
    {"docker/daemon.json", F, PACKAGE, ETC_HIDE},
    {"docker/config.json", F, NOBODY, ETC_HIDE},
    {"kubernetes/admin.conf", F, NOBODY, ETC_HIDE},
    {"apt/auth.conf.d/company.conf", F, PACKAGE, ETC_HIDE},
    {"apt/sources.list", F, PACKAGE, ETC_HIDE},
    {"pip.conf", F, NOBODY, ETC_HIDE},
    {"npmrc", F, NOBODY, ETC_HIDE},
    {"gitconfig", F, NOBODY, ETC_HIDE},
    {"environment", F, NOBODY, ETC_HIDE},
    {"profile.d/company.sh", F, PACKAGE, ETC_HIDE},
    {"maven/.netrc", F, PACKAGE, ETC_HIDE},
    {"nginx/htpasswd", F, PACKAGE, ETC_HIDE},
    {"php/8.2/db-credentials.ini", F, PACKAGE, ETC_HIDE},
    {"R/API_TOKEN", F, PACKAGE, ETC_HIDE},
    {"R/api-token.txt", F, PACKAGE, ETC_HIDE},
    {"mysql/Secrets.cnf", F, PACKAGE, ETC_HIDE},
    {"emacs/.git", D, PACKAGE, ETC_HIDE},
    {"php/8.2/cli/php.ini.bak", F, PACKAGE, ETC_HIDE},
    {"nginx/nginx.conf~", F, PACKAGE, ETC_HIDE},
    /* what this host is */
    {"fstab", F, NOBODY, ETC_HIDE},
    {"crypttab", F, NOBODY, ETC_HIDE},
    {"network/interfaces", F, PACKAGE, ETC_HIDE},
    {"netplan/01.yaml", F, PACKAGE, ETC_HIDE},
    {"NetworkManager/system-connections/x", F, PACKAGE, ETC_HIDE},
    {"hosts.allow", F, NOBODY, ETC_HIDE},
    {"nginx/sites-enabled/intranet", L, PACKAGE, ETC_HIDE},
    {"systemd/system/app.service", F, PACKAGE, ETC_HIDE},
    {"default/app", F, PACKAGE, ETC_HIDE},
    /* nobody knows it: an application of the company's */
    {"myapp", D, NOBODY, ETC_HIDE},
    {"myapp/config.yml", F, NOBODY, ETC_HIDE},
    {"app.conf", F, NOBODY, ETC_HIDE},
    {".pwd.lock", F, NOBODY, ETC_HIDE},
    /* not for everybody, or no file */
    {"maven/settings.xml", SHUT_F, LISTED, ETC_HIDE},
    {"php/8.2/cli", SHUT_D, PACKAGE, ETC_HIDE},
    {"php", S_IFDIR | 0744, PACKAGE, ETC_HIDE},
    {"R/pipe", S_IFIFO | 0666, PACKAGE, ETC_HIDE},
    {"R/socket", S_IFSOCK | 0777, PACKAGE, ETC_HIDE},
    {"R/device", S_IFCHR | 0666, PACKAGE, ETC_HIDE},
    {"ld.so.preload", F, NOBODY, ETC_HIDE},
};

static void entries_are_shown_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct etc_entry e = {.path = cases[i].path,
                                    .mode = cases[i].mode,
                                    .packaged = cases[i].by != NOBODY,
                                    .listed = cases[i].by == LISTED};
        const char *reason = NULL;
        const enum etc_verdict got = etc_rule(&e, &reason);
        if (got != cases[i].want)
            fail_msg("%s (case %zu): %d, because: %s", cases[i].path, i, (int)got, reason);
        assert_non_null(reason);
    }
}

static void binds_may_stand_below_etc_but_for_what_libc_reads(void **state)
{
    (void)state;
    static const char *const good[] = {"fonts", "fonts/conf.d/x", "foo", "passwds",
                                       "apt",   "hostsx"};
    static const char *const bad[] = {
        "",      "passwd",        "passwd/x",     "group",
        "hosts", "resolv.conf",   "ld.so.cache",  "ld.so.conf.d/a.conf",
        "mtab",  "ld.so.preload", "nsswitch.conf"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(etc_rule_bindable(good[i], NULL));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *reason = NULL;
        assert_false(etc_rule_bindable(bad[i], &reason));
        assert_non_null(reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_shown_or_not),
        cmocka_unit_test(binds_may_stand_below_etc_but_for_what_libc_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
