/* The driver's half of a split virtqueue: chapter 4 of the specification. */
#include <stdlib.h>
#include "internal.h"

/* Words that the device may change or read at any moment. */
static uint16_t load16(const uint16_t *at)
{
	return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static void store16(uint16_t *at, uint16_t value)
{
	__atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

/* Neither of the above orders a store before a load that follows (B2, B7). */
static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool event_index(const struct vr_queue *q)
{
	return (q->dev->features & F_EVENT_IDX) != 0;
}

int queue_open(struct vr_device *dev, struct vr_queue *q, unsigned index)
{
	unsigned size = os_queue_size(dev->os, index);
	struct os_dma dma;

	if (size == 0 || size > 32768 || (size & (size - 1)) != 0)
		return give_up(dev, "a queue has an impossible size");
	if (os_dma_alloc(dev->os, 26 * size + 16, 16, &dma) != 0)
		return give_up(dev, "no memory for the queues");
	uint64_t available = 16 * (uint64_t)size, used = (available + 6 + 2 * size + 3) & ~3ull;
	*q = (struct vr_queue){ .dev = dev, .index = index, .size = size };
	q->table = (struct desc *)dma.bytes;
	q->available = (uint16_t *)(dma.bytes + available);
	q->used = (uint16_t *)(dma.bytes + used);
	q->room = calloc(size, sizeof *q->room);
	if (q->room == NULL)
		return give_up(dev, "no memory for the queues");
	if (os_enable(dev->os, index, size, dma.address, dma.address + available, dma.address + used) != 0)
		return give_up(dev, "a queue cannot be enabled");
	queue_interrupts(q, false);
	return 0;
}

void queue_describe(struct vr_queue *q, uint16_t at, uint64_t addr, uint32_t length, uint16_t flags, uint16_t next)
{
	q->table[at] = (struct desc){ htole64(addr), htole32(length), htole16(flags), htole16(next) };
}

void queue_add(struct vr_queue *q, uint16_t head, uint64_t room)
{
	q->available[2 + q->next % q->size] = htole16(head);
	q->next++;
	q->room[head] = room + 1;
	q->out++;
}

void queue_publish(struct vr_queue *q)
{
	uint16_t old = q->shown, now = q->next;
	bool kick;

	if (old == now)
		return;
	q->shown = now;
	store16(&q->available[1], now); /* behind slots and descriptors (VQ-28) */
	full_barrier();                 /* VQ-71 */
	if (event_index(q)) {
		uint16_t event = load16(&q->used[2 + 4 * q->size]);

		kick = (uint16_t)(now - event - !FAULT_EVENT_INDEX_OFF_BY_ONE) < (uint16_t)(now - old);
	} else {
		kick = (load16(&q->used[0]) & NO_NOTIFY) == 0;
	}
	if (FAULT_KICK_LEFT_OUT && now % 8 == 3)
		kick = false;
	if (kick)
		os_notify(q->dev->os, q->index);
}

int queue_take(struct vr_queue *q, uint32_t *head, uint32_t *length)
{
	uint16_t index = load16(&q->used[1]); /* before the element that it publishes (VQ-41) */
	uint16_t waiting = index - q->seen;
	struct used_element element;

	if (q->dev->dead != NULL)
		return -1;
	if (FAULT_USED_INDEX_NOT_WRAPPED && index < q->seen)
		waiting = 0;
	if (FAULT_ELEMENT_BEFORE_INDEX && q->out > 0)
		waiting = 1;
	if (waiting == 0)
		return 0;
	if (waiting > q->out)
		return give_up(q->dev, "the used index has passed what is outstanding (VQ-44)");
	copy_once(&element, &q->used[2 + 4 * (q->seen % q->size)], sizeof element);
	*head = le32toh(element.id);
	*length = le32toh(element.len);
	if (*head >= q->size || q->room[*head] == 0)
		return give_up(q->dev, "a used id is not the head of an outstanding chain (VQ-42)");
	if (*length > q->room[*head] - 1)
		return give_up(q->dev, "a used length is above what the chain has room for (VQ-43)");
	q->room[*head] = 0;
	q->out--;
	q->seen++;
	return 1;
}

bool queue_interrupts(struct vr_queue *q, bool wanted)
{
	if (!event_index(q))
		store16(&q->available[0], wanted ? 0 : NO_INTERRUPT);
	else
		store16(&q->available[2 + q->size], wanted ? q->seen : q->seen - 1); /* or an entry that has gone by */
	full_barrier(); /* VQ-74 */
	return wanted && load16(&q->used[1]) != q->seen;
}
