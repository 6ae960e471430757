/* SPDX-License-Identifier: Apache-2.0 */
/* container.*, k8s.*: where it happened. */
#include <fnmatch.h>

#include "detect/field.h"

enum which {
	ID,
	FULL_ID,
	NAME,
	IMAGE,
	REPOSITORY,
	TAG,
	DIGEST,
	TYPE,
	PRIVILEGED,
	HOST_PIDS,
	HOST_NETWORK,
	HOST_IPC,
	START,
	DURATION,
	MOUNTS,
	IP,
	NAMESPACE,
	POD_NAME,
	POD_UID,
	SANDBOX_ID,
	SHORT_SANDBOX_ID,
	POD_IP,
	LABEL,
	ALL_LABELS,
	DEPLOYMENT,
	DAEMON_SET,
	STATEFUL_SET,
	REPLICA_SET,
	JOB,
	MOUNT,
	MOUNT_SOURCE,
	MOUNT_DESTINATION,
	MOUNT_MODE,
	MOUNT_WRITABLE,
	MOUNT_PROPAGATION,
};

enum { SHORT_ID_SIZE = 12, WORD_SIZE = 512 };

static const struct event_spec *spec_of(const struct event *event)
{
	if (event->action == EVENT_CONTAINER_STARTED && event->life.spec)
		return event->life.spec;
	return event->container ? event->container->spec : NULL;
}

static struct text image(struct extraction *extraction, const struct event_container *container)
{
	struct field_text text = field_text_begin(extraction);

	field_text_add(&text, container->image_name);
	if (container->image_name.length > 0 && container->image_tag.length > 0) {
		field_text_byte(&text, ':');
		field_text_add(&text, container->image_tag);
	}
	return field_text_end(&text);
}

/* "host" outside containers. */
static void ids(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	static const char digits[] = "0123456789abcdef";
	const struct event_container *container = extraction->event->container;
	size_t length = use->field->which == ID ? SHORT_ID_SIZE : 2 * EVENT_CONTAINER_ID_SIZE;
	char *text;

	if (!container) {
		field_give_text(values, TEXT_LITERAL("host"));
		return;
	}
	text = field_room(extraction, length);
	if (!text)
		return;
	for (size_t i = 0; i < length; i++)
		text[i] = digits[container->id[i / 2] >> (i % 2 ? 0 : 4) & 15];
	field_give_text(values, (struct text){text, length});
}

static void texts(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_container *container = extraction->event->container;
	enum which which = (enum which)use->field->which;

	if (!container) {
		if (which == NAME || which == TYPE)
			field_give_text(values, TEXT_LITERAL("host"));
		return;
	}
	switch (which) {
	case NAME: field_give_text(values, container->name); break;
	case IMAGE: field_give_text(values, image(extraction, container)); break;
	case REPOSITORY: field_give_text(values, container->image_name); break;
	case TAG: field_give_text(values, container->image_tag); break;
	case DIGEST: field_give_text(values, container->image_digest); break;
	case TYPE: field_give_text(values, container->runtime); break;
	case NAMESPACE: field_give_text(values, container->pod_namespace); break;
	case POD_NAME: field_give_text(values, container->pod_name); break;
	case POD_UID: field_give_text(values, container->pod_uid); break;
	case SANDBOX_ID: field_give_text(values, container->sandbox_id); break;
	case SHORT_SANDBOX_ID:
		field_give_text(
			values, (struct text){container->sandbox_id.data, container->sandbox_id.length < SHORT_ID_SIZE
										  ? container->sandbox_id.length
										  : SHORT_ID_SIZE});
		break;
	case IP:
	case POD_IP:
		if (container->pod_ip_count > 0)
			field_give_text(values, container->pod_ips[0]);
		break;
	default: break;
	}
}

