/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under a connection: contexts, the look at the peer's certificate, the words for what went wrong. */
#include "grpc/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/watch.h"
#include "grpc/tls_files.h"
#include "grpc/tls_inside.h"

#define CHAIN_MAX 8 /* certificates between a peer's and a CA's */

static const unsigned char protocols[] = {2, 'h', '2'};

struct grpc_tls {
	SSL_CTX *context;
	char *paths[GRPC_TLS_FILES];
	struct watch files; /* as they were read, or found wrong */
	_Atomic int64_t certificate_end, ca_end;
};

/* --- contexts ------------------------------------------------------------------------------------------------------- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *offered,
	unsigned int offered_length, void *argument)
{
	unsigned char *chosen;

	(void)ssl;
	(void)argument;
	if (SSL_select_next_proto(&chosen, out_length, protocols, sizeof(protocols), offered, offered_length) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A CA whose list of what it revoked is not in the bundle has revoked nothing that is known here. */
static int judge_certificate(int fine, X509_STORE_CTX *store)
{
	if (!fine && X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	return fine;
}

static int set_context(SSL_CTX *context, const struct grpc_tls_set *set)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);

	for (int i = 0; i < sk_X509_num(set->cas); i++)
		if (!X509_STORE_add_cert(store, sk_X509_value(set->cas, i)))
			return -ENOMEM;
	for (int i = 0; i < sk_X509_CRL_num(set->crls); i++)
		if (!X509_STORE_add_crl(store, sk_X509_CRL_value(set->crls, i)))
			return -ENOMEM;
	if (sk_X509_CRL_num(set->crls) > 0)
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	if (!SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
		!SSL_CTX_use_cert_and_key(context, set->certificate, set->key, set->chain, 1) ||
		!SSL_CTX_set_num_tickets(context, 0) ||
		SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols)) != 0)
		return -EINVAL;
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* thousands of connections, most of them silent */
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge_certificate);
	SSL_CTX_set_verify_depth(context, CHAIN_MAX);
	return 0;
}

