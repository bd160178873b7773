/* etc - an image's /etc, as a copy that may be changed. */
#pragma once

struct err;

/* Copies the directories, files and links of `from` (an untrusted directory) into the empty directory
 * `to`, with their modes but for set-id bits, and without what this user may not read; other kinds of
 * files are left out. Files inside belong to this user. -E_LIMIT when it is more than an /etc is. 0, or
 * a negative code with words. Blocks. */
int oci_etc_copy(int from, int to, struct err *e);
