/** Devices that are wrong about the pages, the bounds and the rights of regions, and about protection domains. */
import type { HcaAh, HcaFunction, HcaMr, HcaPd, HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { useOfAdapter } from '../seams/device.js';
import { every } from '../seams/overlay.js';
import { LOCAL_WRITE, PAGE_BYTES, REMOTE_READ, REMOTE_WRITE, regions } from './memory-support.js';

const ALL = LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ;

const translation: readonly Mutant[] = [
  regions(
    'access-flags-ignored',
    { breaks: 'MEM-15 MEM-16 MEM-17 MEM-10 CTRL-68' },
    'Every region gets all rights.',
    () => () => ({ access: ALL }),
  ),
  regions(
    'remote-read-is-remote-write',
    { breaks: 'MEM-16 CTRL-68' },
    'A region that a peer may read can be written by it too.',
    () =>
      ({ access }) => ({
        access: (access & REMOTE_READ) === 0 ? access : ALL,
      }),
  ),
  regions(
    'remote-write-is-remote-read',
    { breaks: 'MEM-17' },
    'A region that a peer may write can be read by it too.',
    () =>
      ({ access }) => ({
        access: (access & REMOTE_WRITE) === 0 ? access : ALL,
      }),
  ),
  regions(
    'local-write-always',
    { breaks: 'MEM-15 ERR-17' },
    'Every region may be written by the own receives.',
    () =>
      ({ access }) => ({
        access: access | LOCAL_WRITE,
      }),
  ),
  regions(
    'remote-write-never',
    { breaks: 'MEM-18' },
    'REMOTE_WRITE is not handed on where REMOTE_READ is set too.',
    () =>
      ({ access }) => ({
        access: access === ALL ? access & ~REMOTE_WRITE : access,
      }),
  ),
  regions(
    'page-list-rotated',
    { breaks: 'CTRL-67 ISO-08' },
    'The pages of a region of several pages are entered one place too far.',
    () =>
      ({ pages }) =>
        pages === undefined || pages.length < 2
          ? {}
          : { pages: Float64Array.from(pages, (_, i) => pages[(i + 1) % pages.length]) },
  ),
  regions(
    'pages-taken-for-neighbours',
    { breaks: 'CTRL-67' },
    'Only the first page of a region is looked up; the others are thought to lie behind it.',
    () =>
      ({ pages, memory }) => {
        if (pages === undefined) return {};
        const straight = Float64Array.from(pages, (_, i) => pages[0] + i * PAGE_BYTES);
        return straight.every(page => memory.read(page, new Uint8Array(1), 0, 1)) ? { pages: straight } : {};
      },
  ),
  regions(
    'last-page-twice',
    { breaks: 'CTRL-67', needs: 'history' },
    'Of every third region of more than two pages the last page is the one before it.',
    () => {
      const due = every(3);
      return ({ pages }) =>
        pages === undefined || pages.length < 3 || !due()
          ? {}
          : { pages: pages.with(pages.length - 1, pages[pages.length - 2]) };
    },
  ),
  regions(
    'region-starts-at-its-page',
    { breaks: 'CTRL-67 MEM-21' },
    'A region begins with the first byte of its first page.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined ? {} : { iova: iova - (iova % PAGE_BYTES), length: length + (iova % PAGE_BYTES) },
  ),
  regions(
    'region-ends-with-its-page',
    { breaks: 'CTRL-67 MEM-21 MEM-26' },
    'A region ends with the last byte of its last page.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined
          ? {}
          : { length: length + ((PAGE_BYTES - ((iova + length) % PAGE_BYTES)) % PAGE_BYTES) },
  ),
  regions(
    'first-byte-outside',
    { breaks: 'MEM-20' },
    'The first byte of a region is not in it.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined || length < 2 || iova % PAGE_BYTES === PAGE_BYTES - 1
          ? {}
          : { iova: iova + 1, length: length - 1 },
  ),
  regions(
    'last-byte-outside',
    { breaks: 'MEM-20' },
    'The last byte of a region is not in it.',
    () =>
      ({ iova, length, pages }) =>
        pages === undefined || length < 2 || (iova + length) % PAGE_BYTES === 1 ? {} : { length: length - 1 },
  ),
  regions(
    'dma-mr-from-page-one',
    { breaks: 'CTRL-52' },
    'An address in the region of all memory is looked up one page further.',
    () =>
      ({ pages, memory, length }) =>
        pages === undefined
          ? {
              memory: {
                read: (address, target, to, bytes) =>
                  memory.read((address + PAGE_BYTES) % length, target, to, bytes),
                write: (address, source, from, bytes) =>
                  memory.write((address + PAGE_BYTES) % length, source, from, bytes),
              },
            }
          : {},
  ),
  regions(
    'dma-mr-too-short',
    { breaks: 'CTRL-52 MEM-20' },
    'The region of all memory ends in the middle of it.',
    () =>
      ({ pages, length }) =>
        pages === undefined ? { length: Math.ceil(length / 2) } : {},
  ),
  mutant(
    'device',
    'region-of-any-pd',
    { chapter: 'isolation', breaks: 'ISO-20 ISO-21 ERR-11 ERR-15' },
    'All protection domains of a machine are one.',
    useOfAdapter(oneDomain),
  ),
  mutant(
    'device',
    'ah-of-any-pd',
    { chapter: 'isolation', breaks: 'ISO-22 DATA-18' },
    'An address handle is made in the protection domain that was created last.',
    useOfAdapter(hca => {
      let last: HcaPd | undefined;
      return {
        createPd() {
          last = hca.createPd();
          return last;
        },
        createAh: (pd, attributes) => hca.createAh(last ?? pd, attributes),
      };
    }),
  ),
];

function oneDomain(hca: HcaFunction): Partial<HcaFunction> {
  let only: HcaPd | undefined;
  const known = new Set<HcaPd>();
  const one = (): HcaPd => (only ??= hca.createPd());
  const users = new Map<HcaPd, number>();
  const use = (pd: HcaPd, by: number): void => void users.set(pd, (users.get(pd) ?? 0) + by);
  const mrs = new Map<HcaMr, HcaPd>();
  const ahs = new Map<HcaAh, HcaPd>();
  const qps = new Map<HcaQp, HcaPd>();
  const taken = <K>(of: Map<K, HcaPd>, object: K, pd: HcaPd): K => {
    of.set(object, pd);
    use(pd, 1);
    return object;
  };
  const gone = <K>(of: Map<K, HcaPd>, object: K): void => {
    const pd = of.get(object);
    if (pd !== undefined && of.delete(object)) use(pd, -1);
  };
  return {
    createPd() {
      one();
      const pd: HcaPd = { kind: 'hca-pd' };
      known.add(pd);
      return pd;
    },
    destroyPd(pd) {
      if ((users.get(pd) ?? 0) > 0) throw new VerbsError('EBUSY', 'destroyPd', 'in use');
      known.delete(pd);
    },
    registerMr: (pd, init) => taken(mrs, hca.registerMr(one(), init), pd),
    deregisterMr(mr) {
      hca.deregisterMr(mr);
      gone(mrs, mr);
    },
    createAh: (pd, attributes) => taken(ahs, hca.createAh(one(), attributes), pd),
    destroyAh(ah) {
      hca.destroyAh(ah);
      gone(ahs, ah);
    },
    createQp: (pd, init, owner, qpNum) => taken(qps, hca.createQp(one(), init, owner, qpNum), pd),
    destroyQp(qp) {
      hca.destroyQp(qp);
      gone(qps, qp);
    },
    reset() {
      hca.reset();
      only = undefined;
      known.clear();
    },
  };
}

export const translationMutants: readonly Mutant[] = [...translation];