/* The pod's owner, where it is of the field's kind. */
static void workloads(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	static const struct {
		enum which which;
		struct text kind;
	} kinds[] = {
		{DEPLOYMENT, TEXT_STATIC("Deployment")},
		{DAEMON_SET, TEXT_STATIC("DaemonSet")},
		{STATEFUL_SET, TEXT_STATIC("StatefulSet")},
		{REPLICA_SET, TEXT_STATIC("ReplicaSet")},
		{JOB, TEXT_STATIC("Job")},
	};
	const struct event_container *container = extraction->event->container;

	for (size_t i = 0; container && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].which == (enum which)use->field->which &&
			text_equal(container->workload_kind, kinds[i].kind))
			field_give_text(values, container->workload_name);
}

static void labels(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_container *container = extraction->event->container;
	struct field_text text = field_text_begin(extraction);

	if (!container)
		return;
	for (size_t i = 0; i < container->label_count; i++) {
		const struct event_label *label = &container->labels[i];

		if (use->key.data && text_equal(label->key, use->key)) {
			field_give_any_text(values, label->value);
			return;
		}
		if (use->key.data)
			continue;
		if (i > 0)
			field_text_add(&text, TEXT_LITERAL(", "));
		field_text_add(&text, label->key);
		field_text_byte(&text, ':');
		field_text_add(&text, label->value);
	}
	if (!use->key.data)
		field_give_text(values, field_text_end(&text));
}

static void rights(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_spec *spec = spec_of(extraction->event);

	if (!spec)
		return;
	switch ((enum which)use->field->which) {
	case PRIVILEGED: field_give_boolean(values, spec->privileged); break;
	case HOST_PIDS: field_give_boolean(values, spec->host_namespaces & EVENT_NAMESPACE_PID); break;
	case HOST_NETWORK: field_give_boolean(values, spec->host_namespaces & EVENT_NAMESPACE_NETWORK); break;
	case HOST_IPC: field_give_boolean(values, spec->host_namespaces & EVENT_NAMESPACE_IPC); break;
	default: break;
	}
}

/* As Falco has it: a container begins with its pid namespace. */
static void times(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	uint64_t start_ns = event->container && event->process ? event->process->namespace_ns : 0;

	if (start_ns == 0)
		return;
	field_give_number(values, (int64_t)(use->field->which == START ? start_ns : event->time_ns - start_ns));
}

/* --- mounts ----------------------------------------------------------------------------------------------------------- */

static bool has_option(struct text options, struct text option)
{
	while (options.length > 0) {
		const char *comma = memchr(options.data, ',', options.length);
		size_t length = comma ? (size_t)(comma - options.data) : options.length;

		if (text_equal((struct text){options.data, length}, option))
			return true;
		length += comma != NULL;
		options = (struct text){options.data + length, options.length - length};
	}
	return false;
}

static struct text propagation(const struct event_mount *mount)
{
	static const struct text kinds[] = {TEXT_STATIC("rprivate"), TEXT_STATIC("private"), TEXT_STATIC("rshared"),
		TEXT_STATIC("shared"), TEXT_STATIC("rslave"), TEXT_STATIC("slave")};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (has_option(mount->options, kinds[i]))
			return kinds[i];
	return (struct text){0};
}

static void add_mount(struct field_text *text, const struct event_mount *mount)
{
	bool read_only = has_option(mount->options, TEXT_LITERAL("ro"));

	field_text_add(text, mount->source);
	field_text_byte(text, ':');
	field_text_add(text, mount->destination);
	field_text_byte(text, ':');
	field_text_add(text, mount->type);
	field_text_add(text, read_only ? TEXT_LITERAL(":false:") : TEXT_LITERAL(":true:"));
	field_text_add(text, propagation(mount));
}

static bool is_like(struct text text, struct text pattern)
{
	char words[WORD_SIZE];

	if (text.length >= sizeof(words))
		return false;
	memcpy(words, text.data ? text.data : "", text.length);
	words[text.length] = '\0';
	return fnmatch(pattern.data, words, 0) == 0;
}

