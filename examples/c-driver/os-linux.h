/* A machine made of a Linux process: its memory is a file, its device a vhost-user back-end at the other end of a socket. */
#ifndef OS_LINUX_H
#define OS_LINUX_H

#include "os.h"

struct os_linux {
	const char *socket;      /* path of the back-end's socket */
	unsigned device_type;    /* of virtio: 1 network, 42 RDMA */
	/* Largest size of each queue, or of all when null: vhost-user has no message that asks for it. */
	const uint16_t *queue_sizes;
	unsigned queue_count, queue_size;
	const char *memory;      /* path of the file that holds the machine's memory; null: one is made, without a name */
	uint64_t memory_bytes;
	uint64_t memory_address; /* guest-physical address of its first byte */
	uint64_t dma_at, dma_bytes; /* the part of the file that is for DMA; `dma_at` is a whole number of pages */
	/* The program's memory: pages of the file, at addresses of its own. */
	uint64_t program_address, program_pages;
	const uint64_t *pages;      /* offset in the file of each; null: they lie behind the DMA memory, in no useful order */
};

/* Null with a message on standard error. */
struct os *os_linux_open(const struct os_linux *config);
void os_linux_close(struct os *os);
/* Readable when os_wait() has something to do. */
int os_linux_fd(const struct os *os);
/* Copies from or to the program's memory; -1 outside it. */
int os_linux_read(struct os *os, uint64_t address, void *to, uint64_t length);
int os_linux_write(struct os *os, uint64_t address, const void *from, uint64_t length);

#endif
