/*
 * os.h for a Linux process: a front-end of the vhost-user protocol. All of the machine's memory is one file, which the back-end
 * maps too; kicks and interrupts are event descriptors. Nothing here knows what the device does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "os-linux.h"

enum { PAGE = 4096, GRANULE = 64, QUEUES_MAX = 256 /* a byte names the queue of a descriptor */ };
/* What the event loop waits for, besides queues. */
enum { EVENT_SOCKET = QUEUES_MAX, EVENT_ERROR, EVENT_WAKE };

/* Requests of the protocol. */
enum {
	GET_FEATURES = 1, SET_FEATURES = 2, SET_OWNER = 3, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10, GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, GET_QUEUE_NUM = 17, SET_VRING_ENABLE = 18,
	GET_CONFIG = 24, RESET_DEVICE = 34, SET_STATUS = 39, GET_STATUS = 40,
};
enum { VERSION = 1, REPLY = 4, NEED_REPLY = 8 };
#define F_PROTOCOL_FEATURES (1ull << 30)
#define P_MQ (1ull << 0)
#define P_REPLY_ACK (1ull << 3)
#define P_CONFIG (1ull << 9)
#define P_RESET_DEVICE (1ull << 13)
#define P_STATUS (1ull << 16)
#define P_WANTED (P_MQ | P_REPLY_ACK | P_CONFIG | P_RESET_DEVICE | P_STATUS)

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t number;
		struct { uint32_t index, value; } vring;
		struct { uint32_t index, flags; uint64_t table, used, available, log; } places;
		struct { uint32_t count, padding; uint64_t guest, size, user, offset; } memory;
		struct { uint32_t offset, size, flags; uint8_t bytes[256]; } config;
	} __attribute__((packed)) u;
} __attribute__((packed));
enum { HEADER = 12, CONFIG_HEADER = 12 };

struct os {
	struct os_linux config;
	int socket, memory, epoll, error, wake;
	int kicks[QUEUES_MAX], calls[QUEUES_MAX];
	uint8_t *bytes;
	uint8_t *taken; /* of each granule of DMA memory */
	uint64_t *pages;
	uint32_t *pinned;
	uint64_t features, protocol; /* accepted features of the device; of the protocol */
	unsigned queue_count;
	uint8_t status; /* as it was written, where the back-end does not keep it */
	int gone;
	void (*handler)(void *context, int queue);
	void *context;
};

static int complain(const char *what)
{
	fprintf(stderr, "vhost-user: %s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected answer");
	return -1;
}

static int lost(struct os *os)
{
	os->gone = 1;
	return -1;
}

static int send_message(struct os *os, struct message *m, const int *fd)
{
	struct iovec part = { m, HEADER + m->size };
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	memset(&control, 0, sizeof control);
	if (fd != NULL) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), fd, sizeof(int));
	}
	while (part.iov_len > 0) {
		ssize_t sent = sendmsg(os->socket, &message, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return lost(os);
		part.iov_base = (char *)part.iov_base + sent;
		part.iov_len -= sent;
		message.msg_controllen = 0; /* descriptors go with the first byte */
	}
	return 0;
}

static int receive_bytes(struct os *os, void *to, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t came = recv(os->socket, (char *)to + done, length - done, 0);

		if (came < 0 && errno == EINTR)
			continue;
		if (came <= 0)
			return lost(os);
		done += came;
	}
	return 0;
}

/* The answer to `request`, of at most what a message holds. */
static int receive_message(struct os *os, uint32_t request, struct message *m)
{
	if (receive_bytes(os, m, HEADER) != 0)
		return -1;
	if (m->request != request || (m->flags & (REPLY | 3)) != (REPLY | VERSION) || m->size > sizeof m->u)
		return lost(os);
	return receive_bytes(os, &m->u, m->size);
}

/* A request that has no answer of its own; its success is asked for where the back-end can say it. */
static int tell(struct os *os, struct message *m, const int *fd)
{
	uint32_t request = m->request;

	m->flags = VERSION | (os->protocol & P_REPLY_ACK ? NEED_REPLY : 0);
	if (os->gone || send_message(os, m, fd) != 0)
		return -1;
	if ((os->protocol & P_REPLY_ACK) == 0)
		return 0;
	return receive_message(os, request, m) == 0 && m->size == 8 && m->u.number == 0 ? 0 : -1;
}

static int tell_number(struct os *os, uint32_t request, uint64_t number, const int *fd)
{
	struct message m = { .request = request, .size = 8, .u.number = number };

	return tell(os, &m, fd);
}

