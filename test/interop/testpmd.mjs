/** DPDK's testpmd on one port, told what to do line by line. */

/**
 * Starts it and waits until it takes commands. `options` are testpmd's own, `ealOptions` those of its environment. Throws when it
 * ends before that.
 */
export async function startTestpmd(part, name, port, options, ealOptions = []) {
  const pmd = part.start(
    `testpmd-${name}`,
    // Into a file it would print only when its buffer is full.
    'stdbuf',
    [
      [
        '-oL',
        'dpdk-testpmd',
        '--no-huge',
        '-m',
        '256',
        '-l',
        '0,1',
        '--no-pci',
        '--no-telemetry',
        ...ealOptions,
      ],
      ['--file-prefix', `vrdma-${process.pid}-${name}`, '--vdev', port],
      ['--', '-i', '--total-num-mbufs=16384', ...options],
    ].flat(),
    { input: 'pipe' },
  );
  // A line of its own; the prompt comes letter by letter, and a complaint on the other stream may stand in between.
  const isReady = () => pmd.exit !== undefined || pmd.text().includes('Checking link statuses');
  await part.until('testpmd to start', isReady);
  if (pmd.exit !== undefined) throw new Error(`testpmd ended: ${pmd.lastLines(3)}`);
  return pmd;
}
