/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes of messages: to the watcher when their flow has an owner, and read for names. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "sensor/flows_inside.h"

/* --- messages ------------------------------------------------------------------------------------------------------------- */

static void give_message(struct flows *flows, struct flows_entry *entry, const struct flow_message *message)
{
	struct flows_owner owner = flows_owner_of(entry);

	if (flows->watcher.message)
		flows->watcher.message(flows->watcher.context, &entry->flow, &owner, message);
}

static void set_ports(struct flow_message *message, const struct flow *flow)
{
	const struct event_address *from = message->out ? &flow->local : &flow->remote;
	const struct event_address *to = message->out ? &flow->remote : &flow->local;

	message->payload.transport = flow->transport;
	message->payload.from_port = (uint16_t)from->port;
	message->payload.to_port = (uint16_t)to->port;
}

/* Of a connection without an owner: false where there is no room. */
static bool keep_early(struct flows *flows, struct flows_entry *entry, const struct flow_message *message)
{
	struct flows_early *early = entry->early ? entry->early : flows->spare_early;
	size_t length = message->payload.length;

	if (!early || (entry->early && early->count == FLOWS_EARLY_MESSAGES))
		return false;
	if (!entry->early) {
		flows->spare_early = early->spare;
		early->count = 0;
		entry->early = early;
	}
	if (length > sizeof(early->messages[0].bytes))
		length = sizeof(early->messages[0].bytes);
	early->messages[early->count].time_ns = message->time_ns;
	early->messages[early->count].number = message->number;
	early->messages[early->count].out = message->out;
	early->messages[early->count].length = length;
	early->messages[early->count].whole = message->payload.whole;
	memcpy(early->messages[early->count].bytes, message->payload.bytes, length);
	early->count++;
	return true;
}

void flows_flush_early(struct flows *flows, struct flows_entry *entry)
{
	for (size_t i = 0; entry->early && i < entry->early->count; i++) {
		struct flow_message message = {
			.time_ns = entry->early->messages[i].time_ns,
			.out = entry->early->messages[i].out,
			.number = entry->early->messages[i].number,
			.payload = {.bytes = entry->early->messages[i].bytes,
				.length = entry->early->messages[i].length,
				.whole = entry->early->messages[i].whole},
		};

		set_ports(&message, &entry->flow);
		give_message(flows, entry, &message);
	}
	flows_give_early(flows, entry);
}

/* --- names in messages ------------------------------------------------------------------------------------------------------ */

/* Is it an answer, and whole? One that ends too early though nothing was left out of it is none. */
static bool is_answer(struct flows *flows, const struct payload *payload)
{
	struct payload_dns *answer = &flows->answer;

	if (!payload_dns_read(payload, answer) || !answer->answer || answer->question.length == 0)
		return false;
	return !answer->cut || payload->whole > payload->length || answer->address_count == PAYLOAD_ANSWERS_MAX;
}

/* Over TCP a message has its length before it (RFC 7766, 8); some write that by itself, and it comes apart from the message. */
static bool read_answer(struct flows *flows, const struct payload *payload)
{
	struct payload joined = *payload;

	if (is_answer(flows, payload))
		return true;
	if (payload->transport != IPPROTO_TCP || payload->length > FLOW_SAMPLE_NAME_BYTES ||
		payload->whole > UINT16_MAX)
		return false;
	flows->joined[0] = (uint8_t)(payload->whole >> 8);
	flows->joined[1] = (uint8_t)payload->whole;
	memcpy(flows->joined + FLOWS_LENGTH, payload->bytes, payload->length);
	joined.bytes = flows->joined;
	joined.length += FLOWS_LENGTH;
	joined.whole += FLOWS_LENGTH;
	return is_answer(flows, &joined);
}

const struct event_dns *flows_answer(struct flows *flows, const struct record *record)
{
	const struct kernel_sample *sample = record->sample;
	const struct payload_dns *answer = &flows->answer;
	uint16_t server_be = sample->inbound ? sample->tuple.local_port_be : sample->tuple.remote_port_be;
	struct text data = record_text(record, sample->data);
	struct payload payload = {.bytes = (const uint8_t *)data.data,
		.length = data.length,
		.whole = sample->whole,
		.transport = (uint8_t)sample->tuple.protocol};

	/* Of a flow that was opened to the server, and from there. */
	if (ntohs(server_be) != KERNEL_PORT_NAMES || !sample->out != !sample->inbound || data.length == 0 ||
		!read_answer(flows, &payload))
		return NULL;
	flows->dns = (struct event_dns){
		.question = {answer->question.text, answer->question.length},
		.type = answer->type,
		.response_code = answer->response_code,
		.addresses = answer->addresses,
		.address_count = answer->address_count,
		.cut = answer->cut,
	};
	return &flows->dns;
}

/* To a container that has asked; not to a server, which only tells others. */
static void note_names(
	struct flows *flows, const struct flows_entry *entry, const struct event_dns *dns, uint64_t now_ns)
{
	for (size_t i = 0; !entry->flow.inbound && i < dns->address_count; i++)
		resolved_note(flows->resolved, entry->in_container ? entry->container : NULL, &dns->addresses[i],
			dns->question, now_ns);
}

/* The name that a TLS client asks for: it names the flow where no answer has. */
static void read_tls(struct flows *flows, struct flows_entry *entry, const struct flow_message *message)
{
	struct payload_name name;

	if (entry->flow.transport != IPPROTO_TCP || message->out == entry->flow.inbound || message->number > 0 ||
		entry->server || !payload_tls_read(&message->payload, &name))
		return;
	entry->server = flows_name_take(flows, (struct text){name.text, name.length});
	if (!entry->domain && !entry->flow.inbound)
		entry->flow.name = flows_name_text(entry->server);
}

bool flows_take_sample(struct flows *flows, struct flows_entry *entry, const struct record *record,
	uint64_t boot_unix_ns, uint64_t now_ns)
{
	const struct kernel_sample *sample = record->sample;
	struct text data = record_text(record, sample->data);
	struct flow_message message = {
		.time_ns = boot_unix_ns + sample->header.time_ns,
		.out = sample->out,
		.number = sample->number,
		.payload = {.bytes = (const uint8_t *)data.data, .length = data.length, .whole = sample->whole},
	};
	struct flow *flow = &entry->flow;
	const struct event_dns *dns;

	if (data.length == 0)
		return false;
	flow->last_ns = message.time_ns;
	/* Until the kernel tells its numbers these are all that is known; it counts more than what was sampled. */
	*(message.out ? &flow->bytes_out : &flow->bytes_in) += sample->whole;
	*(message.out ? &flow->packets_out : &flow->packets_in) += 1;
	set_ports(&message, flow);
	read_tls(flows, entry, &message);
	if (!(flow->inbound && !entry->image && flow->transport == IPPROTO_TCP && keep_early(flows, entry, &message))) {
		if (message.number == 0)
			flows_tell(flows, entry, now_ns);
		give_message(flows, entry, &message);
	}
	dns = flows_answer(flows, record);
	if (dns)
		note_names(flows, entry, dns, now_ns);
	return dns != NULL;
}
