/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a message, as a stranger sends them: byte 0 says how they came, byte 1 how much more there was. */
#include "fuzz.h"

#include <netinet/in.h>

#include "detect/payload.h"

static void expect_name(const struct payload_name *name)
{
	fuzz_expect(name->length <= PAYLOAD_NAME_MAX && strlen(name->text) == name->length);
	fuzz_expect_clean(name->text, name->length, false);
	payload_name_looks_tor(name);
}

static void expect_dns(const struct payload *payload)
{
	struct payload_dns dns;

	if (!payload_dns_read(payload, &dns))
		return;
	expect_name(&dns.question);
	fuzz_expect(dns.address_count <= PAYLOAD_ANSWERS_MAX && (dns.answer || dns.address_count == 0));
	for (size_t i = 0; i < dns.address_count; i++)
		fuzz_expect(dns.addresses[i].family != 0 && dns.addresses[i].port == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint16_t ports[] = {53, 5353, 6881, 80};
	struct payload payload;
	struct payload_name name;
	struct payload_utp utp;
	enum payload_kind kind;

	if (length < 2)
		return 0;
	payload = (struct payload){.bytes = bytes + 2,
		.length = length - 2,
		.whole = length - 2 + bytes[1],
		.transport = bytes[0] & 1 ? IPPROTO_UDP : IPPROTO_TCP,
		.from_port = 40000,
		.to_port = ports[bytes[0] >> 1 & 3]};
	kind = payload_look(&payload);
	fuzz_expect(kind < PAYLOAD_KINDS_END && payload_kind_name(kind) && payload_kind_family(kind) < FAMILIES);
	if (payload_looks_mse(&payload))
		fuzz_expect(kind == PAYLOAD_UNKNOWN);
	if (payload_utp_read(payload.bytes, payload.length, &utp))
		fuzz_expect(utp.data >= 20 && utp.data <= payload.length && utp.type <= 4);
	expect_dns(&payload);
	if (payload_tls_read(&payload, &name))
		expect_name(&name);
	return 0;
}
