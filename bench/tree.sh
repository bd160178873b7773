#!/bin/sh
# bench/tree.sh N: writes a C program of N files and its Makefile into the current directory, the same every time.
set -eu
n=$1 i=0
mkdir -p src
objects=
while [ $i -lt "$n" ]; do
    {
        printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include "all.h"\n'
        k=0
        while [ $k -lt 20 ]; do
            printf 'int f%d_%d(int x)\n{\n    char b[64];\n    snprintf(b, sizeof(b), "%%d", x * %d);\n' $i $k $((i + k))
            printf '    for (size_t j = 0; j < strlen(b); j++)\n        x += b[j] * %d;\n    return x %% 2 ? x : f%d_%d(x / 2);\n}\n' $k $(((i + 1) % n)) $k
            k=$((k + 1))
        done
    } >src/f$i.c
    objects="$objects src/f$i.o"
    i=$((i + 1))
done
i=0
while [ $i -lt "$n" ]; do
    k=0
    while [ $k -lt 20 ]; do
        printf 'int f%d_%d(int x);\n' $i $k
        k=$((k + 1))
    done
    i=$((i + 1))
done >src/all.h
printf 'int f0_0(int x);\nint main(void)\n{\n    return f0_0(7);\n}\n' >src/main.c
printf 'CC = gcc\nCFLAGS = -O1 -Isrc\nprogram: src/main.o%s\n\t$(CC) -o $@ $^\n$(patsubst %%.c,%%.o,$(wildcard src/*.c)): src/all.h\n' "$objects" >Makefile
