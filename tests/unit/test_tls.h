/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of TLS: a CA and certificates of all kinds, made in the process and written where files are wanted. */
#ifndef TAFFRAIL_TEST_TLS_H
#define TAFFRAIL_TEST_TLS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "grpc/tls.h"

struct issuer {
	EVP_PKEY *key;
	X509 *certificate;
};

/* A folder of PEM files: NAME.pem and NAME.key, and ca.pem. */
struct papers {
	char folder[64];
	struct issuer ca;
};

static inline EVP_PKEY *papers_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	cr_assert_not_null(key);
	return key;
}

static inline void papers_extend(X509 *certificate, X509 *issuer, int what, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
	cr_assert_not_null(extension, "%s", value);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/* From `begin` to `end`, seconds from now. `names`: as openssl's subjectAltName wants it; NULL: a CA. */
static inline X509 *papers_make(const struct issuer *issuer, EVP_PKEY *key, const char *names, long begin, long end)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	char name[40];

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), begin);
	X509_gmtime_adj(X509_getm_notAfter(certificate), end);
	X509_set_pubkey(certificate, key);
	snprintf(name, sizeof(name), "%s %ld", names ? "peer" : "CA", serial);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer->certificate : certificate));
	if (names) {
		papers_extend(certificate, issuer->certificate, NID_basic_constraints, "critical,CA:FALSE");
		papers_extend(certificate, issuer->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
		if (names[0])
			papers_extend(certificate, issuer->certificate, NID_subject_alt_name, names);
	} else {
		papers_extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
		papers_extend(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	cr_assert(X509_sign(certificate, issuer ? issuer->key : key, EVP_sha256()) > 0);
	return certificate;
}

static inline struct issuer papers_ca(void)
{
	struct issuer ca = {.key = papers_key()};

	ca.certificate = papers_make(NULL, ca.key, NULL, -60, 3650L * 86400);
	return ca;
}

static inline char *papers_path(const struct papers *papers, const char *file, char path[160])
{
	snprintf(path, 160, "%s/%s", papers->folder, file);
	return path;
}

static inline void papers_write(const struct papers *papers, const char *file, X509 *certificate, EVP_PKEY *key)
{
	char path[160], made[160];
	FILE *out = fopen(papers_path(papers, ".new", made), "w");

	cr_assert_not_null(out);
	if (certificate)
		cr_assert(PEM_write_X509(out, certificate));
	else
		cr_assert(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	fclose(out);
	cr_assert_eq(rename(made, papers_path(papers, file, path)), 0);
}

static inline void papers_text(const struct papers *papers, const char *file, const char *text)
{
	char path[160];
	FILE *out = fopen(papers_path(papers, file, path), "w");

	fputs(text, out);
	fclose(out);
}

/* NAME.pem and NAME.key. */
static inline void papers_issue_by(
	const struct papers *papers, const struct issuer *by, const char *name, const char *names, long begin, long end)
{
	EVP_PKEY *key = papers_key();
	X509 *certificate = papers_make(by, key, names, begin, end);
	char file[80];

	snprintf(file, sizeof(file), "%s.key", name);
	papers_write(papers, file, NULL, key);
	snprintf(file, sizeof(file), "%s.pem", name);
	papers_write(papers, file, certificate, NULL);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static inline void papers_issue(const struct papers *papers, const char *name, const char *names)
{
	papers_issue_by(papers, &papers->ca, name, names, -60, 30L * 86400);
}

static inline void papers_open(struct papers *papers)
{
	strcpy(papers->folder, "/tmp/taffrail-tls-XXXXXX");
	cr_assert_not_null(mkdtemp(papers->folder));
	papers->ca = papers_ca();
	papers_write(papers, "ca.pem", papers->ca.certificate, NULL);
	papers_issue(papers, "server", "DNS:localhost,DNS:collector.example,IP:127.0.0.1,IP:::1");
	papers_issue(papers, "sensor", "DNS:Sensor.Taffrail,URI:spiffe://example/ns/taffrail,IP:192.0.2.7");
}

static inline int papers_try(
	const struct papers *papers, const char *ca, const char *name, struct grpc_tls **tls, char *why, size_t size)
{
	char ca_path[160], certificate[160], key[160], file[80];

	snprintf(file, sizeof(file), "%s.pem", name);
	papers_path(papers, file, certificate);
	snprintf(file, sizeof(file), "%s.key", name);
	papers_path(papers, file, key);
	return grpc_tls_open(tls, papers_path(papers, ca, ca_path), certificate, key, why, size);
}

static inline struct grpc_tls *papers_load(const struct papers *papers, const char *ca, const char *name)
{
	struct grpc_tls *tls = NULL;
	char why[400];

	cr_assert_eq(papers_try(papers, ca, name, &tls, why, sizeof(why)), 0, "%s", why);
	return tls;
}

static inline void papers_close(struct papers *papers)
{
	char command[100];

	X509_free(papers->ca.certificate);
	EVP_PKEY_free(papers->ca.key);
	snprintf(command, sizeof(command), "rm -r '%s'", papers->folder);
	cr_assert_eq(system(command), 0);
}

#endif
