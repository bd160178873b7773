/* bombs - programs that take of one thing until something stops them. */
#pragma once

/* Runs one and prints {"bomb":...,"reached":N,"stopped":"..."}: "stopped" is the errno's name, or
 * "nothing" when the ceiling ("max=N") was reached. Returns the exit status: 0 stopped, 3 not. */
int bomb(const char *kind);
