/* machine.c - settings of the machine as a whole: power, clock, swap, accounting, log, ports. */
#include "probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void power(void)
{
    /* Turns off what Ctrl-Alt-Del does: the only harmless one. */
    refused_call("reboot(cad off)", SYS_reboot, (long)0xfee1dead, 672274793, 0, 0, 0);
}

static void kernel_log(void)
{
    char text[256];
    refused_call("read all", SYS_syslog, 3, (long)text, sizeof(text), 0, 0);
    refused_call("size", SYS_syslog, 10, 0, 0, 0, 0);
    refused_call("console level", SYS_syslog, 8, 0, 7, 0, 0);
    refused_open("/dev/kmsg", O_RDONLY);
    refused_open("/proc/kmsg", O_RDONLY);
}

static void swap(void)
{
    refused_call("swapon", SYS_swapon, (long)"/tmp/no-such-file", 0, 0, 0, 0);
    refused_call("swapoff", SYS_swapoff, (long)"/tmp/no-such-file", 0, 0, 0, 0);
}

static void accounting(void)
{
    refused_call("acct", SYS_acct, (long)"/tmp/no-such-file", 0, 0, 0, 0);
    refused_call("acct(off)", SYS_acct, 0, 0, 0, 0, 0);
}

static void quotas(void)
{
    char b[128];
    refused_call("quotactl", SYS_quotactl, (long)0x80000700, (long)"/dev/vda", 0, (long)b, 0);
    int fd = open("/", O_RDONLY | O_CLOEXEC);
    refused_call("quotactl_fd", SYS_quotactl_fd, fd, (long)0x80000700, 0, (long)b, 0);
}

static void clock_set(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct {
        long s, us;
    } tv = {now.tv_sec, now.tv_nsec / 1000};
    refused_call("clock_settime", SYS_clock_settime, CLOCK_REALTIME, (long)&now, 0, 0, 0);
    refused_call("settimeofday", SYS_settimeofday, (long)&tv, 0, 0, 0, 0);
    struct timex t = {.modes = ADJ_OFFSET_SINGLESHOT, .offset = 0};
    refused("adjtime", syscall(SYS_adjtimex, &t), EPERM, 0);
    struct timex f = {.modes = ADJ_FREQUENCY, .freq = 0};
    refused("clock_adjtime", syscall(SYS_clock_adjtime, CLOCK_REALTIME, &f), EPERM, 0);
    struct timespec boot = {.tv_sec = 1};
    refused("wake alarm", clock_nanosleep(CLOCK_REALTIME_ALARM, 0, &boot, NULL) ? -1 : 0, EPERM,
            EOPNOTSUPP, EINVAL, ENOTSUP, 0);
}

static void names(void)
{
    struct utsname u;
    refused_call("sethostname", SYS_sethostname, (long)"owned", 5, 0, 0, 0);
    refused_call("setdomainname", SYS_setdomainname, (long)"owned", 5, 0, 0, 0);
    must(uname(&u) == 0 && strcmp(u.nodename, "owned") != 0, "the name is %s", u.nodename);
    const char *host = fact("hostname");
    if (host)
        must(strcmp(u.nodename, host) != 0, "and not the host's");
}

static void ports(void)
{
#ifdef __x86_64__
    refused_call("iopl(3)", SYS_iopl, 3, 0, 0, 0, 0);
    refused_call("ioperm", SYS_ioperm, 0x80, 1, 1, 0, 0);
#else
    not_applicable("no I/O ports on this machine");
#endif
}

static void rare(void)
{
    refused_call("vhangup", SYS_vhangup, 0, 0, 0, 0, 0);
    refused_call("mbind", SYS_mbind, 0, 4096, 0, 0, 0);
    refused_call("set_mempolicy", SYS_set_mempolicy, 0, 0, 0, 0, 0);
#ifdef SYS_lookup_dcookie
    refused_call("lookup_dcookie", SYS_lookup_dcookie, 1, 0, 0, 0, 0);
#endif
#ifdef SYS_nfsservctl
    refused_call("nfsservctl", SYS_nfsservctl, 0, 0, 0, 0, 0);
#endif
    refused_call("uselib", 134, (long)"/tmp/x", 0, 0, 0, 0);
    refused_call("lsm_set_self_attr", 460, 100, 0, 0, 0, 0);
    refused_call("lsm_list_modules", 461, 0, 0, 0, 0, 0);
}

const struct probe machine_probes[] = {
    {"reboot", "the machine itself", "reboot with a harmless command",
     "refused by the filter; no CAP_SYS_BOOT", power, 0},
    {"kernel_log", "addresses and secrets in the kernel's log", "syslog, /dev/kmsg, /proc/kmsg",
     "refused by the filter; no such device", kernel_log, 0},
    {"swap", "the machine itself", "swapon, swapoff", "refused by the filter", swap, 0},
    {"accounting", "the machine itself", "acct with a file, and off", "refused by the filter",
     accounting, 0},
    {"quotas", "the machine itself", "quotactl by device and by descriptor",
     "refused by the filter", quotas, 0},
    {"clock", "the machine's clock", "clock_settime, settimeofday, adjtime, clock_adjtime, alarms",
     "refused by the filter; no CAP_SYS_TIME", clock_set, 0},
    {"host_name", "names the host trusts", "sethostname, setdomainname, compare with the host's",
     "refused by the filter; own uts namespace", names, 0},
    {"io_ports", "the machine's hardware", "iopl, ioperm", "refused by the filter", ports, 0},
    {"rare_calls", "code nobody looks at", "vhangup, mbind, lookup_dcookie, uselib, lsm_* ...",
     "refused by the filter, or in no table", rare, 0},
    {.name = NULL},
};
