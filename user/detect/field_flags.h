/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of calls' arguments in the words that Falco's rules have for them. */
#ifndef TAFFRAIL_DETECT_FIELD_FLAGS_H
#define TAFFRAIL_DETECT_FIELD_FLAGS_H

#include "detect/field.h"

enum field_flags { FLAGS_OPEN, FLAGS_MODE, FLAGS_CLONE, FLAGS_MOUNT, FLAGS_RENAME, FLAGS_UNLINK, FLAGS_EXEC };

/* The names of the bits that are set, joined by `|`; "0" where none is. */
struct text field_flags(struct extraction *extraction, enum field_flags which, uint64_t bits);

/* The names of the capabilities of a set, joined by blanks. */
struct text field_capabilities(struct extraction *extraction, uint64_t set);

/* "PTRACE_ATTACH", "BPF_PROG_LOAD", "AF_PACKET"; empty for a number without a name. */
struct text field_ptrace_request(uint64_t request);
struct text field_bpf_command(uint64_t command);
struct text field_socket_domain(uint32_t family);

#endif
