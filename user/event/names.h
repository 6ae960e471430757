/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's numbers in the field's words: flags, errors, capabilities, file types, protocols. */
#ifndef TAFFRAIL_EVENT_NAMES_H
#define TAFFRAIL_EVENT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct event;

/* "ENOENT"; "E4711" for a number without a name, made in `room` (at least 16 bytes). */
const char *name_of_error(int error, char *room);

/* Calls `each` for every name in open(2)'s flags, the access mode first; bits without a name as one hexadecimal number. */
void name_open_flags(uint32_t flags, void (*each)(void *context, const char *name), void *context);

/* Calls `each` for every capability of the set: "CAP_NET_RAW", or "CAP_63" for one that has no name yet. */
void name_capabilities(uint64_t set, void (*each)(void *context, const char *name), void *context);

/* The bit of the capability "CAP_NET_RAW"; 0 for a name that is none. */
uint64_t name_to_capability(struct text name);

/* Calls `each` for every namespace of the set, bits of enum event_namespace: "pid", "network", "ipc", "uts", "mount". */
void name_namespaces(uint32_t set, void (*each)(void *context, const char *name), void *context);

/* "guaranteed", "burstable", "besteffort" for an enum event_qos; "cri", "bundle", "state" for an enum event_source. NULL for none. */
const char *name_of_qos(int qos);
const char *name_of_source(int source);

/* "file", "dir", "symlink", "char", "block", "fifo", "socket" for the type bits of a mode; NULL for none. */
const char *name_of_file_type(uint32_t mode);

/* "tcp", "udp", "unix", …; NULL for what has no name here. */
const char *name_of_transport(int family, int protocol);

/* "A", "AAAA", …, or "TYPE4711" (RFC 3597); "NOERROR", "NXDOMAIN", …, or "RCODE11": of DNS; in `room` (at least 16 bytes). */
const char *name_of_dns_type(uint16_t type, char *room);
const char *name_of_dns_response(uint8_t code, char *room);

/* Does a protocol of AF_INET and AF_INET6 have ports? */
bool name_has_ports(int protocol);

/* "inet", "packet", "vsock", … for an AF_*; its number, made in `room` (at least 16 bytes), for one without a name. */
const char *name_of_socket_family(int family, char *room);
/* "stream", "dgram", "raw", … for a SOCK_* without flags, or its number. */
const char *name_of_socket_type(int type, char *room);
/*
 * What a socket of the family speaks: "icmp" for an inet socket, "audit" for netlink, an Ethernet type ("0x0003") for a packet
 * socket; else the number.
 */
const char *name_of_socket_protocol(int family, int protocol, char *room);

/* Is it the id of a technique of MITRE ATT&CK: T1059, T1059.004? */
bool name_is_technique(struct text text);

/* Calls `each` for every flag of a change (AT_*, RENAME_*) or of a deed (CLONE_*, MS_*, …), then for those without a name. */
void name_change_flags(const struct event *event, void (*each)(void *context, const char *name), void *context);
void name_deed_flags(const struct event *event, void (*each)(void *context, const char *name), void *context);

/* "PTRACE_ATTACH", "BPF_PROG_LOAD", "CLONE_NEWNET" for a deed's request; else its number, in `room` (at least 24 bytes). */
const char *name_of_request(const struct event *event, char *room);

/* "pipe", "unix", "inet", … for a value of enum kernel_fd_type. */
const char *name_of_descriptor(uint8_t type);

#endif
