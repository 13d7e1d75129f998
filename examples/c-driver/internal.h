/* What the parts of the driver share. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <string.h>
#include "driver.h"
#include "faults.h"

enum { PAGE = 4096, COMPLETION_BYTES = sizeof(struct wire_completion), GSI_NUMBER = 1 };
#define OBJECT(pointer) ((struct vr_object *)(pointer))
#define NO_HANDLE 0xffffffffu /* a number that no address handle has (CTRL-110) */

/* Gives the device up: it broke a rule, or can no longer be reached. Returns -1. */
int give_up(struct vr_device *dev, const char *why);

/* Reads shared memory once and no more, whatever the compiler would like (HOST-32). Multiples of 4. */
static inline void copy_once(void *to, const void *from, size_t bytes)
{
	const volatile uint32_t *words = from;

	for (size_t i = 0; i < bytes / 4; i++)
		memcpy((uint8_t *)to + 4 * i, &(uint32_t){ words[i] }, 4);
}

/* ring.c */
int queue_open(struct vr_device *dev, struct vr_queue *q, unsigned index);
/* Shows the device one more chain, unpublished. `room`: its writable bytes. */
void queue_add(struct vr_queue *q, uint16_t head, uint64_t room);
void queue_publish(struct vr_queue *q);
/* 1: the next chain that came back; 0: none; -1: the device was given up. */
int queue_take(struct vr_queue *q, uint32_t *head, uint32_t *length);
/* True when something came back meanwhile: look again before you sleep. */
bool queue_interrupts(struct vr_queue *q, bool wanted);
void queue_describe(struct vr_queue *q, uint16_t at, uint64_t addr, uint32_t length, uint16_t flags, uint16_t next);

/* verbs.c: the commands, for the engine in driver.c that carries them. */
bool verb_alone(const struct vr_call *call); /* it ends something: no other command may be under way beside it */
uint32_t verb_result_bytes(const struct vr_call *call);
/* Checks the arguments and fills in the request, which is zero. Nothing is kept when it returns an error. */
int verb_prepare(struct vr_device *dev, struct vr_call *call, void *request);
/* The answer is OK: -1 when it gives the device up. */
int verb_accepted(struct vr_device *dev, struct vr_call *call, const void *result);
/* The device refused: the errno. */
int verb_refused(struct vr_device *dev, struct vr_call *call);
void cq_free(struct vr_cq *cq);
bool exists(const struct vr_device *dev, const struct vr_object *object, enum vr_kind kind);

/* data.c */
int requests_open(struct vr_device *dev, struct vr_requests *r, uint32_t capacity, uint32_t slot_bytes);
void requests_close(struct vr_device *dev, struct vr_requests *r);
/* Takes back what the device is done with. */
int requests_reclaim(struct vr_requests *r);
/* Shows the device what was kept back. */
void requests_release(struct vr_requests *r);
void requests_clear(struct vr_requests *r);
/* Takes all completions out of the ring and learns from them. */
int cq_collect(struct vr_device *dev, struct vr_cq *cq);
void cq_refill(struct vr_cq *cq, const uint32_t *buffers, uint32_t count);

#endif
