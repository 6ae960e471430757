/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutual TLS 1.3 (RFC 8446) for clients and servers: a bundle of CAs, a certificate of one's own and its key, all PEM.
 * Both sides show a certificate, always; nothing older is spoken, and no session is resumed: each connection proves anew
 * who is at its ends. CRLs that stand in the bundle count for those whose issuers they are of.
 *
 * One thread uses it; the ends may be asked for from any.
 */
#ifndef TAFFRAIL_GRPC_TLS_H
#define TAFFRAIL_GRPC_TLS_H

#include <stddef.h>
#include <stdint.h>

#define GRPC_IDENTITY_NAMES 16     /* of one certificate; what is beyond is not looked at */
#define GRPC_IDENTITY_NAME_MAX 255 /* bytes */

struct grpc_tls;

/*
 * Reads the three files, whose names are copied. 0, or -EINVAL with "FILE: what is wrong" in `why`: it cannot be read,
 * is no PEM, holds no certificate, the key does not fit, has a password, the certificate has ended or not begun, …;
 * -ENOMEM. It must outlive every client and server that uses it.
 */
int grpc_tls_open(
	struct grpc_tls **tls, const char *ca, const char *certificate, const char *key, char *why, size_t why_size);

/*
 * Looks whether one of the files is another one than at the last look, also behind a swapped link; call it each second or
 * so. What two looks saw alike is read: 1, and what connects from now on meets the new set; -EINVAL with `why`, once for each
 * change, and the old set stays. 0: nothing changed. Running connections keep what they began with.
 */
int grpc_tls_refresh(struct grpc_tls *tls, char *why, size_t why_size);

/* When, in seconds since 1970, the certificate ends, and the first of the bundle's that has not ended yet. */
int64_t grpc_tls_certificate_end(const struct grpc_tls *tls);
int64_t grpc_tls_ca_end(const struct grpc_tls *tls);

/* NULL is allowed. */
void grpc_tls_close(struct grpc_tls *tls);

/*
 * Who a peer is: the names that its certificate was issued for (SubjectAltName, RFC 5280, 4.2.1.6), in its order: DNS
 * names in lower case, URIs, IP addresses as text. A name with anything but printable ASCII is left out, and so is a blank,
 * and a DNS name that is none by its letters.
 */
struct grpc_identity {
	size_t count;
	char names[GRPC_IDENTITY_NAMES][GRPC_IDENTITY_NAME_MAX + 1];
};

#endif
