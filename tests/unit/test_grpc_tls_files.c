/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a TLS set: what is wrong is said, with the file and the reason. */
#include <errno.h>
#include <time.h>

#include "test_tls.h"

static struct papers papers;

/* --- files ---------------------------------------------------------------------------------------------------------- */

static void expect_wrong(const char *ca, const char *name, const char *words)
{
	struct grpc_tls *tls = NULL;
	char why[400] = "";

	cr_expect_eq(papers_try(&papers, ca, name, &tls, why, sizeof(why)), -EINVAL, "%s", words);
	cr_expect(strstr(why, words), "%s", why);
	cr_expect_eq(strncmp(why, papers.folder, strlen(papers.folder)), 0, "it begins with the file: %s", why);
	cr_expect_not(strchr(why, '\n'));
}

Test(grpc_tls_files, says_which_file_is_wrong_and_how)
{
	char command[400];

	papers_open(&papers);
	expect_wrong("none.pem", "server", "none.pem: No such file or directory");
	expect_wrong(".", "server", "it is no regular file");
	papers_text(&papers, "empty.pem", "");
	expect_wrong("empty.pem", "server", "empty.pem: it is empty");
	papers_text(&papers, "text.pem", "a certificate, honestly\n");
	expect_wrong("text.pem", "server", "text.pem: there is no certificate in PEM in it");
	papers_text(&papers, "torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!\n-----END CERTIFICATE-----\n");
	expect_wrong("torn.pem", "server", "torn.pem: a certificate in it is damaged");
	expect_wrong("server.key", "server", "server.key: there is no certificate in PEM in it");
	snprintf(
		command, sizeof(command), "cd %s && cp sensor.pem cross.pem && cp server.key cross.key", papers.folder);
	cr_assert_eq(system(command), 0);
	expect_wrong("ca.pem", "cross", "cross.key: the key does not fit the certificate");
	snprintf(command, sizeof(command), "cd %s && cp torn.pem torn.key && cp server.pem torn.pem", papers.folder);
	cr_assert_eq(system(command), 0);
	expect_wrong("ca.pem", "torn", "torn.key: there is no private key in PEM in it");
	papers_issue_by(&papers, &papers.ca, "late", "DNS:x", -86400, -3600);
	expect_wrong("ca.pem", "late", "late.pem: the certificate has expired on 20");
	papers_issue_by(&papers, &papers.ca, "early", "DNS:x", 3600, 86400);
	expect_wrong("ca.pem", "early", "early.pem: the certificate begins only on 20");
	expect_wrong("late.pem", "server", "late.pem: all certificates in it have expired");
	snprintf(command, sizeof(command),
		"cd %s && cp server.pem locked.pem && openssl pkey -in server.key -aes128 -passout pass:x -out "
		"locked.key "
		"2>/dev/null && head -c 2000000 /dev/zero >large.pem",
		papers.folder);
	cr_assert_eq(system(command), 0);
	expect_wrong("ca.pem", "locked", "locked.key: the key has a password");
	expect_wrong("large.pem", "server", "large.pem: it is larger than 1 MiB");
	papers_close(&papers);
}

Test(grpc_tls_files, a_bundle_may_hold_a_ca_that_has_ended)
{
	struct issuer old = papers_ca();
	struct grpc_tls *tls;
	char command[300];

	papers_open(&papers);
	X509_free(old.certificate);
	old.certificate = papers_make(NULL, old.key, NULL, -86400, -3600);
	papers_write(&papers, "old.pem", old.certificate, NULL);
	snprintf(command, sizeof(command), "cd %s && cat old.pem ca.pem >both.pem", papers.folder);
	cr_assert_eq(system(command), 0);
	tls = papers_load(&papers, "both.pem", "server");
	cr_expect_lt(llabs(grpc_tls_ca_end(tls) - time(NULL) - 3650L * 86400), 5);
	grpc_tls_close(tls);
	X509_free(old.certificate);
	EVP_PKEY_free(old.key);
	papers_close(&papers);
}
