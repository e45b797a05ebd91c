// SPDX-License-Identifier: MIT
/* exits.c - from an error to an exit code, where nothing more is known */
#include "prog/exits.h"

enum exits exits_of(enum err e)
{
	static const struct {
		enum err err;
		enum exits code;
	} map[] = {
		{ERR_OK, EXIT_DONE},         {ERR_NOENT, EXIT_NO_SUCH},
		{ERR_INVAL, EXIT_USAGE},     {ERR_ROFS, EXIT_REFUSED},
		{ERR_REFUSED, EXIT_REFUSED}, {ERR_PERM, EXIT_REFUSED},
		{ERR_NOSPC, EXIT_NO_SPACE},  {ERR_VERSION, EXIT_VERSION},
		{ERR_TIMEDOUT, EXIT_TIME},   {ERR_UNREACHABLE, EXIT_NOT_HERE},
	};

	for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].err == e)
			return map[i].code;
	return EXIT_FAILED;
}