/* By its number, or its source like the key; with MOUNT_SOURCE, its destination. */
static const struct event_mount *find_mount(const struct event_spec *spec, const struct field_use *use)
{
	size_t number = 0;
	bool digits = use->key.length > 0 && use->key.length < 5;

	for (size_t i = 0; i < use->key.length && digits; i++) {
		digits = use->key.data[i] >= '0' && use->key.data[i] <= '9';
		number = 10 * number + (size_t)(use->key.data[i] - '0');
	}
	if (digits)
		return number < spec->mount_count ? &spec->mounts[number] : NULL;
	for (size_t i = 0; i < spec->mount_count; i++)
		if (is_like(use->field->which == MOUNT_SOURCE ? spec->mounts[i].destination : spec->mounts[i].source,
			    use->key))
			return &spec->mounts[i];
	return NULL;
}

/* A mount that is not there is "N/A": rules compare with that word. */
static void one_mount(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_spec *spec = spec_of(extraction->event);
	const struct event_mount *mount = spec ? find_mount(spec, use) : NULL;
	struct field_text text;

	if (!extraction->event->container)
		return;
	if (!mount) {
		field_give_text(values, TEXT_LITERAL("N/A"));
		return;
	}
	switch ((enum which)use->field->which) {
	case MOUNT:
		text = field_text_begin(extraction);
		add_mount(&text, mount);
		field_give_text(values, field_text_end(&text));
		break;
	case MOUNT_SOURCE: field_give_text(values, mount->source); break;
	case MOUNT_DESTINATION: field_give_text(values, mount->destination); break;
	case MOUNT_MODE: field_give_text(values, mount->type); break;
	case MOUNT_WRITABLE:
		field_give_text(values,
			has_option(mount->options, TEXT_LITERAL("ro")) ? TEXT_LITERAL("false") : TEXT_LITERAL("true"));
		break;
	case MOUNT_PROPAGATION: field_give_text(values, propagation(mount)); break;
	default: break;
	}
}

static void all_mounts(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event_spec *spec = spec_of(extraction->event);
	struct field_text text = field_text_begin(extraction);

	(void)use;
	for (size_t i = 0; spec && i < spec->mount_count; i++) {
		if (i > 0)
			field_text_byte(&text, ',');
		add_mount(&text, &spec->mounts[i]);
	}
	field_give_text(values, field_text_end(&text));
}

static void unknown(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	(void)extraction;
	(void)use;
	(void)values;
}

