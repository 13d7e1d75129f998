/**
 * The architecture as rules: which room of src/ may import which. docs/architecture.md says why; scripts/architecture.mjs
 * runs this and makes sure that modules were seen at all.
 */

/** What each room may import besides itself. `types`: only `import type`. */
const rooms = {
  abi: { may: [] },
  verbs: { may: ['abi'] },
  virtio: { may: ['abi'] },
  statemachines: { may: ['abi', 'verbs'] },
  fabric: { may: ['abi'] },
  reference: { may: ['abi', 'verbs', 'fabric', 'statemachines'] },
  device: { may: ['abi', 'verbs', 'virtio'], types: ['reference/hca', 'fabric/scheduler'] },
  netdev: { may: ['abi', 'virtio'] },
  driver: { may: ['abi', 'verbs', 'virtio'] },
  transports: { may: ['abi', 'virtio'], types: ['fabric/scheduler'] },
  conformance: {
    may: [
      ...['abi', 'verbs', 'virtio', 'statemachines', 'fabric', 'reference'],
      ...['device', 'netdev', 'driver', 'transports'],
    ],
  },
  explorer: { may: ['statemachines', 'abi', 'verbs'] },
  report: { may: ['conformance'] },
  cli: { may: ['report', 'conformance', 'explorer', 'statemachines', 'transports', 'abi', 'verbs'] },
};

/** The npm packages that a room may use; a room that is not listed uses none. */
const packages = {
  verbs: ['zod'],
  statemachines: ['xstate'],
  reference: ['ts-pattern'],
  transports: ['koffi'],
  conformance: ['zod', 'fast-check', 'ts-pattern', 'xstate'],
  explorer: ['xstate', 'ts-pattern'],
  report: ['zod', 'ts-pattern'],
  cli: ['commander', 'picocolors', 'ts-pattern', 'zod'],
};

const alternatives = names => names.map(name => name.replaceAll('/', '\\/')).join('|');

const roomRules = Object.entries(rooms).flatMap(([room, { may, types = [] }]) => {
  const known = alternatives([room, ...may]);
  const rules = [
    {
      name: `${room}-imports-down`,
      comment: `src/${room} may import ${may.length === 0 ? 'nothing of src/' : may.join(', ')}`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: {
        path: '^src/',
        pathNot: `^src/(${known})/` + (types.length === 0 ? '' : `|^src/(${alternatives(types)})[.]ts$`),
      },
    },
    {
      name: `${room}-packages`,
      comment: `src/${room} may use ${(packages[room] ?? ['no package']).join(', ')}`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'],
        ...(packages[room] ? { pathNot: `node_modules/(${alternatives(packages[room])})/` } : {}),
      },
    },
  ];
  if (types.length > 0)
    rules.push({
      name: `${room}-types-only`,
      comment: `of ${types.join(' and ')} src/${room} may import types only`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: { path: `^src/(${alternatives(types)})[.]ts$`, dependencyTypesNot: ['type-only', 'type-import'] },
    });
  return rules;
});

module.exports = {
  forbidden: [
    ...roomRules,
    {
      name: 'known-rooms',
      comment: 'a new room needs a line in the table above and in docs/architecture.md',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: `^src/(${alternatives(Object.keys(rooms))})/` },
      to: {},
    },
    {
      name: 'no-clock-no-files',
      comment: 'only the faces and the transports may touch the machine they run on',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(cli|transports)/|^src/conformance/requirements[.]ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-cycles',
      comment: 'nor do types go round',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    { name: 'no-missing', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: 'specify',
    doNotFollow: { path: 'node_modules' },
  },
};
