/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators mean. A field that the event cannot tell makes every comparison false, also !=. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <sys/socket.h>

#include "detect/evaluator.h"

/* --- patterns --------------------------------------------------------------------------------------------------------- */

static unsigned char folded(char byte, bool fold)
{
	return fold && byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte | 0x20) : (unsigned char)byte;
}

/* Is the byte of the class at the start of `name`, which ends with ":]"? `length` gets the class's own. */
static bool in_class(struct text name, unsigned char byte, size_t *length)
{
	static const struct {
		const char *name;
		int (*is)(int byte);
	} classes[] = {{"alnum:]", isalnum}, {"alpha:]", isalpha}, {"blank:]", isblank}, {"cntrl:]", iscntrl},
		{"digit:]", isdigit}, {"graph:]", isgraph}, {"lower:]", islower}, {"print:]", isprint},
		{"punct:]", ispunct}, {"space:]", isspace}, {"upper:]", isupper}, {"xdigit:]", isxdigit}};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (text_starts_with(name, text_of(classes[i].name))) {
			*length = strlen(classes[i].name);
			return byte < 128 && classes[i].is(byte);
		}
	*length = 0;
	return false;
}

/* The set that starts behind a `[` at `at`. Its length, `]` and all, or 0: it is none. */
static size_t match_set(struct text pattern, size_t at, unsigned char byte, bool fold, bool *matched)
{
	size_t start = at, length;
	bool negated = at < pattern.length && (pattern.data[at] == '!' || pattern.data[at] == '^'), found = false;

	at += negated;
	for (bool first = true; at < pattern.length && (first || pattern.data[at] != ']'); first = false) {
		unsigned char low, high;

		if (pattern.data[at] == '[' && at + 1 < pattern.length && pattern.data[at + 1] == ':') {
			bool is =
				in_class((struct text){pattern.data + at + 2, pattern.length - at - 2}, byte, &length);

			if (length > 0) {
				found = found || is;
				at += 2 + length;
				continue;
			}
		}
		if (pattern.data[at] == '\\' && at + 1 < pattern.length)
			at++;
		low = high = folded(pattern.data[at++], fold);
		if (at + 1 < pattern.length && pattern.data[at] == '-' && pattern.data[at + 1] != ']') {
			at += pattern.data[at + 1] == '\\' && at + 2 < pattern.length ? 2 : 1;
			high = folded(pattern.data[at++], fold);
		}
		found = found || (byte >= low && byte <= high);
	}
	if (at >= pattern.length)
		return 0;
	*matched = found != negated;
	return at + 1 - start;
}

/* One byte against what stands at `at`, which is no `*`. How much of the pattern that was; 0: it does not match. */
static size_t match_one(struct text pattern, size_t at, char raw, bool fold)
{
	unsigned char byte = folded(raw, fold);
	bool matched = false;
	size_t length;

	switch (pattern.data[at]) {
	case '?': return 1;
	case '[':
		length = match_set(pattern, at + 1, byte, fold, &matched);
		if (length > 0)
			return matched ? 1 + length : 0;
		return byte == '[';
	case '\\':
		if (at + 1 < pattern.length)
			return folded(pattern.data[at + 1], fold) == byte ? 2 : 0;
		return byte == '\\';
	default: return folded(pattern.data[at], fold) == byte;
	}
}