const struct field field_container[] = {
	{"container.id", FIELD_TEXT, 0, 0, ids, ID, "the first 12 digits of the container's id; \"host\" outside"},
	{"container.full_id", FIELD_TEXT, 0, 0, ids, FULL_ID, "the container's id; \"host\" outside"},
	{"container.name", FIELD_TEXT, 0, 0, texts, NAME, "the container's name; \"host\" outside"},
	{"container.image", FIELD_TEXT, 0, 0, texts, IMAGE, "the image's name and tag"},
	{"container.image.repository", FIELD_TEXT, 0, 0, texts, REPOSITORY, "the image's name"},
	{"container.image.tag", FIELD_TEXT, 0, 0, texts, TAG, "the image's tag"},
	{"container.image.digest", FIELD_TEXT, 0, 0, texts, DIGEST, "the image's digest: sha256:…"},
	{"container.image.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"container.type", FIELD_TEXT, 0, 0, texts, TYPE, "the runtime: containerd, cri-o, docker, podman; or host"},
	{"container.privileged", FIELD_BOOLEAN, 0, 0, rights, PRIVILEGED, "does it run privileged?"},
	{"container.mounts", FIELD_TEXT, 0, 0, all_mounts, MOUNTS,
		"its mounts: source:destination:type:writable:propagation"},
	{"container.mount", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT, "one mount, by number or source"},
	{"container.mount.source", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT_SOURCE,
		"a mount's source, by number or destination; N/A: there is none"},
	{"container.mount.dest", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT_DESTINATION,
		"a mount's destination, by number or source; N/A: there is none"},
	{"container.mount.mode", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT_MODE, "a mount's type"},
	{"container.mount.rdwr", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT_WRITABLE, "may it be written to?"},
	{"container.mount.propagation", FIELD_TEXT, 0, ARGUMENT_KEY, one_mount, MOUNT_PROPAGATION,
		"a mount's propagation"},
	{"container.ip", FIELD_TEXT, 0, 0, texts, IP, "its pod's first address"},
	{"container.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded; see k8s.pod.label"},
	{"container.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded; see k8s.pod.labels"},
	{"container.start_ts", FIELD_NUMBER, 0, 0, times, START,
		"when the first process of its pid namespace began, Unix time in nanoseconds"},
	{"container.duration", FIELD_NUMBER, 0, 0, times, DURATION, "nanoseconds since then"},
	{"container.cni.json", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"container.host_pid", FIELD_BOOLEAN, 0, 0, rights, HOST_PIDS, "does it share the node's pids?"},
	{"container.host_network", FIELD_BOOLEAN, 0, 0, rights, HOST_NETWORK, "does it share the node's network?"},
	{"container.host_ipc", FIELD_BOOLEAN, 0, 0, rights, HOST_IPC, "does it share the node's System V IPC?"},
	{"container.healthcheck", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"container.liveness_probe", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"container.readiness_probe", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.ns.name", FIELD_TEXT, 0, 0, texts, NAMESPACE, "the pod's namespace"},
	{"k8s.pod.name", FIELD_TEXT, 0, 0, texts, POD_NAME, "the pod's name"},
	{"k8s.pod.uid", FIELD_TEXT, 0, 0, texts, POD_UID, "the pod's uid"},
	{"k8s.pod.id", FIELD_TEXT, 0, 0, texts, POD_UID, "the same"},
	{"k8s.pod.sandbox_id", FIELD_TEXT, 0, 0, texts, SHORT_SANDBOX_ID, "the first 12 digits of the sandbox's id"},
	{"k8s.pod.full_sandbox_id", FIELD_TEXT, 0, 0, texts, SANDBOX_ID, "the sandbox's id"},
	{"k8s.pod.ip", FIELD_TEXT, 0, 0, texts, POD_IP, "the pod's first address"},
	{"k8s.pod.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, labels, LABEL, "the value of one of the pod's labels"},
	{"k8s.pod.labels", FIELD_TEXT, 0, 0, labels, ALL_LABELS, "the pod's labels: key:value, …"},
	{"k8s.pod.cni.json", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.deployment.name", FIELD_TEXT, 0, 0, workloads, DEPLOYMENT, "the owner's name, if it is a Deployment"},
	{"k8s.ds.name", FIELD_TEXT, 0, 0, workloads, DAEMON_SET, "the owner's name, if it is a DaemonSet"},
	{"k8s.statefulset.name", FIELD_TEXT, 0, 0, workloads, STATEFUL_SET, "the owner's name, if it is a StatefulSet"},
	{"k8s.rs.name", FIELD_TEXT, 0, 0, workloads, REPLICA_SET, "the owner's name, if it is a ReplicaSet"},
	{"k8s.job.name", FIELD_TEXT, 0, 0, workloads, JOB, "the owner's name, if it is a Job"},
	{"k8s.ns.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.rc.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.rc.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.svc.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.svc.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.rs.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.rs.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.deployment.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.deployment.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.ns.labels", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.cluster.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.cluster.id", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.ns.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"k8s.rc.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"k8s.svc.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"k8s.rs.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"k8s.deployment.label", FIELD_TEXT, 0, ARGUMENT_DOTTED_KEY, unknown, 0, "not recorded"},
	{"k8s.rc.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"k8s.svc.name", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{0},
};
