/**
 * An attack by a device, as plain data: what the program does and what the device does to it, act by act. It can be saved,
 * replayed and shrunk. A device that attacks knows every layout, and breaks one field at one moment.
 */
import { z } from 'zod';

const byte = z.int().min(0).max(0xff);
const word = z.int().min(0).max(0xffff_ffff);
/** Picks one of what there is, modulo how much there is. */
const pick = z.int().min(0).max(0xff);
/** A queue in use: control, the two completion queues, the send and the receive queue of the queue pair. */
const queue = z.enum(['control', 'cq0', 'cq1', 'sq', 'rq']);

const completionFields = [
  'status',
  'opcode',
  'vendor_err',
  'byte_len',
  'imm_data',
  'qp_num',
  'src_qp',
  'wc_flags',
  'wr_id',
] as const;

export const actSchema = z.discriminatedUnion('act', [
  /** The program calls a control verb. */
  z.object({ act: z.literal('verb'), verb: pick, at: pick }),
  z.object({ act: z.literal('post'), side: z.enum(['send', 'receive']), count: z.int().min(1).max(5) }),
  z.object({ act: z.literal('poll'), at: pick, max: z.int().min(0).max(8) }),
  /** The device does for a while what it should: answers, returns requests, completes them. */
  z.object({ act: z.literal('honest'), what: z.enum(['answers', 'requests', 'completions', 'traffic']) }),
  /** An answer with an ack, result words and a used length of its own; the sound ones where they are left out. */
  z.object({
    act: z.literal('answer'),
    at: pick,
    ack: byte.optional(),
    result: z.array(word).max(4).optional(),
    length: word.optional(),
  }),
  /** A used element: of a chain that is outstanding, of one that was, or of none. */
  z.object({
    act: z.literal('used'),
    queue,
    chain: z.enum(['oldest', 'youngest', 'returned', 'none']),
    id: word,
    length: word,
  }),
  /**
   * A used element so many places behind where the next one belongs. In a packed ring bits of its flags are turned over, and
   * the device does not go on; in a split one it shows all up to there, whatever they are.
   */
  z.object({
    act: z.literal('misplaced'),
    queue,
    chain: z.enum(['oldest', 'youngest', 'returned', 'none']),
    id: word,
    length: word,
    ahead: z.int().min(0).max(16),
    turned: z.int().min(0).max(0xffff),
  }),
  /** Several chains as one element, in order or not, negotiated or not. */
  z.object({ act: z.literal('batch'), queue, from: pick, count: z.int().min(1).max(8), length: word }),
  z.object({ act: z.literal('index'), queue, by: z.int().min(-0x8000).max(0x7fff) }),
  /** A completion of the oldest request with one field changed, and perhaps a used length of its own. */
  z.object({
    act: z.literal('completion'),
    cq: z.int().min(0).max(1),
    field: z.enum(completionFields),
    value: word,
    length: word.optional(),
  }),
  z.object({ act: z.literal('garbage'), cq: z.int().min(0).max(1), seed: word }),
  /** Bytes that are not the device's to write, or no longer: of descriptors, the available ring, requests, elements that were published. */
  z.object({
    act: z.literal('scribble'),
    queue,
    area: z.enum(['descriptors', 'available', 'used', 'readable']),
    at: word,
    value: byte,
  }),
  /** The words by which a device says what it wants to be told. */
  z.object({
    act: z.literal('wishes'),
    queue,
    flags: z.int().min(0).max(0xffff),
    event: z.int().min(0).max(0xffff),
  }),
  z.object({ act: z.literal('interrupt'), source: z.int().min(-1).max(40), times: z.int().min(1).max(64) }),
  /** Reads of the status give this, until the next such act. */
  z.object({ act: z.literal('status'), value: byte }),
  z.object({ act: z.literal('needs-reset'), tells: z.boolean() }),
  z.object({ act: z.literal('config'), at: pick, value: byte, tells: z.boolean() }),
  /** Somebody starts the driver anew while all of this is under way. */
  z.object({ act: z.literal('restart') }),
]);
export type Act = z.infer<typeof actSchema>;
export type QueueName = z.infer<typeof queue>;
export type Which = Extract<Act, { act: 'used' }>['chain'];

export const attackSchema = z.object({
  version: z.literal(1),
  indirect: z.boolean(),
  eventIdx: z.boolean(),
  packed: z.boolean().optional(),
  inOrder: z.boolean().optional(),
  /** Both halves of the queue pair on one completion queue. */
  oneCq: z.boolean(),
  acts: z.array(actSchema).max(64),
});
export type Attack = z.infer<typeof attackSchema>;

export const completionFieldNames = completionFields;

/** What the program does, and what the device does as it should: no attack in itself. */
export function isHostile({ act }: Act): boolean {
  return act !== 'verb' && act !== 'post' && act !== 'poll' && act !== 'honest';
}
