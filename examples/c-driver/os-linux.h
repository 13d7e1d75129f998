/* A machine made of a Linux process: its memory is a file, its device a vhost-user back-end at the other end of a socket. */
#ifndef OS_LINUX_H
#define OS_LINUX_H

#include "os.h"

struct os_linux {
	const char *socket;      /* path of the back-end's socket */
	unsigned device_type;    /* of virtio: 1 network, 42 RDMA */
	unsigned queue_size;     /* vhost-user has no message that asks for the largest size */
	const char *memory;      /* path of the file that holds the machine's memory; null: one is made, without a name */
	uint64_t memory_bytes;
	uint64_t memory_address; /* guest-physical address of its first byte */
	/* The program's memory: pages of the file, at addresses of its own. The bytes of the file before `dma_bytes` are for DMA. */
	uint64_t dma_bytes, program_address, program_pages;
	const uint64_t *pages;   /* offset in the file of each; null: they follow `dma_bytes` in an order of no use to anybody */
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
