/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/check.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "sensor/canary.h"
#include "sensor/cgroup.h"
#include "sensor/check_calls.h"
#include "sensor/confine.h"
#include "sensor/coverage.h"
#include "sensor/cri.h"
#include "sensor/loader.h"
#include "sensor/metadata.h"
#include "sensor/ruleset.h"

enum { RUNTIMES_MAX = 16, WORD_SIZE = 128, PAUSE_MS = 2, SLICE = 65536, RUNTIMES_MS = 2 * CRI_DEADLINE_MS + 500 };

/* A runtime, as far as it has answered. */
struct runtime {
	struct check *check;
	struct cri *cri;
	bool named, settled;
	const char *state; /* "ready", "absent", "unreachable" */
	char name[WORD_SIZE], version[WORD_SIZE];
};

struct check {
	struct loader *loader;
	struct canary_nest *nest;
	struct coverage *coverage;
	struct event_base *base;
	struct runtime runtimes[RUNTIMES_MAX];
	size_t runtime_count;
	const char *cgroup;
	const struct settings *settings;
	struct ruleset_loaded *loaded; /* NULL: no rules */
};

static const struct rules *rules_of(const struct check *check)
{
	return check->loaded ? check->loaded->rules : NULL;
}

/* The rules say which calls are watched. 0, or -errno after it has said what is wrong. */
static int load_rules(struct check *check, const struct settings *settings)
{
	const struct ruleset_options options = {
		.paths = settings->rule_paths.items, .path_count = settings->rule_paths.count};

	check->settings = settings;
	if (settings->no_rules)
		return 0;
	check->loaded = ruleset_load(&options);
	if (!check->loaded)
		return -ENOMEM;
	if (check->loaded->rules)
		return 0;
	log_error("the rules cannot be loaded (errors: %zu): %s", check->loaded->errors, check->loaded->why);
	return -EINVAL;
}

/* --- coverage --------------------------------------------------------------------------------------------------------- */

/* What containers do meanwhile is read and left. */
static int take_record(void *context, const void *bytes, size_t size)
{
	struct check *check = context;
	struct record record;
	const char *why;

	if (record_check(&record, bytes, size, &why) == 0 && record.header->flags & KERNEL_CANARY)
		coverage_take(check->coverage, &record);
	return 0;
}

/* The rights go to the loader's process, as they do when the sensor runs. 0, or -errno after it has said why not. */
static int part(struct check *check, const struct settings *settings)
{
	char why[512];
	int error = canary_nest_open(&check->nest);
	const struct loader_options options = {.host_root = settings->host_root,
		.critical_bytes = settings->critical_bytes,
		.bulk_bytes = settings->bulk_bytes,
		.hooks = loader_mode(settings->hooks),
		.nest = check->nest};

	snprintf(why, sizeof(why), "no memory");
	if (!error)
		error = loader_open(&check->loader, &options, why, sizeof(why));
	if (error)
		log_error("%s", why);
	return error ? error : confine_worker();
}

