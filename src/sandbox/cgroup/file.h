/* file - reading and writing control files by descriptor. */
#pragma once

#include "base/base.h"

struct err;

/* Opens the directory `group` ("" is the mount itself) below the mount point `mount`, following no
 * link and crossing no mount, and checks that it is on the cgroup file system with this device
 * number. A descriptor, or negative with words. */
int cgroup_dir_open(const char *mount, const char *group, unsigned dev_major, unsigned dev_minor,
                    struct err *e) WARN_UNUSED;
/* Opens the directory `name` in `dir`; it must be on a cgroup file system. */
int cgroup_dir_below(int dir, const char *name) WARN_UNUSED;

/* Opens control file `file` of the group `dir`, following no link. A descriptor, or -errno; -EXDEV
 * when it is on no cgroup file system. */
int cgroup_file_open(int dir, const char *file, int flags) WARN_UNUSED;

/* One write(2) of the text into `file` of the group `dir`. -EXDEV when the file is on no cgroup
 * file system. */
int cgroup_write(int dir, const char *file, const char *text) WARN_UNUSED;
/* Likewise for a limit, and reads what the file says then, without its last newline. */
int cgroup_set(int dir, const char *file, const char *text, char *ret, size_t cap) WARN_UNUSED;
/* The file's text without its last newline. Negative when it cannot be read or does not fit. */
int cgroup_read(int dir, const char *file, char *ret, size_t cap) WARN_UNUSED;
/* Whether one of the words of the file is `word`. False when it cannot be read. */
bool cgroup_has_word(int dir, const char *file, const char *word);

/* Calls fn for each process in cgroup.procs of `dir`, in chunks of what one read
 * gives: stops at the first negative result and returns it. A pid of 0 is a process
 * outside of our pid namespace. */
int cgroup_each_pid(int dir, int (*fn)(void *arg, uint64_t pid), void *arg) WARN_UNUSED;
/* Likewise for each group below `dir`, by name. fn may remove the group. */
int cgroup_each_group(int dir, int (*fn)(void *arg, const char *name), void *arg) WARN_UNUSED;

/* Removes the group `name` below `dir` and all groups in it. 0 also when there was none. What can
 * be removed is, and the first error is returned: -EBUSY when there are still processes in it. */
int cgroup_remove_tree(int dir, const char *name) WARN_UNUSED;
