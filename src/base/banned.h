/* SPDX-License-Identifier: MIT */
/* banned.h - functions that no file of ours may call; force-included by the build */
#ifndef BANNED_H
#define BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef sprintf /* a macro under clang's fortification */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol rand srand localtime

#endif
