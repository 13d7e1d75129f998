/* As much JSON as a line protocol needs: a reader that makes a tree of one line, and a writer. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_kind kind;
	const char *name;   /* in an object */
	bool truth;
	double number;
	const char *text;   /* zero at its end; text of its own may hold no zero */
	struct json *first, *next;
	unsigned count;     /* of elements or members */
};

/* Trees of one line after the other in memory that is used again. */
struct json_reader { struct json *nodes; size_t capacity, used; char *at; const char *wrong; };

/* Reads one line, in place: texts point into it. Null, and `wrong` says why. What it gave before is gone. */
struct json *json_read(struct json_reader *reader, char *line);
void json_reader_free(struct json_reader *reader);

/* Of a member that is not there, or of null: null, and the fallback. */
const struct json *json_get(const struct json *object, const char *name);
const char *json_text(const struct json *object, const char *name);
/* False when it is there and no whole number of 0..max; `*value` keeps what it was when it is not there. */
bool json_number(const struct json *object, const char *name, uint64_t max, uint64_t *value);
bool json_truth(const struct json *object, const char *name);

struct json_writer { char *bytes; size_t used, capacity; bool comma; };
void json_begin(struct json_writer *w, const char *name, char bracket);
void json_end(struct json_writer *w, char bracket);
void json_put_number(struct json_writer *w, const char *name, uint64_t value);
void json_put_text(struct json_writer *w, const char *name, const char *text);
void json_put_bool(struct json_writer *w, const char *name, bool value);
/* Elements that another writer has made. */
void json_put_raw(struct json_writer *w, const char *bytes, size_t count);
/* Bytes as hexadecimal digits. */
void json_put_hex(struct json_writer *w, const char *name, const uint8_t *bytes, size_t count);

#endif
