/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>

#include "collector/collector.h"
#include "collector/settings.h"

int main(int argc, char **argv)
{
	struct collector *collector;
	struct settings settings;
	int code = collector_settings_read(&settings, argc, argv);
	int error;

	if (code >= 0)
		return code;
	signal(SIGPIPE, SIG_IGN);
	error = collector_open(&collector, &settings);
	if (!error) {
		error = collector_run(collector);
		collector_close(collector);
	}
	collector_settings_free(&settings);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
