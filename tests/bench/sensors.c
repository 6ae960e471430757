/* SPDX-License-Identifier: Apache-2.0 */
#include "sensors.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/wire.h"
#include "grpc/client.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	RETRY_MIN_MS = 100, /* as user/sensor/stream.c */
	RETRY_MAX_MS = 5000,
	ANSWER_MS = 20000,
	TICK_MS = 10,
	SLOW_TICKS = 100,     /* between two batches of a slow sensor */
	QUEUED_MAX = 1 << 20, /* bytes handed to a connection and not on their way */
	SLOW_WINDOW = 1024,   /* bytes of acknowledgements that a deaf one lets come */
	SLOW_SOCKET = 4096,   /* the receive buffer of one that reads nothing */
	FIRST_STEP = 64,
	STEPS = 32, /* of the latencies' histogram: 32 for each doubling */
};

struct sensor {
	TAILQ_ENTRY(sensor) entry;
	struct crowd *crowd;
	enum sensor_kind kind;
	char id[64];
	struct event_host host;
	struct grpc_client *client;
	struct grpc_call *call;
	struct event *timer; /* connected: for the answer; else for the next try */
	unsigned retry_ms;
	struct bufferevent *stream; /* the client's, of one that is slow by it */
	bool greeted, retrying;
	uint64_t next, acknowledged; /* batches sent, and acknowledged */
	uint64_t most_sent;
	uint64_t measured; /* of those acknowledged, by the last crowd_measure */
	uint64_t start_ns;
	uint64_t sent_ns[SENSOR_WINDOW_MAX];
	uint32_t sent_bytes[SENSOR_WINDOW_MAX];
};
TAILQ_HEAD(sensors, sensor);

struct crowd {
	struct crowd_options options;
	struct batches *batches;
	struct sensor *ordinary;
	struct sensors slow;
	uint64_t slow_made;
	struct ev_token_bucket_cfg *trickle;
	struct event *tick, *up;
	unsigned ticks;
	struct crowd_counters counters;
	struct crowd_figures figures;
	uint64_t latencies[LATENCY_PLACES];
};

/* --- latencies ---------------------------------------------------------------------------------------------------------- */

static size_t place_of(uint64_t us)
{
	unsigned doublings;

	if (us < FIRST_STEP)
		return us;
	doublings = 63 - (unsigned)__builtin_clzll(us) - 5;
	return doublings > 36 ? LATENCY_PLACES - 1 : FIRST_STEP + (doublings - 1) * STEPS + (us >> doublings) - STEPS;
}

static uint64_t value_at(size_t place)
{
	size_t doublings = place < FIRST_STEP ? 0 : (place - FIRST_STEP) / STEPS + 1;

	return place < FIRST_STEP ? place : ((place - FIRST_STEP) % STEPS + STEPS) << doublings;
}

static uint64_t quantile(const struct crowd *crowd, double part)
{
	uint64_t below = 0, wanted = (uint64_t)((double)crowd->figures.batches * part);

	for (size_t place = 0; place < LATENCY_PLACES; place++) {
		below += crowd->latencies[place];
		if (below > wanted)
			return value_at(place);
	}
	return crowd->figures.max_us;
}

static void note_acknowledged(struct sensor *sensor, uint64_t batch, uint64_t now_ns)
{
	const struct crowd_options *options = &sensor->crowd->options;
	struct crowd_figures *figures = &sensor->crowd->figures;
	uint64_t since_ns = options->interval_us ? sensor->start_ns + batch * options->interval_us * 1000
						 : sensor->sent_ns[batch % SENSOR_WINDOW_MAX];
	uint64_t us = now_ns > since_ns ? (now_ns - since_ns) / 1000 : 0;

	sensor->crowd->latencies[place_of(us)]++;
	figures->max_us = us > figures->max_us ? us : figures->max_us;
	figures->batches++;
	figures->events += options->events;
	figures->bytes += sensor->sent_bytes[batch % SENSOR_WINDOW_MAX];
}

/* --- batches ------------------------------------------------------------------------------------------------------------ */

