/* capability.c - the calls that change and read capability sets, in one place.
 *
 * Called where a process gives up what it has: the zygote keeps a few (zygote/rights.c), a new
 * sandbox and the reader of an image none (lockdown.c, image/jail.c); and where a process that an
 * OCI runtime has locked in checks that this was done (init/standalone.c). The order of these steps
 * is the caller's: the bounding set and securebits need CAP_SETPCAP, so they go before the sets.
 * Nothing here reads input. capset(2) and capget(2) are called by number; the C library has no
 * wrappers for them. */
#include "sandbox/lock/capability.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

int capability_survive_setuid(struct err *e)
{
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
        return err_set(e, -errno, "could not set securebits: %m");
    return 0;
}

int capability_has(unsigned cap)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[2];
    if (syscall(SYS_capget, &h, have) < 0)
        return -errno;
    return (have[cap / 32].effective >> (cap % 32)) & 1;
}

int capability_keep_only(uint64_t keep, struct err *e)
{
    int cap = 0;
    for (int has; (has = prctl(PR_CAPBSET_READ, cap)) >= 0; cap++)
        if (has && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0)
            return err_set(e, -errno, "could not drop capability %d: %m", cap);
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return err_set(e, -errno, "could not read capabilities: %m");
    for (int i = 0; i < 2; i++) {
        uint32_t mask = (uint32_t)(keep >> (32 * i));
        d[i].permitted &= mask;
        d[i].effective = d[i].permitted;
        d[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &h, d) < 0)
        return err_set(e, -errno, "could not drop capabilities: %m");
    return 0;
}

int capability_empty_bounding_set(struct err *e)
{
    int cap = 0;
    while (prctl(PR_CAPBSET_DROP, cap) == 0)
        cap++;
    if (errno != EINVAL || cap == 0) /* EINVAL: above the kernel's last one */
        return err_set(e, -errno, "could not drop capability %d from the bounding set: %m", cap);
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_SET_SECUREBITS, bits) < 0)
        return err_set(e, -errno, "could not lock securebits: %m");
    return 0;
}

int capability_drop_all(struct err *e)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{.effective = 0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set(e, -errno, "could not clear ambient capabilities: %m");
    if (syscall(SYS_capset, &h, none) < 0)
        return err_set(e, -errno, "could not drop capabilities: %m");
    return 0;
}

int capability_check_none(struct err *e)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {{.effective = 1}};
    if (syscall(SYS_capget, &h, d) < 0)
        return err_set(e, -errno, "could not ask for capabilities: %m");
    for (int i = 0; i < 2; i++)
        if (d[i].effective || d[i].permitted || d[i].inheritable)
            return err_set(e, -E_DENIED, "capabilities are left: effective %08x permitted %08x",
                           d[i].effective, d[i].permitted);
    int cap = 0;
    for (int has; (has = prctl(PR_CAPBSET_READ, cap)) >= 0; cap++)
        if (has || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            return err_set(e, -E_DENIED, "capability %d is left in the bounding or ambient set",
                           cap);
    return cap > 0 ? 0 : err_set(e, -E_DENIED, "could not ask for the bounding set");
}
