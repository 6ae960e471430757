/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define FILE_BYTES (1 << 20)

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

void grpc_tls_say_openssl(char *why, size_t size, const char *path)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	refuse(why, size, "%s: %s", path, reason ? reason : "it cannot be used");
	ERR_clear_error();
}

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

/* The file as a memory BIO that wipes its bytes when it is freed: one of the files is a key. */
static int read_file(BIO **out, const char *path, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
	char bytes[4096];
	struct stat file;
	BIO *memory = NULL;
	ssize_t length = 0;
	size_t all = 0;

	if (fd < 0)
		return refuse(why, size, "%s: %s", path, strerror(errno));
	if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode))
		error = refuse(why, size, "%s: it is no regular file", path);
	else if (!(memory = BIO_new(BIO_s_secmem())))
		error = -ENOMEM;
	while (!error && all <= FILE_BYTES && (length = read(fd, bytes, sizeof(bytes))) > 0) {
		all += (size_t)length;
		if (BIO_write(memory, bytes, (int)length) != length)
			error = -ENOMEM;
	}
	if (!error && length < 0)
		error = refuse(why, size, "%s: %s", path, strerror(errno));
	if (!error && all > FILE_BYTES)
		error = refuse(why, size, "%s: it is larger than 1 MiB", path);
	if (!error && all == 0)
		error = refuse(why, size, "%s: it is empty", path);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	close(fd);
	if (error)
		BIO_free(memory);
	else
		*out = memory;
	return error;
}

/* The end of a PEM file is an error of OpenSSL's too; anything else that stopped the reading is one of the file's. */
static bool ended_well(void)
{
	unsigned long error = ERR_peek_last_error();
	bool fine = !error || (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);

	if (fine)
		ERR_clear_error();
	return fine;
}

/* Nobody is there to be asked. */
static int no_password(char *room, int size, int writing, void *asked)
{
	(void)room;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

/* --- ends ----------------------------------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *when)
{
	struct tm parts;

	return ASN1_TIME_to_tm(when, &parts) ? (int64_t)timegm(&parts) : INT64_MAX;
}

static const char *date_of(const ASN1_TIME *when, char text[40])
{
	struct tm parts;

	if (!ASN1_TIME_to_tm(when, &parts) || strftime(text, 40, "%Y-%m-%d %H:%M UTC", &parts) == 0)
		snprintf(text, 40, "a time that is none");
	return text;
}

/* --- the three files ------------------------------------------------------------------------------------------------ */

static int read_cas(struct grpc_tls_set *set, BIO *file, const char *path, char *why, size_t size)
{
	STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(file, NULL, NULL, NULL);
	int64_t last = INT64_MIN;
	bool fine = true;

	if (!infos)
		return refuse(why, size, "%s: a certificate in it is damaged", path);
	ERR_clear_error();
	set->ca_end = INT64_MAX;
	for (int i = 0; i < sk_X509_INFO_num(infos) && fine; i++) {
		X509_INFO *info = sk_X509_INFO_value(infos, i);
		int64_t end;

		if (info->x509) {
			end = seconds_of(X509_get0_notAfter(info->x509));
			last = end > last ? end : last;
			if (end > time(NULL) && end < set->ca_end)
				set->ca_end = end;
			fine = sk_X509_push(set->cas, info->x509) > 0;
			info->x509 = fine ? NULL : info->x509;
		}
		if (info->crl && fine) { /* it may stand beside a certificate */
			fine = sk_X509_CRL_push(set->crls, info->crl) > 0;
			info->crl = fine ? NULL : info->crl;
		}
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	if (!fine)
		return -ENOMEM;
	if (sk_X509_num(set->cas) == 0)
		return refuse(why, size, "%s: there is no certificate in PEM in it", path);
	if (last <= time(NULL))
		return refuse(why, size, "%s: all certificates in it have expired", path);
	return 0;
}

static int read_certificate(struct grpc_tls_set *set, BIO *file, const char *path, char *why, size_t size)
{
	X509 *next;
	char date[40];

	set->certificate = PEM_read_bio_X509(file, NULL, NULL, NULL);
	if (!set->certificate)
		return refuse(why, size, "%s: %s", path,
			ended_well() ? "there is no certificate in PEM in it" : "the certificate in it is damaged");
	while ((next = PEM_read_bio_X509(file, NULL, NULL, NULL)))
		if (sk_X509_push(set->chain, next) <= 0) {
			X509_free(next);
			return -ENOMEM;
		}
	if (!ended_well())
		return refuse(why, size, "%s: the certificate behind the first is damaged", path);
	if (X509_cmp_current_time(X509_get0_notBefore(set->certificate)) > 0)
		return refuse(why, size, "%s: the certificate begins only on %s", path,
			date_of(X509_get0_notBefore(set->certificate), date));
	if (X509_cmp_current_time(X509_get0_notAfter(set->certificate)) < 0)
		return refuse(why, size, "%s: the certificate has expired on %s", path,
			date_of(X509_get0_notAfter(set->certificate), date));
	set->certificate_end = seconds_of(X509_get0_notAfter(set->certificate));
	return 0;
}

static int read_key(struct grpc_tls_set *set, BIO *file, char *const paths[], char *why, size_t size)
{
	const char *path = paths[GRPC_TLS_KEY];
	bool asked = false, there;
	char *bytes;
	long length = BIO_get_mem_data(file, &bytes);

	there = length > 0 && memmem(bytes, (size_t)length, "PRIVATE KEY-----", 16);
	set->key = PEM_read_bio_PrivateKey(file, NULL, no_password, &asked);
	if (!set->key && asked)
		return refuse(why, size, "%s: the key has a password; it must have none", path);
	if (!set->key)
		return refuse(why, size, "%s: %s", path,
			there ? "the private key in it is damaged" : "there is no private key in PEM in it");
	if (!X509_check_private_key(set->certificate, set->key))
		return refuse(
			why, size, "%s: the key does not fit the certificate %s", path, paths[GRPC_TLS_CERTIFICATE]);
	return 0;
}

int grpc_tls_files_read(struct grpc_tls_set *set, char *const paths[GRPC_TLS_FILES], char *why, size_t size)
{
	int error = 0;

	*set = (struct grpc_tls_set){
		.cas = sk_X509_new_null(), .crls = sk_X509_CRL_new_null(), .chain = sk_X509_new_null()};
	if (!set->cas || !set->crls || !set->chain)
		return -ENOMEM;
	for (int i = 0; i < GRPC_TLS_FILES && !error; i++) {
		BIO *file = NULL;

		error = read_file(&file, paths[i], why, size);
		if (!error && i == GRPC_TLS_CA)
			error = read_cas(set, file, paths[i], why, size);
		else if (!error && i == GRPC_TLS_CERTIFICATE)
			error = read_certificate(set, file, paths[i], why, size);
		else if (!error)
			error = read_key(set, file, paths, why, size);
		BIO_free(file);
	}
	return error;
}

void grpc_tls_set_free(struct grpc_tls_set *set)
{
	sk_X509_pop_free(set->cas, X509_free);
	sk_X509_CRL_pop_free(set->crls, X509_CRL_free);
	X509_free(set->certificate);
	sk_X509_pop_free(set->chain, X509_free);
	EVP_PKEY_free(set->key);
	*set = (struct grpc_tls_set){0};
}