static void on_released(void *bytes, void *context)
{
	(void)bytes;
	wire_bytes_free(context);
}

static int send_batch(struct sensor *sensor)
{
	const struct crowd_options *options = &sensor->crowd->options;
	uint64_t first = sensor->next * options->events + 1;
	struct buffer *bytes = batches_make(sensor->crowd->batches, &sensor->host, first, first + options->events - 1);
	int error = bytes ? 0 : -ENOMEM;

	if (error)
		return error;
	sensor->sent_ns[sensor->next % SENSOR_WINDOW_MAX] = clock_boottime_ns();
	sensor->sent_bytes[sensor->next % SENSOR_WINDOW_MAX] = (uint32_t)bytes->length;
	error = grpc_call_send_owned(sensor->call, bytes->data, bytes->length, on_released, bytes);
	if (error) {
		wire_bytes_free(bytes);
		return error;
	}
	if (++sensor->next > sensor->most_sent)
		sensor->most_sent = sensor->next;
	return 0;
}

static bool is_due(const struct sensor *sensor, uint64_t now_ns)
{
	const struct crowd_options *options = &sensor->crowd->options;

	return sensor->next < options->batches && sensor->next - sensor->acknowledged < options->window &&
	       grpc_call_queued(sensor->call) < QUEUED_MAX &&
	       (options->interval_us == 0 || sensor->start_ns + sensor->next * options->interval_us * 1000 <= now_ns);
}

static void send_batches(struct sensor *sensor)
{
	uint64_t now_ns = clock_boottime_ns();

	while (sensor->greeted && sensor->kind == SENSOR_ORDINARY && is_due(sensor, now_ns))
		if (send_batch(sensor) < 0)
			return;
}

/* From here on it does what makes it slow. */
static void slow_down(struct sensor *sensor)
{
	if (sensor->kind == SENSOR_BLOCKED)
		bufferevent_disable(sensor->stream, EV_READ);
	if (sensor->kind != SENSOR_TRICKLE)
		return;
	bufferevent_set_rate_limit(sensor->stream, sensor->crowd->trickle);
	(void)send_batch(sensor);
}

static void send_slowly(struct sensor *sensor)
{
	if (sensor->greeted && sensor->kind != SENSOR_TRICKLE && grpc_call_queued(sensor->call) < QUEUED_MAX)
		(void)send_batch(sensor);
}

/* --- the call ----------------------------------------------------------------------------------------------------------- */

/* At random between half of it and all, then twice as long. */
static void come_back(struct sensor *sensor)
{
	unsigned random, ms;

	if (sensor->retrying)
		return;
	sensor->retrying = true;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	ms = sensor->retry_ms / 2 + random % (sensor->retry_ms / 2 + 1);
	sensor->retry_ms = sensor->retry_ms < RETRY_MAX_MS / 2 ? 2 * sensor->retry_ms : RETRY_MAX_MS;
	event_add(sensor->timer, &(struct timeval){ms / 1000, (suseconds_t)(ms % 1000 * 1000)});
}

static void lose(struct sensor *sensor, const char *why)
{
	struct crowd_counters *counters = &sensor->crowd->counters;

	if (sensor->call)
		grpc_call_cancel(sensor->call);
	sensor->call = NULL;
	if (sensor->kind != SENSOR_ORDINARY) {
		counters->slow_ended += sensor->greeted;
	} else {
		counters->losses += sensor->greeted;
		counters->greeted -= sensor->greeted;
		snprintf(counters->said, sizeof(counters->said), "%s", why);
	}
	sensor->greeted = false;
	come_back(sensor);
}

static void take_acknowledged(struct sensor *sensor, uint64_t sequence)
{
	struct crowd *crowd = sensor->crowd;
	uint64_t now_ns = clock_boottime_ns(), batches = sequence / crowd->options.events;

	if (batches <= sensor->acknowledged || batches > sensor->most_sent)
		return;
	for (uint64_t i = sensor->acknowledged; i < batches && sensor->kind == SENSOR_ORDINARY; i++)
		note_acknowledged(sensor, i, now_ns);
	sensor->acknowledged = batches;
	if (sensor->kind != SENSOR_ORDINARY || batches < crowd->options.batches)
		return;
	if (++crowd->counters.whole == crowd->options.sensors && crowd->options.on_all)
		crowd->options.on_all(crowd->options.context);
}

