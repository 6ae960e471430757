/* SPDX-License-Identifier: Apache-2.0 */
/* The fields that conditions and outputs ask for: what they are called, and how an event tells them. */
#ifndef TAFFRAIL_DETECT_FIELD_H
#define TAFFRAIL_DETECT_FIELD_H

#include <sys/socket.h>

#include "detect/rules.h"

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_ADDRESS, FIELD_NETWORK };

/* How a comparison treats the values of a field. */
enum field_shape {
	FIELD_ONE,
	FIELD_EITHER, /* an end of a connection: = asks for one that is equal, != for none */
	FIELD_ANY,    /* an ancestor: asks for one that compares, also with != */
	FIELD_LIST,   /* `in` asks for all of them, `intersects` for one */
};

enum field_argument {
	ARGUMENT_NONE,
	ARGUMENT_INDEX,       /* [number]; of ancestors: without it any of them, 0 the process itself */
	ARGUMENT_KEY,         /* [word], needed */
	ARGUMENT_DOTTED_KEY,  /* [word] or .word, needed */
	ARGUMENT_KEY_OR_NONE, /* [word] */
	ARGUMENT_NAME,        /* [word] or .word, needed: an argument of the call */
};

struct value {
	union {
		struct text text;
		int64_t number; /* of booleans 0 or 1 */
		struct event_address address;
	};
};

/* What a field of an event is. `known` false: the event cannot tell. */
struct values {
	bool known;
	size_t count;
	struct value one;         /* count 1 */
	const struct value *more; /* else */
};

static inline const struct value *values_at(const struct values *values, size_t number)
{
	return values->count == 1 ? &values->one : &values->more[number];
}

/* An event while its fields are asked for, and the room in which texts are put together. */
struct extraction {
	const struct event *event;
	const struct rules_names *names;
	char *room;
	size_t used, size;
	uint64_t *cut; /* counts values that did not fit */
};

struct field;

/* One use of a field, with what stands in its brackets. */
struct field_use {
	const struct field *field;
	enum field_type type;
	enum field_shape shape;
	int64_t index;   /* -1: none */
	struct text key; /* with a NUL behind it */
};

struct field {
	const char *name;
	enum field_type type;
	enum field_shape shape;
	enum field_argument argument;
	void (*extract)(struct extraction *extraction, const struct field_use *use, struct values *values);
	int which; /* for functions that serve several fields */
	const char *help;
};

/* The tables, one a file; each ends with a NULL name. */
extern const struct field field_event[], field_file[], field_network[], field_process[], field_container[];

/*
 * Finds the field of a name and its argument (`argument` data NULL: none). 0; -ENOENT: there is no such field; -EINVAL:
 * its argument is wrong, and `why` says how.
 */
int field_find(struct field_use *use, struct text name, struct text argument, char *why, size_t why_size);

/* --- for the tables --------------------------------------------------------------------------------------------------- */

void field_give_text(struct values *values, struct text text);
/* The same, but an empty text is a value too. */
void field_give_any_text(struct values *values, struct text text);
void field_give_number(struct values *values, int64_t number);
void field_give_boolean(struct values *values, bool boolean);

/* Room for `bytes`, aligned for values; NULL if there is no more, which is counted. */
void *field_room(struct extraction *extraction, size_t bytes);

/* Text that is put together in the room. */
struct field_text {
	struct extraction *extraction;
	size_t start;
};

struct field_text field_text_begin(struct extraction *extraction);
void field_text_add(struct field_text *text, struct text part);
void field_text_byte(struct field_text *text, char byte);
void field_text_number(struct field_text *text, int64_t number);
struct text field_text_end(struct field_text *text);

/* NUL-separated words, joined by blanks. `skip` leaves the first ones out. */
void field_text_words(struct field_text *text, struct text words, size_t skip);

/* How many bytes an internet address has. */
static inline size_t field_address_size(const struct event_address *address)
{
	return address->family == AF_INET ? 4 : sizeof(address->bytes);
}

/* An address as people write it. */
void field_text_address(struct field_text *text, const struct event_address *address);

/* The event's user by number, as the names say; the number as text where they do not. */
struct text field_user(struct extraction *extraction, uint32_t uid);
struct text field_group(struct extraction *extraction, uint32_t gid);

/* The connection or socket that the descriptor is, of which fd.* speak; NULL if it is none. */
const struct event_network *field_socket(const struct event *event);
/* fd.name. */
struct text field_descriptor_name(struct extraction *extraction);
/* fd.num; false where the event has no descriptor. */
bool field_descriptor(const struct event *event, int64_t *number);

/* What was received with the event, as far as it is told. */
struct text field_data(const struct event *event);
/* Does this use of a field ask for that? */
bool field_asks_for_data(const struct field_use *use);

/* How the arguments of an event's call are called, in their order; the number of them. */
size_t field_call_arguments(const struct event *event, const char *const **names);
/* Does any call have an argument of that name? */
bool field_is_call_argument(struct text name);
/* The value of an argument, as text. `raw`: as a number. */
void field_call_argument(struct extraction *extraction, struct text name, bool raw, struct values *values);

#endif
