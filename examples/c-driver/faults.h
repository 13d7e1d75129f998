/*
 * Faults to plant: -DFAULT_x builds a driver with one of them, so that a test can see it caught. A right driver has none of this;
 * the README says what each one does and who notices.
 */
#ifndef FAULTS_H
#define FAULTS_H

#ifndef FAULT_USED_INDEX_NOT_WRAPPED
#define FAULT_USED_INDEX_NOT_WRAPPED 0
#endif
#ifndef FAULT_KICK_LEFT_OUT
#define FAULT_KICK_LEFT_OUT 0
#endif
#ifndef FAULT_EVENT_INDEX_OFF_BY_ONE
#define FAULT_EVENT_INDEX_OFF_BY_ONE 0
#endif
#ifndef FAULT_COMPLETION_TWICE
#define FAULT_COMPLETION_TWICE 0
#endif
#ifndef FAULT_ARMED_AT_THE_ANSWER
#define FAULT_ARMED_AT_THE_ANSWER 0
#endif
#ifndef FAULT_KEY_OF_A_FREED_REGION
#define FAULT_KEY_OF_A_FREED_REGION 0
#endif
#ifndef FAULT_RESERVED_BYTES
#define FAULT_RESERVED_BYTES 0
#endif
#ifndef FAULT_PAGE_LIST_SHORT
#define FAULT_PAGE_LIST_SHORT 0
#endif
#ifndef FAULT_NO_USE_COUNT
#define FAULT_NO_USE_COUNT 0
#endif
#ifndef FAULT_SHARED_ACK
#define FAULT_SHARED_ACK 0
#endif
#ifndef FAULT_POST_BEYOND_THE_QUEUE
#define FAULT_POST_BEYOND_THE_QUEUE 0
#endif
#ifndef FAULT_ELEMENT_BEFORE_INDEX
#define FAULT_ELEMENT_BEFORE_INDEX 0
#endif

#endif