static void take_hello(struct sensor *sensor, uint64_t stored)
{
	struct crowd *crowd = sensor->crowd;
	uint64_t batches = stored / crowd->options.events;

	event_del(sensor->timer);
	sensor->greeted = true;
	sensor->retry_ms = RETRY_MIN_MS;
	if (batches < sensor->acknowledged || batches > sensor->most_sent || stored % crowd->options.events)
		crowd->counters.forgotten++;
	take_acknowledged(sensor, stored);
	sensor->next = sensor->acknowledged;
	if (sensor->start_ns == 0) /* not all at one time */
		sensor->start_ns =
			clock_boottime_ns() +
			(crowd->options.interval_us ? (uint64_t)rand() % crowd->options.interval_us * 1000 : 0);
	if (sensor->kind != SENSOR_ORDINARY)
		slow_down(sensor);
	else if (++crowd->counters.greeted == crowd->options.sensors)
		event_active(crowd->up, EV_TIMEOUT, 0);
}

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct sensor *sensor = context;
	Taffrail__V1__Down *down = taffrail__v1__down__unpack(NULL, length, bytes);

	(void)call;
	if (!down)
		return;
	if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_HELLO && !sensor->greeted)
		take_hello(sensor, down->hello->stored);
	else if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_ACK && sensor->kind != SENSOR_DEAF)
		take_acknowledged(sensor, down->ack->sequence);
	taffrail__v1__down__free_unpacked(down, NULL);
	send_batches(sensor);
}

static void on_writable(void *context, struct grpc_call *call)
{
	(void)call;
	send_batches(context);
}

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct sensor *sensor = context;

	(void)call;
	(void)status;
	sensor->call = NULL;
	lose(sensor, message);
}

static int send_hello(struct sensor *sensor)
{
	Taffrail__V1__Up up = TAFFRAIL__V1__UP__INIT;
	Taffrail__V1__UpHello hello = TAFFRAIL__V1__UP_HELLO__INIT;
	Taffrail__V1__Host host = TAFFRAIL__V1__HOST__INIT;
	uint8_t bytes[512];

	host.id = host.name = sensor->id;
	hello.host = &host;
	hello.epoch = (ProtobufCBinaryData){sizeof(sensor->host.epoch), sensor->host.epoch};
	hello.acknowledged = sensor->acknowledged * sensor->crowd->options.events;
	up.message_case = TAFFRAIL__V1__UP__MESSAGE_HELLO;
	up.hello = &hello;
	return grpc_call_send(sensor->call, bytes, taffrail__v1__up__pack(&up, bytes));
}

static void on_up(void *context)
{
	struct sensor *sensor = context;
	const struct grpc_call_options options = {
		.context = sensor,
		.on_message = on_message,
		.on_writable = on_writable,
		.on_done = on_done,
		.manual_consume = sensor->kind == SENSOR_DEAF,
	};

	if (grpc_call_open(sensor->client, "/taffrail.v1.Collector/Stream", &options, &sensor->call) < 0)
		sensor->call = NULL;
	if (!sensor->call || send_hello(sensor) < 0)
		lose(sensor, "no call");
}

static void on_draining(void *context, const char *reason)
{
	struct sensor *sensor = context;

	(void)reason;
	if (sensor->call)
		grpc_call_half_close(sensor->call);
}

static void on_down(void *context, int error, const char *reason)
{
	(void)error;
	lose(context, reason);
}

/* --- connections -------------------------------------------------------------------------------------------------------- */

/* A connection whose bytes this program can hold back. */
static struct bufferevent *connect_stream(const struct crowd *crowd, enum sensor_kind kind)
{
	struct bufferevent *stream = NULL;
	struct grpc_endpoint endpoint;
	int fd, small = SLOW_SOCKET;

