/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/server.h"
#include "sensor/check.h"
#include "sensor/check_config.h"
#include "sensor/confine.h"
#include "sensor/guard.h"
#include "sensor/pipeline.h"
#include "sensor/settings.h"

static struct pipeline *running; /* for the signal handler alone */

static void on_signal(int signal_number)
{
	(void)signal_number;
	pipeline_stop(running);
}

static void on_hangup(int signal_number)
{
	(void)signal_number;
	pipeline_reload(running);
}

int main(int argc, char **argv)
{
	struct http_server *http = NULL;
	struct settings settings;
	int code = sensor_settings_read(&settings, argc, argv);
	int error;

	if (code >= 0)
		return code;
	if (settings.check_config) {
		code = check_config_run(&settings);
		sensor_settings_free(&settings);
		return code;
	}
	signal(SIGPIPE, SIG_IGN);
	guard_harden();
	if (settings.check) {
		code = check_run(&settings);
		sensor_settings_free(&settings);
		return code;
	}
	signal(SIGHUP, SIG_IGN); /* until there is something to read again: files that change are found in any case */
	/* Batches have pages of their own, which go back as they are acknowledged: by itself the threshold would follow. */
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	error = pipeline_part(&running, &settings);
	error = error ? error : confine_worker(); /* from here on what strangers wrote is read */
	if (!error && settings.http)
		error = http_server_open(&http, &settings.http_address);
	if (error)
		pipeline_close(running);
	else
		error = pipeline_open(running, http_server_board(http));
	if (error) {
		http_server_close(http);
		sensor_settings_free(&settings);
		return EXIT_FAILURE;
	}

	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a blocked write must notice */

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = on_hangup;
	action.sa_flags = SA_RESTART;
	sigaction(SIGHUP, &action, NULL);
	log_info("ready");
	error = pipeline_run(running);
	signal(SIGHUP, SIG_IGN); /* what it would hurry goes */
	pipeline_close(running);
	http_server_close(http);
	sensor_settings_free(&settings);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
