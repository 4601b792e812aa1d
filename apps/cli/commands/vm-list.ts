/** `holdfast vm list`: the virtual machines of a host and their disks. Works on other hosts too. */
import { formatBytes } from '@holdfast/base';
import {
  type DiskSource,
  type DomainInventory,
  type InventoryDisk,
  type StoragePool,
} from '@holdfast/hypervisor/libvirt';
import { openMachines } from '../wiring/machines.ts';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { layOutColumns } from '../terminal/columns.ts';
import { printable } from '../terminal/format.ts';

export const command = defineCommand(
  {
    name: 'vm list',
    summary: 'List virtual machines and their disks',
    details:
      'AGENT says whether the QEMU guest agent answers in the machine, which is what a consistent backup needs.\n' +
      'Other hosts can be looked at as well: --connect qemu+ssh://root@HOST/system.',
    arguments: {},
    options: connectionOptions,
  },
  async ({ options, context }) => {
    const { output, signal } = context;
    const { libvirt } = await openMachines(options, context);
    const machines = await libvirt.inventory({ signal });
    const pools = await libvirt.storagePools({ signal });
    for (const { name, disks } of machines) {
      for (const { target, problem } of disks) {
        if (problem !== undefined) output.warn(printable(`Disk ${target} of ${name}: ${problem}`));
      }
    }
    output.result(
      { uri: libvirt.uri.text, machines: machines.map(machineFields), storage_pools: pools.map(poolFields) },
      machines.length === 0 ? `${libvirt.uri.text} has no virtual machines.` : machineLines(machines).join('\n'),
    );
  },
);

function machineFields(machine: DomainInventory): object {
  return {
    name: machine.name,
    uuid: machine.uuid,
    title: machine.title ?? null,
    state: machine.state,
    state_reason: machine.stateReason,
    persistent: machine.persistent,
    agent: machine.agent,
    uefi: machine.uefi,
    tpm: machine.emulatedTpm ?? null,
    host_devices: machine.hostDevices,
    disks: machine.disks.map((disk) => ({
      target: disk.target,
      device: disk.device,
      bus: disk.bus ?? null,
      readonly: disk.readonly,
      shareable: disk.shareable,
      source: disk.source,
      format: disk.format ?? null,
      size_bytes: disk.sizeBytes ?? null,
      allocated_bytes: disk.allocatedBytes ?? null,
      backing: disk.backing ?? null,
      problem: disk.problem ?? null,
    })),
  };
}

function poolFields({ name, type, active, path, sizeBytes, availableBytes }: StoragePool): object {
  return { name, type, active, path: path ?? null, size_bytes: sizeBytes, available_bytes: availableBytes };
}

/** A line for each disk; the machine stands on its first. */
function machineLines(machines: readonly DomainInventory[]): readonly string[] {
  return layOutColumns(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      { title: 'AGENT' },
      { title: 'DISK' },
      { title: 'FORMAT' },
      { title: 'SIZE', align: 'right' },
      { title: 'USED', align: 'right' },
      { title: 'SOURCE' },
    ],
    machines.flatMap((machine) => {
      const first = [printable(machine.name), machine.state.replace('_', ' '), agentWord(machine)];
      if (machine.disks.length === 0) return [first];
      return machine.disks.map((disk, index) => [...(index === 0 ? first : ['', '', '']), ...diskCells(disk)]);
    }),
  );
}

function agentWord({ agent }: DomainInventory): string {
  return { absent: 'none', unknown: '-', disconnected: 'silent', connected: 'yes' }[agent];
}

function diskCells(disk: InventoryDisk): readonly string[] {
  const { target, device, format, sizeBytes, allocatedBytes, source, backing = [] } = disk;
  const bytes = (value: number | undefined): string => (value === undefined ? '-' : formatBytes(value));
  return [
    target,
    device === 'disk' ? (format ?? '-') : device,
    bytes(sizeBytes),
    bytes(allocatedBytes),
    printable([source, ...backing.map((image) => image.source)].map(sourceWord).join(' < ')),
  ];
}

function sourceWord(source: DiskSource): string {
  switch (source.kind) {
    case 'file':
    case 'block':
      return source.path;
    case 'rbd':
      return `rbd:${source.pool}/${source.image}${source.snapshot === undefined ? '' : `@${source.snapshot}`}`;
    case 'volume':
      return `${source.pool}/${source.volume}`;
    case 'other':
      return source.name;
    case 'none':
      return '(empty)';
    default:
      return source satisfies never;
  }
}