/* Does a text match a pattern of *, ? and [sets]? As fnmatch(3) without flags; `fold`: of either case. */
static bool matches_glob(struct text text, struct text pattern, bool fold)
{
	size_t at = 0, next = 0, star = SIZE_MAX, star_at = 0;

	/* A mismatch goes back to the last star, which takes one byte more: earlier ones need not be tried again. */
	while (at < text.length) {
		size_t step = 0;

		if (next < pattern.length && pattern.data[next] == '*') {
			star = ++next;
			star_at = at;
			continue;
		}
		if (next < pattern.length)
			step = match_one(pattern, next, text.data[at], fold);
		if (step > 0) {
			next += step;
			at++;
		} else if (star != SIZE_MAX) {
			next = star;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (next < pattern.length && pattern.data[next] == '*')
		next++;
	return next == pattern.length;
}

static bool has_pattern(struct text text)
{
	for (size_t i = 0; i < text.length; i++)
		if (strchr("*?[\\", text.data[i]))
			return true;
	return false;
}

/* The next part between slashes, which it takes off `path`; false at the end. */
static bool next_part(struct text *path, struct text *part)
{
	const char *slash;

	while (path->length > 0 && *path->data == '/')
		*path = (struct text){path->data + 1, path->length - 1};
	if (path->length == 0)
		return false;
	slash = memchr(path->data, '/', path->length);
	*part = (struct text){path->data, slash ? (size_t)(slash - path->data) : path->length};
	*path = (struct text){path->data + part->length, path->length - part->length};
	return true;
}

/* Does the path begin with the pattern, part by part? */
static bool match_path(struct text path, struct text pattern)
{
	struct text wanted, part;

	while (next_part(&pattern, &wanted)) {
		if (!next_part(&path, &part))
			return false;
		if (has_pattern(wanted) ? !matches_glob(part, wanted, false) : !text_equal(part, wanted))
			return false;
	}
	return true;
}

/* --- texts -------------------------------------------------------------------------------------------------------------- */

static bool contains(struct text text, struct text part)
{
	return part.length == 0 || (text.length > 0 && memmem(text.data, text.length, part.data, part.length));
}

/* `part` is in small letters. */
static bool contains_folded(struct text text, struct text part)
{
	unsigned char first = part.length > 0 ? (unsigned char)part.data[0] : 0;

	for (size_t i = 0; i + part.length <= text.length; i++) {
		size_t same = 0;

		if (part.length > 0 && folded(text.data[i], true) != first)
			continue;
		while (same < part.length && folded(text.data[i + same], true) == (unsigned char)part.data[same])
			same++;
		if (same == part.length)
			return true;
	}
	return false;
}

static bool ends_with(struct text text, struct text end)
{
	return text.length >= end.length &&
	       (end.length == 0 || memcmp(text.data + text.length - end.length, end.data, end.length) == 0);
}

static int order(struct text a, struct text b)
{
	size_t length = a.length < b.length ? a.length : b.length;
	int order = length > 0 ? memcmp(a.data, b.data, length) : 0;

	return order ? order : (a.length > b.length) - (a.length < b.length);
}

static bool match_regex(struct rules_evaluator *evaluator, struct text text, const struct constant *constant)
{
	int found;

	if (!constant->regex)
		return false;
	found = pcre2_match(constant->regex, (PCRE2_SPTR)(text.data ? text.data : ""), text.length, 0, 0,
		evaluator->match, evaluator->limits);
	if (found >= 0)
		return true;
	if (found != PCRE2_ERROR_NOMATCH)
		evaluator->counters.regex_limits++;
	return false;
}

static bool compare_text(struct rules_evaluator *evaluator, enum expression_operator relation, struct text text,
	const struct constant *constant)
{
	struct text word = constant->text;

	switch (relation) {
	case OPERATOR_EQUAL:
	case OPERATOR_IN:
	case OPERATOR_INTERSECTS: return text_equal(text, word);
	case OPERATOR_NOT_EQUAL: return !text_equal(text, word);
	case OPERATOR_LESS: return order(text, word) < 0;
	case OPERATOR_LESS_OR_EQUAL: return order(text, word) <= 0;
	case OPERATOR_GREATER: return order(text, word) > 0;
	case OPERATOR_GREATER_OR_EQUAL: return order(text, word) >= 0;
	case OPERATOR_CONTAINS:
	case OPERATOR_BCONTAINS: return contains(text, word);
	case OPERATOR_ICONTAINS: return contains_folded(text, word);
	case OPERATOR_STARTSWITH:
	case OPERATOR_BSTARTSWITH: return text_starts_with(text, word);
	case OPERATOR_ENDSWITH: return ends_with(text, word);
	case OPERATOR_GLOB: return matches_glob(text, word, false);
	case OPERATOR_IGLOB: return matches_glob(text, word, true);
	case OPERATOR_PMATCH: return match_path(text, word);
	case OPERATOR_REGEX: return match_regex(evaluator, text, constant);
	case OPERATOR_EXISTS: return true;
	}
	return false;
}

/* --- other types ---------------------------------------------------------------------------------------------------------- */

static bool compare_number(enum expression_operator relation, int64_t number, int64_t constant)
{
	switch (relation) {
	case OPERATOR_NOT_EQUAL: return number != constant;
	case OPERATOR_LESS: return number < constant;
	case OPERATOR_LESS_OR_EQUAL: return number <= constant;
	case OPERATOR_GREATER: return number > constant;
	case OPERATOR_GREATER_OR_EQUAL: return number >= constant;
	default: return number == constant;
	}
}

/* Is the address of the network of `bits` bits? One of another version is of none. */
static bool in_network(const struct event_address *address, const struct event_address *network, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (address->family != network->family || memcmp(address->bytes, network->bytes, whole) != 0)
		return false;
	return rest == 0 || ((address->bytes[whole] ^ network->bytes[whole]) & (0xff << (8 - rest) & 0xff)) == 0;
}

static bool compare_value(struct rules_evaluator *evaluator, const struct check *check, enum field_type type,
	const struct value *value, const struct constant *constant)
{
	bool equal;

	switch (type) {
	case FIELD_TEXT: return compare_text(evaluator, check->relation, value->text, constant);
	case FIELD_NUMBER:
	case FIELD_BOOLEAN: return compare_number(check->relation, value->number, constant->number);
	case FIELD_ADDRESS:
		equal = in_network(
			&value->address, &constant->address, constant->address.family == AF_INET6 ? 128 : 32);
		break;
	default: equal = in_network(&value->address, &constant->address, constant->bits); break;
	}
	return equal != (check->relation == OPERATOR_NOT_EQUAL);
}

/* --- checks --------------------------------------------------------------------------------------------------------------- */

/* Is the value among the constants of a set? */
static bool in_set(const struct check *check, enum field_type type, const struct value *value, uint64_t hash)
{
	for (size_t at = hash & check->set_mask; check->set[at]; at = (at + 1) & check->set_mask) {
		const struct constant *constant = &check->constants[check->set[at] - 1];

		if (constant->hash != hash)
			continue;
		if (type == FIELD_TEXT          ? text_equal(value->text, constant->text)
			: type == FIELD_ADDRESS ? in_network(&value->address, &constant->address,
							  (unsigned int)field_address_size(&constant->address) * 8)
						: value->number == constant->number)
			return true;
	}
	return false;
}

/* One value against the constants, as many as the quantifier asks for. `hash` NULL: not known yet. */
static bool compare_constants(struct rules_evaluator *evaluator, const struct check *check, enum field_type type,
	const struct value *value, const uint64_t *hash)
{
	size_t held = 0;

	if (check->set && !check->quantifier)
		return in_set(check, type, value, hash ? *hash : constant_hash(type, value));
	for (size_t i = 0; i < check->constant_count; i++) {
		bool holds = compare_value(evaluator, check, type, value, &check->constants[i]);

		held += holds;
		if (holds && check->quantifier <= QUANTIFIER_ANY && check->quantifier != QUANTIFIER_ONE)
			return true;
		if (!holds && check->quantifier == QUANTIFIER_ALL)
			return false;
	}
	return check->quantifier == QUANTIFIER_ONE ? held == 1 : check->quantifier == QUANTIFIER_ALL;
}

/* One value against those of another slot. */
static bool compare_right(struct rules_evaluator *evaluator, const struct check *check, enum field_type type,
	const struct value *value, const struct values *right)
{
	for (size_t i = 0; i < right->count; i++) {
		const struct value *other = values_at(right, i);
		struct constant constant = {0};

		if (type == FIELD_TEXT)
			constant.text = other->text;
		else if (type == FIELD_ADDRESS || type == FIELD_NETWORK)
			constant = (struct constant){
				.address = other->address, .bits = other->address.family == AF_INET6 ? 128 : 32};
		else
			constant.number = other->number;
		if (compare_value(evaluator, check, type, value, &constant))
			return true;
	}
	return false;
}

bool evaluator_check(struct rules_evaluator *evaluator, const struct check *check)
{
	const struct slot *slot = &evaluator->rules->program.slots[check->slot];
	struct slot_state *state = &evaluator->slots[check->slot];
	const struct values *values = evaluator_values(evaluator, check->slot), *right = NULL;
	bool all, single = values->count == 1;

	if (!values->known || check->relation == OPERATOR_EXISTS)
		return values->known;
	if (check->right) {
		right = evaluator_values(evaluator, check->right - 1);
		if (!right->known)
			return false;
	}
	if (single && check->set && state->hash_turn != evaluator->turn) {
		state->hash = constant_hash(slot->type, &values->one);
		state->hash_turn = evaluator->turn;
	}
	/* Of an ancestor any, of a list all for `in`; of a connection's ends neither may be equal for !=. */
	all = slot->shape == FIELD_LIST ? check->relation == OPERATOR_IN
					: slot->shape != FIELD_ANY && check->relation == OPERATOR_NOT_EQUAL;
	for (size_t i = 0; i < values->count; i++) {
		const struct value *value = values_at(values, i);
		bool holds =
			right ? compare_right(evaluator, check, slot->type, value, right)
			      : compare_constants(evaluator, check, slot->type, value, single ? &state->hash : NULL);

		if (holds != all)
			return holds;
	}
	return all;
}