	if (grpc_address_endpoints(&crowd->options.address, &endpoint, 1) < 1)
		return NULL;
	fd = socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && kind == SENSOR_BLOCKED)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&endpoint.address, endpoint.length) == 0 &&
		evutil_make_socket_nonblocking(fd) == 0)
		stream = bufferevent_socket_new(crowd->options.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

static int open_client(struct sensor *sensor)
{
	const struct crowd_options *of = &sensor->crowd->options;
	const struct grpc_client_options options = {
		.context = sensor,
		.on_up = on_up,
		.on_draining = on_draining,
		.on_down = on_down,
		.window_bytes = sensor->kind == SENSOR_DEAF ? SLOW_WINDOW : 0,
		.user_agent = "bench-sensors",
		.tls = of->tls,
	};
	int error;

	if (sensor->kind != SENSOR_BLOCKED && sensor->kind != SENSOR_TRICKLE)
		return grpc_client_open(of->base, &of->address, &options, &sensor->client);
	sensor->stream = connect_stream(sensor->crowd, sensor->kind);
	if (!sensor->stream)
		return -ECONNREFUSED;
	error = grpc_client_open_on(of->base, sensor->stream, &options, &sensor->client);
	if (error)
		bufferevent_free(sensor->stream);
	return error;
}

static void sensor_disconnect(struct sensor *sensor)
{
	if (sensor->call)
		grpc_call_cancel(sensor->call);
	sensor->call = NULL;
	grpc_client_close(sensor->client);
	sensor->client = NULL;
}

/* Its wait is over, or that for the collector's answer is. */
static void sensor_connect(evutil_socket_t fd, short what, void *context)
{
	const struct timeval answer = {ANSWER_MS / 1000, 0};
	struct sensor *sensor = context;
	int error;

	(void)fd;
	(void)what;
	sensor->retrying = false;
	sensor_disconnect(sensor);
	error = open_client(sensor);
	if (error)
		lose(sensor, strerror(-error));
	else
		event_add(sensor->timer, &answer);
}

static int sensor_start(struct crowd *crowd, struct sensor *sensor, enum sensor_kind kind)
{
	sensor->crowd = crowd;
	sensor->kind = kind;
	sensor->retry_ms = RETRY_MIN_MS;
	sensor->host.id = sensor->host.name = text_of(sensor->id);
	evutil_secure_rng_get_bytes(sensor->host.epoch, sizeof(sensor->host.epoch));
	sensor->timer = evtimer_new(crowd->options.base, sensor_connect, sensor);
	if (!sensor->timer)
		return -ENOMEM;
	event_active(sensor->timer, EV_TIMEOUT, 0);
	return 0;
}

static void sensor_stop(struct sensor *sensor)
{
	sensor_disconnect(sensor);
	if (sensor->timer)
		event_free(sensor->timer);
	sensor->timer = NULL;
}

/* --- the crowd ---------------------------------------------------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct crowd *crowd = context;
	struct sensor *slow;

	(void)fd;
	(void)what;
	for (uint64_t i = 0; i < crowd->options.sensors && crowd->options.interval_us; i++)
		send_batches(&crowd->ordinary[i]);
	if (++crowd->ticks % SLOW_TICKS)
		return;
	for (slow = TAILQ_FIRST(&crowd->slow); slow; slow = TAILQ_NEXT(slow, entry))
		send_slowly(slow);
}

static void on_all_up(evutil_socket_t fd, short what, void *context)
{
	struct crowd *crowd = context;

	(void)fd;
	(void)what;
	if (crowd->options.on_up)
		crowd->options.on_up(crowd->options.context);
}

static int open_crowd(struct crowd *crowd)
{
	const struct timeval tick = {0, TICK_MS * 1000}, second = {1, 0};
	int error = batches_open(&crowd->batches);

	crowd->ordinary = calloc(crowd->options.sensors, sizeof(*crowd->ordinary));
	crowd->tick = event_new(crowd->options.base, -1, EV_PERSIST, on_tick, crowd);
	crowd->up = event_new(crowd->options.base, -1, 0, on_all_up, crowd);
	crowd->trickle = ev_token_bucket_cfg_new(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, 1, 1, &second);
	if (error || !crowd->ordinary || !crowd->tick || !crowd->up || !crowd->trickle ||
		event_add(crowd->tick, &tick) < 0)
		return -ENOMEM;
	for (uint64_t i = 0; i < crowd->options.sensors && !error; i++) {
		struct sensor *sensor = &crowd->ordinary[i];

		snprintf(sensor->id, sizeof(sensor->id), "%s-%llu", crowd->options.prefix, (unsigned long long)i);
		error = sensor_start(crowd, sensor, SENSOR_ORDINARY);
	}
	return error;
}

int crowd_open(struct crowd **out, const struct crowd_options *options)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	int error;

	if (!crowd)
		return -ENOMEM;
	crowd->options = *options;
	TAILQ_INIT(&crowd->slow);
	error = open_crowd(crowd);
	if (error)
		crowd_close(crowd);
	else
		*out = crowd;
	return error;
}

int crowd_add_slow(struct crowd *crowd, uint64_t count, enum sensor_kind kind)
{
	int error = 0;

	while (count-- > 0 && !error) {
		struct sensor *sensor = calloc(1, sizeof(*sensor));
		uint64_t number = crowd->slow_made++;

		if (!sensor)
			return -ENOMEM;
		TAILQ_INSERT_TAIL(&crowd->slow, sensor, entry);
		snprintf(sensor->id, sizeof(sensor->id), "%s-slow-%llu", crowd->options.prefix,
			(unsigned long long)number);
		error = sensor_start(crowd, sensor,
			kind == SENSOR_KINDS ? (enum sensor_kind)(SENSOR_DEAF + number % (SENSOR_KINDS - SENSOR_DEAF))
					     : kind);
	}
	return error;
}

void crowd_remove_slow(struct crowd *crowd)
{
	struct sensor *sensor;

	while ((sensor = TAILQ_FIRST(&crowd->slow))) {
		TAILQ_REMOVE(&crowd->slow, sensor, entry);
		sensor_stop(sensor);
		free(sensor);
	}
}

void crowd_cut(struct crowd *crowd)
{
	for (uint64_t i = 0; i < crowd->options.sensors; i++) {
		sensor_disconnect(&crowd->ordinary[i]);
		lose(&crowd->ordinary[i], "cut");
	}
}

static int compare(const void *a, const void *b)
{
	return (*(const uint64_t *)a > *(const uint64_t *)b) - (*(const uint64_t *)a < *(const uint64_t *)b);
}

void crowd_measure(struct crowd *crowd, struct crowd_figures *figures)
{
	uint64_t count = crowd->options.sensors, *each = calloc(count + 1, sizeof(*each));

	crowd->figures.p50_us = quantile(crowd, 0.5);
	crowd->figures.p99_us = quantile(crowd, 0.99);
	for (uint64_t i = 0; i < count && each; i++) {
		struct sensor *sensor = &crowd->ordinary[i];

		each[i] = (sensor->acknowledged - sensor->measured) * crowd->options.events;
		sensor->measured = sensor->acknowledged;
	}
	if (each && count > 0) {
		qsort(each, count, sizeof(*each), compare);
		crowd->figures.least = each[0];
		crowd->figures.median = each[count / 2];
		crowd->figures.most = each[count - 1];
	}
	free(each);
	*figures = crowd->figures;
	crowd->figures = (struct crowd_figures){0};
	memset(crowd->latencies, 0, sizeof(crowd->latencies));
}

void crowd_counters(const struct crowd *crowd, struct crowd_counters *counters)
{
	*counters = crowd->counters;
}

void crowd_close(struct crowd *crowd)
{
	if (!crowd)
		return;
	crowd_remove_slow(crowd);
	for (uint64_t i = 0; i < crowd->options.sensors && crowd->ordinary; i++)
		sensor_stop(&crowd->ordinary[i]);
	free(crowd->ordinary);
	if (crowd->tick)
		event_free(crowd->tick);
	if (crowd->up)
		event_free(crowd->up);
	if (crowd->trickle)
		ev_token_bucket_cfg_free(crowd->trickle);
	batches_close(crowd->batches);
	free(crowd);
}
