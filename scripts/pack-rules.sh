#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# pack-rules.sh FILE...    C source that holds these files' bytes, as user/sensor/pack.h says; to stdout
set -euo pipefail

cat <<'END'
/* Made by scripts/pack-rules.sh. */
#include <stddef.h>

#include "sensor/pack.h"

END
number=0
for file in "$@"; do
	cat <<-END
		__asm__(".section .rodata\n"
			"pack_begin_$number: .incbin \"$file\"\n"
			"pack_end_$number:\n"
			".previous\n");
		extern const unsigned char pack_begin_${number}[], pack_end_${number}[];
	END
	number=$((number + 1))
done
echo
echo 'const struct pack_file pack_files[] = {'
number=0
for file in "$@"; do
	echo "	{\"$file\", pack_begin_$number, pack_end_$number},"
	number=$((number + 1))
done
printf '\t{NULL, NULL, NULL},\n};\n'
