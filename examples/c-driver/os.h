/*
 * What the driver asks of the system that it runs in: the whole port. os-linux.c is one; a library operating system would
 * write its own, with its allocator, its page tables and its virtio transport.
 *
 * Functions that return int return 0, or -1 when it cannot be done. Nothing here is called from more than one thread,
 * os_wake() excepted.
 */
#ifndef OS_H
#define OS_H

#include <stddef.h>
#include <stdint.h>

struct os; /* one machine with one device */

/* DMA memory: where the processor sees it and where the device does. */
struct os_dma {
	uint8_t *bytes;
	uint64_t address;
	size_t length;
};

/* Memory that the device can reach, filled with zero bytes, contiguous for both. `alignment` is a power of two up to 4096. */
int os_dma_alloc(struct os *os, size_t bytes, size_t alignment, struct os_dma *dma);
void os_dma_free(struct os *os, struct os_dma *dma);

/* Guest-physical address of the 4096-byte page that holds `address`, which stays where it is until it is released as often. */
int os_translate(struct os *os, uint64_t address, uint64_t *page);
void os_release(struct os *os, uint64_t address);

/* The registers of the device. */
unsigned os_device_type(struct os *os);
int os_features(struct os *os, uint64_t *offered);
int os_accept(struct os *os, uint64_t accepted);
int os_status(struct os *os, uint8_t *status);
int os_set_status(struct os *os, uint8_t status);
/* The first `length` bytes of the configuration, as they were at one moment. -1 also when it is shorter. */
int os_config(struct os *os, void *config, size_t length);
/* Largest size of a queue; a power of two, or 0 when there is no such queue. */
unsigned os_queue_size(struct os *os, unsigned queue);
int os_enable(struct os *os, unsigned queue, unsigned size, uint64_t table, uint64_t available, uint64_t used);

/* Tells the device that there is something new in a queue. */
void os_notify(struct os *os, unsigned queue);

/* Interrupts: the handler is called from os_wait() and from nowhere else, with a queue or with OS_CONFIG. */
enum { OS_CONFIG = -1 };
void os_on_interrupt(struct os *os, void (*handler)(void *context, int queue), void *context);

/* Sleeps until there was an interrupt or somebody called os_wake(); `ms` at most, for ever when it is negative. */
int os_wait(struct os *os, int ms);
void os_wake(struct os *os);

#endif
