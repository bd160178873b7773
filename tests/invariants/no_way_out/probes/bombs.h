/* bombs - programs that take of one thing until something stops them. */
#pragma once

/* Runs one and prints {"bomb":...,"reached":N,"stopped":"..."}: "stopped" is the errno's name, or
 * "nothing" when the ceiling ("max=N") was reached. Returns the exit status: 0 stopped, 3 not. */
int bomb(const char *kind);

/* One more of the thing: 0 or more, or -1 with errno. `i` counts from 0. */
typedef long more_fn(unsigned long i);
more_fn more_aio, more_inotify, more_watch, more_epoll, more_socket_filter, more_tcp, more_udp,
    more_orphan, more_files, more_timer, more_passed; /* quotas.c */
