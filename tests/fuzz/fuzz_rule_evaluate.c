/* SPDX-License-Identifier: Apache-2.0 */
/* An event of hostile words against rules that ask for everything: a byte for its kind, then its texts, a line each. */
#include "fuzz_rules.h"

#include <sys/socket.h>

static const char condition[] =
	"proc.name in (a, b, c, d, e) or proc.cmdline contains abcd or proc.cmdline icontains AbC or fd.name glob "
	"'*[a-c]?x*' or "
	"fd.name pmatch (/a/*, /b) or fd.name startswith /etc or fd.name endswith .txt or proc.args regex '(a|b)*c' or "
	"proc.aname = sh or proc.env contains X or tolower(proc.exe) = x or b64(proc.args) contains y or "
	"getopt(proc.args, \"ab:\") intersects (a, b) or join(\",\", proc.aname) = z or fd.ip = 1.2.3.4 or fd.net = "
	"10.0.0.0/8 or "
	"fd.directory = /x or basename(fd.name) = q or len(proc.args) > 100 or evt.args contains name or "
	"thread.cap_effective contains CAP_BPF or evt.arg.mode contains S_ISUID or k8s.pod.label[a] = b or fd.nameraw "
	"iglob 'A*'";

static struct rules *rules;
static struct rules_evaluator *evaluator;

static void matched(void *context, const struct rules_rule *rule)
{
	struct buffer *out = context;

	rules_output(evaluator, rule, out);
	fuzz_expect(!out->failed);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	rules = fuzz_rule((const uint8_t *)condition, sizeof(condition) - 1);
	fuzz_expect(rules && rules_evaluator_open(&evaluator, rules, NULL) == 0);
	return fuzz_without_messages(argc, argv);
}

/* Takes the next line off the bytes. */
static struct text take(const uint8_t **bytes, size_t *length)
{
	const uint8_t *end = *length ? memchr(*bytes, '\n', *length) : NULL;
	struct text text = {(const char *)*bytes, end ? (size_t)(end - *bytes) : *length};

	*bytes += text.length + (end != NULL);
	*length -= text.length + (end != NULL);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct event_process parent = {.image_known = true, .pid = 2},
			     process = {.image_known = true, .pid = 3, .parent = &parent};
	struct event_container container = {0};
	struct event event = {.process = &process, .container = &container, .descriptor = 3, .count = 1};
	struct buffer out = {0};

	if (length < 4)
		return 0;
	event.action = (enum event_action)(1 + bytes[0] % (EVENT_ACTIONS_END - 1));
	event.call = (enum event_call)(bytes[1] % EVENT_CALLS_END);
	event.outcome = (enum event_outcome)(bytes[2] % 3);
	process.cap_effective = (uint64_t)bytes[3] << 32;
	bytes += 4;
	length -= 4;
	process.name = take(&bytes, &length);
	process.args = take(&bytes, &length);
	process.environment = take(&bytes, &length);
	process.executable = take(&bytes, &length);
	parent.name = take(&bytes, &length);
	parent.args = take(&bytes, &length);
	switch (event_action_category(event.action)) {
	case EVENT_FILE:
		event.file.argument = take(&bytes, &length);
		event.file.named = take(&bytes, &length);
		event.file.path = take(&bytes, &length);
		break;
	case EVENT_NETWORK:
		event.network.family = AF_INET6;
		event.network.source.family = event.network.destination.family = AF_INET6;
		event.network.unix_name = take(&bytes, &length);
		break;
	case EVENT_CHANGE:
		event.change.named = take(&bytes, &length);
		event.change.target = take(&bytes, &length);
		event.change.mode = (uint32_t)length;
		break;
	case EVENT_DEED:
		event.deed.path = take(&bytes, &length);
		event.deed.data = take(&bytes, &length);
		event.deed.request = length;
		event.deed.descriptor_type = (uint32_t)length % 12;
		break;
	default: break;
	}
	rules_evaluate(evaluator, &event, matched, &out);
	buffer_free(&out);
	return 0;
}
