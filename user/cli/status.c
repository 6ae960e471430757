/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/options.h"
#include "cli/status_ask.h"
#include "cli/status_show.h"
#include "cli/terminal.h"
#include "collector/store.h"

enum { UNBALANCED = 1, UNREADABLE = 3 }; /* exit codes */
enum { PLACES_MAX = 16 };

/* A collector's directory, or where one listens. */
struct status_place {
	const char *data;
	bool is_address;
	struct grpc_address address;
};

struct status {
	struct config_list data;
	struct status_place places[PLACES_MAX]; /* one each */
	struct config_list hosts;
	bool json;
	struct grpc_trust trust;
};

/* --- a collector's directory -------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct config_list *hosts, struct text id)
{
	for (size_t i = 0; i < hosts->count; i++)
		if (text_equal(id, text_of(hosts->items[i])))
			return true;
	return hosts->count == 0;
}

static int add_sources(struct status_rows *rows, const struct store *store, const struct config_list *hosts)
{
	struct store_source **sources;
	struct store_epoch epoch;
	size_t count;
	int error = store_sources(store, &sources, &count);

	if (error)
		return error;
	for (size_t i = 0; i < count && !error; i++) {
		store_source_view(sources[i], &epoch);
		if (is_wanted(hosts, epoch.host.id))
			error = status_rows_add(rows, &epoch.host, epoch.account, STATUS_UNKNOWN, NULL);
	}
	store_sources_free(sources, count);
	return error;
}

static int read_store(
	struct status_rows *rows, const char *path, const struct config_list *hosts, char *why, size_t why_size)
{
	struct store *store;
	int error = store_look(&store, path, why, why_size);

	if (error)
		return error;
	error = add_sources(rows, store, hosts);
	if (error)
		snprintf(why, why_size, "out of memory");
	rows->is_directory = true;
	rows->damages += store_damages(store);
	store_close(store);
	return error;
}

/* --- the command -------------------------------------------------------------------------------------------------------- */

static int print(const struct buffer *out)
{
	if (out->failed) {
		log_error("out of memory");
		return UNREADABLE;
	}
	if ((fwrite(out->data, 1, out->length, stdout) != out->length || fflush(stdout) != 0) && errno != EPIPE) {
		log_error("stdout: %s", strerror(errno));
		return UNREADABLE;
	}
	return EXIT_SUCCESS;
}

static int read_place(struct status_rows *rows, const struct status *status, const struct status_place *place)
{
	char why[512] = "";
	int error;

	rows->data = place->data;
	if (place->is_address)
		error = status_ask(rows, &place->address, &status->trust, &status->hosts, why, sizeof(why));
	else
		error = read_store(rows, place->data, &status->hosts, why, sizeof(why));
	if (error)
		log_error("%s%s%s", place->is_address ? place->data : "", place->is_address ? ": " : "", why);
	return error;
}

static int run(const struct status *status)
{
	struct status_rows rows = {.hosts = &status->hosts, .is_several = status->data.count > 1};
	struct buffer out = {0};
	const char *host;
	size_t at = 0;
	int error = 0, code;

	for (size_t i = 0; i < status->data.count && !error; i++)
		error = read_place(&rows, status, &status->places[i]);
	if (error) {
		status_rows_free(&rows);
		return UNREADABLE;
	}
	status_rows_sort(&rows);
	while ((host = status_absent_host(&rows, &at)))
		log_error("--host %s: nothing is stored of it in %s%s: is it the host.id?", host,
			status->places[0].data, rows.is_several ? " and the others" : "");
	if (status->json)
		status_show_json(&out, &rows);
	else
		status_show_table(&out, &rows, terminal_has_colour());
	code = print(&out);
	if (code == EXIT_SUCCESS && status_is_alarm(&rows))
		code = UNBALANCED;
	buffer_free(&out);
	status_rows_free(&rows);
	return code;
}

/* --- the command line ---------------------------------------------------------------------------------------------------- */

/* What is a directory, or has a slash, or no colon, is no address; but unix:PATH is. -1: it can be. */
static int check_place(struct status_place *place)
{
	struct stat stats;
	char why[256];

	place->is_address = strncmp(place->data, "unix:", 5) == 0 ||
			    (!strchr(place->data, '/') && strchr(place->data, ':') &&
				    !(stat(place->data, &stats) == 0 && S_ISDIR(stats.st_mode)));
	if (place->is_address && grpc_address_parse(place->data, &place->address, why, sizeof(why)) < 0)
		return options_wrong("--data \"%s\": %s", place->data, why);
	return -1;
}

static int check_data(struct status *status)
{
	int code = -1;

	if (status->data.count > PLACES_MAX)
		return options_wrong("--data is there more than %d times", PLACES_MAX);
	for (size_t i = 0; i < status->data.count && code < 0; i++) {
		status->places[i].data = status->data.items[i];
		code = status->places[i].data[0] ? check_place(&status->places[i]) : 0;
	}
	if (status->data.count == 0 || code == 0)
		return options_wrong("it needs --data DIR, or --data ADDR; try --help");
	if (code < 0 && status->hosts.count > STATUS_ASK_HOSTS_MAX)
		return options_wrong("--host is there more than %d times", STATUS_ASK_HOSTS_MAX);
	return code;
}

static int check_trust(struct status *status, const struct program_spec *program)
{
	int code = grpc_trust_read(&status->trust, program);

	for (size_t i = 0; i < status->data.count && code < 0; i++)
		if (status->places[i].is_address)
			code = grpc_trust_allows(
				&status->trust, program, "data", status->places[i].data, &status->places[i].address);
	return code;
}

int status_run(int argc, char **argv)
{
	struct status status = {0};
	const struct config_key keys[] = {
		{"data", CONFIG_LIST, &status.data, 0, 0, "collectors' directories, or where they listen"},
		{"host", CONFIG_LIST, &status.hosts, 0, 0, "only these hosts"},
		{"json", CONFIG_BOOL, &status.json, 0, 0, "one JSON object"},
		GRPC_TRUST_KEYS(&status.trust),
		GRPC_TRUST_NAME_KEY(&status.trust),
		CONFIG_END,
	};
	static const struct option_spec options[] = {
		{"data", "DIR|ADDR", "data",
			"a collector's data directory, or where it listens:\nHOST:PORT or unix:PATH; of several "
			"collectors each"},
		{"host", "ID", "host", "only this host.id; may be repeated"},
		{"json", NULL, "json", "one JSON object"},
		GRPC_TRUST_OPTIONS,
		{"tls-name", "NAME", "tls.name", "what the collector's certificate is for, if not HOST"},
		{0},
	};
	const struct program_spec program = {
		.name = "taffrail",
		.usage = "status --data DIR|ADDR [OPTIONS]",
		.summary = "does what the kernels saw balance with what is stored?",
		.options = options,
		.keys = keys,
		.no_file = true,
		.notes = "Of each life of a sensor: seen by the kernel = delivered + declared lost +\n"
			 "waiting in the sensor + difference. An event that nobody accounts for counts\n"
			 "into the difference.\n"
			 "Exit: 0 all differences are 0; 1 one is not, a loss is unknown, a host has\n"
			 "nothing here, or files in DIR are damaged; 2 wrong usage; 3 DIR or ADDR cannot\n"
			 "be read.",
	};
	int code = options_read(&program, argc, argv);

	if (code < 0)
		code = check_data(&status);
	if (code < 0)
		code = check_trust(&status, &program);
	if (code < 0)
		code = run(&status);
	grpc_trust_close(&status.trust);
	config_free(keys);
	return code;
}
