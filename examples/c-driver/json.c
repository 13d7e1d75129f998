/* As much JSON as a line protocol needs (RFC 8259). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"

enum { DEPTH_MAX = 32, NODES_FIRST = 256 };

static void skip_space(struct json_reader *r)
{
	while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n')
		r->at++;
}

static bool fail(struct json_reader *r, const char *why)
{
	if (r->wrong == NULL)
		r->wrong = why;
	return false;
}

/* Nodes are found by number while the tree grows, since they may move. */
static size_t new_node(struct json_reader *r)
{
	if (r->used == r->capacity) {
		size_t capacity = r->capacity == 0 ? NODES_FIRST : 2 * r->capacity;
		struct json *nodes = realloc(r->nodes, capacity * sizeof *nodes);

		if (nodes == NULL)
			return SIZE_MAX;
		r->nodes = nodes;
		r->capacity = capacity;
	}
	r->nodes[r->used] = (struct json){ .kind = JSON_NULL };
	return r->used++;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \uXXXX of the basic plane; halves of pairs are kept as they are, three bytes each. */
static char *put_code(struct json_reader *r, char *to)
{
	unsigned code = 0;

	for (int i = 0; i < 4; i++) {
		int d = digit(r->at[i]);

		if (d < 0)
			return NULL;
		code = 16 * code + d;
	}
	r->at += 4;
	if (code == 0)
		return NULL;
	if (code < 0x80) {
		*to++ = code;
	} else if (code < 0x800) {
		*to++ = 0xc0 | code >> 6;
		*to++ = 0x80 | (code & 63);
	} else {
		*to++ = 0xe0 | code >> 12;
		*to++ = 0x80 | (code >> 6 & 63);
		*to++ = 0x80 | (code & 63);
	}
	return to;
}

static const char *read_text(struct json_reader *r)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	char *start = ++r->at, *to = start;

	while (*r->at != '"') {
		char c = *r->at++;

		if ((unsigned char)c < 0x20)
			return fail(r, "a text does not end") ? start : NULL;
		if (c != '\\') {
			*to++ = c;
			continue;
		}
		c = *r->at++;
		const char *escape = c == 0 ? NULL : strchr(escapes, c);

		if (escape != NULL)
			*to++ = meanings[escape - escapes];
		else if (c != 'u' || (to = put_code(r, to)) == NULL)
			return fail(r, "an escape that there is not") ? start : NULL;
	}
	r->at++;
	*to = 0;
	return start;
}

static bool read_value(struct json_reader *r, size_t node, int depth);

static bool read_list(struct json_reader *r, size_t node, int depth, bool object)
{
	size_t last = SIZE_MAX;
	char end = object ? '}' : ']';

	r->nodes[node].kind = object ? JSON_OBJECT : JSON_ARRAY;
	r->at++;
	skip_space(r);
	if (*r->at == end) {
		r->at++;
		return true;
	}
	for (;;) {
		size_t element = new_node(r);
		const char *name = NULL;

		if (element == SIZE_MAX)
			return fail(r, "no memory");
		skip_space(r);
		if (object) {
			if (*r->at != '"' || (name = read_text(r)) == NULL)
				return fail(r, "a member has no name");
			skip_space(r);
			if (*r->at++ != ':')
				return fail(r, "no colon behind a name");
		}
		if (!read_value(r, element, depth + 1))
			return false;
		r->nodes[element].name = name;
		/* Kept as numbers plus one, until all nodes have their places. */
		if (last == SIZE_MAX)
			r->nodes[node].first = (struct json *)(uintptr_t)(element + 1);
		else
			r->nodes[last].next = (struct json *)(uintptr_t)(element + 1);
		last = element;
		r->nodes[node].count++;
		skip_space(r);
		char c = *r->at++;

		if (c == end)
			return true;
		if (c != ',')
			return fail(r, "neither comma nor end of a list");
	}
}

static bool read_number(struct json_reader *r, size_t node)
{
	char *end;

	r->nodes[node].kind = JSON_NUMBER;
	r->nodes[node].number = strtod(r->at, &end);
	if (end == r->at || end > r->at + strspn(r->at, "+-.0123456789eE"))
		return fail(r, "not a number");
	r->at = end;
	return true;
}

static bool read_word(struct json_reader *r, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(r->at, word, length) != 0)
		return false;
	r->at += length;
	return true;
}

static bool read_value(struct json_reader *r, size_t node, int depth)
{
	if (depth > DEPTH_MAX)
		return fail(r, "nested too deeply");
	skip_space(r);
	switch (*r->at) {
	case '{':
		return read_list(r, node, depth, true);
	case '[':
		return read_list(r, node, depth, false);
	case '"':
		r->nodes[node].kind = JSON_STRING;
		const char *text = read_text(r);

		r->nodes[node].text = text;
		return text != NULL;
	case 'n':
		return read_word(r, "null") || fail(r, "not a value");
	case 't':
	case 'f':
		r->nodes[node].kind = JSON_BOOL;
		r->nodes[node].truth = *r->at == 't';
		return read_word(r, "true") || read_word(r, "false") || fail(r, "not a value");
	default:
		return (digit(*r->at) >= 0 || *r->at == '-') ? read_number(r, node) : fail(r, "not a value");
	}
}