static int load(struct grpc_tls *tls, char *why, size_t why_size)
{
	struct grpc_tls_set set;
	SSL_CTX *context;
	int error;

	ERR_clear_error();
	error = grpc_tls_files_read(&set, tls->paths, why, why_size);
	context = error ? NULL : SSL_CTX_new(TLS_method());
	if (!error)
		error = context ? set_context(context, &set) : -ENOMEM;
	if (!error) {
		SSL_CTX_free(tls->context);
		tls->context = context;
		tls->certificate_end = set.certificate_end;
		tls->ca_end = set.ca_end;
	} else {
		if (!why[0])
			grpc_tls_say_openssl(why, why_size, tls->paths[GRPC_TLS_CERTIFICATE]);
		SSL_CTX_free(context);
	}
	grpc_tls_set_free(&set);
	ERR_clear_error();
	return error;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

int grpc_tls_open(
	struct grpc_tls **out, const char *ca, const char *certificate, const char *key, char *why, size_t why_size)
{
	const char *const paths[GRPC_TLS_FILES] = {ca, certificate, key};
	struct grpc_tls *tls = calloc(1, sizeof(*tls));
	int error = tls ? 0 : -ENOMEM;

	snprintf(why, why_size, "%s", error ? "out of memory" : "");
	for (int i = 0; i < GRPC_TLS_FILES && !error; i++) {
		tls->paths[i] = strdup(paths[i]);
		error = tls->paths[i] ? 0 : -ENOMEM;
	}
	if (!error) {
		watch_begin(&tls->files, watch_look((const char *const *)tls->paths, GRPC_TLS_FILES));
		error = load(tls, why, why_size);
	}
	if (error)
		grpc_tls_close(tls);
	else
		*out = tls;
	return error;
}

int grpc_tls_refresh(struct grpc_tls *tls, char *why, size_t why_size)
{
	if (!watch_settled(&tls->files, watch_look((const char *const *)tls->paths, GRPC_TLS_FILES)))
		return 0;
	why[0] = '\0';
	return load(tls, why, why_size) ? -EINVAL : 1;
}

int64_t grpc_tls_certificate_end(const struct grpc_tls *tls)
{
	return tls->certificate_end;
}

int64_t grpc_tls_ca_end(const struct grpc_tls *tls)
{
	return tls->ca_end;
}

void grpc_tls_close(struct grpc_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	for (int i = 0; i < GRPC_TLS_FILES; i++)
		free(tls->paths[i]);
	free(tls);
}

/* --- streams -------------------------------------------------------------------------------------------------------- */

static struct bufferevent *make_stream(SSL *ssl, struct event_base *base, int fd, enum bufferevent_ssl_state state)
{
	struct bufferevent *stream =
		ssl ? bufferevent_openssl_socket_new(base, fd, ssl, state, BEV_OPT_CLOSE_ON_FREE) : NULL;

	/* Where it fails libevent has freed the SSL already. */
	if (stream)
		bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
	return stream;
}

struct bufferevent *grpc_tls_accept(struct grpc_tls *tls, struct event_base *base, int fd)
{
	return make_stream(SSL_new(tls->context), base, fd, BUFFEREVENT_SSL_ACCEPTING);
}

struct bufferevent *grpc_tls_connect(struct grpc_tls *tls, struct event_base *base, int fd, const char *name)
{
	SSL *ssl = SSL_new(tls->context);
	struct in6_addr address;
	bool is_address = inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
	int fine;

	if (!ssl)
		return NULL;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	/* An address is never sent as the server's name (RFC 6066, 3). */
	if (is_address)
		fine = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	else
		fine = SSL_set1_host(ssl, name) && SSL_set_tlsext_host_name(ssl, name);
	if (!fine) {
		SSL_free(ssl);
		return NULL;
	}
	return make_stream(ssl, base, fd, BUFFEREVENT_SSL_CONNECTING);
}

const char *grpc_tls_check(struct bufferevent *stream)
{
	const unsigned char *protocol;
	unsigned int length;

	SSL_get0_alpn_selected(bufferevent_openssl_get_ssl(stream), &protocol, &length);
	if (length != sizeof(protocols) - 1 || memcmp(protocol, protocols + 1, length) != 0)
		return "it speaks TLS, but no HTTP/2 over it (ALPN h2)";
	return NULL;
}

/* --- what went wrong ------------------------------------------------------------------------------------------------ */

static int say(char *text, size_t size, int error, const char *words, const char *more)
{
	snprintf(text, size, "%s%s", words, more ? more : "");
	return error;
}

/* An alert of the peer's (RFC 8446, 6.2). */
static int say_alert(char *text, size_t size, int alert)
{
	switch (alert) {
	case SSL_AD_UNKNOWN_CA:
		return say(text, size, -EKEYREJECTED, "it does not know the CA of our certificate", NULL);
	case SSL_AD_CERTIFICATE_EXPIRED:
		return say(text, size, -EKEYREJECTED, "it says that our certificate has ended", NULL);
	case SSL_AD_CERTIFICATE_REVOKED:
		return say(text, size, -EKEYREJECTED, "it says that our certificate is revoked", NULL);
	case SSL_AD_DECRYPT_ERROR:
		return say(text, size, -EKEYREJECTED, "it finds our certificate's signature wrong", NULL);
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_UNKNOWN:
		return say(
			text, size, -EKEYREJECTED, "it refuses our certificate: ", SSL_alert_desc_string_long(alert));
	case SSL_AD_CERTIFICATE_REQUIRED: return say(text, size, -EKEYREJECTED, "it wants a certificate", NULL);
	case SSL_AD_PROTOCOL_VERSION: return say(text, size, -EPROTO, "it does not speak TLS 1.3", NULL);
	case SSL_AD_NO_APPLICATION_PROTOCOL: return say(text, size, -EPROTO, "it speaks no HTTP/2 over TLS", NULL);
	default: return say(text, size, -EPROTO, "it ended TLS: ", SSL_alert_desc_string_long(alert));
	}
}

static int say_error(const SSL *ssl, unsigned long error, char *text, size_t size)
{
	int reason = ERR_GET_REASON(error);

	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return say(text, size, -EPROTO, "TLS failed: ", ERR_reason_error_string(error));
	if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return say_alert(text, size, reason - SSL_AD_REASON_OFFSET);
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return say(text, size, -EKEYREJECTED,
			"its certificate is refused: ", X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return say(text, size, -EKEYREJECTED, "it shows no certificate", NULL);
	case SSL_R_HTTP_REQUEST:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG: return say(text, size, -EPROTO, "it does not speak TLS", NULL);
	case SSL_R_UNSUPPORTED_PROTOCOL: return say(text, size, -EPROTO, "it does not speak TLS 1.3", NULL);
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return say(text, size, -EPROTO, "it speaks no HTTP/2 over TLS (ALPN h2)", NULL);
	default: return say(text, size, -EPROTO, "TLS failed: ", ERR_reason_error_string(error));
	}
}

bool grpc_tls_is_up(struct bufferevent *stream)
{
	return SSL_is_init_finished(bufferevent_openssl_get_ssl(stream));
}

/* A write that failed may hide the peer's last word: a TLS 1.3 client hears of its refusal after it has begun. */
ssize_t grpc_tls_read(struct bufferevent *stream, void *bytes, size_t size)
{
	ERR_clear_error();
	return grpc_tls_is_up(stream) ? SSL_read(bufferevent_openssl_get_ssl(stream), bytes, (int)size) : 0;
}

/* Of what libevent kept, and OpenSSL after it, the first that TLS complains of; 0: nothing. The socket's errors are no such. */
static unsigned long find_error(struct bufferevent *stream)
{
	unsigned long error;

	/* libevent puts SSL_get_error's codes among them, which are of no library. */
	while ((error = bufferevent_get_openssl_error(stream)) || (error = ERR_get_error()))
		if (!ERR_SYSTEM_ERROR(error) && ERR_GET_LIB(error) > ERR_LIB_SYS)
			break;
	return error;
}

int grpc_tls_error(struct bufferevent *stream, char *text, size_t size)
{
	unsigned long error = find_error(stream);
	int result = error ? say_error(bufferevent_openssl_get_ssl(stream), error, text, size) : 0;

	ERR_clear_error();
	return result;
}

void grpc_tls_farewell(struct bufferevent *stream)
{
	SSL *ssl = bufferevent_openssl_get_ssl(stream);
	char bytes[4096];
	int fd = bufferevent_getfd(stream);

	if (SSL_is_init_finished(ssl))
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
	/* What stands unread at the close makes a reset of it, which may overtake our last word. */
	if (fd >= 0 && shutdown(fd, SHUT_WR) == 0)
		for (int i = 0; i < 16 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0; i++)
			;
}

/* --- identity ------------------------------------------------------------------------------------------------------- */

static bool is_name(const unsigned char *bytes, size_t length, bool dns)
{
	if (length == 0 || length > GRPC_IDENTITY_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		bool letter = (bytes[i] >= 'a' && bytes[i] <= 'z') || (bytes[i] >= 'A' && bytes[i] <= 'Z') ||
			      (bytes[i] >= '0' && bytes[i] <= '9') || (bytes[i] && strchr("-_.*", bytes[i]));

		if (dns ? !letter : bytes[i] <= 0x20 || bytes[i] > 0x7e)
			return false;
	}
	return true;
}

static void add_text(struct grpc_identity *identity, const ASN1_STRING *string, bool dns)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(string);
	size_t length = (size_t)ASN1_STRING_length(string);
	char *name = identity->names[identity->count];

	/* A URI has a scheme, which no DNS name has: neither can be taken for the other. */
	if (!is_name(bytes, length, dns) || (!dns && !memchr(bytes, ':', length)))
		return;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)(dns && bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + ('a' - 'A') : bytes[i]);
	name[length] = '\0';
	identity->count++;
}

static void add_address(struct grpc_identity *identity, const ASN1_STRING *string)
{
	int length = ASN1_STRING_length(string);

	if ((length == 4 || length == 16) && inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(string),
						     identity->names[identity->count], GRPC_IDENTITY_NAME_MAX))
		identity->count++;
}

void grpc_identity_take(struct grpc_identity *identity, const GENERAL_NAMES *names)
{
	identity->count = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && identity->count < GRPC_IDENTITY_NAMES; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_text(identity, name->d.dNSName, true);
		else if (name->type == GEN_URI)
			add_text(identity, name->d.uniformResourceIdentifier, false);
		else if (name->type == GEN_IPADD)
			add_address(identity, name->d.iPAddress);
	}
}

void grpc_identity_read(struct grpc_identity *identity, X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

	grpc_identity_take(identity, names);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

struct grpc_identity *grpc_tls_identity(struct bufferevent *stream)
{
	struct grpc_identity *identity = calloc(1, sizeof(*identity));
	X509 *certificate = SSL_get1_peer_certificate(bufferevent_openssl_get_ssl(stream));

	if (identity && certificate)
		grpc_identity_read(identity, certificate);
	X509_free(certificate);
	return identity;
}