static int tell_vring(struct os *os, uint32_t request, uint32_t index, uint32_t value)
{
	struct message m = { .request = request, .size = 8, .u.vring = { index, value } };

	return tell(os, &m, NULL);
}

static int ask_number(struct os *os, uint32_t request, uint64_t *number)
{
	struct message m = { .request = request, .flags = VERSION };

	if (os->gone || send_message(os, &m, NULL) != 0 || receive_message(os, request, &m) != 0 || m.size != 8)
		return -1;
	*number = m.u.number;
	return 0;
}

static int watch(struct os *os, int fd, unsigned what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(os->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_memory(struct os *os)
{
	const struct os_linux *c = &os->config;

	os->memory = c->memory != NULL ? open(c->memory, O_RDWR | O_CLOEXEC) : memfd_create("machine", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Sealed, so that the back-end need not fear a file that shrinks under its feet. */
	if (os->memory < 0 || (c->memory == NULL && (ftruncate(os->memory, c->memory_bytes) != 0 ||
						     fcntl(os->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)))
		return complain("the memory of the machine");
	os->bytes = mmap(NULL, c->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, os->memory, 0);
	if (os->bytes == MAP_FAILED) {
		os->bytes = NULL;
		return complain("the memory of the machine");
	}
	os->taken = calloc(c->dma_bytes / GRANULE + 1, 1);
	os->pages = calloc(c->program_pages + 1, sizeof *os->pages);
	os->pinned = calloc(c->program_pages + 1, sizeof *os->pinned);
	if (os->taken == NULL || os->pages == NULL || os->pinned == NULL)
		return complain("the memory of the machine");
	/* Neighbours in the program's memory are none in the machine's: 5 and the number of pages have no common factor. */
	for (uint64_t n = 0, count = c->program_pages; n < count; n++)
		os->pages[n] = c->pages != NULL ? c->pages[n]
						: c->dma_at + c->dma_bytes + PAGE * (count % 5 != 0 ? 5 * n % count : count - 1 - n);
	return 0;
}

static int open_session(struct os *os)
{
	const struct os_linux *c = &os->config;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint64_t offered, count = QUEUES_MAX;

	if (strlen(c->socket) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return complain(c->socket);
	}
	strcpy(address.sun_path, c->socket);
	os->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (os->socket < 0 || connect(os->socket, (struct sockaddr *)&address, sizeof address) != 0)
		return complain(c->socket);
	errno = 0;
	if (ask_number(os, GET_FEATURES, &offered) != 0)
		return complain("GET_FEATURES");
	if ((offered & F_PROTOCOL_FEATURES) != 0) {
		uint64_t protocol;

		if (ask_number(os, GET_PROTOCOL_FEATURES, &protocol) != 0 ||
		    tell_number(os, SET_PROTOCOL_FEATURES, protocol & P_WANTED, NULL) != 0)
			return complain("protocol features");
		os->protocol = protocol & P_WANTED;
	}
	struct message owner = { .request = SET_OWNER };
	struct message table = { .request = SET_MEM_TABLE, .size = 40, .u.memory = {
		1, 0, c->memory_address, c->memory_bytes, (uintptr_t)os->bytes, 0 } };

	if (tell(os, &owner, NULL) != 0 || tell(os, &table, &os->memory) != 0)
		return complain("SET_MEM_TABLE");
	if ((os->protocol & P_MQ) != 0 && ask_number(os, GET_QUEUE_NUM, &count) != 0)
		return complain("GET_QUEUE_NUM");
	os->queue_count = count < QUEUES_MAX ? count : QUEUES_MAX;
	return 0;
}

struct os *os_linux_open(const struct os_linux *config)
{
	struct os *os = calloc(1, sizeof *os);

	if (os == NULL)
		return NULL;
	os->config = *config;
	os->socket = os->memory = -1;
	for (int i = 0; i < QUEUES_MAX; i++)
		os->kicks[i] = os->calls[i] = -1;
	os->epoll = epoll_create1(EPOLL_CLOEXEC);
	os->error = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	os->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (os->epoll < 0 || os->error < 0 || os->wake < 0 || watch(os, os->error, EVENT_ERROR) != 0 ||
	    watch(os, os->wake, EVENT_WAKE) != 0)
		complain("event descriptors");
	else if (open_memory(os) == 0 && open_session(os) == 0 && watch(os, os->socket, EVENT_SOCKET) == 0)
		return os;
	os_linux_close(os);
	return NULL;
}

void os_linux_close(struct os *os)
{
	int fds[] = { os->socket, os->memory, os->epoll, os->error, os->wake };

	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (int i = 0; i < QUEUES_MAX; i++)
		if (os->kicks[i] >= 0) {
			close(os->kicks[i]);
			close(os->calls[i]);
		}
	if (os->bytes != NULL)
		munmap(os->bytes, os->config.memory_bytes);
	free(os->taken);
	free(os->pages);
	free(os->pinned);
	free(os);
}

int os_linux_fd(const struct os *os)
{
	return os->epoll;
}

/* DMA memory: the first run of granules that is long enough. Control path only. */
int os_dma_alloc(struct os *os, size_t bytes, size_t alignment, struct os_dma *dma)
{
	size_t need = (bytes + GRANULE - 1) / GRANULE, all = os->config.dma_bytes / GRANULE, run = 0;
	size_t step = alignment > GRANULE ? alignment / GRANULE : 1;

	for (size_t at = 0; at < all; at++) {
		if (os->taken[at] || (run == 0 && at % step != 0)) {
			run = 0;
			continue;
		}
		if (++run < need)
			continue;
		size_t first = at + 1 - need;

		memset(os->taken + first, 1, need);
		uint64_t offset = os->config.dma_at + first * GRANULE;

		*dma = (struct os_dma){ os->bytes + offset, os->config.memory_address + offset, bytes };
		memset(dma->bytes, 0, need * GRANULE);
		return 0;
	}
	return -1;
}

void os_dma_free(struct os *os, struct os_dma *dma)
{
	size_t first = (dma->address - os->config.memory_address - os->config.dma_at) / GRANULE;

	memset(os->taken + first, 0, (dma->length + GRANULE - 1) / GRANULE);
	dma->bytes = NULL;
}

static int page_of(const struct os *os, uint64_t address, uint64_t *page)
{
	*page = (address - os->config.program_address) / PAGE;
	return address >= os->config.program_address && *page < os->config.program_pages ? 0 : -1;
}

int os_translate(struct os *os, uint64_t address, uint64_t *result)
{
	uint64_t page;

	if (page_of(os, address, &page) != 0)
		return -1;
	os->pinned[page]++;
	*result = os->config.memory_address + os->pages[page];
	return 0;
}

void os_release(struct os *os, uint64_t address)
{
	uint64_t page;

	if (page_of(os, address, &page) == 0)
		os->pinned[page]--;
}

static int move(struct os *os, uint64_t address, uint8_t *own, uint64_t length, int out)
{
	uint64_t page;

	if (length > 0 && (address + length < address || page_of(os, address, &page) != 0 ||
			   page_of(os, address + length - 1, &page) != 0))
		return -1;
	while (length > 0) {
		uint64_t run = PAGE - address % PAGE;

		page_of(os, address, &page);
		run = run < length ? run : length;
		uint8_t *there = os->bytes + os->pages[page] + address % PAGE;

		memcpy(out ? own : there, out ? there : own, run);
		address += run, own += run, length -= run;
	}
	return 0;
}

int os_linux_read(struct os *os, uint64_t address, void *to, uint64_t length)
{
	return move(os, address, to, length, 1);
}

int os_linux_write(struct os *os, uint64_t address, const void *from, uint64_t length)
{
	return move(os, address, (uint8_t *)(uintptr_t)from, length, 0);
}

unsigned os_device_type(struct os *os)
{
	return os->config.device_type;
}

int os_features(struct os *os, uint64_t *offered)
{
	if (ask_number(os, GET_FEATURES, offered) != 0)
		return -1;
	*offered &= ~F_PROTOCOL_FEATURES; /* of the protocol, not of the device */
	return 0;
}

int os_accept(struct os *os, uint64_t accepted)
{
	os->features = accepted;
	return tell_number(os, SET_FEATURES, accepted | (os->protocol != 0 ? F_PROTOCOL_FEATURES : 0), NULL);
}

int os_status(struct os *os, uint8_t *status)
{
	uint64_t number = os->status;

	if (os->gone || ((os->protocol & P_STATUS) != 0 && ask_number(os, GET_STATUS, &number) != 0))
		return -1;
	*status = number;
	return 0;
}

/* Stops every queue. Where the back-end keeps no status, this is all of a reset. */
static int stop(struct os *os)
{
	for (unsigned queue = 0; queue < QUEUES_MAX; queue++) {
		struct message m = { .request = GET_VRING_BASE, .flags = VERSION, .size = 8, .u.vring = { queue, 0 } };

		if (os->kicks[queue] < 0)
			continue;
		if ((os->protocol & P_STATUS) == 0 &&
		    (os->gone || send_message(os, &m, NULL) != 0 || receive_message(os, GET_VRING_BASE, &m) != 0))
			return -1;
		close(os->kicks[queue]);
		close(os->calls[queue]); /* leaves the event loop with it */
		os->kicks[queue] = os->calls[queue] = -1;
	}
	return 0;
}

int os_set_status(struct os *os, uint8_t status)
{
	struct message reset = { .request = RESET_DEVICE };

	os->status = status;
	if ((os->protocol & P_STATUS) != 0 && tell_number(os, SET_STATUS, status, NULL) != 0)
		return -1;
	if (status != 0)
		return os->gone ? -1 : 0;
	if ((os->protocol & (P_STATUS | P_RESET_DEVICE)) == P_RESET_DEVICE && tell(os, &reset, NULL) != 0)
		return -1;
	return stop(os);
}

int os_config(struct os *os, void *config, size_t length)
{
	struct message m = { .request = GET_CONFIG, .flags = VERSION, .size = CONFIG_HEADER + length,
			     .u.config = { .size = length } };

	if ((os->protocol & P_CONFIG) == 0 || length > sizeof m.u.config.bytes || os->gone ||
	    send_message(os, &m, NULL) != 0 || receive_message(os, GET_CONFIG, &m) != 0 ||
	    m.size < CONFIG_HEADER + length)
		return -1;
	memcpy(config, m.u.config.bytes, length);
	return 0;
}

unsigned os_queue_size(struct os *os, unsigned queue)
{
	const struct os_linux *c = &os->config;

	if (queue >= os->queue_count)
		return 0;
	return c->queue_sizes == NULL ? c->queue_size : queue < c->queue_count ? c->queue_sizes[queue] : 0;
}

int os_enable(struct os *os, unsigned queue, unsigned size, uint64_t table, uint64_t available, uint64_t used)
{
	uint64_t there = (uintptr_t)os->bytes - os->config.memory_address; /* the protocol wants the front-end's addresses */
	struct message places = { .request = SET_VRING_ADDR, .size = 40, .u.places = {
		queue, 0, table + there, used + there, available + there, 0 } };
	int kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (kick < 0 || call < 0 || watch(os, call, queue) != 0)
		return complain("event descriptors");
	os->kicks[queue] = kick;
	os->calls[queue] = call;
	if (tell_vring(os, SET_VRING_NUM, queue, size) != 0 || tell_vring(os, SET_VRING_BASE, queue, 0) != 0 ||
	    tell(os, &places, NULL) != 0 || tell_number(os, SET_VRING_CALL, queue, &call) != 0 ||
	    tell_number(os, SET_VRING_ERR, queue, &os->error) != 0 ||
	    tell_number(os, SET_VRING_KICK, queue, &kick) != 0)
		return -1;
	return os->protocol != 0 ? tell_vring(os, SET_VRING_ENABLE, queue, 1) : 0;
}

static void raise_event(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void os_notify(struct os *os, unsigned queue)
{
	raise_event(os->kicks[queue]);
}

void os_wake(struct os *os)
{
	raise_event(os->wake);
}

void os_on_interrupt(struct os *os, void (*handler)(void *context, int queue), void *context)
{
	os->handler = handler;
	os->context = context;
}

static void happened(struct os *os, unsigned what)
{
	uint64_t count;
	int fd = what == EVENT_ERROR ? os->error : what == EVENT_WAKE ? os->wake : what < QUEUES_MAX ? os->calls[what] : -1;

	if (what != EVENT_SOCKET && (fd < 0 || read(fd, &count, sizeof count) < 0))
		return; /* its queue is gone, or somebody has seen to it */
	if (what == EVENT_SOCKET) {
		/* Between two requests the back-end has nothing to say: it hangs up. */
		epoll_ctl(os->epoll, EPOLL_CTL_DEL, os->socket, NULL);
		os->gone = 1;
	}
	if (what != EVENT_WAKE && os->handler != NULL)
		os->handler(os->context, what < QUEUES_MAX ? (int)what : OS_CONFIG);
}

int os_wait(struct os *os, int ms)
{
	struct epoll_event events[16];
	int count = epoll_wait(os->epoll, events, 16, ms);

	if (count < 0 && errno != EINTR)
		return -1;
	for (int i = 0; i < count; i++)
		happened(os, events[i].data.u32);
	return 0;
}