struct json *json_read(struct json_reader *r, char *line)
{
	r->used = 0;
	r->at = line;
	r->wrong = NULL;
	size_t root = new_node(r);

	if (root == SIZE_MAX || !read_value(r, root, 0))
		return NULL;
	skip_space(r);
	if (*r->at != 0) {
		fail(r, "something behind the value");
		return NULL;
	}
	for (size_t i = 0; i < r->used; i++) {
		struct json *node = &r->nodes[i];
		uintptr_t first = (uintptr_t)node->first, next = (uintptr_t)node->next;

		node->first = first == 0 ? NULL : &r->nodes[first - 1];
		node->next = next == 0 ? NULL : &r->nodes[next - 1];
	}
	return &r->nodes[root];
}

void json_reader_free(struct json_reader *r)
{
	free(r->nodes);
	*r = (struct json_reader){ 0 };
}

const struct json *json_get(const struct json *object, const char *name)
{
	if (object == NULL || object->kind != JSON_OBJECT)
		return NULL;
	for (const struct json *member = object->first; member != NULL; member = member->next)
		if (strcmp(member->name, name) == 0)
			return member->kind == JSON_NULL ? NULL : member;
	return NULL;
}

const char *json_text(const struct json *object, const char *name)
{
	const struct json *member = json_get(object, name);

	return member != NULL && member->kind == JSON_STRING ? member->text : NULL;
}

bool json_number(const struct json *object, const char *name, uint64_t max, uint64_t *value)
{
	const struct json *member = json_get(object, name);

	if (member == NULL)
		return true;
	if (member->kind != JSON_NUMBER || !(member->number >= 0) || member->number > (double)max ||
	    member->number >= 0x1p63 || member->number != (double)(uint64_t)member->number)
		return false;
	*value = member->number;
	return true;
}

bool json_truth(const struct json *object, const char *name)
{
	const struct json *member = json_get(object, name);

	return member != NULL && member->kind == JSON_BOOL && member->truth;
}

static void put(struct json_writer *w, const char *bytes, size_t count)
{
	if (w->used + count + 1 > w->capacity) {
		w->capacity = 2 * (w->used + count) + 1024;
		w->bytes = realloc(w->bytes, w->capacity);
		if (w->bytes == NULL)
			abort(); /* nothing can be said any more */
	}
	memcpy(w->bytes + w->used, bytes, count);
	w->used += count;
	w->bytes[w->used] = 0;
}

static void put_quoted(struct json_writer *w, const char *text)
{
	put(w, "\"", 1);
	for (; *text != 0; text++) {
		char escape[8];

		if (*text == '"' || *text == '\\')
			put(w, escape, snprintf(escape, sizeof escape, "\\%c", *text));
		else if ((unsigned char)*text < 0x20)
			put(w, escape, snprintf(escape, sizeof escape, "\\u%04x", *text));
		else
			put(w, text, 1);
	}
	put(w, "\"", 1);
}

static void put_name(struct json_writer *w, const char *name)
{
	if (w->comma)
		put(w, ",", 1);
	w->comma = true;
	if (name == NULL)
		return;
	put_quoted(w, name);
	put(w, ":", 1);
}

void json_begin(struct json_writer *w, const char *name, char bracket)
{
	put_name(w, name);
	put(w, &bracket, 1);
	w->comma = false;
}

void json_end(struct json_writer *w, char bracket)
{
	put(w, &bracket, 1);
	w->comma = true;
}

void json_put_number(struct json_writer *w, const char *name, uint64_t value)
{
	char digits[24];

	put_name(w, name);
	put(w, digits, snprintf(digits, sizeof digits, "%" PRIu64, value));
}

void json_put_text(struct json_writer *w, const char *name, const char *text)
{
	put_name(w, name);
	put_quoted(w, text);
}

void json_put_bool(struct json_writer *w, const char *name, bool value)
{
	put_name(w, name);
	put(w, value ? "true" : "false", value ? 4 : 5);
}

void json_put_raw(struct json_writer *w, const char *bytes, size_t count)
{
	put_name(w, NULL);
	put(w, bytes, count);
}

void json_put_hex(struct json_writer *w, const char *name, const uint8_t *bytes, size_t count)
{
	put_name(w, name);
	put(w, "\"", 1);
	for (size_t i = 0; i < count; i++) {
		char pair[3];

		put(w, pair, snprintf(pair, sizeof pair, "%02x", bytes[i]));
	}
	put(w, "\"", 1);
}
