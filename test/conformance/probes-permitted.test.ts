/** The cases about what a device may do: both choices pass, and half of one does not. */
import { describe, expect, it } from 'vitest';
import { Command, regUserMrCommand } from '../../src/abi/index.js';
import type { ProfileName } from '../../src/abi/index.js';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { commands, registers } from '../../src/conformance/mutants/seams/device.js';
import { permissionCases } from '../../src/conformance/probes/device/permitted.js';
import { DeviceStatus } from '../../src/virtio/index.js';

function ask(id: string, implementation: Implementation, profile: ProfileName = 'roce') {
  const how = permissionCases.find(each => each.id === id)?.how;
  if (how?.kind !== 'probe') throw new Error(`no ${id}`);
  return how.run({ profile, implementation, seed: 1 });
}

const ids = permissionCases.map(each => each.id);

describe.each<ProfileName>(['roce', 'rdma'])('the bundled device in the profile %s', profile => {
  it.each(ids)('keeps %s', async id => {
    const { runs } = await ask(id, {}, profile);
    expect(runs).toBe(1);
  });
});

/** A configuration that is another one at each reading. */
function restless(...told: readonly ('generation' | 'notification')[]): Implementation {
  return registers(inner => {
    let reads = 0;
    let tell = (): void => undefined;
    return {
      attach(host) {
        tell = () => host.interruptConfig();
        inner.attach(host);
      },
      readConfig() {
        const view = inner.readConfig();
        const copy = new DataView(view.buffer.slice(0));
        copy.setUint8(0, copy.getUint8(0) ^ ++reads);
        if (told.includes('notification')) tell();
        return copy;
      },
      get configGeneration() {
        return told.includes('generation') ? reads & 0xff : 0;
      },
    };
  });
}

/** Says OK to a region at high addresses, and makes none. */
const halfRegistered: Implementation = commands(
  inner => ({
    run: (objects, request, result, list) =>
      regUserMrCommand.decode(request, 0).virt_addr > 2 ** 52 || inner.run(objects, request, result, list),
  }),
  Command.REG_USER_MR,
);

/** Makes no region of more pages. */
const refuses = (limit: { readonly pages: number }): Implementation =>
  commands(
    inner => ({
      run: (objects, request, result, list) =>
        list.count <= limit.pages && inner.run(objects, request, result, list),
    }),
    Command.REG_USER_MR,
  );

const broken: readonly (readonly [what: string, id: string, requirement: string, fault: Implementation])[] = [
  [
    'answers a driver without RDMA with FAILED',
    'FEAT/negotiate/without-rdma',
    'FEAT-12',
    registers(inner => ({ readStatus: () => inner.readStatus() | DeviceStatus.FAILED })),
  ],
  [
    'changes its configuration and not the generation',
    'CONF/reading/changes-are-told',
    'CONF-08',
    restless(),
  ],
  ['changes it and tells nobody', 'CONF/reading/changes-are-told', 'CONF-09', restless('generation')],
  [
    'registers what is beyond 2^53 under a number that nobody can give back',
    'CTRL/reg-user-mr/beyond-2-53',
    'CTRL-59',
    halfRegistered,
  ],
  ['keeps fewer pages', 'CTRL/reg-user-mr/pages-of-all-regions', 'CTRL-66', refuses({ pages: 2 ** 10 })],
];

describe('a device', () => {
  it.each(broken)('that %s breaks %s', async (_, id, requirement, fault) => {
    const error: unknown = await ask(id, fault).catch((thrown: unknown) => thrown);
    if (!(error instanceof CaseBroken)) throw new Error(`not seen: ${String(error)}`);
    expect(error.requirements).toContain(requirement);
  });

  it('may tell of each change', async () => {
    const { runs } = await ask('CONF/reading/changes-are-told', restless('generation', 'notification'));
    expect(runs).toBe(1);
  });
});
