/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: the files of a TLS set, read and judged. */
#ifndef TAFFRAIL_GRPC_TLS_FILES_H
#define TAFFRAIL_GRPC_TLS_FILES_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

enum { GRPC_TLS_CA, GRPC_TLS_CERTIFICATE, GRPC_TLS_KEY, GRPC_TLS_FILES };

struct grpc_tls_set {
	STACK_OF(X509) * cas;
	STACK_OF(X509_CRL) * crls;
	X509 *certificate;
	STACK_OF(X509) * chain; /* what stands behind it in its file */
	EVP_PKEY *key;
	int64_t certificate_end, ca_end; /* see tls.h */
};

/*
 * Reads the files, at most 1 MiB of each. 0; -EINVAL with a sentence, or with none where OpenSSL knows why; -ENOMEM. What
 * was read is in `set` in any case, for grpc_tls_set_free.
 */
int grpc_tls_files_read(struct grpc_tls_set *set, char *const paths[GRPC_TLS_FILES], char *why, size_t why_size);
void grpc_tls_set_free(struct grpc_tls_set *set);

/* "FILE: what OpenSSL says"; and forgets it. */
void grpc_tls_say_openssl(char *why, size_t why_size, const char *path);

#endif