/* Loads, flies, judges. 0, or -errno after it has said why not. */
static int fly(struct check *check, const struct settings *settings)
{
	const struct loader_start start = {.calls = check_calls_wanted(&settings->rules, rules_of(check))};
	const struct canary_ops canary = coverage_canary(check->nest, check->loader);
	const struct loader_hook *hooks;
	enum coverage_news news = COVERAGE_NOTHING;
	char why[512];
	size_t count;
	int error = loader_attach(check->loader, &start, why, sizeof(why));

	if (error) {
		log_error("%s", why);
		return error;
	}
	hooks = loader_hooks(check->loader, &count);
	error = coverage_open(&check->coverage, &canary, hooks, count, 0);
	while (!error && news == COVERAGE_NOTHING) {
		uint64_t read_ns = clock_boottime_ns();

		(void)loader_read(check->loader, KERNEL_RING_CRITICAL, take_record, check, SLICE);
		if (loader_read(check->loader, KERNEL_RING_BULK, take_record, check, SLICE) == SLICE)
			read_ns = 0; /* there is more */
		news = coverage_poll(check->coverage, clock_boottime_ns(), read_ns, 0);
		if (!coverage_under_way(check->coverage) && news == COVERAGE_NOTHING)
			error = -EAGAIN;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	if (error)
		log_error("cannot try what the sensor sees: %s", strerror(-error));
	return error;
}

/* --- runtimes --------------------------------------------------------------------------------------------------------- */

static void settle(struct runtime *runtime, const char *state)
{
	struct check *check = runtime->check;

	runtime->state = state;
	runtime->settled = true;
	for (size_t i = 0; i < check->runtime_count; i++)
		if (!check->runtimes[i].settled)
			return;
	event_base_loopbreak(check->base);
}

/* Words of the runtime's own: nothing that drives a terminal. */
static void copy_word(char word[WORD_SIZE], struct text text)
{
	size_t length = 0;

	for (; length < text.length && length < WORD_SIZE - 1; length++)
		word[length] = (char)(text.data[length] > ' ' && text.data[length] <= '~' ? text.data[length] : '?');
	word[length] = '\0';
}

static void on_version(void *context, struct cri *cri, enum cri_method method, const char *id, int error,
	const struct cri_answer *answer)
{
	struct runtime *runtime = context;

	(void)cri;
	(void)method;
	(void)id;
	if (error == -ECANCELED) /* also when this program closes it */
		return;
	if (!error) {
		copy_word(runtime->name, answer->runtime_name);
		copy_word(runtime->version, answer->runtime_version);
	}
	settle(runtime, error ? "unreachable" : "ready");
}

static void on_state(void *context, struct cri *cri, enum cri_state state, const char *why)
{
	struct runtime *runtime = context;

	(void)why;
	if (runtime->settled)
		return;
	if (state == CRI_ABSENT)
		settle(runtime, "absent");
	else if (state == CRI_FAILING || (state == CRI_UP && cri_call(cri, CRI_VERSION, NULL, on_version, runtime) < 0))
		settle(runtime, "unreachable");
}

static int add_runtime(struct check *check, const char *path, bool named)
{
	struct runtime *runtime = &check->runtimes[check->runtime_count];
	const struct cri_ops ops = {on_state, runtime};

	if (check->runtime_count == RUNTIMES_MAX)
		return -ENOSPC;
	*runtime = (struct runtime){.check = check, .named = named, .state = "unreachable"};
	check->runtime_count++;
	return cri_open(check->base, path, &ops, &runtime->cri);
}

/* Asks each of them for its version, all at once. 0, or -errno after it has said why not. */
static int ask_runtimes(struct check *check, const struct settings *settings)
{
	const struct timeval deadline = {RUNTIMES_MS / 1000, RUNTIMES_MS % 1000 * 1000L};
	const struct metadata_options options = {
		.sockets = settings->cri.items, .socket_count = settings->cri.count, .host_root = settings->host_root};
	char path[PATH_MAX];
	int error = 0;

	check->base = event_base_new();
	if (!check->base)
		return -ENOMEM;
	for (size_t i = 0; !error && metadata_socket(&options, i, path); i++) {
		error = add_runtime(check, path, settings->cri.count > 0);
		if (error)
			log_error("%s: not usable as the socket of a container runtime: %s", path, strerror(-error));
	}
	if (!error && (event_base_loopexit(check->base, &deadline) < 0 || event_base_dispatch(check->base) < 0))
		error = -ENOMEM;
	return error;
}

/* A usual socket that is not there is not worth a line. */
static bool is_told(const struct runtime *runtime)
{
	return runtime->named || strcmp(runtime->state, "absent") != 0;
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

static void put(struct json *json, struct text text)
{
	(void)json_string(json, text);
}

static void print_json(const struct check *check)
{
	const struct event_coverage *coverage = coverage_view(check->coverage);
	struct buffer out = {0};
	struct json json = json_begin(&out);

	json_object_begin(&json);
	json_key(&json, "hooks");
	json_array_begin(&json);
	for (size_t i = 0; i < coverage->count; i++) {
		const struct event_promise *promise = &coverage->promises[i];

		json_object_begin(&json);
		json_key(&json, "promise");
		put(&json, promise->promise);
		json_key(&json, "hook");
		put(&json, promise->hook);
		json_key(&json, "state");
		put(&json, text_of(event_promise_state_name(promise->state)));
		if (promise->reason.length > 0) {
			json_key(&json, "reason");
			put(&json, promise->reason);
		}
		json_object_end(&json);
	}
	json_array_end(&json);
	json_key(&json, "runtimes");
	json_array_begin(&json);
	for (size_t i = 0; i < check->runtime_count; i++) {
		const struct runtime *runtime = &check->runtimes[i];

		if (!is_told(runtime))
			continue;
		json_object_begin(&json);
		json_key(&json, "socket");
		put(&json, text_of(cri_path(runtime->cri)));
		json_key(&json, "name");
		put(&json, text_of(runtime->name));
		json_key(&json, "version");
		put(&json, text_of(runtime->version));
		json_key(&json, "state");
		put(&json, text_of(runtime->state));
		json_object_end(&json);
	}
	json_array_end(&json);
	json_key(&json, "cgroup");
	put(&json, text_of(check->cgroup));
	json_key(&json, "calls");
	check_calls_json(&json, &check->settings->rules, rules_of(check));
	json_object_end(&json);
	buffer_append(&out, "\n", 1);
	(void)!fwrite(out.data, 1, out.length, stdout);
	buffer_free(&out);
}

static void print_state(struct text state, const char *colour, bool terminal)
{
	printf("  %s%-12.*s%s", terminal ? colour : "", (int)state.length, state.data, terminal ? "\033[0m" : "");
}

/* Hooks of one promise can be several; --json has them whole. */
static void print_hook(struct text hook)
{
	enum { ROOM = 30 }; /* of 80 columns */

	if (hook.length > ROOM)
		printf("%.*s…", ROOM - 1, hook.data);
	else
		printf("%.*s", (int)hook.length, hook.data);
}

static void print_words(const struct check *check)
{
	static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m"}; /* by enum event_promise_state */
	const struct event_coverage *coverage = coverage_view(check->coverage);
	bool terminal = isatty(STDOUT_FILENO);
	size_t told = 0;

	printf("taffrail-sensor %s on Linux %.*s, %.*s hooks, cgroup %s\n\n", TAFFRAIL_VERSION,
		(int)coverage->release.length, coverage->release.data, (int)coverage->mode.length, coverage->mode.data,
		check->cgroup);
	for (size_t i = 0; i < coverage->count; i++) {
		const struct event_promise *promise = &coverage->promises[i];

		print_state(text_of(event_promise_state_name(promise->state)), colours[promise->state], terminal);
		printf("%-35.*s ", (int)promise->promise.length, promise->promise.data);
		if (promise->reason.length)
			printf("%.*s", (int)promise->reason.length, promise->reason.data);
		else
			print_hook(promise->hook);
		puts("");
	}
	puts("\nContainer runtimes:");
	for (size_t i = 0; i < check->runtime_count; i++) {
		const struct runtime *runtime = &check->runtimes[i];
		bool ready = strcmp(runtime->state, "ready") == 0;

		if (!is_told(runtime))
			continue;
		told++;
		print_state(text_of(runtime->state), colours[ready ? EVENT_SEEN : EVENT_UNSUPPORTED], terminal);
		printf("%s %s%s%s\n", cri_path(runtime->cri), runtime->name, ready ? " " : "", runtime->version);
	}
	if (!told)
		puts("  none answers on the usual sockets: container ids alone (--cri PATH names one)");
	check_calls_print(&check->settings->rules, rules_of(check));
	printf("\n%zu seen, %zu missed, %zu unsupported\n", coverage_number(check->coverage, EVENT_SEEN),
		coverage_number(check->coverage, EVENT_MISSED), coverage_number(check->coverage, EVENT_UNSUPPORTED));
}

int check_run(const struct settings *settings)
{
	struct check check = {0};
	int code = EXIT_FAILURE, error = part(&check, settings);

	if (!error)
		error = load_rules(&check, settings);
	if (!error)
		error = fly(&check, settings);
	if (!error)
		error = ask_runtimes(&check, settings);
	if (!error) {
		check.cgroup = cgroup_mode("/proc/self/mounts");
		if (settings->json)
			print_json(&check);
		else
			print_words(&check);
		code = coverage_number(check.coverage, EVENT_MISSED) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		if (fflush(stdout) != 0 || ferror(stdout))
			code = EXIT_FAILURE;
	}
	for (size_t i = 0; i < check.runtime_count; i++)
		cri_close(check.runtimes[i].cri);
	if (check.base)
		event_base_free(check.base);
	coverage_close(check.coverage);
	loader_close(check.loader);
	canary_nest_close(check.nest);
	if (check.loaded)
		rules_free(check.loaded->rules);
	free(check.loaded);
	return code;
}
