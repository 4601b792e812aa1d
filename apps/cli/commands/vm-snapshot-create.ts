/** `holdfast vm snapshot create`: all disks of a machine at one moment. */
import { createVmSnapshot } from '@holdfast/hypervisor/snapshot';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { claimedMachine } from '../wiring/machine.ts';
import { consistencyWord, vmSnapshotFields } from '../wiring/vm-snapshot-report.ts';

/** For the guest agent's answer to each of freeze and thaw. */
const AGENT_TIMEOUT_MS = 10_000;

export const command = defineCommand(
  {
    name: 'vm snapshot create',
    summary: 'Take a snapshot of all disks of a machine at one moment',
    details:
      'The machine may run. It lies in the qcow2 images of the machine and is gone with them: it is no backup. Where a running\n' +
      'machine would stand still for long (64 GiB written), each disk goes on in a new image, an overlay, beside the old one.\n' +
      'With a guest agent the file systems are frozen for the moment; require fails where that is not possible.',
    arguments: {
      machine: { required: true, summary: 'Name or UUID of the machine' },
      name: { required: true, summary: 'Name of the new snapshot' },
    },
    options: {
      ...connectionOptions,
      consistency: {
        value: 'WISH',
        choices: ['require', 'prefer', 'never'],
        summary: 'Whether the file systems of the guest are frozen (default: prefer)',
      },
      allowStall: { summary: 'No overlays, even if the running machine may stand still for longer than a second' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    await using machine = await claimedMachine({ options, machine: args.machine, context });
    const created = await createVmSnapshot({
      ...machine,
      clock,
      name: args.name,
      consistency: options.consistency ?? 'prefer',
      agentTimeoutMs: AGENT_TIMEOUT_MS,
      allowStall: options.allowStall,
      signal,
    });
    const { name, kind, consistency, reason, frozenMs } = created;
    if (consistency === 'crash' && reason !== null && options.consistency !== 'never') {
      output.warn(`The file systems of the guest were not frozen: ${printable(reason)}`);
    }
    output.result(
      {
        snapshot: {
          ...vmSnapshotFields(created),
          frozen_ms: frozenMs === undefined ? null : Math.round(frozenMs),
        },
      },
      `Took the snapshot ${printable(name)} of ${created.disks.map(({ target }) => target).join(', ')} (${consistencyWord(created)}${kind === 'layer' ? ', with overlays' : ''}).`,
    );
  },
);
