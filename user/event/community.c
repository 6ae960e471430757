/* SPDX-License-Identifier: Apache-2.0 */
#include "event/community.h"

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/socket.h>

/* Source: the Community ID flow hashing specification, version 1, of Corelight. */
bool community_id(char text[COMMUNITY_TEXT], const struct event_network *network)
{
	const struct event_address *low = &network->source, *high = &network->destination;
	size_t size = low->family == AF_INET ? 4 : 16, length = 0;
	unsigned char input[2 + 16 + 16 + 2 + 4], digest[SHA_DIGEST_LENGTH], base64[COMMUNITY_TEXT];
	int order;

	if ((low->family != AF_INET && low->family != AF_INET6) || low->family != high->family)
		return false;
	if (network->protocol != IPPROTO_TCP && network->protocol != IPPROTO_UDP && network->protocol != IPPROTO_SCTP)
		return false;
	order = memcmp(low->bytes, high->bytes, size);
	if (order > 0 || (order == 0 && low->port > high->port)) {
		low = &network->destination;
		high = &network->source;
	}
	memset(input, 0, 2); /* the seed */
	length += 2;
	memcpy(input + length, low->bytes, size);
	length += size;
	memcpy(input + length, high->bytes, size);
	length += size;
	input[length++] = (unsigned char)network->protocol;
	input[length++] = 0;
	input[length++] = (unsigned char)(low->port >> 8);
	input[length++] = (unsigned char)low->port;
	input[length++] = (unsigned char)(high->port >> 8);
	input[length++] = (unsigned char)high->port;
	SHA1(input, length, digest);
	EVP_EncodeBlock(base64, digest, sizeof(digest));
	memcpy(text, "1:", 2);
	memcpy(text + 2, base64, COMMUNITY_TEXT - 2);
	return true;
}
